"""Holds answers to what the OpenAPI documents say: status, content type, headers, body, no secret ever."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

import lazur.providers
from lazur.api.openapi import documents, patterns
from lazur.model.registry import Registry

Json = dict[str, Any]


class Contract:
    """All documents, as answers are compared with them."""

    def __init__(self, documents: Mapping[str, Json]) -> None:
        self._paths = [(pattern, _Operations(d, item)) for d in documents.values() for pattern, item in patterns(d)]

    def faults(self, method: str, path: str, status: int, headers: Mapping[str, str], raw: bytes) -> list[str]:
        """Where the answer is not what was promised; nothing for a path or method that no document has."""
        for pattern, operations in self._paths:
            if pattern.fullmatch(path) and method.lower() in operations.item:
                # The server takes the body of an answer to HEAD away.
                return operations.faults(method.lower(), status, headers, b"" if method == "HEAD" else raw)
        return []

    def knows(self, method: str, path: str) -> bool:
        """Whether a document says what this is answered with."""
        return any(p.fullmatch(path) and method.lower() in o.item for p, o in self._paths)


class _Operations:
    """What may be asked at one path."""

    def __init__(self, document: Json, item: Json) -> None:
        self.item = item
        self._document = document
        self._validators: dict[tuple[str, str], Any] = {}

    def faults(self, method: str, status: int, headers: Mapping[str, str], raw: bytes) -> list[str]:
        responses = self.item[method]["responses"]
        found = str(status) if str(status) in responses else "default"
        if found == "default" and status < 400:
            return [f"{status} is not documented, only {sorted(responses)}"]
        promised = responses[found]
        missing = [h for h, ref in promised.get("headers", {}).items() if self._required(ref) and h.lower() not in headers]
        faults = [f"header {h} is missing" for h in missing]
        if "content" not in promised:
            return [*faults, *(["a body that is not documented"] if raw else [])]
        if not raw:
            # Azure's own answers have no body where there is nothing to say, whatever the schema.
            return [*faults, *([] if status == 200 and method == "post" else ["no body"])]
        if not headers.get("content-type", "").startswith("application/json"):
            return [*faults, f"content type {headers.get('content-type')}"]
        validator = self._validators.get((method, found))
        if validator is None:
            validator = validator_of(self._document, promised["content"]["application/json"]["schema"])
            self._validators[method, found] = validator
        return faults + [f"{error.instance_path}: {error.message[:300]}" for error in validator.iter_errors(json.loads(raw))]

    def _required(self, ref: Json) -> bool:
        return bool(self._document["components"]["headers"][ref["$ref"].rpartition("/")[2]].get("required"))


def validator_of(document: Json, schema: Json, *, answer: bool = True) -> Any:
    """A validator of `schema`; in an answer nothing may stand that is only written."""
    components = copy.deepcopy(document["components"]["schemas"])
    if answer:
        for component in components.values():
            for name, one in component.get("properties", {}).items():
                if one.get("writeOnly"):
                    component["properties"][name] = False
    return jsonschema_rs.validator_for({**schema, "components": {"schemas": components}})


@cache
def contract() -> Contract:
    """What this clone's documents promise."""
    return Contract(documents(Registry.discover(lazur.providers)))
