"""Tags of resources, groups and subscriptions through their own routes."""

from __future__ import annotations

import asyncio

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from lazur.model.rights import Assignment, Role
from tests.api.front import Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, SlowDisk

ADDRESS = {"location": "local", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
WHO = "00000000-0000-4000-8000-00000000000a"


async def _address(cloud: Cloud) -> None:
    await cloud.with_group("rg")
    await cloud.put(cloud.group("rg").resource("Microsoft.Network/publicIPAddresses", "a"), ADDRESS)


def _targets(door: Door) -> tuple[ArmId, ArmId, ArmId]:
    group = ArmId(door.plane.stamp.subscription, "rg")
    return ArmId(group.subscription), group, group.resource("Microsoft.Network/publicIPAddresses", "a")


def test_replace_merge_and_delete_at_every_scope() -> None:
    async def story(door: Door) -> None:
        for scope in _targets(door):
            path = f"{scope}/providers/Microsoft.Resources/tags/default"
            answer = await door.put(path, {"properties": {"tags": {"env": "test", "team": "a"}}})
            assert answer.status == 200 and answer.json["properties"]["tags"] == {"env": "test", "team": "a"}
            merge = {"operation": "Merge", "properties": {"tags": {"ENV": "live", "cost": "1"}}}
            merged = (await door.ask("PATCH", path, merge)).json["properties"]["tags"]
            assert merged == {"env": "live", "team": "a", "cost": "1"}
            less = {"operation": "Delete", "properties": {"tags": {"team": "a", "cost": "2"}}}
            assert (await door.ask("PATCH", path, less)).json["properties"]["tags"] == {"env": "live", "cost": "1"}
            assert (await door.get(str(scope)))["tags"] == {"env": "live", "cost": "1"}
            wrong = await door.ask("PATCH", path, {"operation": "Shout", "properties": {"tags": {"a": {}}}})
            assert wrong.status == 400 and {t for _, t in wrong.faults()} == {"operation", "properties.tags.a"}
        shown = (await door.get(f"{_targets(door)[0]}/tagNames"))["value"]
        assert {(n["tagName"], n["count"]["value"]) for n in shown} == {("env", 2), ("cost", 2)}
        path = f"{_targets(door)[2]}/providers/Microsoft.Resources/tags/default"
        assert (await door.ask("DELETE", path)).status == 200
        assert (await door.get(path))["properties"]["tags"] == {}

    at_the_door(world_of("an address", _address), story)


def test_tags_merged_at_the_same_time_are_all_there() -> None:
    world = world_of("an address", _address)

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world, trouble=SlowDisk(clock)).start()
        door = Door(cloud)
        for scope in _targets(door):
            path = f"{scope}/providers/Microsoft.Resources/tags/default"
            bodies = [{"operation": "Merge", "properties": {"tags": {f"t{n}": "x"}}} for n in range(4)]
            answers = await asyncio.gather(*(door.ask("PATCH", path, body) for body in bodies))
            assert [a.status for a in answers] == [200] * 4
            assert (await door.get(path))["properties"]["tags"] == {f"t{n}": "x" for n in range(4)}
        await cloud.stop()

    run_virtual(main, world.clock())


def test_the_right_to_tag_is_enough_and_nothing_more() -> None:
    async def story(door: Door) -> None:
        _, group, address = _targets(door)
        token = door.token(WHO)
        tagger = Role("t", "Tag Contributor", ("Microsoft.Resources/tags/*",))
        door.assign(Assignment(WHO, tagger, group.key))
        path = f"{address}/providers/Microsoft.Resources/tags/default"
        body = {"properties": {"tags": {"env": "test"}}}
        assert (await door.ask("PUT", path, body, token=token)).status == 200
        assert (await door.ask("PUT", str(address), ADDRESS, token=token)).status == 403
        door.assign()
        assert (await door.ask("PUT", path, body, token=token)).status == 403

    at_the_door(world_of("an address", _address), story)


def test_names_kept_for_use() -> None:
    async def story(door: Door) -> None:
        top = f"{_targets(door)[0]}/tagNames"
        for path in (f"{top}/env", f"{top}/env/tagValues/live"):
            assert (await door.ask("PUT", path)).status == 200
        kept = (await door.get(top))["value"]
        assert [(n["tagName"], [v["tagValue"] for v in n["values"]]) for n in kept] == [("env", ["live"])]
        assert (await door.ask("DELETE", f"{top}/env")).status == 204
        assert (await door.get(top))["value"] == []

    at_the_door(world_of("an address", _address), story)
