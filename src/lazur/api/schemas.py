"""JSON schemas of resource documents, from the models that read them; OpenAPI's dialect (JSON Schema 2020-12). Pure.

One schema serves requests and answers: what only the cloud says is `readOnly`, what is never shown again `writeOnly`. Must
never know a concrete type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from lazur.model.fields import Model, Mut, Ref, SubResource, WriteOnly, marked
from lazur.model.registry import AnyResource
from lazur.model.resource import Embedded

Schema = dict[str, Any]
REF = "#/components/schemas/"
_TEXT: Schema = {"type": "string"}
_NAMED: Schema = {"type": "object", "properties": {"name": _TEXT}}
_ENVELOPE: Mapping[str, Schema] = {
    "sku": _NAMED,
    "plan": _NAMED,
    "extendedLocation": _NAMED,
    "identity": {"type": "object"},
    "zones": {"type": "array", "items": _TEXT},
    "kind": _TEXT,
    "managedBy": _TEXT,
}
_MUTABILITY = {Mut.CREATE_ONLY: ["create", "read"], Mut.GROW_ONLY: ["create", "read", "update"]}

COMMON: Mapping[str, Schema] = {
    "ErrorDetail": {
        "type": "object",
        "description": "One fault: what is wrong, where, its causes and its evidence.",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "minLength": 1},
            "message": {"type": "string", "minLength": 1},
            "target": _TEXT,
            "details": {"type": "array", "items": {"$ref": f"{REF}ErrorDetail"}},
            "additionalInfo": {
                "type": "array",
                "items": {"type": "object", "required": ["type", "info"], "properties": {"type": _TEXT, "info": {}}},
            },
        },
        "additionalProperties": False,
    },
    "ErrorResponse": {
        "type": "object",
        "description": "How every request that fails is answered.",
        "required": ["error"],
        "properties": {"error": {"$ref": f"{REF}ErrorDetail"}},
        "additionalProperties": False,
    },
    "OperationStatus": {
        "type": "object",
        "description": "How a long-running operation goes.",
        "required": ["name", "status", "startTime"],
        "properties": {
            "name": _TEXT,
            "status": {"type": "string", "description": "Succeeded, Failed and Canceled are final."},
            "startTime": {"type": "string", "format": "date-time"},
            "endTime": {"type": "string", "format": "date-time"},
            "error": {"$ref": f"{REF}ErrorDetail"},
            "properties": {"type": "object"},
        },
    },
}
"""What the documents of all providers share."""


class Schemas:
    """The component schemas of some types, and the names they have."""

    def __init__(self, types: Sequence[AnyResource]) -> None:
        models = list(dict.fromkeys(m for t in types for m in _reachable(t.Spec)))
        models += [m for t in types for c in t.embedded for m in _reachable(c.spec) if m not in models]
        references, whole = models_json_schema([(m, "validation") for m in models], ref_template=REF + "{model}")
        names = {m: references[m, "validation"]["$ref"].removeprefix(REF) for m in models}
        self._names = names
        found: dict[str, Schema] = whole.get("$defs", {})
        for model, name in names.items():
            _refine(found[name], model)
        self.components: dict[str, Schema] = {**COMMON, **found}
        for declared in types:
            self.components[self.name(declared)] = self._resource(declared)
            for child in declared.embedded:
                self.components[self.name(declared, child)] = self._child(declared, child)

    def name(self, declared: AnyResource, child: Embedded | None = None) -> str:
        """The component of a type, or of one of its children."""
        name = "".join(_capital(part) for part in declared.type.split("/")[1:])
        return name + (_capital(child.type) if child is not None else "") + "Resource"

    def _resource(self, declared: AnyResource) -> Schema:
        properties: dict[str, Schema] = {
            "id": {**_ID, "description": "The id of the resource."},
            "name": {"type": "string", "readOnly": True},
            "type": {"const": declared.type, "readOnly": True},
        }
        if declared.tracked:
            properties["location"] = _TEXT
            properties["tags"] = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 256}}
        elif "tags" in declared.envelope:
            properties["tags"] = {"type": "object", "additionalProperties": _TEXT}
        properties |= {name: _ENVELOPE[name] for name in sorted(declared.envelope) if name in _ENVELOPE}
        properties["etag"] = {"type": "string", "readOnly": True}
        properties["properties"] = {"$ref": REF + self._names[declared.Spec]}
        required = ["location"] if declared.tracked else []
        if any(info.is_required() for info in declared.Spec.model_fields.values()):
            required.append("properties")
        out: Schema = {"type": "object", "description": declared.__doc__, "properties": properties}
        return {**out, **({"required": required} if required else {})}

    def _child(self, declared: AnyResource, child: Embedded) -> Schema:
        properties = {
            "id": _ID,
            "name": {"type": "string"},
            "type": {"const": f"{declared.type}/{child.type}", "readOnly": True},
            "etag": {"type": "string", "readOnly": True},
            "properties": {"$ref": REF + self._names[child.spec]},
        }
        return {"type": "object", "description": child.spec.__doc__, "properties": properties}


_ID: Schema = {"type": "string", "format": "arm-id", "readOnly": True}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reachable(model: type[Model]) -> Iterator[type[Model]]:
    """`model` and every model its documents may hold."""
    pending, seen = [model], set()
    while pending:
        one = pending.pop()
        if one not in seen:
            seen.add(one)
            yield one
            pending += [m for info in one.model_fields.values() for m in _models_in(info.annotation)]


def _models_in(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _refine(schema: Schema, model: type[Model]) -> None:
    """Add what the markers of the fields say."""
    properties: dict[str, Schema] = schema.setdefault("properties", {})
    schema.pop("title", None)
    for one in properties.values():
        one.pop("title", None)
    for name, info in model.model_fields.items():
        shown = properties[info.alias or name]
        if rule := marked(model, Mut).get(name):
            shown["x-ms-mutability"] = _MUTABILITY[rule]
        if ref := marked(model, Ref).get(name):
            _refer(shown, ref)
        if name in marked(model, WriteOnly):
            shown["x-ms-secret"] = True
            # A text is gone once it is sealed; an object is shown again without the values it keeps secret.
            if _is_text(shown):
                shown["writeOnly"] = True
    for name in sorted(model.read_only - properties.keys()):
        properties[name] = {"readOnly": True}
    if issubclass(model, SubResource):
        properties["id"]["format"] = "arm-id"


def _refer(schema: Schema, ref: Ref) -> None:
    schema["x-ms-arm-id-details"] = {"allowedResources": [{"type": ref.type}]}
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "string":
            one["format"] = "arm-id"


def _is_text(schema: Schema) -> bool:
    return any(one.get("type") == "string" for one in (schema, *schema.get("anyOf", ())))
