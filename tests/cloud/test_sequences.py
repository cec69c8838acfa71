"""Sequences that once ended badly: moves between hosts, concurrent changes, redeployments, what running machines keep."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.control_plane import Machine
from lazur.model.armid import ArmId
from tests.cloud.cloud import VERSION, Cloud
from tests.cloud.test_life import COMPUTE, NETWORK, nic_body, vm_body, vnet_body

Story = Callable[[Cloud, ArmId], Awaitable[None]]


def play(story: Story, machines: tuple[Machine, ...] | None = None) -> None:
    """Run `story` in a cloud with a resource group."""

    async def main(clock: VirtualClock) -> None:
        cloud = await (Cloud(clock, machines=machines) if machines else Cloud(clock)).start()
        await story(cloud, await cloud.with_group())
        await cloud.stop()

    run_virtual(main)


async def machine(cloud: Cloud, group: ArmId, name: str, size: str = "Standard_B1ls") -> ArmId:
    """A running machine with a card of its own."""
    vnet, nic = (
        group.resource(f"{NETWORK}/virtualNetworks", "vnet"),
        group.resource(f"{NETWORK}/networkInterfaces", f"{name}-nic"),
    )
    if cloud.world.store.get(vnet.key) is None:
        await cloud.put(vnet, vnet_body())
    await cloud.put(nic, nic_body(vnet))
    vm = group.resource(f"{COMPUTE}/virtualMachines", name)
    await cloud.put(vm, vm_body(nic, size))
    return vm


def body_of(cloud: Cloud, id: ArmId) -> dict[str, Any]:
    found = cloud.show(id)
    return copy.deepcopy({"location": "local", "properties": found["properties"]})


def test_a_resize_that_moves_a_machine_never_runs_it_twice() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        body = body_of(cloud, vm)
        body["properties"]["hardwareProfile"]["vmSize"] = "Standard_B2s"
        accepted = await cloud.plane.pipeline.put(cloud.owner, vm, body, VERSION)
        most = 0
        for _ in range(400):
            most = max(most, sum(len(h.room.machines) for h in cloud.world.hosts.values()))
            await cloud.clock.sleep(0.1)
        await cloud.ended(accepted.operation)
        record = cloud.world.store.get(vm.key)
        assert record is not None and record.allocated["host"] == "h02" and most == 1

    play(story, (Machine("h01", 4, 1024, driver="simulated"), Machine("h02", 4, 8192, 1, driver="simulated")))


def test_a_machine_without_room_for_its_new_size_can_be_stopped() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        body = body_of(cloud, vm)
        body["properties"]["hardwareProfile"]["vmSize"] = "Standard_D16s_v5"
        with pytest.raises(LazurError, match="AllocationFailed"):
            await cloud.put(vm, body)
        await cloud.act(vm, "powerOff")
        assert cloud.show(vm, "instanceView")["properties"]["instanceView"]["statuses"][1]["code"] == "PowerState/stopped"

    play(story)


def test_concurrent_patches_all_count() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        nsg = group.resource(f"{NETWORK}/networkSecurityGroups", "nsg")
        await cloud.put(nsg, {"location": "local", "properties": {}})
        rule = {"protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
                "destinationPortRange": "80", "access": "Allow", "direction": "Inbound"}  # fmt: skip
        pipeline = cloud.plane.pipeline
        adds = [
            pipeline.put(
                cloud.owner, nsg.child("securityRules", f"r{n}"), {"properties": {**rule, "priority": 100 + n}}, VERSION
            )
            for n in range(20)
        ]
        await asyncio.gather(*adds, pipeline.patch(cloud.owner, nsg, {"tags": {"a": "b"}}, VERSION))
        shown = cloud.show(nsg)
        assert len(shown["properties"]["securityRules"]) == 20 and shown["tags"] == {"a": "b"}

    play(story)


def test_many_cards_at_once_all_get_addresses() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vnet = group.resource(f"{NETWORK}/virtualNetworks", "vnet")
        await cloud.put(vnet, vnet_body())
        cards = [group.resource(f"{NETWORK}/networkInterfaces", f"n{n}") for n in range(60)]
        await asyncio.gather(*(cloud.plane.pipeline.put(cloud.owner, c, nic_body(vnet), VERSION) for c in cards))
        held = [r.allocated["addresses"]["ipconfig1"] for r in cloud.world.store.list(type=f"{NETWORK}/networkInterfaces")]
        assert len(held) == len(set(held)) == 60

    play(story)


def test_a_running_machine_keeps_its_cards_and_its_way_in() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        await machine(cloud, group, "other")
        spare = group.resource(f"{NETWORK}/networkInterfaces", "spare")
        await cloud.put(spare, nic_body(group.resource(f"{NETWORK}/virtualNetworks", "vnet")))
        body = body_of(cloud, vm)
        body["properties"].pop("osProfile")
        await cloud.put(vm, body)
        assert cloud.show(vm)["properties"]["osProfile"]["adminUsername"] == "azureuser"
        body["properties"]["networkProfile"]["networkInterfaces"].append({"id": str(spare)})
        with pytest.raises(LazurError, match="deallocated"):
            await cloud.put(vm, body)
        await cloud.act(vm, "deallocate")
        await cloud.put(vm, body)

    play(story)


def test_a_machine_is_not_made_over_a_disk_that_is_there() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        disk = group.resource(f"{COMPUTE}/disks", "mine")
        await cloud.put(disk, {"location": "local", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}})
        nic = group.resource(f"{NETWORK}/networkInterfaces", "nic")
        vnet = group.resource(f"{NETWORK}/virtualNetworks", "vnet")
        await cloud.put(vnet, vnet_body())
        await cloud.put(nic, nic_body(vnet))
        body = vm_body(nic)
        body["properties"]["storageProfile"]["osDisk"]["name"] = "mine"
        with pytest.raises(LazurError) as caught:
            await cloud.put(group.resource(f"{COMPUTE}/virtualMachines", "vm1"), body)
        assert caught.value.code == "ConflictingUserInput" and "mine" in caught.value.message

    play(story)


def test_a_refused_password_is_shown_nowhere() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        body = vm_body(group.resource(f"{NETWORK}/networkInterfaces", "nic"))
        body["properties"]["osProfile"]["adminPassword"] = "s3cr"
        with pytest.raises(LazurError) as caught:
            await cloud.put(group.resource(f"{COMPUTE}/virtualMachines", "vm1"), body)
        assert "s3cr" not in str(caught.value.body()) and "adminPassword" in str(caught.value.body())

    play(story)


def test_a_run_without_parameters_does_not_take_those_of_the_run_before() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "parameters": {"x": {"type": "string", "defaultValue": "default"}},
            "resources": [],
            "outputs": {"x": {"type": "string", "value": "[parameters('x')]"}},
        }
        deployment = group.resource("Microsoft.Resources/deployments", "d")
        first = {"mode": "Incremental", "template": template, "parameters": {"x": {"value": "first"}}}
        await cloud.put(deployment, {"properties": first})
        assert cloud.show(deployment)["properties"]["outputs"]["x"]["value"] == "first"
        await cloud.put(deployment, {"properties": {"mode": "Incremental", "template": template}})
        assert cloud.show(deployment)["properties"]["outputs"]["x"]["value"] == "default"

    play(story)


def test_a_machine_that_goes_takes_no_more_wishes() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        restart = await cloud.plane.pipeline.act(cloud.owner, vm, "restart", {})
        gone = await cloud.plane.pipeline.delete(cloud.owner, vm, VERSION)
        with pytest.raises(LazurError, match="being deleted"):
            await cloud.plane.pipeline.act(cloud.owner, vm, "start", {})
        await cloud.ended(gone.operation)
        assert restart.operation is not None
        ended = cloud.world.store.operation(restart.operation.id)
        assert ended is not None and ended.status in ("Canceled", "Succeeded")

    play(story)


def test_a_disk_shown_and_sent_back_does_not_grow() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = await machine(cloud, group, "vm1")
        disk = ArmId.parse(cloud.show(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"])
        before = cloud.show(disk)["properties"]["diskSizeBytes"]
        await cloud.put(disk, {**body_of(cloud, disk), "tags": {"a": "b"}})
        assert cloud.show(disk)["properties"]["diskSizeBytes"] == before

    play(story)
