"""Makes an instance of any declared type from its `example`, with everything the example refers to.

`@Type[/child/name]` stands for the id of a made example of that type, or of a child of it. Knows no concrete type: a new
one is covered as soon as it is declared.
"""

from __future__ import annotations

import copy
from typing import Any

import lazur.providers
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource, Registry
from tests.cloud.cloud import Cloud

REGISTRY = Registry.discover(lazur.providers)
TYPES = list(REGISTRY.types())
NAMES = [t.type for t in TYPES]
BY_NAME = {t.type: t for t in TYPES}
FRONT_PAGE = "2024-11-01"


def referred(declared: AnyResource) -> list[AnyResource]:
    """The types an example names, directly."""
    return sorted({_split(text)[0] for text in _placeholders(declared.example)}, key=lambda t: t.type)


def _placeholders(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.startswith("@Microsoft.") else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _placeholders(item)]


def _split(placeholder: str) -> tuple[AnyResource, list[str]]:
    """The declared type a placeholder names, and the child type and name that may follow."""
    parts = placeholder[1:].split("/")
    for end in range(len(parts), 1, -1):
        found = REGISTRY.find("/".join(parts[:end]))
        if found is not None:
            return found, parts[end:]
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
        found: dict[str, Any] = self._fill(copy.deepcopy(dict(declared.example)), number)
        return found

    def _fill(self, value: Any, number: int) -> Any:
        if isinstance(value, dict):
            return {k: self._fill(v, number) for k, v in value.items()}
        if isinstance(value, list):
            return [self._fill(v, number) for v in value]
        if not (isinstance(value, str) and value.startswith("@Microsoft.")):
            return value
        declared, rest = _split(value)
        target = self.id(declared, number)
        return str(target.child(rest[0], rest[1]) if rest else target)

    async def prepare(self, declared: AnyResource, number: int = 1) -> None:
        """Make what the example refers to."""
        for needed in referred(declared):
            if self.cloud.world.store.get(self.id(needed, number).key) is None:
                await self.make(needed, number)

    async def make(self, declared: AnyResource, number: int = 1) -> ArmId:
        """Make the example and wait for its end."""
        await self.prepare(declared, number)
        id = self.id(declared, number)
        await self.cloud.put(id, self.body(declared, number))
        return id

    async def unmake(self, declared: AnyResource) -> None:
        """Delete all there is in the group, and the group."""
        await self.cloud.settled()
        if declared.scope == "subscription" and self.cloud.world.store.get(self.id(declared).key) is not None:
            await self.cloud.delete(self.id(declared))
        await self.cloud.delete(self.group)
        await self.cloud.settled()


async def attempt(work: Any) -> LazurError | None:
    """The error `work` ends with, or None."""
    try:
        await work
    except LazurError as error:
        return error
    return None
