"""A machine that went off by itself comes back when it is started, whatever its wish was before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.control_plane import Machine
from lazur.model.armid import ArmId
from lazur.providers.compute.host import SimulatedHost
from tests.cloud.cloud import VERSION, Cloud
from tests.cloud.test_life import COMPUTE, NETWORK, nic_body, vm_body, vnet_body


def _power(cloud: Cloud, vm: ArmId) -> str:
    view = cloud.show(vm, "instanceView")["properties"]["instanceView"]
    code: str = view["statuses"][1]["code"]
    return code


async def _machine(cloud: Cloud) -> tuple[ArmId, str]:
    group = await cloud.with_group()
    vnet = group.resource(f"{NETWORK}/virtualNetworks", "vnet")
    nic = group.resource(f"{NETWORK}/networkInterfaces", "nic")
    vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
    await cloud.put(vnet, vnet_body())
    await cloud.put(nic, nic_body(vnet))
    await cloud.put(vm, vm_body(nic))
    return vm, cloud.show(vm)["properties"]["vmId"]


def _with_a_machine(story: Callable[[Cloud, ArmId, str], Awaitable[None]]) -> None:
    """Tell `story` in a cloud with one machine that runs."""

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        await story(cloud, *await _machine(cloud))
        await cloud.stop()

    run_virtual(main)


def _home(cloud: Cloud, uid: str) -> SimulatedHost:
    """The host a machine runs on."""
    return next(h for h in cloud.world.hosts.values() if uid in h.room.machines)


async def _dies(cloud: Cloud, uid: str) -> None:
    """A machine's process dies until it is given up."""
    room = _home(cloud, uid).room
    for _ in range(5):
        room.crash(uid)
        await cloud.clock.sleep(40)


def test_start_after_the_guest_switched_itself_off() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        room = _home(cloud, uid).room
        room.power_off_inside(uid)
        await cloud.clock.sleep(120)
        assert _power(cloud, vm) == "PowerState/stopped"
        await cloud.act(vm, "start")
        await cloud.settled()
        assert _power(cloud, vm) == "PowerState/running"

    _with_a_machine(story)


def test_start_after_the_process_was_given_up() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        await _dies(cloud, uid)
        shown = cloud.show(vm, "instanceView")["properties"]
        assert shown["provisioningState"] == "Failed" and _power(cloud, vm) == "PowerState/stopped"
        await cloud.act(vm, "start")
        await cloud.settled()
        assert cloud.show(vm)["properties"]["provisioningState"] == "Succeeded"
        assert _power(cloud, vm) == "PowerState/running"

    _with_a_machine(story)


def test_start_of_a_running_machine_disturbs_nothing() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        room = _home(cloud, uid).room
        before = room.machines[uid].started_at
        await cloud.act(vm, "start")
        await cloud.settled()
        assert room.machines[uid].started_at == before
        with pytest.raises(LazurError, match="no action"):
            await cloud.act(vm, "wake")

    _with_a_machine(story)


def test_a_tag_starts_nothing_that_switched_itself_off() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        host, world = next((n, h) for n, h in cloud.world.hosts.items() if uid in h.room.machines)
        world.room.power_off_inside(uid)
        await cloud.clock.sleep(120)
        await _tag(cloud, vm, "seen")
        assert _power(cloud, vm) == "PowerState/stopped" and world.room.starts[uid] == 1
        await cloud.act(vm, "start")
        # Nor when nobody saw it go off, and the tag was known before that.
        await cloud.kill(f"host/{host}")
        world.room.power_off_inside(uid)
        await cloud.plane.pipeline.patch(cloud.owner, vm, {"tags": {"a": "unseen"}}, VERSION)
        await cloud.clock.sleep(60)
        await cloud.revive(f"host/{host}")
        await cloud.settled()
        assert _power(cloud, vm) == "PowerState/stopped" and world.room.starts[uid] == 2
        await cloud.act(vm, "restart")
        assert _power(cloud, vm) == "PowerState/running" and world.room.starts[uid] == 3

    _with_a_machine(story)


def test_a_tag_starts_nothing_that_was_given_up() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        room = _home(cloud, uid).room
        await _dies(cloud, uid)
        before = room.starts[uid]
        with pytest.raises(LazurError, match="died 5 times"):
            await _tag(cloud, vm, "x")
        assert room.starts[uid] == before

    _with_a_machine(story)


def test_a_deallocated_machine_that_is_powered_off_stays_deallocated() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        await cloud.act(vm, "deallocate")
        await cloud.act(vm, "powerOff")
        assert _power(cloud, vm) == "PowerState/deallocated"
        record = cloud.world.store.get(vm.key)
        assert record is not None and "host" not in record.allocated and not cloud.world.store.desires(vm.key)
        await cloud.act(vm, "start")
        assert _power(cloud, vm) == "PowerState/running"

    _with_a_machine(story)


def test_a_machine_that_never_found_a_place_is_stopped_without_one() -> None:
    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, machines=(Machine("h01", 4, 256, driver="simulated"),)).start()
        with pytest.raises(LazurError, match="AllocationFailed"):
            await _machine(cloud)
        vm = cloud.group().resource(f"{COMPUTE}/virtualMachines", "vm1")
        await cloud.act(vm, "powerOff")
        assert _power(cloud, vm) == "PowerState/stopped"
        await cloud.stop()

    run_virtual(main)


async def _tag(cloud: Cloud, vm: ArmId, value: str) -> None:
    accepted = await cloud.plane.pipeline.patch(cloud.owner, vm, {"tags": {"a": value}}, VERSION)
    assert accepted.operation is not None
    await cloud.ended(accepted.operation)


def test_two_wishes_of_one_kind_end_together() -> None:
    async def story(cloud: Cloud, vm: ArmId, uid: str) -> None:
        await cloud.act(vm, "powerOff")
        asked = [await cloud.plane.pipeline.act(cloud.owner, vm, "start", {}) for _ in range(2)]
        for accepted in asked:
            await cloud.ended(accepted.operation, 120)

    _with_a_machine(story)
