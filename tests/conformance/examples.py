"""Makes an instance of any declared type from its `example`, with everything the example refers to.

Knows no concrete type: a new one is covered as soon as it is declared.
"""

from __future__ import annotations

from typing import Any

import lazur.providers
from lazur.model.armid import ArmId
from lazur.model.examples import filled, placeholder, placeholders
from lazur.model.registry import AnyResource, Registry
from tests.cloud.cloud import Cloud

REGISTRY = Registry.discover(lazur.providers)
TYPES = list(REGISTRY.types())
NAMES = [t.type for t in TYPES]
BY_NAME = {t.type: t for t in TYPES}


def referred(example: Any, number: int = 1) -> list[tuple[AnyResource, int]]:
    """The examples an example names, directly."""
    named = (placeholder(REGISTRY, text) for text in placeholders(example))
    return sorted({(p.declared, p.number or number) for p in named}, key=lambda pair: (pair[0].type, pair[1]))


class Maker:
    """Makes examples in one resource group; `number` tells several instances of a type apart."""

    def __init__(self, cloud: Cloud | None, group: ArmId, tenant: str = "t") -> None:
        self._cloud = cloud
        self.group = group
        self.tenant = cloud.plane.stamp.tenant if cloud else tenant

    @property
    def cloud(self) -> Cloud:
        """The cloud the examples are made in; without one they exist on paper."""
        assert self._cloud is not None
        return self._cloud

    def id(self, declared: AnyResource, number: int = 1) -> ArmId:
        """The id of example `number` of a type."""
        if declared.scopes == ("subscription",):
            return ArmId(self.group.subscription, f"x{number}")
        above = ArmId(tenant=self.tenant) if declared.scopes == ("tenant",) else self.group
        return above.resource(declared.type, declared.example_name.replace("{n}", str(number)))

    def body(self, declared: AnyResource, number: int = 1) -> dict[str, Any]:
        """The example's body with ids in place of its placeholders."""
        found: dict[str, Any] = self.filled(dict(declared.example), number)
        return found

    def filled(self, value: Any, number: int = 1) -> Any:
        """A copy of `value` with ids in place of its placeholders."""
        return filled(REGISTRY, value, lambda p: self.id(p.declared, p.number or number))

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
