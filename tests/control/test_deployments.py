"""Deployments that meet trouble: the cause stands in the error, what depends on it is not begun, everything else finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.control_plane import SYSTEM
from lazur.model.armid import ArmId
from lazur.providers.resources.deployments.shown import operations as shown_operations
from tests.api.world import deployment
from tests.cloud.cloud import VERSION, Cloud, new_world
from tests.cloud.test_life import nic_body, vm_body, vnet_body

NETWORK, COMPUTE = "Microsoft.Network", "Microsoft.Compute"
WORDS = "qemu-system-x86_64: cannot set up guest memory 'ram': Cannot allocate memory"


def resource(type: str, name: str, body: dict[str, Any], *needs: str) -> dict[str, Any]:
    return {"type": type, "apiVersion": VERSION, "name": name, **body, "dependsOn": list(needs)}


def address(name: str, *needs: str) -> dict[str, Any]:
    return resource(f"{NETWORK}/publicIPAddresses", name, {"location": "local", "properties": {}}, *needs)


def machine(group: ArmId, name: str, **extra: Any) -> list[dict[str, Any]]:
    """A machine and its interface."""
    vnet = group.resource(f"{NETWORK}/virtualNetworks", "vnet")
    nic = group.resource(f"{NETWORK}/networkInterfaces", f"{name}-nic")
    return [
        resource(f"{NETWORK}/networkInterfaces", f"{name}-nic", nic_body(vnet), str(vnet)),
        resource(f"{COMPUTE}/virtualMachines", name, vm_body(nic, **extra), str(nic)),
    ]


def machines(group: ArmId, *names: str, **extra: Any) -> list[dict[str, Any]]:
    """A network with machines in it."""
    network = resource(f"{NETWORK}/virtualNetworks", "vnet", vnet_body())
    return [network, *(r for name in names for r in machine(group, name, **extra))]


def in_a_cloud(story: Callable[[Cloud, ArmId], Awaitable[None]]) -> None:
    """Tell `story` in a cloud with a group."""
    world = new_world()

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world).start()
        await story(cloud, await cloud.with_group())
        await cloud.stop()

    run_virtual(main, world.clock())


async def deploy(cloud: Cloud, group: ArmId, resources: Any, **template: Any) -> LazurError | None:
    """Deploy and wait; the error it ends with."""
    try:
        await cloud.put(group.resource("Microsoft.Resources/deployments", "d"), deployment(resources, **template))
    except LazurError as error:
        return error
    return None


def state(cloud: Cloud, id: ArmId) -> str:
    found = cloud.world.store.get(id.key)
    return found.state if found else "absent"


def operations(cloud: Cloud, group: ArmId) -> dict[str, Any]:
    """Name of each resource begun -> its operation's properties."""
    found = cloud.world.store.get(group.resource("Microsoft.Resources/deployments", "d").key)
    assert found is not None
    rows = [o["properties"] for o in shown_operations(found)]
    return {o["targetResource"]["resourceName"]: o for o in rows if "targetResource" in o}


def test_a_machine_that_cannot_start() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for host in cloud.world.hosts.values():
            host.room.fail_start["vm1"] = WORDS
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        after = [address("after", str(vm)), address("much-later", str(group.resource(f"{NETWORK}/publicIPAddresses", "after")))]
        error = await deploy(cloud, group, [*machines(group, "vm1", "vm2"), address("aside"), *after])
        assert error is not None and error.code == "DeploymentFailed"
        (cause,) = error.details
        assert cause.code == "MachineStartFailed" and WORDS in cause.message
        assert {i.type: i.info for i in cause.info}["QemuLog"] == {"text": WORDS}
        assert state(cloud, vm) == "Failed"
        for type, name in ((f"{COMPUTE}/virtualMachines", "vm2"), (f"{NETWORK}/publicIPAddresses", "aside")):
            assert state(cloud, group.resource(type, name)) == "Succeeded"
        for name in ("after", "much-later"):
            assert state(cloud, group.resource(f"{NETWORK}/publicIPAddresses", name)) == "absent"
        seen = operations(cloud, group)
        assert "after" not in seen and seen["vm1"]["statusMessage"]["error"]["code"] == "MachineStartFailed"
        assert seen["vm2"]["provisioningState"] == "Succeeded"
        shown = cloud.show(group.resource("Microsoft.Resources/deployments", "d"))["properties"]
        assert shown["provisioningState"] == "Failed" and shown["error"]["details"][0]["code"] == "MachineStartFailed"

    in_a_cloud(story)


def test_the_same_template_again_makes_good_only_what_failed() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for host in cloud.world.hosts.values():
            host.room.fail_start["vm1"] = WORDS
        template = machines(group, "vm1", "vm2")
        assert await deploy(cloud, group, template) is not None
        kept = {r.key: r.generation for r in cloud.world.store.list(prefix=group.key + "/")}
        starts = sum(h.room.starts.get(u, 0) for h in cloud.world.hosts.values() for u in h.room.machines)
        for host in cloud.world.hosts.values():
            host.room.fail_start.clear()
        assert await deploy(cloud, group, template) is None
        changed = {r.id.name for r in cloud.world.store.list(prefix=group.key + "/") if r.generation != kept[r.key]}
        assert changed == {"d", "vm1"}
        assert sum(sum(h.room.starts.values()) for h in cloud.world.hosts.values()) == starts + 1
        assert len(cloud.world.made) == 2
        assert not cloud.audit()

    in_a_cloud(story)


def test_all_causes_are_named() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        absent = {"subnet": {"id": str(group.resource(f"{NETWORK}/virtualNetworks", "absent").child("subnets", "x"))}}
        wrong = [
            resource(f"{NETWORK}/networkInterfaces", "lost", {
                "location": "local", "properties": {"ipConfigurations": [{"name": "c", "properties": absent}]}}),
            resource(f"{COMPUTE}/disks", "shapeless", {"location": "local", "properties": {"creationData": {}}}),
            resource(f"{NETWORK}/publicIPAddresses", "far", {"location": "mars", "properties": {}}),
        ]  # fmt: skip
        error = await deploy(cloud, group, [*wrong, address("good")])
        assert error is not None
        assert {d.code for d in error.details} == {
            "InvalidResourceReference", "MissingRequiredParameter", "LocationNotAvailableForResourceType",
        }  # fmt: skip
        assert all(d.target for d in error.details)
        assert state(cloud, group.resource(f"{NETWORK}/publicIPAddresses", "good")) == "Succeeded"
        for name in ("lost", "shapeless", "far"):
            assert operations(cloud, group)[name]["provisioningState"] == "Failed"

    in_a_cloud(story)


def test_no_room_says_what_would_fit() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        large = {"hardwareProfile": {"vmSize": "Standard_D8s_v3"}}
        error = await deploy(cloud, group, machines(group, "vm1", **large))
        assert error is not None
        (cause,) = error.details
        assert cause.code == "AllocationFailed" and "smallest change that would fit" in cause.message
        assert cause.target == str(group.resource(f"{COMPUTE}/virtualMachines", "vm1"))
        (own,) = cause.details
        assert {d.target for d in own.details} == {"h01", "h02"} and all("memory" in d.message for d in own.details)

    in_a_cloud(story)


def test_an_output_that_cannot_be_known() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        outputs = {"x": {"type": "string", "value": "[reference('ip').noSuchThing]"}}
        error = await deploy(cloud, group, [address("ip")], outputs=outputs)
        assert error is not None and error.details
        assert state(cloud, group.resource(f"{NETWORK}/publicIPAddresses", "ip")) == "Succeeded"

    in_a_cloud(story)


def test_a_right_that_was_taken_away_meanwhile() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for host in cloud.world.hosts.values():
            host.room.boot_seconds = 30.0
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        running = asyncio.create_task(deploy(cloud, group, [*machines(group, "vm1"), address("after", str(vm))]))
        await cloud.clock.sleep(10.0)
        for assigned in cloud.world.store.list(type="microsoft.authorization/roleassignments"):
            await cloud.plane.pipeline.delete(SYSTEM, assigned.id, VERSION)
        error = await running
        assert error is not None
        assert [d.code for d in error.details] == ["AuthorizationFailed"]
        assert state(cloud, group.resource(f"{NETWORK}/publicIPAddresses", "after")) == "absent"

    in_a_cloud(story)


def test_what_is_deleted_meanwhile() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for host in cloud.world.hosts.values():
            host.room.boot_seconds = 60.0
        running = asyncio.create_task(deploy(cloud, group, machines(group, "vm1")))
        await cloud.clock.sleep(10.0)
        await cloud.delete(group.resource(f"{COMPUTE}/virtualMachines", "vm1"))
        error = await running
        assert error is not None and error.details[0].code == "ResourceNotFound"
        await cloud.delete(group)
        await cloud.settled()
        assert not cloud.leaked()

    in_a_cloud(story)


def test_what_still_goes_is_waited_for() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        assert await deploy(cloud, group, machines(group, "vm1")) is None
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        await cloud.plane.pipeline.delete(cloud.owner, vm, VERSION)
        assert state(cloud, vm) == "Deleting"
        assert await deploy(cloud, group, machines(group, "vm1")) is None
        assert state(cloud, vm) == "Succeeded"

    in_a_cloud(story)


def test_a_second_run_waits_for_the_first() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        running = asyncio.create_task(deploy(cloud, group, machines(group, "vm1")))
        await cloud.clock.sleep(1.0)
        second = await deploy(cloud, group, [address("other")])
        assert second is not None and (second.code, second.status) == ("DeploymentActive", 409)
        assert await running is None
        assert await deploy(cloud, group, [address("other")]) is None

    in_a_cloud(story)


def test_a_deployment_that_is_deleted_leaves_what_it_made() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        running = asyncio.create_task(deploy(cloud, group, machines(group, "vm1")))
        await cloud.clock.sleep(3.0)
        await cloud.delete(group.resource("Microsoft.Resources/deployments", "d"))
        await cloud.settled()
        running.cancel()
        assert state(cloud, group.resource(f"{NETWORK}/virtualNetworks", "vnet")) == "Succeeded"
        assert not cloud.audit()

    in_a_cloud(story)
