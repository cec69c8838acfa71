"""A machine's whole life in the in-process cloud: network, disks, power, deletion; nothing is left."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from tests.cloud.cloud import Cloud

NETWORK, COMPUTE = "Microsoft.Network", "Microsoft.Compute"


def vnet_body(prefix: str = "10.0.0.0/16", subnet: str = "10.0.0.0/24") -> dict[str, Any]:
    subnets = [{"name": "default", "properties": {"addressPrefix": subnet}}]
    return {"location": "local", "properties": {"addressSpace": {"addressPrefixes": [prefix]}, "subnets": subnets}}


def nic_body(vnet: ArmId, **extra: Any) -> dict[str, Any]:
    inner = {"subnet": {"id": str(vnet.child("subnets", "default"))}, **extra}
    return {"location": "local", "properties": {"ipConfigurations": [{"name": "ipconfig1", "properties": inner}]}}


def vm_body(nic: ArmId, size: str = "Standard_B1ls", **extra: Any) -> dict[str, Any]:
    return {
        "location": "local",
        "properties": {
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {
                "imageReference": {"publisher": "Lazur", "offer": "TinyLinux", "sku": "1", "version": "latest"},
                "osDisk": {"createOption": "FromImage"},
            },
            "osProfile": {"computerName": "vm1", "adminUsername": "azureuser", "adminPassword": "Lazur-12345"},
            "networkProfile": {"networkInterfaces": [{"id": str(nic)}]},
            **extra,
        },
    }


def test_a_machine_lives_and_leaves_nothing() -> None:
    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        vnet = group.resource(f"{NETWORK}/virtualNetworks", "vnet")
        nic = group.resource(f"{NETWORK}/networkInterfaces", "nic")
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        await cloud.put(vnet, vnet_body())
        await cloud.put(nic, nic_body(vnet))
        assert cloud.show(nic)["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.0.4"
        await cloud.put(vm, vm_body(nic))
        shown = cloud.show(vm, "instanceView")["properties"]
        assert shown["provisioningState"] == "Succeeded"
        assert shown["instanceView"]["statuses"][1]["code"] == "PowerState/running"
        assert "adminPassword" not in str(shown)
        assert cloud.show(nic)["properties"]["virtualMachine"]["id"].lower() == vm.key
        disk = ArmId.parse(shown["storageProfile"]["osDisk"]["managedDisk"]["id"])
        assert cloud.show(disk)["properties"]["diskState"] == "Attached"
        await cloud.act(vm, "deallocate")
        assert cloud.show(vm, "instanceView")["properties"]["instanceView"]["statuses"][1]["code"] == "PowerState/deallocated"
        assert not any(h["machines"] for h in cloud.outside()["hosts"].values())
        await cloud.act(vm, "start")
        assert sum(len(h["machines"]) for h in cloud.outside()["hosts"].values()) == 1
        with pytest.raises(LazurError, match="in use"):
            await cloud.plane.pipeline.delete(cloud.owner, nic, "2024-11-01")
        await cloud.delete(vm)
        assert cloud.show(disk)["properties"]["diskState"] == "Unattached"
        await cloud.delete(group)
        assert not [r for r in cloud.world.store.list() if r.key.startswith(group.key)]
        outside = cloud.outside()
        assert outside["disks"] == [] and not any(h["machines"] or h["taps"] for h in outside["hosts"].values())
        await cloud.stop()

    run_virtual(main)
