"""`identity` of virtual machines: who they are in the directory, whom else they may be, and what that takes."""

from __future__ import annotations

from typing import Any

from lazur.model.armid import ArmId
from tests.api.front import Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, World
from tests.cloud.test_sequences import machine
from tests.governance.test_managed_identities import GUID, READER, assign, identity_id, made, principal

SYSTEM, USER, BOTH = "SystemAssigned", "UserAssigned", "SystemAssigned, UserAssigned"
VMS = "Microsoft.Compute/virtualMachines"


async def _machine(cloud: Cloud) -> None:
    await machine(cloud, await cloud.with_group("rg"), "vm1")


def with_machine() -> World:
    return world_of("a machine", _machine)


def vm(door: Door) -> ArmId:
    return ArmId(door.plane.stamp.subscription, "rg").resource(VMS, "vm1")


async def patch(door: Door, identity: Any, token: str = "") -> Answer:
    """PATCH of the machine's identity, to its end."""
    answer = await door.ask("PATCH", str(vm(door)), {"identity": identity}, token=token)
    await door.is_idle()
    return answer


async def shown(door: Door) -> Any:
    return (await door.get(vm(door))).get("identity")


def told(door: Door) -> Any:
    """What the machine's host knows of its identities."""
    (wanted,) = (d.wanted for d in door.store.desires(vm(door).key) if d.wanted.kind == "vm")
    return wanted.payload.get("identity")


def test_a_machines_own_identity_comes_and_goes() -> None:
    async def story(door: Door) -> None:
        assert await shown(door) is None and told(door) is None
        assert (await patch(door, {"type": "systemassigned"})).status == 200
        own = await shown(door)
        assert own.keys() == {"type", "principalId", "tenantId"} and own["type"] == SYSTEM
        found = principal(door, own["principalId"])
        assert found is not None and (found.type, found.display_name) == ("ManagedIdentity", "vm1")
        assert found.properties["alternativeNames"] == ["isExplicit=False", str(vm(door))]
        assert told(door) == {"tenantId": own["tenantId"], "clientIds": [found.app_id]}
        # A place that is given up and a body that says nothing of it take nothing away.
        for action in ("deallocate", "start"):
            assert (await door.ask("POST", f"{vm(door)}/{action}")).status == 202
            await door.is_idle()
            assert await shown(door) == own and principal(door, own["principalId"]) == found
        body = {k: v for k, v in (await door.get(vm(door))).items() if k in ("location", "properties")}
        assert (await door.put(vm(door), {**body, "tags": {"a": "b"}})).status == 200
        await door.is_idle()
        assert await shown(door) == own
        assert (await patch(door, {"type": "None"})).status == 200
        assert await shown(door) is None and told(door) is None and principal(door, own["principalId"]) is None
        # Who comes after is somebody else.
        await patch(door, {"type": SYSTEM})
        assert (await shown(door))["principalId"] != own["principalId"]

    at_the_door(with_machine(), story)


def test_it_goes_with_the_machine() -> None:
    async def story(door: Door) -> None:
        await patch(door, {"type": SYSTEM})
        own = (await shown(door))["principalId"]
        assert (await assign(door, own, READER, vm(door).scope)).status == 201
        token = door.token(own)
        assert (await door.ask("GET", str(vm(door)), token=token)).status == 200
        assert (await door.ask("DELETE", str(vm(door)))).status == 202
        await door.is_idle()
        assert principal(door, own) is None
        assert (await door.ask("GET", str(vm(door)), token=token)).status == 401

    at_the_door(with_machine(), story)


def test_user_assigned_identities_come_and_go_one_by_one() -> None:
    async def story(door: Door) -> None:
        one, other = await made(door, "id1"), await made(door, "id2")
        first, second = str(identity_id(door, "id1")), str(identity_id(door, "id2"))
        assert (await patch(door, {"type": USER, "userAssignedIdentities": {first: {}}})).status == 200
        ids = {k: one[k] for k in ("principalId", "clientId")}
        assert await shown(door) == {"type": USER, "userAssignedIdentities": {first: ids}}
        more = {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {second: {}}}
        assert (await patch(door, more)).status == 200
        now = await shown(door)
        assert now["type"] == BOTH and now["userAssignedIdentities"].keys() == {first, second}
        own = principal(door, now["principalId"])
        assert own is not None
        assert told(door)["clientIds"] == sorted([one["clientId"], other["clientId"], own.app_id])
        # In use they stay, each said by name, until nobody has them.
        held = await door.ask("DELETE", first)
        assert held.status == 400 and "vm1" in held.error["message"]
        assert held.error["code"] == "InUseUserAssignedIdentityCannotBeDeleted"
        assert (await patch(door, {"type": BOTH, "userAssignedIdentities": {first.upper(): None}})).status == 200
        assert (await shown(door))["userAssignedIdentities"].keys() == {second}
        assert (await door.ask("DELETE", first)).status == 200
        assert (await patch(door, {"type": SYSTEM})).status == 200
        assert await shown(door) == {k: now[k] for k in ("principalId", "tenantId")} | {"type": SYSTEM}
        assert (await door.ask("DELETE", second)).status == 200

    at_the_door(with_machine(), story)


def test_what_contradicts_itself_or_leads_nowhere_is_refused() -> None:
    async def story(door: Door) -> None:
        await made(door)
        before, known, absent = await door.get(vm(door)), str(identity_id(door)), str(identity_id(door, "absent"))
        spot = "identity.userAssignedIdentities"
        for said, target in (
            ({"type": "Everybody"}, "identity.type"),
            ({"userAssignedIdentities": {known: {}}}, "identity.type"),
            ({"type": USER}, spot),
            ({"type": SYSTEM, "userAssignedIdentities": {known: {}}}, spot),
            ({"type": USER, "userAssignedIdentities": {"x": {}}}, f"{spot}.x.[key]"),
            ({"type": USER, "userAssignedIdentities": [known]}, spot),
            ({"type": USER, "userAssignedIdentities": {absent: {}}}, f"{spot}[{absent}]"),
            ({"type": USER, "userAssignedIdentities": {str(vm(door)): {}}}, f"{spot}[{vm(door)}]"),
        ):
            answer = await patch(door, said)
            assert answer.status == 400 and {t for _, t in answer.faults()} == {target}, (said, answer.raw)
        assert await door.get(vm(door)) == before

    at_the_door(with_machine(), story)


def test_it_takes_the_right_to_assign_an_identity() -> None:
    async def story(door: Door) -> None:
        await made(door)
        known, token = str(identity_id(door)), door.token(f"{GUID}7")
        there = {"type": USER, "userAssignedIdentities": {known: {}}}
        absent = {"type": USER, "userAssignedIdentities": {f"{known}x": {}}}
        machines = ["Microsoft.Compute/*", "Microsoft.Network/*"]
        scope = str(vm(door).scope).lower()
        door.grant(f"{GUID}7", [*machines, "Microsoft.ManagedIdentity/*/read"], scope)
        refused = [await patch(door, said, token) for said in (there, absent)]
        assert [a.error["code"] for a in refused] == ["LinkedAuthorizationFailed"] * 2
        door.grant(f"{GUID}7", [*machines, "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"], scope)
        assert (await patch(door, there, token)).status == 200
        # What is attached already needs no right to stay.
        door.grant(f"{GUID}7", machines, scope)
        assert (await patch(door, {**there, "type": BOTH}, token)).status == 200

    at_the_door(with_machine(), story)


def test_a_machine_moves_with_its_identities() -> None:
    async def story(door: Door) -> None:
        await made(door)
        await patch(door, {"type": BOTH, "userAssignedIdentities": {str(identity_id(door)): {}}})
        before, target = await shown(door), await door.cloud.with_group("other")
        kinds = ("virtualmachines", "networkinterfaces", "virtualnetworks", "disks", "userassignedidentities")
        every = [str(r.id) for r in door.store.list(prefix=f"{vm(door).scope.key}/") if r.id.types[-1].lower() in kinds]
        alone = [i for i in every if "userAssignedIdentities" not in i]
        body = {"resources": alone, "targetResourceGroup": str(target)}
        torn = await door.ask("POST", f"{vm(door).scope}/moveResources", body)
        assert torn.error["code"] == "MissingMoveDependentResources"
        assert (await door.ask("POST", f"{vm(door).scope}/moveResources", {**body, "resources": every})).status == 204
        await door.is_idle()
        moved = target.resource(VMS, "vm1")
        after = (await door.get(moved))["identity"]
        (id,) = after["userAssignedIdentities"]
        assert id == str(target.resource("Microsoft.ManagedIdentity/userAssignedIdentities", "id1"))
        assert {**after, "userAssignedIdentities": None} == {**before, "userAssignedIdentities": None}
        found = principal(door, after["principalId"])
        assert found is not None and found.properties["alternativeNames"][1] == str(moved)

    at_the_door(with_machine(), story)


def test_a_template_makes_a_machines_identity_and_gives_it_a_role() -> None:
    async def story(door: Door) -> None:
        body = {k: v for k, v in (await door.get(vm(door))).items() if k in ("location", "properties")}
        scope = vm(door).scope
        given = {
            "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01", "name": f"{GUID}1",
            "dependsOn": [str(vm(door))],
            "properties": {
                "roleDefinitionId": str(scope.resource("Microsoft.Authorization/roleDefinitions", READER)),
                "principalId": f"[reference('{vm(door)}', '2024-11-01', 'Full').identity.principalId]",
            },
        }  # fmt: skip
        made = {"type": VMS, "apiVersion": "2024-11-01", "name": "vm1", "identity": {"type": SYSTEM}, **body}
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0", "resources": [made, given],
        }  # fmt: skip
        deployment = scope.resource("Microsoft.Resources/deployments", "d")
        properties = {"mode": "Incremental", "template": template}
        assert (await door.put(deployment, {"properties": properties})).status in (200, 201)
        await door.is_idle()
        assert (await door.get(deployment))["properties"]["provisioningState"] == "Succeeded"
        token = door.token((await shown(door))["principalId"])
        assert (await door.ask("GET", str(vm(door)), token=token)).status == 200
        seen = await door.ask("POST", f"{deployment}/whatIf", {"properties": properties})
        changes = {c["resourceId"].rpartition("/")[2]: c for c in seen.json["properties"]["changes"]}
        assert changes["vm1"]["changeType"] == "NoChange", changes["vm1"]

    at_the_door(with_machine(), story)
