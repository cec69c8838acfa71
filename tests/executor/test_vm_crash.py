"""kill -9 of a host's executor before and after every effect: same final state, nothing leaked, nothing done twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazur.model.desire import State
from tests.executor.vmworld import DATA, OS, UID, Fuse, World, disk, payload

STOPPED = payload(power="stopped")
CHANGES: dict[str, tuple[dict[str, Any] | None, dict[str, Any], bool]] = {
    "create": (None, payload(disks=[disk(OS, None), disk(DATA, 0)]), False),
    "restart": (payload(), payload(restart=1), False),
    "stop": (payload(), STOPPED, False),
    "hard stop": (payload(), payload(power="stopped", hardStop=True), False),
    "start": (STOPPED, payload(), False),
    "resize": (payload(), payload(cores=4), False),
    "attach": (payload(), payload(disks=[disk(OS, None), disk(DATA, 9)]), False),
    "detach": (payload(disks=[disk(OS, None), disk(DATA, 9)]), payload(), False),
    "other cards": (STOPPED, payload(nics=[]), False),
    "remove": (payload(), payload(), True),
}


async def change(name: str, crash_at: int | None) -> tuple[dict[str, Any], int, int]:
    """Play one change, killed at an edge (or not); the picture afterwards, starts it took, edges it has."""
    before, after, removed = CHANGES[name]
    world = World()
    generation = 1
    if before is not None:
        world.plane.want("vm", UID, 1, before)
        await world.run(world.reported(1, State.READY))
        generation = 2
    started = world.host.room.starts.get(UID, 0)
    world.plane.want("vm", UID, generation, after, removed=removed)
    goal = world.reported(generation, State.GONE if removed else State.READY)
    fuse = Fuse(crash_at)
    if not await world.run(goal, fuse):
        await world.run(goal)
    return await world.picture(), world.host.room.starts.get(UID, 0) - started, fuse.count


@pytest.mark.parametrize("name", CHANGES)
def test_killed_at_any_effect(name: str) -> None:
    expected, starts, edges = asyncio.run(change(name, None))
    assert edges > 4
    for edge in range(1, edges + 1):
        picture, again, _ = asyncio.run(change(name, edge))
        assert picture == expected, f"killed at edge {edge} of {edges}"
        assert again == starts, f"killed at edge {edge} of {edges}: started {again} times instead of {starts}"
