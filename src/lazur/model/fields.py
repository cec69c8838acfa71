"""The vocabulary a resource type is declared in: models, references, mutability, spelling rules.

A `Model` reads a client's JSON the way ARM does: property names and enum values without case, `null` as absent, read-only
properties that clients send back ignored, unknown properties kept. Must never know a concrete type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId


class Model(BaseModel):
    """An object of a resource document. Fields are snake_case here and camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True, use_attribute_docstrings=True,
        # As ARM reads: templates give ports and the like as numbers where Azure's models have texts.
        coerce_numbers_to_str=True,
    )
    read_only: ClassVar[frozenset[str]] = frozenset()
    """Wire names the cloud reports and clients may send back; ignored on input."""
    blank: ClassVar[frozenset[str]] = frozenset()
    """Wire names of texts that may be empty, which says as much as leaving them out."""

    @model_validator(mode="before")
    @classmethod
    def _as_arm_reads(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        names, ignored, blank = _spelling(cls)
        out: dict[str, Any] = {}
        for key, value in data.items():
            name = str(key)
            if value is not None and name.lower() not in ignored and (value != "" or name.lower() not in blank):
                out[names.get(name.lower(), name)] = value
        return out

    def wire(self) -> dict[str, Any]:
        """The canonical JSON form: only what was set, canonical spelling, unknown properties included."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


@cache
def _wire_names(cls: type[Model]) -> Mapping[str, str]:
    # `model_fields` of pydantic is looked up through a descriptor that costs more than all the rest of a walk.
    return {name: info.alias or name for name, info in cls.model_fields.items()}


@cache
def _spelling(cls: type[Model]) -> tuple[dict[str, str], frozenset[str], frozenset[str]]:
    ignored, blank = (frozenset(n.lower() for n in names) for names in (cls.read_only, cls.blank))
    return {a.lower(): a for a in _wire_names(cls).values()}, ignored, blank


class Caseless:
    """Marks a `Literal`: any spelling is accepted and Azure's spelling is kept."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        allowed = {str(v).lower(): v for v in get_args(source)}

        def canonical(value: Any) -> Any:
            return allowed.get(value.lower(), value) if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(canonical, handler(source))


def _arm_id(text: str) -> str:
    try:
        return str(ArmId.parse(text))
    except LazurError as error:
        raise ValueError(error.message) from error


IdText = Annotated[str, AfterValidator(_arm_id)]
"""The text of an ARM id, checked for form; doubled and trailing slashes are taken away, names keep their spelling."""


class SubResource(Model):
    """`{"id": "/subscriptions/…"}`: how ARM documents point at another resource."""

    id: IdText


@dataclass(frozen=True)
class Ref:
    """Marks a field that names another resource of `type`.

    The target must exist and the caller must be allowed to join it; it cannot be deleted while the reference stands.
    `exclusive`: only one resource at a time may hold such a reference to the target.
    `soft`: recorded and woken on change, but neither checked nor in the way of a deletion.
    """

    type: str
    exclusive: bool = False
    soft: bool = False
    takes: str = "join/action"
    """The right over the target that it takes to name it."""


class Mut(Enum):
    """How a field may change after creation."""

    CREATE_ONLY = "create"
    GROW_ONLY = "grow"


class WriteOnly:
    """Marks a secret: stored sealed apart from the document, never returned, never logged."""


@dataclass(frozen=True)
class Pointer:
    """A reference found in a document: where it stands (by index, and by the names of list items), what it names."""

    path: str
    named: str
    target: ArmId
    ref: Ref


def _markers(annotation: Any, kind: type) -> list[Any]:
    found = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, kind) or m is kind]
    if get_origin(annotation) is not None:
        for inner in get_args(annotation):
            found += _markers(inner, kind)
    return found


@cache
def marked(cls: type[Model], kind: type) -> Mapping[str, Any]:
    """Field name -> marker, for the fields of `cls` that carry a marker of `kind` (an instance or the class itself)."""
    out: dict[str, Any] = {}
    for name, info in cls.model_fields.items():
        found = [m for m in info.metadata if isinstance(m, kind) or m is kind] or _markers(info.annotation, kind)
        if found:
            out[name] = found[0]
    return out


def walk(model: Model, path: str = "", named: str = "") -> Iterator[tuple[str, str, Model]]:
    """Every object of a document with its wire path and the same path with names for indexes, outermost first."""
    yield path, named, model
    for name, alias in _wire_names(type(model)).items():
        here, known = (f"{p}.{alias}" if p else alias for p in (path, named))
        value = getattr(model, name)
        if isinstance(value, Model):
            yield from walk(value, here, known)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if isinstance(item, Model):
                    label = getattr(item, "name", None) or index
                    yield from walk(item, f"{here}[{index}]", f"{known}[{label}]")


def pointers(model: Model, root: str = "properties") -> Iterator[Pointer]:
    """All references of a document, nested ones included."""
    for path, named, item in walk(model, root, root):
        for name, ref in marked(type(item), Ref).items():
            alias = _wire_names(type(item))[name]
            value = getattr(item, name)
            listed = isinstance(value, (list, tuple))
            for index, one in enumerate(value if listed else [value]):
                text = one.id if isinstance(one, SubResource) else one
                if isinstance(text, str):
                    spot = f".{alias}[{index}]" if listed else f".{alias}"
                    yield Pointer(path + spot, named + spot, ArmId.parse(text), ref)


def carried(new: Model, old: Model, document: dict[str, Any]) -> None:
    """Add to `document` (the wire form of `new`) what `old` holds beyond its declaration and `new` does not mention.

    For a client whose api-version is older than the one that wrote: it cannot know these properties, so it does not mean
    to take them away. Items of lists are told apart by name. What the client left out as a whole stays left out.
    """
    known = {k.lower() for k in document}
    document |= {k: v for k, v in (old.__pydantic_extra__ or {}).items() if k.lower() not in known}
    for name, info in type(new).model_fields.items():
        here = document.get(info.alias or name)
        one, other = getattr(new, name), getattr(old, name, None)
        if isinstance(here, dict) and isinstance(one, Model) and isinstance(other, Model):
            carried(one, other, here)
        elif isinstance(here, list) and isinstance(one, list) and isinstance(other, list):
            named = {str(getattr(o, "name", "")).lower(): o for o in other if isinstance(o, Model)}
            for item, place in zip(one, here, strict=True):
                earlier = named.get(str(getattr(item, "name", "")).lower())
                if isinstance(item, Model) and earlier is not None and getattr(item, "name", None):
                    carried(item, earlier, place)


_ID_BEGINS = ("/subscriptions/", "/providers/")


def frozen_fields(new: Model, old: Model, root: str = "properties") -> Iterator[LazurError]:
    """Faults for fields whose `Mut` marker forbids the change from `old` to `new`."""
    before = {known.lower(): item for _, known, item in walk(old, root, root)}
    for path, known, item in walk(new, root, root):
        earlier = before.get(known.lower())
        if earlier is None or type(earlier) is not type(item):
            continue
        for name, rule in marked(type(item), Mut).items():
            was, now = getattr(earlier, name), getattr(item, name)
            spot = f"{path}.{_wire_names(type(item))[name]}"
            appeared = was is None and isinstance(now, SubResource)
            if (
                rule is Mut.CREATE_ONLY
                and name in item.model_fields_set
                and (appeared or (was is not None and not _same(now, was)))
            ):
                yield LazurError("PropertyChangeNotAllowed", f"Changing property '{spot}' is not allowed.", target=spot)
            if rule is Mut.GROW_ONLY and was is not None and now is not None and now < was:
                message = f"'{spot}' may only grow: it is {was} and {now} was asked for."
                yield LazurError("PropertyChangeNotAllowed", message, target=spot)


def _same(one: Any, other: Any) -> bool:
    """Equal values; ids compare as ids do, wherever they stand."""
    return bool(one == other or _folded(one) == _folded(other))


def _folded(value: Any) -> Any:
    if isinstance(value, Model):
        value = value.wire()
    if isinstance(value, dict):
        return {k: _folded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_folded(v) for v in value]
    return value.lower() if isinstance(value, str) and value.lower().startswith(_ID_BEGINS) else value


def split_secrets(model: Model, document: dict[str, Any]) -> dict[str, Any]:
    """Take the `WriteOnly` values out of `document` (the wire form of `model`); returns them by wire path."""
    secrets: dict[str, Any] = {}
    for path, _, item in walk(model):
        for name in marked(type(item), WriteOnly):
            alias = _wire_names(type(item))[name]
            holder: Any = document
            for step in _STEP.findall(path):
                holder = holder[int(step[1:-1])] if step[0] == "[" else holder.get(step, {})
            if alias in holder:
                secrets[f"{path}.{alias}".strip(".")] = holder.pop(alias)
    return secrets


_STEP = re.compile(r"\[\d+\]|[^.\[\]]+")

Rule = Callable[[Any], Iterator[LazurError]]
"""A pure check over one validated spec."""
