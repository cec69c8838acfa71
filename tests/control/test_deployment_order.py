"""What a deployment does at the same time and what it does one after the other; large ones, and what they cost in turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazur.model.armid import ArmId
from tests.cloud.cloud import STORAGE, Cloud
from tests.control.test_deployment_runs import disk, named
from tests.control.test_deployments import COMPUTE, deploy, in_a_cloud, operations, state


def disk_id(group: ArmId, name: str) -> str:
    return str(group.resource(f"{COMPUTE}/disks", name))


def sets(count: int, *, chained: bool = False) -> dict[str, Any]:
    """Availability sets, which are done at once; in a chain, each waits for the one before it."""
    loop: dict[str, Any] = {"name": "sets", "count": count}
    if chained:
        loop |= {"mode": "serial", "batchSize": 1}
    return {
        "type": f"{COMPUTE}/availabilitySets", "apiVersion": "2024-07-01", "name": "[format('set{0}', copyIndex())]",
        "location": "local", "sku": {"name": "Aligned"}, "properties": {}, "copy": loop,
    }  # fmt: skip


def begun(cloud: Cloud, group: ArmId) -> set[str]:
    return set(operations(cloud, group))


def test_everything_that_can_is_begun_at_once_and_a_fan_in_waits_for_all() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await cloud.kill(STORAGE)
        names = [f"d{n}" for n in range(20)]
        last = disk("last", *(disk_id(group, n) for n in names))
        running = asyncio.create_task(deploy(cloud, group, [last, *map(disk, names)]))
        await cloud.clock.sleep(60.0)
        assert begun(cloud, group) == set(names)
        await cloud.revive(STORAGE)
        assert await running is None
        rows = operations(cloud, group)
        ended = max(rows[n]["timestamp"] for n in names)
        assert rows["last"]["timestamp"] >= ended

    in_a_cloud(story)


def test_a_chain_goes_link_by_link() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        names = [f"d{n}" for n in range(12)]
        links = [disk(name, *([disk_id(group, names[i - 1])] if i else [])) for i, name in enumerate(names)]
        assert await deploy(cloud, group, links[::-1]) is None
        rows = operations(cloud, group)
        times = [rows[n]["timestamp"] for n in names]
        assert times == sorted(times)

    in_a_cloud(story)


@pytest.mark.parametrize(("size", "most"), [(1, 1), (3, 3), (None, 8)])
def test_serial_loops_go_batch_by_batch(size: int | None, most: int) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        loop: dict[str, Any] = {"name": "disks", "count": 8}
        if size is not None:
            loop |= {"mode": "serial", "batchSize": size}
        one = {**disk("[format('d{0}', copyIndex())]"), "copy": loop}
        await cloud.kill(STORAGE)
        running = asyncio.create_task(deploy(cloud, group, [one]))
        await cloud.clock.sleep(30.0)
        assert begun(cloud, group) == {f"d{n}" for n in range(most)}
        await cloud.revive(STORAGE)
        seen = 0
        while not running.done():
            await cloud.clock.sleep(0.05)
            seen = max(seen, sum(o["provisioningState"] == "Running" for o in operations(cloud, group).values()))
        assert await running is None and seen <= most
        assert len(begun(cloud, group)) == 8

    in_a_cloud(story)


@pytest.mark.parametrize("chained", [False, True])
def test_eight_hundred_resources(chained: bool) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        assert await deploy(cloud, group, [sets(800, chained=chained)]) is None
        assert all(state(cloud, group.resource(f"{COMPUTE}/availabilitySets", f"set{n}")) == "Succeeded" for n in range(800))
        shown = cloud.show(named(group))["properties"]
        assert len(shown["outputResources"]) == len(begun(cloud, group)) == 800
        found = cloud.world.store.get(named(group).key)
        # What is done at once needs no turn of its own: the whole run is a handful of commits.
        assert found is not None and found.version < 12

    in_a_cloud(story)
