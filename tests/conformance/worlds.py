"""Worlds in which the example of one type exists, or only what it refers to; made once each and copied."""

from __future__ import annotations

from tests.api.front import world_of
from tests.cloud.cloud import Cloud, World
from tests.conformance.examples import BY_NAME, Maker

GROUP = "rg"


def made(name: str) -> World:
    """The example of the type, and all it refers to, exists."""

    async def prepare(cloud: Cloud) -> None:
        await Maker(cloud, await cloud.with_group(GROUP)).make(BY_NAME[name])

    return world_of(f"made {name}", prepare)


def ready_for(name: str) -> World:
    """Everything the example refers to exists."""

    async def prepare(cloud: Cloud) -> None:
        await Maker(cloud, await cloud.with_group(GROUP)).prepare(BY_NAME[name])

    return world_of(f"ready for {name}", prepare)
