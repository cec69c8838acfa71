"""Makes an instance of any declared type from its `example`, with everything the example refers to.

`@Type[/child/name][#n]` stands for the id of a made example (the n-th) of that type, or of a child of it. Knows no concrete
type: a new one is covered as soon as it is declared.
"""

from __future__ import annotations

from typing import Any

import lazur.providers
from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource, Registry
from tests.cloud.cloud import Cloud

REGISTRY = Registry.discover(lazur.providers)
TYPES = list(REGISTRY.types())
NAMES = [t.type for t in TYPES]
BY_NAME = {t.type: t for t in TYPES}


def referred(example: Any, number: int = 1) -> list[tuple[AnyResource, int]]:
    """The examples an example names, directly."""
    found = {(_split(text)[0], _split(text)[2] or number) for text in _placeholders(example)}
    return sorted(found, key=lambda pair: (pair[0].type, pair[1]))


def _placeholders(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith("@Microsoft.") else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _placeholders(item)]


def _split(placeholder: str) -> tuple[AnyResource, list[str], int]:
    """The declared type a placeholder names, the child type and name that may follow, and the number (0: none said)."""
    text, _, number = placeholder[1:].partition("#")
    parts = text.split("/")
    for end in range(len(parts), 1, -1):
        found = REGISTRY.find("/".join(parts[:end]))
        if found is not None:
            return found, parts[end:], int(number or 0)
    raise AssertionError(f"'{placeholder}' names no declared type")


class Maker:
    """Makes examples in one resource group; `number` tells several instances of a type apart."""

    def __init__(self, cloud: Cloud, group: ArmId) -> None:
        self.cloud = cloud
        self.group = group

    def id(self, declared: AnyResource, number: int = 1) -> ArmId:
        """The id of example `number` of a type."""
        if declared.scope == "subscription":
            return ArmId(self.group.subscription, f"x{number}")
        return self.group.resource(declared.type, f"x{number}")

    def body(self, declared: AnyResource, number: int = 1) -> dict[str, Any]:
        """The example's body with ids in place of its placeholders."""
        found: dict[str, Any] = self.filled(dict(declared.example), number)
        return found

    def filled(self, value: Any, number: int = 1) -> Any:
        """A copy of `value` with ids in place of its placeholders."""
        if isinstance(value, dict):
            return {k: self.filled(v, number) for k, v in value.items()}
        if isinstance(value, list):
            return [self.filled(v, number) for v in value]
        if not (isinstance(value, str) and value.startswith("@Microsoft.")):
            return value
        declared, rest, said = _split(value)
        target = self.id(declared, said or number)
        return str(target.child(rest[0], rest[1]) if rest else target)

    async def prepare(self, declared: AnyResource, number: int = 1) -> None:
        """Make what the example, and the examples of its children, refer to."""
        for example in (declared.example, *(c.example for c in declared.embedded)):
            for needed, which in referred(example, number):
                if needed is not declared and self.cloud.world.store.get(self.id(needed, which).key) is None:
                    await self.make(needed, which)

    async def make(self, declared: AnyResource, number: int = 1) -> ArmId:
        """Make the example and wait for its end."""
        await self.prepare(declared, number)
        id = self.id(declared, number)
        await self.cloud.put(id, self.body(declared, number))
        return id
