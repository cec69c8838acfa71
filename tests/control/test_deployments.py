"""Deployments in the in-process cloud: order, failure with its causes, resuming, and doing nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.control_plane import Machine
from lazur.model.armid import ArmId
from lazur.model.documents import TERMINAL
from tests.cloud.cloud import STORAGE, Cloud, World, new_world
from tests.cloud.test_life import COMPUTE, NETWORK, nic_body, vm_body, vnet_body

DEPLOYMENTS = "Microsoft.Resources/deployments"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
WORDS = "qemu-system-x86_64: cannot set up guest memory: Cannot allocate memory"
DISK = {
    "location": "local",
    "sku": {"name": "Standard_LRS"},
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
}


def _resource(type: str, name: str, body: dict[str, Any], *after: str, **more: Any) -> dict[str, Any]:
    return {"type": type, "apiVersion": "2024-07-01", "name": name, "dependsOn": list(after), **body, **more}


def _template(*resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": list(resources), **more}


def _machine(group: ArmId, name: str, size: str = "Standard_B1ls") -> list[dict[str, Any]]:
    """A network, a card and a machine, each after the other."""
    vnet, nic = f"{NETWORK}/virtualNetworks", f"{NETWORK}/networkInterfaces"
    network, card = group.resource(vnet, f"{name}-net"), group.resource(nic, f"{name}-nic")
    return [
        _resource(f"{COMPUTE}/virtualMachines", name, vm_body(card, size), str(card)),
        _resource(nic, f"{name}-nic", nic_body(network), str(network)),
        _resource(vnet, f"{name}-net", vnet_body()),
    ]


async def _deploy(cloud: Cloud, template: dict[str, Any], name: str = "d", **parameters: Any) -> ArmId:
    id = cloud.group().resource(DEPLOYMENTS, name)
    given = {k: {"value": v} for k, v in parameters.items()}
    await cloud.put(id, {"properties": {"mode": "Incremental", "template": template, "parameters": given}})
    return id


def _play(story: Callable[[Cloud, ArmId], Awaitable[None]], world: World | None = None, **options: Any) -> None:
    world = world or new_world()

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world, **options).start()
        await story(cloud, await cloud.with_group())
        await cloud.stop()

    run_virtual(main, world.clock())


def _names(cloud: Cloud, type: str) -> list[str]:
    return [r.id.name for r in cloud.world.store.list(type=type)]


def test_a_machine_that_cannot_start_is_explained() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for host in cloud.world.hosts.values():
            host.room.fail_start["vm1"] = WORDS
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        template = _template(
            *_machine(group, "vm1"),
            _resource(f"{COMPUTE}/disks", "dependent", DISK, str(vm)),
            _resource(f"{COMPUTE}/disks", "second", DISK, str(group.resource(f"{COMPUTE}/disks", "dependent"))),
            _resource(f"{COMPUTE}/disks", "independent", DISK),
            outputs={"x": {"type": "string", "value": "[reference('independent').provisioningState]"}},
        )
        with pytest.raises(LazurError) as caught:
            await _deploy(cloud, template)
        error = caught.value
        assert error.code == "DeploymentFailed" and len(error.details) == 1
        cause = error.details[0]
        while cause.details:
            cause = cause.details[0]
        assert WORDS in cause.message
        assert {i.type: i.info for i in cause.info}["QemuLog"] == {"text": WORDS}
        assert "dependent" not in _names(cloud, f"{COMPUTE}/disks") and "second" not in _names(cloud, f"{COMPUTE}/disks")
        independent = cloud.show(group.resource(f"{COMPUTE}/disks", "independent"))
        assert independent["properties"]["provisioningState"] == "Succeeded"
        id = group.resource(DEPLOYMENTS, "d")
        shown = cloud.show(id)["properties"]
        assert shown["provisioningState"] == "Failed" and shown["error"]["code"] == "DeploymentFailed"
        record = cloud.world.store.get(id.key)
        assert record is not None
        states = {o["properties"]["targetResource"]["resourceName"]: o["properties"] for o in record.status["operations"]}
        assert states["vm1"]["provisioningState"] == "Failed" and WORDS in str(states["vm1"]["statusMessage"])
        assert states["independent"]["provisioningState"] == "Succeeded" and "dependent" not in states

        for host in cloud.world.hosts.values():
            host.room.fail_start.clear()
        await _deploy(cloud, template)
        assert cloud.show(id)["properties"]["provisioningState"] == "Succeeded", "mended, the same template goes through"
        assert {"dependent", "second"} <= set(_names(cloud, f"{COMPUTE}/disks"))

    _play(story)


def test_conditions_copies_nested_templates_and_outputs() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        disks = f"{COMPUTE}/disks"
        inner = _template(
            _resource(disks, "inner", DISK),
            outputs={"size": {"type": "int", "value": "[reference('inner').diskSizeGB]"}},
        )
        nested = {"mode": "Incremental", "template": inner, "expressionEvaluationOptions": {"scope": "inner"}}
        copies = _resource(disks, "[format('copy{0}', copyIndex(1))]", DISK, copy={"name": "all", "count": "[parameters('n')]"})
        template = _template(
            _resource(disks, "yes", DISK, condition="[parameters('wanted')]"),
            _resource(disks, "no", DISK, condition="[not(parameters('wanted'))]"),
            copies,
            _resource(disks, "last", DISK, "all", "nested"),
            _resource(DEPLOYMENTS, "nested", {"properties": nested}),
            parameters={"n": {"type": "int"}, "wanted": {"type": "bool", "defaultValue": True}},
            outputs={
                "state": {"type": "string", "value": "[reference('copy2').provisioningState]"},
                "inner": {"type": "int", "value": "[reference('nested').outputs.size.value]"},
                "id": {"type": "string", "value": "[resourceId('Microsoft.Compute/disks', 'last')]"},
            },
        )
        shown = cloud.show(await _deploy(cloud, template, n=3))["properties"]
        assert _names(cloud, disks) == ["copy1", "copy2", "copy3", "inner", "last", "yes"]
        values = {k: v["value"] for k, v in shown["outputs"].items()}
        assert values == {"state": "Succeeded", "inner": 1, "id": str(group.resource(disks, "last"))}
        written = [e.key.rpartition("/")[2] for e in cloud.world.store.feed(0) if e.what == "resource" and "/disks/" in e.key]
        until_last = written[: written.index("last")]
        assert all(until_last.count(n) >= 2 for n in ("copy1", "copy2", "copy3", "inner")), "dependents come when it is ready"
        assert cloud.show(group.resource(DEPLOYMENTS, "nested"))["properties"]["provisioningState"] == "Succeeded"

    _play(story)


def test_the_same_deployment_again_changes_nothing() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        template = _template(*_machine(group, "vm1"), _resource(f"{COMPUTE}/disks", "data", DISK))
        await _deploy(cloud, template)
        await cloud.settled()

        def resources() -> Any:
            found = [r for r in cloud.world.store.list(prefix=f"{group.key}/") if r.type != DEPLOYMENTS.lower()]
            return {r.key: (r.uid, r.generation, r.etag, r.body, r.allocated, r.status) for r in found}

        def starts() -> list[dict[str, int]]:
            return [dict(h.room.starts) for h in cloud.world.hosts.values()]

        before, ran, made = resources(), starts(), list(cloud.world.made)
        await _deploy(cloud, template)
        await _deploy(cloud, template, "other")
        await cloud.settled()
        assert resources() == before and starts() == ran and cloud.world.made == made

    _play(story)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5, 3.0])
def test_a_deployment_goes_on_after_everything_stopped(seconds: float) -> None:
    world = new_world()

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world).start()
        group = await cloud.with_group()
        template = _template(*_machine(group, "vm1"), _resource(f"{COMPUTE}/disks", "data", DISK))
        id = group.resource(DEPLOYMENTS, "d")
        body = {"properties": {"mode": "Incremental", "template": template}}
        accepted = await cloud.plane.pipeline.put(cloud.owner, id, body, "2024-11-01")
        await clock.sleep(seconds)
        await cloud.stop()
        found = world.store.get(id.key)
        assert found is not None and found.state not in TERMINAL, "it was stopped in the middle"
        cloud = await Cloud(clock, world=world).start()
        await cloud.ended(accepted.operation)
        await cloud.settled()
        assert cloud.show(id)["properties"]["provisioningState"] == "Succeeded"
        assert cloud.audit() == []
        assert [len(h.room.machines) for h in world.hosts.values()] in ([1, 0], [0, 1])
        await cloud.stop()

    run_virtual(main, world.clock())


def test_of_two_machines_racing_for_the_last_place_one_fails() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        template = _template(*_machine(group, "vm1", "Standard_B1s"), *_machine(group, "vm2", "Standard_B1s"))
        with pytest.raises(LazurError) as caught:
            await _deploy(cloud, template)
        (cause,) = caught.value.details
        assert cause.code == "AllocationFailed" and cause.details[0].target == "h01"
        assert "memory: 1024 MiB needed, 512 of 1536 MiB free" in cause.details[0].message
        machines = {r.id.name: r for r in cloud.world.store.list(type=f"{COMPUTE}/virtualMachines")}
        assert sorted(r.state for r in machines.values()) == ["Failed", "Succeeded"]
        winner = next(n for n, r in machines.items() if r.state == "Succeeded")
        loser = next(n for n, r in machines.items() if r.state == "Failed")
        assert not machines[loser].allocated.get("host") and len(cloud.world.hosts["h01"].room.machines) == 1

        await cloud.delete(machines[winner].id)
        await _deploy(cloud, _template(*_machine(group, loser, "Standard_B1s")), "again")
        assert cloud.show(machines[loser].id)["properties"]["provisioningState"] == "Succeeded"

    _play(story, World(), machines=(Machine("h01", 4, 1536, 0, driver="simulated"),))


def test_what_is_held_up_holds_up_only_its_dependents() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        disks, vnets = f"{COMPUTE}/disks", f"{NETWORK}/virtualNetworks"
        busy = group.resource(disks, "busy")
        await cloud.put(busy, DISK)
        await cloud.kill(STORAGE)
        await cloud.plane.pipeline.delete(cloud.owner, busy, "2024-07-01")
        await cloud.clock.sleep(1)
        template = _template(
            _resource(disks, "busy", DISK),
            _resource(vnets, "after", vnet_body(), str(busy)),
            _resource(vnets, "free", vnet_body()),
            _resource(vnets, "second", vnet_body(), str(group.resource(vnets, "free"))),
        )
        going = asyncio.ensure_future(_deploy(cloud, template))
        await cloud.clock.sleep(60)
        assert _names(cloud, vnets) == ["free", "second"] and not going.done()
        await cloud.revive(STORAGE)
        shown = cloud.show(await going)["properties"]
        assert shown["provisioningState"] == "Succeeded" and _names(cloud, vnets) == ["after", "free", "second"]

    _play(story)
