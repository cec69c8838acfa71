"""What is locked stays, whatever it was to go with."""

from __future__ import annotations

from typing import Any

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from tests.cloud.cloud import Cloud
from tests.cloud.test_life import COMPUTE, NETWORK, nic_body, vm_body, vnet_body

LOCKS = "Microsoft.Authorization/locks"


def test_what_is_locked_does_not_go_with_its_machine() -> None:
    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        vnet, vm = group.resource(f"{NETWORK}/virtualNetworks", "vnet"), group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        free, kept = (group.resource(f"{NETWORK}/networkInterfaces", name) for name in ("free", "kept"))
        await cloud.put(vnet, vnet_body())
        for nic in (free, kept):
            await cloud.put(nic, nic_body(vnet))
        body = vm_body(free, "Standard_B2s")
        cards = [{"id": str(nic), "properties": {"primary": nic is free, "deleteOption": "Delete"}} for nic in (free, kept)]
        body["properties"]["networkProfile"]["networkInterfaces"] = cards
        body["properties"]["storageProfile"]["osDisk"]["deleteOption"] = "Delete"
        await cloud.put(vm, body)
        disk = ArmId.parse(cloud.show(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"])
        for what, level in ((kept, "CanNotDelete"), (disk, "ReadOnly")):
            await cloud.put(what.resource(LOCKS, "keep"), {"properties": {"level": level}})
        await cloud.delete(vm)
        await cloud.settled()
        left: Any = {id.name: cloud.world.store.get(id.key) is not None for id in (free, kept, disk)}
        assert left == {"free": False, "kept": True, disk.name: True}
        await cloud.stop()

    run_virtual(main)
