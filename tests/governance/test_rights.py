"""Roles, assignments, locks and management groups as customers use them, through the front door."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from lazur.model.rights import OWNER, Assignment
from tests.api.front import ELSEWHERE, Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, SlowDisk

ROLES, HELD, LOCKS = (f"Microsoft.Authorization/{t}" for t in ("roleDefinitions", "roleAssignments", "locks"))
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
GUID = "00000000-0000-4000-8000-00000000000"
WHO = f"{GUID}a"
THEIRS = "77777777-0000-4000-8000-000000000001"
ADDRESS = {"location": "local", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}


async def _group(cloud: Cloud) -> None:
    await cloud.with_group("rg")


def _world(story: Any) -> None:
    at_the_door(world_of("a group", _group), story)


def _group_of(door: Door) -> ArmId:
    return ArmId(door.plane.stamp.subscription, "rg")


async def _assign(door: Door, scope: ArmId, role: str, name: str = f"{GUID}1", who: str = WHO) -> Answer:
    door.token(who)
    properties = {"roleDefinitionId": str(scope.resource(ROLES, role)), "principalId": who, "principalType": "ServicePrincipal"}
    return await door.put(scope.resource(HELD, name), {"properties": properties})


def test_an_assignment_gives_and_its_removal_takes() -> None:
    async def story(door: Door) -> None:
        group, token = _group_of(door), door.token(WHO)
        address = group.resource("Microsoft.Network/publicIPAddresses", "a")
        assert (await door.put(address, ADDRESS)).status == 201
        assert (await door.ask("GET", str(address), token=token)).status == 403
        assert (await _assign(door, group, READER)).status == 201
        assert (await door.ask("GET", str(address), token=token)).status == 200
        assert (await door.ask("PUT", str(address), ADDRESS, token=token)).status == 403
        again = await _assign(door, group, READER, f"{GUID}2")
        assert again.status == 409 and again.error["code"] == "RoleAssignmentExists"
        assert (await door.ask("DELETE", str(group.resource(HELD, f"{GUID}1")))).status == 200
        assert (await door.ask("GET", str(address), token=token)).status == 403

    _world(story)


def test_whoever_holds_a_role_in_a_subscription_finds_it() -> None:
    async def story(door: Door) -> None:
        group, token = _group_of(door), door.token(WHO)

        async def found() -> list[str]:
            return [s["subscriptionId"] for s in (await door.ask("GET", "/subscriptions", token=token)).json["value"]]

        assert await found() == []
        assert (await _assign(door, group, READER)).status == 201
        assert await found() == [group.subscription]
        assert (await door.ask("GET", f"/subscriptions/{group.subscription}/resources", token=token)).status != 200

    _world(story)


def test_faults_of_an_assignment_come_together() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        role = str(group.resource(ROLES, f"{GUID}9"))
        properties = {"roleDefinitionId": role, "principalId": f"{GUID}8", "condition": "true", "conditionVersion": "2.0"}
        answer = await door.put(group.resource(HELD, f"{GUID}1"), {"properties": properties})
        codes = {"RoleDefinitionDoesNotExist", "PrincipalNotFound", "RoleAssignmentConditionNotValid"}
        assert {c for c, _ in answer.faults()} == codes

    _world(story)


def test_a_role_of_ones_own_allows_what_it_says_and_stays_while_it_is_held() -> None:
    async def story(door: Door) -> None:
        group, token = _group_of(door), door.token(WHO)
        role = ArmId(group.subscription).resource(ROLES, f"{GUID}5")
        permission = {"actions": ["Microsoft.Network/*"], "notActions": ["Microsoft.Network/*/delete"]}
        body = {"properties": {"roleName": "Wirer", "permissions": [permission], "assignableScopes": [str(role.scope)]}}
        assert (await door.put(role, body)).status == 201
        assert (await door.put(ArmId(group.subscription).resource(ROLES, f"{GUID}6"), body)).status == 409
        assert (await _assign(door, group, f"{GUID}5")).status == 201
        address = str(group.resource("Microsoft.Network/publicIPAddresses", "a"))
        assert (await door.ask("PUT", address, ADDRESS, token=token)).status == 201
        assert (await door.ask("DELETE", address, token=token)).status == 403
        gone = await door.ask("DELETE", str(role))
        assert gone.status == 400 and "in use" in gone.error["message"]
        found = (await door.get(f"{group}/providers/{ROLES}", "$filter=roleName eq 'wirer'"))["value"]
        assert [r["name"] for r in found] == [f"{GUID}5"]
        names = {r["properties"]["roleName"] for r in (await door.get(f"{group}/providers/{ROLES}"))["value"]}
        assert {"Owner", "Contributor", "Reader", "Wirer"} <= names
        # The same role, asked for where it may be assigned.
        assert (await door.get(group.resource(ROLES, f"{GUID}5")))["id"] == str(role)

    _world(story)


def test_who_may_do_what_here() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        await _assign(door, ArmId(group.subscription), READER)
        actions = [{"Id": "Microsoft.Network/x/read"}, {"Id": "A/b/write"}]
        question = {"Subject": {"Attributes": {"ObjectId": WHO}}, "Actions": actions}
        path = f"{group}/providers/Microsoft.Authorization"
        told = (await door.ask("POST", f"{path}/checkAccess", question)).json
        assert [t["accessDecision"] for t in told] == ["Allowed", "NotAllowed"]
        assert told[0]["roleAssignment"]["name"] == f"{GUID}1"
        mine = await door.ask("GET", f"{path}/permissions", token=door.token(WHO))
        assert mine.json["value"][0]["actions"] == ["*/read"]
        # At the scope and above it; below it is not asked for here.
        held = (await door.get(f"{path}/roleAssignments", "$filter=atScope()"))["value"]
        assert {h["properties"]["scope"] for h in held} == {"/", f"/subscriptions/{group.subscription}"}
        only = (await door.get(f"{path}/roleAssignments", f"$filter=principalId eq '{WHO}'"))["value"]
        assert [h["properties"]["principalId"] for h in only] == [WHO]

    _world(story)


def test_locks_lock_what_lies_below_and_what_lies_above() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        address = group.resource("Microsoft.Network/publicIPAddresses", "a")
        assert (await door.put(address, ADDRESS)).status == 201
        await door.is_idle()
        lock = address.resource(LOCKS, "keep")
        assert (await door.put(lock, {"properties": {"level": "CanNotDelete"}})).status == 201
        for target in (address, group):
            answer = await door.ask("DELETE", str(target))
            assert answer.status == 409 and answer.error["code"] == "ScopeLocked" and "'a'" not in answer.error["code"]
        assert (await door.put(address, {**ADDRESS, "tags": {"a": "b"}})).status == 200
        assert (await door.put(lock, {"properties": {"level": "ReadOnly"}})).status == 200
        assert (await door.put(address, {**ADDRESS, "tags": {"a": "c"}})).status == 409
        assert [e["name"] for e in (await door.get(f"{group}/providers/{LOCKS}"))["value"]] == ["keep"]
        assert (await door.get(f"{group}/providers/{LOCKS}", "$filter=atScope()"))["value"] == []
        assert (await door.ask("DELETE", str(lock))).status == 200
        await door.is_idle()
        # What is put on a resource goes with it.
        assert (await _assign(door, address, READER)).status == 201
        assert (await door.ask("DELETE", str(address))).status == 202
        await door.is_idle()
        assert not door.store.list(prefix=address.key)

    _world(story)


def test_what_is_given_at_a_management_group_holds_for_its_subscriptions() -> None:
    async def story(door: Door) -> None:
        group, token, tenant = _group_of(door), door.token(WHO), door.plane.stamp.tenant
        root = ArmId(tenant=tenant)
        top, low = (root.resource("Microsoft.Management/managementGroups", n) for n in ("top", "low"))
        assert (await door.put(top, {"properties": {"displayName": "Top"}})).status == 200
        assert (await door.put(low, {"properties": {"details": {"parent": {"id": str(top)}}}})).status == 200
        circle = await door.put(top, {"properties": {"details": {"parent": {"id": str(low)}}}})
        assert circle.status == 400 and circle.error["code"] == "InvalidParent"
        assert (await door.ask("GET", str(group), token=token)).status == 403
        assert (await door.ask("PUT", f"{low}/subscriptions/{group.subscription}")).status == 200
        owner = door.cloud.standing[1]
        door.assign(replace(owner, role=OWNER))
        assert (await _assign(door, top, READER)).status == 201
        assert (await door.ask("GET", str(group), token=token)).status == 200
        tree = (await door.get(top, "$expand=children&$recurse=true"))["properties"]["children"]
        assert tree[0]["name"] == "low" and tree[0]["children"][0]["name"] == group.subscription
        below = (await door.get(f"{top}/descendants"))["value"]
        assert [b["name"] for b in below] == ["low", group.subscription]
        assert (await door.ask("DELETE", str(low))).status == 409
        assert (await door.ask("DELETE", f"{low}/subscriptions/{group.subscription}")).status == 204
        assert (await door.ask("GET", str(group), token=token)).status == 403
        assert (await door.ask("DELETE", str(low))).status == 204

    _world(story)


def test_an_object_id_is_one_however_it_is_spelled() -> None:
    async def story(door: Door) -> None:
        group, token = _group_of(door), door.token(WHO)
        assert (await _assign(door, group, READER, who=WHO.upper())).status == 201
        assert (await door.ask("GET", str(group), token=token)).status == 200
        found = (await door.get(f"{group}/providers/{HELD}", f"$filter=assignedTo('{WHO.upper()}')"))["value"]
        assert [h["properties"]["principalId"] for h in found] == [WHO]

    _world(story)


def test_a_role_is_given_where_it_may_be_given_and_in_its_own_directory() -> None:
    async def story(door: Door) -> None:
        group, other = _group_of(door), ArmId(door.plane.stamp.subscription, "other")
        assert (await door.put(other, {"location": "local"})).status == 201
        role = group.resource(ROLES, f"{GUID}5")
        permission = {"actions": ["Microsoft.Network/*"]}
        body = {"properties": {"roleName": "Wirer", "permissions": [permission], "assignableScopes": [str(group)]}}
        assert (await door.put(role, body)).status == 201
        elsewhere = await _assign(door, other, f"{GUID}5")
        assert elsewhere.status == 400 and elsewhere.error["code"] == "RoleAssignmentScopeNotAssignableToRoleDefinition"
        assert (await _assign(door, group, f"{GUID}5")).status == 201
        base = f"/subscriptions/{door.plane.stamp.subscription}/providers/Microsoft.Subscriptions.Admin/subscriptions"
        owner = door.token(WHO, tenant=ELSEWHERE)
        given = {"displayName": "Theirs", "tenantId": ELSEWHERE, "owner": WHO}
        assert (await door.ask("PUT", f"{base}/{THEIRS}", given)).status == 201
        properties = {"roleDefinitionId": str(ArmId(THEIRS).resource(ROLES, f"{GUID}5")), "principalId": WHO}
        asked = str(ArmId(THEIRS).resource(HELD, f"{GUID}3"))
        answer = await door.ask("PUT", asked, {"properties": properties}, token=owner)
        assert {c for c, _ in answer.faults()} == {"RoleDefinitionDoesNotExist"}

    _world(story)


def test_questions_that_make_no_sense_are_refused() -> None:
    async def story(door: Door) -> None:
        path = f"{_group_of(door)}/providers/Microsoft.Authorization/checkAccess"
        whom = {"Attributes": {"ObjectId": WHO}}
        bodies: tuple[Any, ...] = (
            [], {"Subject": "x"}, {"Subject": {"Attributes": "x"}}, {"Subject": whom, "Actions": 5},
            {"Subject": whom, "Actions": "abc"}, {"Subject": whom, "Actions": [{"Id": []}]},
        )  # fmt: skip
        for body in bodies:
            answer = await door.ask("POST", path, body)
            assert answer.status == 400 and {c for c, _ in answer.faults()} == {"InvalidRequestContent"}, body

    _world(story)


def test_a_management_group_gets_another_name_and_another_place() -> None:
    async def main(door: Door) -> None:
        root = ArmId(tenant=door.plane.stamp.tenant)
        low, top = (root.resource("Microsoft.Management/managementGroups", n) for n in ("low", "top"))
        for id in (low, top):
            assert (await door.put(id, {})).status == 200
        named = await door.ask("PATCH", str(low), {"displayName": "Low"})
        assert named.status == 200 and named.json["properties"]["displayName"] == "Low"
        moved = await door.ask("PATCH", str(low), {"parentGroupId": str(top)})
        assert moved.json["properties"]["details"]["parent"]["id"] == str(top)
        assert moved.json["properties"]["displayName"] == "Low"
        circle = await door.ask("PATCH", str(top), {"parentGroupId": str(low)})
        assert (circle.status, circle.error["code"]) == (400, "InvalidParent")
        wrong = await door.ask("PATCH", str(top), {"displayName": {}, "parentGroupId": []})
        assert wrong.status == 400 and len(wrong.faults()) == 2
        assert (await door.ask("PATCH", str(root.resource(low.type, "none")), {"displayName": "x"})).status == 404

    _world(main)


def test_who_may_make_a_group_below_one_does_not_take_over_anothers() -> None:
    world = world_of("a group", _group)

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world, trouble=SlowDisk(clock)).start()
        door, root = Door(cloud), ArmId(tenant=cloud.plane.stamp.tenant)
        theirs, wanted = (root.resource("Microsoft.Management/managementGroups", n) for n in ("theirs", "wanted"))
        assert (await door.put(theirs, {"properties": {"displayName": "Theirs"}})).status == 200
        bob = door.token(WHO)
        door.assign(Assignment(WHO, OWNER, theirs.key))
        below = {"properties": {"displayName": "Bob's", "details": {"parent": {"id": str(theirs)}}}}
        ann, late = await asyncio.gather(
            door.put(wanted, {"properties": {"displayName": "Ann's"}}), door.ask("PUT", str(wanted), below, token=bob)
        )
        assert (ann.status, late.status) == (200, 412)
        assert (await door.get(wanted))["properties"]["displayName"] == "Ann's"
        await cloud.stop()

    run_virtual(main, world.clock())
