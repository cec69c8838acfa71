"""From a client's body to a validated document, all faults at once. Pure: must never read the store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.fields import Model, Pointer, WriteOnly, marked, pointers, split_secrets
from lazur.model.identity import ManagedIdentity, asked_identity, identity_pointers
from lazur.model.registry import AnyResource
from lazur.model.resource import Embedded
from lazur.model.stamp import Stamp

_MAX_TAGS = 50
_CHILD = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) or type(v) is int for v in value)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _named(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name", ""), str)


_FORMS = {
    "sku": (_named, "an object with a 'name'"),
    "plan": (_named, "an object with a 'name'"),
    "identity": (_object, "an object"),
    "extendedLocation": (_named, "an object with a 'name'"),
    "zones": (_texts, "a list of texts"),
    "kind": (_text, "a text"),
    "location": (_text, "a text"),
    "managedBy": (_text, "a text"),
}
"""What the top-level properties beside location and properties look like."""


@dataclass(frozen=True)
class Decoded:
    """A body that passed every check that needs no other document."""

    spec: Model
    body: dict[str, Any]
    secrets: dict[str, Any]
    pointers: list[Pointer]


def decode(declared: AnyResource, id: ArmId, body: Any, stamp: Stamp) -> tuple[Decoded | None, list[LazurError]]:
    """The decoded body, or None, and every fault found."""
    if not isinstance(body, dict):
        return None, [LazurError("InvalidRequestContent", "The request body must be a JSON object.")]
    if not _is_json(body):
        message = "The request body must be JSON: it holds a number or a text that JSON has no form for."
        return None, [LazurError("InvalidRequestContent", message)]
    lowered = {k.lower(): v for k, v in body.items() if v is not None}
    faults = [*_envelope(declared, id, lowered, stamp)]
    properties = lowered.get("properties", {})
    spec: Model | None = None
    try:
        spec = declared.Spec.model_validate(properties)
    except ValidationError as error:
        faults += list(model_faults(error, declared.Spec))
    if spec is None:
        return None, faults
    faults += list(_children(declared, spec))
    for rule in declared.rules:
        faults += list(rule(spec))
    asked, its_faults = _identity(declared, lowered.get("identity"))
    faults += its_faults
    document = spec.wire()
    secrets = split_secrets(spec, document)
    out: dict[str, Any] = {"properties": document}
    for name in ("tags", *sorted(declared.envelope)):
        if name.lower() in lowered:
            out[name] = lowered[name.lower()]
    if isinstance(zones := out.get("zones"), list):
        out["zones"] = [str(zone) for zone in zones]
    if declared.tracked:
        out["location"] = stamp.region
    if declared.has_identity:
        out.pop("identity", None)
        out |= {"identity": asked.document()} if asked and asked.document() else {}
    return Decoded(spec, out, secrets, [*pointers(spec), *identity_pointers(asked)]), faults


def _identity(declared: AnyResource, said: Any) -> tuple[ManagedIdentity | None, list[LazurError]]:
    """What a request asks for in `identity`, and what is wrong with it."""
    if not declared.has_identity or not isinstance(said, dict):
        return None, []
    try:
        asked = ManagedIdentity.model_validate(said)
    except ValidationError as error:
        return None, list(model_faults(error, ManagedIdentity, "identity"))
    return asked, list(asked.faults())


def pointers_of(declared: AnyResource, body: dict[str, Any]) -> list[Pointer]:
    """All references of a document that admission completed."""
    asked = asked_identity(body) if declared.has_identity else None
    return [*pointers(declared.Spec.model_validate(body["properties"])), *identity_pointers(asked)]


def decode_child(child: Embedded, body: Any) -> list[LazurError]:
    """Every fault of the body of an embedded child that can be told without its parent."""
    if not isinstance(body, dict):
        return [LazurError("InvalidRequestContent", "The request body must be a JSON object.")]
    try:
        child.spec.model_validate(next((v for k, v in body.items() if k.lower() == "properties"), None) or {})
    except ValidationError as error:
        return list(model_faults(error, child.spec))
    return []


# One encoder for all bodies: `json.dumps` with options makes a new one each time.
_strict = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


def _is_json(body: Any) -> bool:
    """Python's reader takes NaN, infinities and halves of surrogate pairs, which nothing that is stored may hold."""
    try:
        _strict(body).encode()
    except ValueError:
        return False
    return True


def _shown(spec: type[Model], location: tuple[int | str, ...], value: Any) -> str:
    """A plain value as errors show it; nothing of an object, and nothing of what may only be written."""
    models: list[type[Model]] = [spec]
    for step in location:
        for model in models:
            names = {f.alias or n: n for n, f in model.model_fields.items()}
            if isinstance(step, str) and names.get(step) in marked(model, WriteOnly):
                return ""
        if isinstance(step, str):
            models = [m for model in models for m in _models_at(model, step)]
    return f" {value!r}"[:80] if isinstance(value, (str, int, float, bool)) else ""


def _models_at(model: type[Model], step: str) -> list[type[Model]]:
    """The models a field of `model` may hold."""
    field = next((f for n, f in model.model_fields.items() if step == (f.alias or n)), None)
    pending, found = [field.annotation] if field is not None else [], []
    while pending:
        one: Any = pending.pop()
        if isinstance(one, type) and issubclass(one, Model):
            found.append(one)
        pending += get_args(one)
    return found


def model_faults(error: ValidationError, spec: type[Model], root: str = "properties") -> Iterable[LazurError]:
    """Pydantic's findings on `spec` as ARM faults with a path each."""
    for found in error.errors():
        steps = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in found["loc"])
        target = f"{root}{steps}"
        if found["type"] == "missing":
            message = f"Required parameter '{target}' is missing (null)."
            yield LazurError("MissingRequiredParameter", message, target=target)
        else:
            why = found["msg"].removeprefix("Value error, ").rstrip(".")
            text = f"The value{_shown(spec, found['loc'], found['input'])} of '{target}' is invalid: {why}."
            yield LazurError("InvalidParameter", text, target=target)


def _envelope(declared: AnyResource, id: ArmId, body: dict[str, Any], stamp: Stamp) -> Iterable[LazurError]:
    if not re.fullmatch(declared.name_pattern, id.name):
        message = f"Resource name '{id.name}' is invalid: it must match {declared.name_pattern}."
        yield LazurError("InvalidResourceName", message, target="name")
    named = body.get("name")
    if isinstance(named, str) and named.split("/")[-1].lower() != id.name.lower():
        message = f"The name '{named}' in the body does not match the name '{id.name}' in the URL."
        yield LazurError("InvalidRequestContent", message, target="name")
    if declared.tracked:
        location = body.get("location")
        if location is None:
            message = f"The location property is required for this definition of '{declared.type}'."
            yield LazurError("LocationRequired", message, target="location")
        elif str(location).replace(" ", "").lower() != stamp.region.lower():
            message = (
                f"The provided location '{location}' is not available for resource type '{declared.type}'. "
                f"List of available regions for the resource type is '{stamp.region}'."
            )
            yield LazurError("LocationNotAvailableForResourceType", message, target="location")
    yield from _tags(body.get("tags", {}))
    for name in sorted(declared.envelope - {"tags"}):
        given, (form, told) = body.get(name.lower()), _FORMS[name]
        if given is not None and not form(given):
            yield LazurError("InvalidRequestContent", f"'{name}' must be {told}.", target=name)


def _tags(tags: Any) -> Iterable[LazurError]:
    if not isinstance(tags, dict):
        yield LazurError("InvalidRequestContent", "'tags' must be an object of strings.", target="tags")
        return
    if len(tags) > _MAX_TAGS:
        yield LazurError("InvalidTags", f"A resource can have at most {_MAX_TAGS} tags.", target="tags")
    for name, value in tags.items():
        if not name or len(name) > 512 or not isinstance(value, str) or len(value) > 256:
            message = f"Tag '{name[:60]}': names have 1 to 512 and values at most 256 characters."
            yield LazurError("InvalidTagNameOrValue", message, target=f"tags.{name[:60]}")


def _children(declared: AnyResource, spec: Model) -> Iterable[LazurError]:
    """Every embedded child has a name of its own."""
    document = spec.wire()
    for child in declared.embedded:
        seen: set[str] = set()
        for index, item in enumerate(document.get(child.list, [])):
            name, spot = item.get("name"), f"properties.{child.list}[{index}].name"
            if name and not _CHILD.fullmatch(name):
                message = f"The name '{name[:80]}' at '{spot}' is invalid: it must match {_CHILD.pattern}."
                yield LazurError("InvalidResourceName", message, target=spot)
            elif not name:
                yield LazurError("MissingRequiredParameter", f"Required parameter '{spot}' is missing (null).", target=spot)
            elif name.lower() in seen:
                message = f"The name '{name}' is used more than once in '{child.list}'."
                yield LazurError("InvalidRequestFormat", message, target=spot)
            seen.add(str(name).lower())
