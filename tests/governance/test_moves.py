"""Moves between groups: ids change, machines run on, nothing is torn, and what cannot go says why, all at once."""

from __future__ import annotations

from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door
from tests.api.world import COMPUTE, NETWORK, comp, net, public_body, small_cloud
from tests.cloud.cloud import VERSION


def _ends(door: Door) -> tuple[ArmId, ArmId]:
    return ArmId(door.plane.stamp.subscription, "rg"), ArmId(door.plane.stamp.subscription, "other")


def _everything(door: Door, group: ArmId) -> list[str]:
    kinds = (f"{COMPUTE}/", f"{NETWORK}/")
    records = door.store.list(prefix=f"{group.key}/")
    return [str(r.id) for r in records if r.id.type.startswith(kinds) and len(r.id.names) == 1 and r.id.base is None]


def test_a_whole_service_moves_while_it_runs() -> None:
    async def story(door: Door) -> None:
        source, target = _ends(door)
        await door.cloud.put(target, {"location": "local"})
        await door.put(comp(source, "virtualMachines", "vm").resource("Microsoft.Authorization/locks", "l"),
                       {"properties": {"level": "CanNotDelete"}})  # fmt: skip
        body = {"resources": _everything(door, source), "targetResourceGroup": str(target)}
        answer = await door.ask("POST", f"{source}/validateMoveResources", body)
        assert answer.status == 409 and "ScopeLocked" in {c for c, _ in answer.faults()}
        lock = comp(source, "virtualMachines", "vm").resource("Microsoft.Authorization/locks", "l")
        assert (await door.ask("DELETE", str(lock))).status == 200
        before = door.cloud.outside()
        uids = {r.id.name: r.uid for r in door.store.list(prefix=f"{source.key}/")}
        assert (await door.ask("POST", f"{source}/validateMoveResources", body)).status == 204
        assert door.store.get(comp(source, "virtualMachines", "vm").key) is not None
        assert (await door.ask("POST", f"{source}/moveResources", body)).status == 204
        await door.is_idle()
        assert door.store.list(prefix=f"{source.key}/providers/microsoft.compute") == []
        assert {r.id.name: r.uid for r in door.store.list(prefix=f"{target.key}/")} == uids
        machine = await door.get(comp(target, "virtualMachines", "vm"))
        cards = machine["properties"]["networkProfile"]["networkInterfaces"]
        assert [c["id"] for c in cards] == [str(net(target, "networkInterfaces", "nic"))]
        assert source.key not in str(machine).lower()
        # The same machines, ports, discs and addresses as before: nothing outside noticed.
        assert door.cloud.outside() == before and not door.cloud.audit()
        assert (await door.ask("DELETE", str(net(target, "virtualNetworks", "vnet")))).status == 400
        # It goes on living in its new place, to its end.
        assert (await door.put(comp(target, "virtualMachines", "vm"), {**_writable(machine), "tags": {"a": "b"}})).status == 200
        await door.is_idle()
        for group in (source, target):
            assert (await door.ask("DELETE", str(group))).status == 202
            await door.is_idle()
        assert not door.cloud.leaked()

    at_the_door(small_cloud(), story)


def _writable(shown: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in shown.items() if k in ("location", "properties")}


def test_what_stands_against_a_move_is_said_all_at_once() -> None:
    async def story(door: Door) -> None:
        source, target = _ends(door)
        await door.cloud.put(target, {"location": "local"})
        await door.cloud.put(net(target, "publicIPAddresses", "free"), public_body())
        body = {
            "resources": [
                str(net(source, "networkInterfaces", "nic")), str(net(source, "publicIPAddresses", "free")),
                str(comp(source, "disks", "none")), str(net(target, "publicIPAddresses", "free")),
            ],
            "targetResourceGroup": str(target),
        }  # fmt: skip
        answer = await door.ask("POST", f"{source}/moveResources", body)
        told = answer.faults()
        assert {("ResourceNotFound", "resources[2]"), ("ResourceNotFound", "resources[3]")} <= told
        assert ("ResourceMoveTargetExists", str(net(source, "publicIPAddresses", "free"))) in told
        missing = {t for c, t in told if c == "MissingMoveDependentResources"}
        assert str(net(source, "virtualNetworks", "vnet")) in missing and str(comp(source, "virtualMachines", "vm")) in missing
        alone = {"resources": [str(net(source, "publicIPAddresses", "free"))], "targetResourceGroup": str(source)}
        assert (await door.ask("POST", f"{source}/moveResources", alone, version=VERSION)).status == 400

    at_the_door(small_cloud(), story)
