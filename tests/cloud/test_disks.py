"""Disks that grow, under a running guest or not, and disks that were copied."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from tests.cloud.cloud import VERSION, Cloud
from tests.cloud.test_attach import _disk, _record, _with_disks
from tests.cloud.test_life import COMPUTE
from tests.cloud.test_sequences import body_of, machine, play

GIB = 2**30


def _os_disk(cloud: Cloud, vm: ArmId) -> ArmId:
    return ArmId.parse(cloud.show(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"])


async def _grow(cloud: Cloud, disk: ArmId, size: int) -> None:
    accepted = await cloud.plane.pipeline.patch(cloud.owner, disk, {"properties": {"diskSizeGB": size}}, VERSION)
    await cloud.ended(accepted.operation, 120)


def test_a_data_disk_grows_under_its_running_guest() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm, disk = await machine(cloud, group, "vm1"), await _disk(cloud, group)
        await cloud.put(vm, _with_disks(cloud, vm, [disk]))
        room = cloud.world.hosts["h01"].room
        await _grow(cloud, disk, 3)
        assert cloud.world.storage.shelf.disks[f"{_record(cloud, disk).uid}.qcow2"] == 3 * GIB
        assert room.starts[_record(cloud, vm).uid] == 1
        await cloud.settled()
        assert cloud.show(vm)["properties"]["provisioningState"] == "Succeeded"

    play(story)


def test_the_disk_a_guest_booted_from_grows_only_while_that_is_deallocated() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        disk = _os_disk(cloud, vm)
        for action in (None, "powerOff"):
            if action:
                await cloud.act(vm, action)
            with pytest.raises(LazurError) as caught:
                await _grow(cloud, disk, 8)
            assert (caught.value.code, caught.value.status) == ("OperationNotAllowed", 409)
            assert "requires the virtual machine to be deallocated" in caught.value.message
        await cloud.act(vm, "deallocate")
        assert cloud.show(disk)["properties"]["diskState"] == "Reserved"
        await _grow(cloud, disk, 8)
        await cloud.act(vm, "start")
        assert cloud.show(disk)["properties"]["diskSizeGB"] == 8
        assert cloud.show(disk)["properties"]["diskState"] == "Attached"

    play(story)


@pytest.mark.parametrize("where", ["osDisk", "dataDisks"])
def test_a_disk_is_not_grown_by_its_machines_document(where: str) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm, disk = await machine(cloud, group, "vm1"), await _disk(cloud, group)
        body = _with_disks(cloud, vm, [disk])
        await cloud.put(vm, body)
        body = body_of(cloud, vm)
        await cloud.put(vm, body)
        profile: dict[str, Any] = body["properties"]["storageProfile"]
        (profile["osDisk"] if where == "osDisk" else profile["dataDisks"][0])["diskSizeGB"] = 64
        with pytest.raises(LazurError, match="diskSizeGB"):
            await cloud.put(vm, body)

    play(story)


def test_the_source_of_a_copy_is_held_only_while_the_copy_is_made() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        source, copy = await _disk(cloud, group), group.resource(f"{COMPUTE}/disks", "copy")
        creation = {"createOption": "Copy", "sourceResourceId": str(source)}
        await cloud.kill("storage/main")
        accepted = await cloud.plane.pipeline.put(
            cloud.owner, copy, {"location": "local", "properties": {"creationData": creation}}, VERSION
        )
        await cloud.clock.sleep(30)
        with pytest.raises(LazurError, match="in use"):
            await cloud.delete(source)
        await cloud.revive("storage/main")
        await cloud.ended(accepted.operation)
        await cloud.delete(source)
        await cloud.settled()
        assert cloud.show(copy)["properties"]["creationData"]["sourceResourceId"] == str(source)
        # What stands in the document is history: it is sent back with every change and leads nowhere.
        await cloud.put(copy, {**body_of(cloud, copy), "tags": {"a": "b"}})
        await _grow(cloud, copy, 4)
        await _disk(cloud, group)
        await cloud.put(copy, {**body_of(cloud, copy), "tags": {"c": "d"}})
        await cloud.delete(source)
        assert list(cloud.world.storage.shelf.disks) == [f"{_record(cloud, copy).uid}.qcow2"]
        assert cloud.audit() == []

    play(story)
