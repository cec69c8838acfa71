"""What a resource type makes of a document: its spelling, what it ignores, what it keeps secret, what goes without saying.

Reads the models of the declared types. A document of a type that is not declared stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from pydantic import ValidationError

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.fields import Model, WriteOnly, marked, split_secrets
from lazur.model.registry import Registry
from lazur.providers.resources.template.parser import is_expression


class Shapes:
    """The models of all declared types, by the ids of resources."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def model(self, id: str) -> type[Model] | None:
        """The model of the `properties` of a resource."""
        try:
            parsed = ArmId.parse(id)
        except LazurError:
            return None
        found = self._registry.find(parsed.type)
        if found is not None:
            return found.Spec
        child = self._registry.embedded(parsed)
        return child[1].spec if child is not None else None

    def place(self, id: str) -> tuple[str, str, str] | None:
        """Of a child that lives in its parent's document: the parent's key, the list it stands in and its name."""
        try:
            parsed = ArmId.parse(id)
        except LazurError:
            return None
        child = self._registry.embedded(parsed)
        return (str(parsed.parent).lower(), child[1].list, parsed.name.lower()) if child is not None else None

    def shown(self, id: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """`properties` in the type's spelling, without what it ignores and without secrets."""
        return self._dump(id, properties, explicit=True)

    def essence(self, id: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """`shown` without values that would be the same if they were left out: what two documents are compared by."""
        return self._dump(id, properties, explicit=False)

    def ignored(self, id: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Path and value of the properties at the top that the type only reports."""
        model = self.model(id)
        read_only = {name.lower() for name in model.read_only} if model is not None else set()
        for name, value in properties.items():
            if name.lower() in read_only and value is not None:
                yield f"properties.{name}", value

    def _dump(self, id: str, properties: Mapping[str, Any], *, explicit: bool) -> dict[str, Any]:
        model = self.model(id)
        known = _read(model, properties) if model is not None else None
        if known is None:
            hidden = _secrets(model) if model is not None else frozenset()
            return dict(_without_nulls(properties, hidden))
        spec, unknown = known
        out = spec.model_dump(
            by_alias=True, mode="json", exclude_none=True, exclude_unset=explicit, exclude_defaults=not explicit
        )
        split_secrets(spec, out)
        for path, value in unknown:
            _put(out, path, value)
        return dict(_without_nulls(out))


_Path = tuple[str | int, ...]


def _read(model: type[Model], properties: Mapping[str, Any]) -> tuple[Model, list[tuple[_Path, Any]]] | None:
    """The model of a document and, with their paths, expressions that stand where the model wants something else."""
    try:
        return model.model_validate(properties), []
    except ValidationError as error:
        paths = [tuple(fault["loc"]) for fault in error.errors()]
    copy: dict[str, Any] = _copied(properties)
    aside = []
    for path in paths:
        taken = _take(copy, path)
        if taken is not None:
            aside.append(taken)
    try:
        return (model.model_validate(copy), aside) if aside else None
    except ValidationError:
        return None


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _take(holder: Any, path: _Path) -> tuple[_Path, Any] | None:
    """Take the expression that stands at a path, or on the way to it, out of a document."""
    for depth, step in enumerate(path):
        if isinstance(holder, dict) and isinstance(step, str):
            key = next((name for name in holder if name.lower() == step.lower()), None)
            if key is None:
                return None
            value = holder[key]
            if isinstance(value, str):
                return (path[: depth + 1], holder.pop(key)) if is_expression(value) else None
        elif isinstance(holder, list) and isinstance(step, int) and step < len(holder):
            value = holder[step]
        else:
            return None
        holder = value
    return None


def _put(holder: Any, path: _Path, value: Any) -> None:
    for step, following in pairwise(path):
        if isinstance(holder, dict):
            holder = holder.setdefault(str(step), [] if isinstance(following, int) else {})
        elif isinstance(holder, list) and isinstance(step, int) and step < len(holder):
            holder = holder[step]
        else:
            return
    if isinstance(holder, dict):
        holder[str(path[-1])] = value


def _without_nulls(value: Any, hidden: frozenset[str] = frozenset()) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_nulls(item, hidden)
            for key, item in value.items()
            if item is not None and key.lower() not in hidden
        }
    return [_without_nulls(item, hidden) for item in value] if isinstance(value, list) else value


@cache
def _secrets(model: type[Model]) -> frozenset[str]:
    """Names of the secrets anywhere in a model, for documents the model itself can't read."""
    names = {model.model_fields[name].alias or name for name in marked(model, WriteOnly)}
    found = {name.lower() for name in names}
    for info in model.model_fields.values():
        for inner in _models(info.annotation):
            found |= _secrets(inner)
    return frozenset(found)


def _models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
