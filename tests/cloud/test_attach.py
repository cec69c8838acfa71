"""A disk belongs to one machine at a time, also while the host that had it cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazur.model.armid import ArmId
from lazur.model.documents import Record
from tests.cloud.cloud import VERSION, Cloud
from tests.cloud.test_life import COMPUTE
from tests.cloud.test_sequences import body_of, machine, play


async def _disk(cloud: Cloud, group: ArmId, name: str = "data") -> ArmId:
    disk = group.resource(f"{COMPUTE}/disks", name)
    await cloud.put(disk, {"location": "local", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}})
    return disk


def _with_disks(cloud: Cloud, vm: ArmId, disks: Sequence[ArmId]) -> dict[str, Any]:
    body = body_of(cloud, vm)
    entries = [{"lun": n, "createOption": "Attach", "managedDisk": {"id": str(d)}} for n, d in enumerate(disks)]
    body["properties"]["storageProfile"]["dataDisks"] = entries
    return body


def _record(cloud: Cloud, id: ArmId) -> Record:
    found = cloud.world.store.get(id.key)
    assert found is not None
    return found


def _open(cloud: Cloud, disk: ArmId) -> list[str]:
    """Hosts on which a process has the disk open."""
    uid = _record(cloud, disk).uid
    return sorted(n for n, h in cloud.world.hosts.items() for m in h.room.machines.values() if uid in m.disks)


async def _two(cloud: Cloud, group: ArmId) -> tuple[ArmId, ArmId, ArmId]:
    """Two machines on two hosts; the first has a data disk."""
    one, other, disk = await machine(cloud, group, "vm1"), await machine(cloud, group, "vm2"), await _disk(cloud, group)
    hosts = [_record(cloud, vm).allocated["host"] for vm in (one, other)]
    assert hosts == ["h01", "h02"]
    await cloud.put(one, _with_disks(cloud, one, [disk]))
    assert _open(cloud, disk) == ["h01"]
    return one, other, disk


def test_a_detached_disk_is_not_attached_elsewhere_before_its_host_let_go() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        one, other, disk = await _two(cloud, group)
        await cloud.kill("host/h01")
        let_go = await cloud.plane.pipeline.put(cloud.owner, one, _with_disks(cloud, one, []), VERSION)
        taken = await cloud.plane.pipeline.put(cloud.owner, other, _with_disks(cloud, other, [disk]), VERSION)
        for _ in range(120):
            await cloud.clock.sleep(1.0)
            assert _open(cloud, disk) == ["h01"]
        assert "vm1" in _record(cloud, other).status["waitingFor"]
        await cloud.revive("host/h01")
        await cloud.ended(let_go.operation)
        await cloud.ended(taken.operation)
        assert _open(cloud, disk) == ["h02"] and "waitingFor" not in _record(cloud, other).status
        await cloud.settled()
        assert cloud.audit() == []

    play(story)


def test_a_machine_that_waits_for_a_disk_can_be_stopped_and_goes_on_meanwhile() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        one, other, disk = await _two(cloud, group)
        await cloud.kill("host/h01")
        await cloud.plane.pipeline.put(cloud.owner, one, _with_disks(cloud, one, []), VERSION)
        await cloud.plane.pipeline.put(cloud.owner, other, _with_disks(cloud, other, [disk]), VERSION)
        await cloud.clock.sleep(30)
        assert len(cloud.world.hosts["h02"].room.machines) == 1
        await cloud.plane.pipeline.act(cloud.owner, other, "powerOff", {})
        await cloud.clock.sleep(60)
        assert cloud.world.hosts["h02"].room.machines == {}
        await cloud.plane.pipeline.act(cloud.owner, other, "start", {})
        await cloud.clock.sleep(60)
        # Its guest must not come up without the disk: what mounts it would fail.
        assert cloud.world.hosts["h02"].room.machines == {}
        await cloud.revive("host/h01")
        await cloud.settled()
        assert _open(cloud, disk) == ["h02"]

    play(story)


def test_a_disk_of_a_machine_that_is_being_deallocated_waits_for_its_host() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        one, other, disk = await _two(cloud, group)
        await cloud.kill("host/h01")
        await cloud.plane.pipeline.act(cloud.owner, one, "deallocate", {})
        await cloud.plane.pipeline.put(cloud.owner, one, _with_disks(cloud, one, []), VERSION)
        await cloud.plane.pipeline.put(cloud.owner, other, _with_disks(cloud, other, [disk]), VERSION)
        await cloud.clock.sleep(120)
        assert _open(cloud, disk) == ["h01"]
        await cloud.kill("control")
        await cloud.revive("control")
        await cloud.clock.sleep(120)
        assert _open(cloud, disk) == ["h01"]
        await cloud.revive("host/h01")
        await cloud.settled()
        assert _open(cloud, disk) == ["h02"]

    play(story)


def test_a_disk_that_comes_back_is_open_once() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        one, other, disk = await _two(cloud, group)
        await cloud.kill("host/h01")
        for first, second in ((one, other), (other, one), (one, other)):
            await cloud.plane.pipeline.put(cloud.owner, first, _with_disks(cloud, first, []), VERSION)
            await cloud.plane.pipeline.put(cloud.owner, second, _with_disks(cloud, second, [disk]), VERSION)
            await cloud.clock.sleep(5)
            assert _open(cloud, disk) == ["h01"]
        await cloud.revive("host/h01")
        await cloud.settled()
        assert _open(cloud, disk) == ["h02"] and cloud.audit() == []

    play(story)
