"""Hosts that fall silent and hosts that are gone: what is shown, what an operator may say, and what a returning one does."""

from __future__ import annotations

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.control_plane import SYSTEM
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from tests.cloud.auditing import findings
from tests.cloud.cloud import CONTROL, VERSION, Cloud
from tests.cloud.test_example import KEY, TEMPLATE
from tests.cloud.test_life import COMPUTE, NETWORK
from tests.cloud.test_sequences import machine, play

HOSTS = "Microsoft.Fabric.Admin/hosts"


def _host(cloud: Cloud, name: str = "h01") -> Record:
    return next(r for r in cloud.world.store.list(type=HOSTS) if r.id.name == name)


def _health(cloud: Cloud, name: str = "h01") -> str:
    health: str = cloud.show(_host(cloud, name).id)["properties"]["health"]
    return health


def _state(cloud: Cloud, vm: ArmId) -> tuple[str, str]:
    shown = cloud.show(vm, "instanceView")["properties"]
    return shown["provisioningState"], shown["instanceView"]["statuses"][1]["code"]


async def _declare(cloud: Cloud, name: str = "h01", **query: str) -> None:
    accepted = await cloud.plane.pipeline.act(SYSTEM, _host(cloud, name).id, "declareLost", {}, query)
    await cloud.ended(accepted.operation, 60)


def _down(cloud: Cloud, lb: ArmId) -> list[str]:
    wanted = next(d.wanted for d in cloud.world.store.desires(lb.key) if d.wanted.domain == "network/main")
    down: list[str] = wanted.payload["down"]
    return down


def _switch_off(cloud: Cloud, name: str) -> None:
    cloud.world.hosts[name].lose_power()
    cloud.world.network.alive.discard(name)


async def _lose(cloud: Cloud, name: str = "h01") -> None:
    """The server is gone, and its operator says so."""
    await cloud.kill(f"host/{name}")
    _switch_off(cloud, name)
    await cloud.clock.sleep(120)
    await _declare(cloud, name)


async def _example(cloud: Cloud, group: ArmId) -> tuple[ArmId, list[ArmId]]:
    """The balancer and the machines of the example, one on each host."""
    properties = {"mode": "Incremental", "template": TEMPLATE, "parameters": {"sshPublicKey": {"value": KEY}}}
    await cloud.put(group.resource("Microsoft.Resources/deployments", "d"), {"properties": properties})
    await cloud.settled()
    lb = next(r.id for r in cloud.world.store.list(type=f"{NETWORK}/loadBalancers"))
    return lb, [group.resource(f"{COMPUTE}/virtualMachines", n) for n in ("web1", "web2")]


def test_a_silent_agent_is_shown_and_changes_nothing_else() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        lb, machines = await _example(cloud, group)
        assert _health(cloud) == "Online"
        await cloud.kill("host/h01")
        await cloud.clock.sleep(600)
        assert (_health(cloud), _health(cloud, "h02")) == ("Unreachable", "Online")
        # Its guests run; so they stay in rotation.
        assert _down(cloud, lb) == []
        assert {_state(cloud, m) for m in machines} == {("Succeeded", "PowerState/running")}
        await cloud.kill(CONTROL)
        await cloud.revive(CONTROL)
        await cloud.clock.sleep(60)
        assert _health(cloud) == "Unreachable"
        await cloud.revive("host/h01")
        await cloud.clock.sleep(60)
        assert _health(cloud) == "Online" and await findings(cloud) == []

    play(story)


def test_nothing_is_placed_on_a_host_that_does_not_answer() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await cloud.kill("host/h01")
        await cloud.clock.sleep(120)
        for name in ("vm1", "vm2"):
            vm = await machine(cloud, group, name)
            record = cloud.world.store.get(vm.key)
            assert record is not None and record.allocated["host"] == "h02"

    play(story)


def test_a_host_that_answers_is_not_lost_unless_forced() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        with pytest.raises(LazurError, match="switch it off first"):
            await _declare(cloud)
        await _declare(cloud, force="true")
        # It lives after all, hears of it, and takes its machine down.
        await cloud.clock.sleep(30)
        assert cloud.world.hosts["h01"].room.machines == {} and _health(cloud) == "Online"
        assert _state(cloud, vm) == ("Failed", "PowerState/stopped")
        await cloud.act(vm, "start")
        assert _state(cloud, vm) == ("Succeeded", "PowerState/running")
        assert await findings(cloud) == []

    play(story)


def _gateways(cloud: Cloud) -> set[object]:
    rows = cloud.world.network._rows.items()
    return {columns["chassis_name"] for row, columns in rows if row.table == "HA_Chassis"}


@pytest.mark.parametrize("name", ["h01", "h02"])
def test_the_gateways_of_a_lost_host_are_served_by_another(name: str) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await _example(cloud, group)
        other = {"h01": "h02", "h02": "h01"}[name]
        assert len(_gateways(cloud)) == 1
        await _lose(cloud, name)
        await cloud.settled()
        assert _gateways(cloud) == {other} and name not in cloud.world.network.hosts
        await cloud.revive(f"host/{name}")
        await cloud.clock.sleep(120)
        assert _health(cloud, name) == "Online" and name in cloud.world.network.hosts
        await _lose(cloud, other)
        await cloud.settled()
        assert _gateways(cloud) == {name}

    play(story)


def test_a_deleted_host_leaves_the_overlay() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        host = _host(cloud).id
        accepted = await cloud.plane.pipeline.delete(SYSTEM, host, "2026-11-01")
        await cloud.ended(accepted.operation, 60)
        wanted = {d.wanted.payload["name"] for d in cloud.world.store.domain("network/main", 0)[1] if d.wanted.kind == "host"}
        assert wanted == {"h02"}

    play(story)


def test_machines_of_a_lost_host_fail_leave_rotation_and_start_elsewhere() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        lb, machines = await _example(cloud, group)
        gone = next(m for m in machines if _record(cloud, m).allocated["host"] == "h01")
        await _lose(cloud)
        assert _health(cloud) == "Lost"
        await cloud.clock.sleep(30)
        assert _state(cloud, gone) == ("Failed", "PowerState/stopped") and "h01" in str(_record(cloud, gone).error)
        assert len(_down(cloud, lb)) == 1
        with pytest.raises(LazurError, match="HostLost"):
            accepted = await cloud.plane.pipeline.patch(cloud.owner, gone, {"tags": {"a": "b"}}, VERSION)
            await cloud.ended(accepted.operation)
        await cloud.act(gone, "start")
        assert _state(cloud, gone) == ("Succeeded", "PowerState/running")
        assert _record(cloud, gone).allocated["host"] == "h02"
        await cloud.settled()
        await cloud.clock.sleep(60)
        assert _down(cloud, lb) == [] and await findings(cloud) == []
        with pytest.raises(LazurError, match="AllocationFailed"):
            await machine(cloud, group, "big", "Standard_D4s_v5")

    play(story)


def test_a_returning_host_takes_away_what_is_stale_before_it_starts_anything() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        await _lose(cloud)
        await cloud.act(vm, "start")
        uid, old = _record(cloud, vm).uid, cloud.world.hosts["h01"]
        await cloud.kill(CONTROL)
        await cloud.revive("host/h01")
        await cloud.clock.sleep(600)
        assert old.room.machines == {}, "it has no word yet and must not trust its ledger"
        await cloud.revive(CONTROL)
        await cloud.clock.sleep(60)
        assert old.room.machines == {} and old.room.starts[uid] == 1 and old.ledger.load() == [] and old.records.list() == []
        assert _health(cloud) == "Online"
        await cloud.settled()
        assert await findings(cloud) == [] and cloud.audit() == []
        other = await machine(cloud, group, "vm2")
        assert _record(cloud, other).allocated["host"] == "h01"

    play(story)


def test_a_host_that_was_only_switched_off_brings_its_machines_back() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        await cloud.kill("host/h01")
        _switch_off(cloud, "h01")
        await cloud.clock.sleep(300)
        await cloud.revive("host/h01")
        await cloud.clock.sleep(60)
        assert _record(cloud, vm).uid in cloud.world.hosts["h01"].room.machines
        assert _state(cloud, vm) == ("Succeeded", "PowerState/running")

    play(story)


def test_machines_of_a_lost_host_can_be_deleted_and_then_the_host() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        await cloud.kill("host/h01")
        _switch_off(cloud, "h01")
        going = await cloud.plane.pipeline.delete(cloud.owner, vm, VERSION)
        await cloud.clock.sleep(120)
        assert cloud.world.store.get(vm.key) is not None
        await _declare(cloud)
        await cloud.ended(going.operation, 60)
        assert cloud.world.store.get(vm.key) is None and await findings(cloud) == []
        host = _host(cloud).id
        gone = await cloud.plane.pipeline.delete(SYSTEM, host, VERSION)
        await cloud.ended(gone.operation, 60)
        await cloud.delete(group)
        rows = cloud.world.store._writer.execute("SELECT kind, key FROM desires WHERE domain = 'host/h01'").fetchall()
        assert rows == [] and cloud.world.store.document("lost-domains").content == {}
        # Should it come back all the same, it holds nothing on to what it had.
        await cloud.revive("host/h01")
        await cloud.clock.sleep(60)
        assert cloud.world.hosts["h01"].ledger.load() == []

    play(story)


def test_a_machine_that_waits_for_a_silent_host_says_so() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        await cloud.kill("host/h01")
        await cloud.plane.pipeline.delete(cloud.owner, vm, VERSION)
        await cloud.clock.sleep(180)
        assert "h01 has not answered since" in _record(cloud, vm).status["waitingFor"]

    play(story)


def test_a_balancer_goes_although_a_host_that_probed_for_it_is_silent() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        lb, machines = await _example(cloud, group)
        for vm in machines:
            await cloud.delete(vm)
        for nic in cloud.world.store.list(type=f"{NETWORK}/networkInterfaces"):
            await cloud.delete(nic.id)
        await cloud.settled()
        lb, machines = await _example(cloud, group)
        await cloud.kill("host/h01")
        for nic in cloud.world.store.list(type=f"{NETWORK}/networkInterfaces"):
            body = {"location": "local", "properties": cloud.show(nic.id)["properties"]}
            for item in body["properties"]["ipConfigurations"]:
                for name in ("loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"):
                    item["properties"].pop(name, None)
            await cloud.put(nic.id, body)
        going = await cloud.plane.pipeline.delete(cloud.owner, lb, VERSION)
        await cloud.ended(going.operation, 60)
        await cloud.revive("host/h01")
        await cloud.settled()
        assert await findings(cloud) == []

    play(story)


def _record(cloud: Cloud, id: ArmId) -> Record:
    found = cloud.world.store.get(id.key)
    assert found is not None
    return found
