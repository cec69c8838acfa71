"""Who may hand out some roles to some principals hands out no others, by no way."""

from __future__ import annotations

from typing import Any

from lazur.model.armid import ArmId
from lazur.model.rights import CONTRIBUTOR, OWNER, USER_ACCESS_ADMINISTRATOR
from tests.api.front import Answer, Door
from tests.api.world import deployment
from tests.control.test_deployments import resource
from tests.governance.test_rights import GUID, HELD, READER, ROLES, _group_of, _world
from tests.model.test_conditions import constrained

DELEGATE, FRIEND = f"{GUID}a", f"{GUID}b"
MINE = constrained("RoleDefinitionId", f"ForAnyOfAnyValues:GuidEquals {{{READER}}}")


async def _give(
    door: Door, scope: ArmId, role: str, who: str, name: str, token: str = "", **more: Any
) -> Answer:  # fmt: skip
    properties = {"roleDefinitionId": str(scope.resource(ROLES, role)), "principalId": who,
                  "principalType": "ServicePrincipal", **more}  # fmt: skip
    return await door.ask("PUT", str(scope.resource(HELD, f"{GUID}{name}")), {"properties": properties}, token=token)


async def _delegated(door: Door, group: ArmId, text: str = MINE) -> str:
    token = door.token(DELEGATE)
    door.token(FRIEND)
    given = await _give(door, group, USER_ACCESS_ADMINISTRATOR.id, DELEGATE, "1", condition=text, conditionVersion="2.0")
    assert given.status == 201 and given.json["properties"]["condition"] == text, given.raw
    return token


def test_a_delegate_gives_and_takes_what_the_condition_says_and_nothing_else() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        token = await _delegated(door, group)
        friends = door.token(FRIEND)
        assert (await door.ask("GET", str(group), token=friends)).status == 403
        assert (await _give(door, group, READER, FRIEND, "2", token)).status == 201
        assert (await door.ask("GET", str(group), token=friends)).status == 200
        for role in (OWNER.id, CONTRIBUTOR.id, USER_ACCESS_ADMINISTRATOR.id):
            for who in (FRIEND, DELEGATE):
                refused = await _give(door, group, role, who, "3", token)
                assert (refused.status, refused.error["code"]) == (403, "AuthorizationFailed")
        assert (await _give(door, group, CONTRIBUTOR.id, FRIEND, "4")).status == 201
        taken = await door.ask("DELETE", str(group.resource(HELD, f"{GUID}4")), token=token)
        absent = await door.ask("DELETE", str(group.resource(HELD, f"{GUID}5")), token=token)
        assert taken.status == absent.status == 403 and taken.raw == absent.raw.replace(b"0005'", b"0004'").replace(
            f"{GUID}5".encode(), f"{GUID}4".encode()
        )
        assert (await door.ask("DELETE", str(group.resource(HELD, f"{GUID}2")), token=token)).status == 200
        assert (await door.ask("GET", str(group), token=friends)).status == 200, "the other one stands"

    _world(story)


def test_a_delegate_gets_past_the_condition_by_no_way() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        token = await _delegated(door, group)
        before = door.stored()
        own, reader = (str(group.resource(ROLES, r)) for r in (OWNER.id, READER))
        said = {"principalId": FRIEND, "principalType": "ServicePrincipal"}
        allowed, wanted = {**said, "roleDefinitionId": reader}, {**said, "roleDefinitionId": own}
        path = str(group.resource(HELD, f"{GUID}3"))
        bodies: list[Any] = [
            {"properties": allowed, "PROPERTIES": wanted}, {"properties": {**allowed, "ROLEDEFINITIONID": own}},
            {"properties": {**wanted, "roleDefinitionID": None}}, {"properties": {**wanted, "principalId": [FRIEND]}}, {}, [],
        ]  # fmt: skip
        for body in bodies:
            answer = await door.ask("PUT", path, body, token=token)
            assert answer.status == 403, body
        # Nor may he take the condition from himself.
        free = {"principalId": DELEGATE, "roleDefinitionId": str(group.resource(ROLES, USER_ACCESS_ADMINISTRATOR.id))}
        assert (await door.ask("PUT", str(group.resource(HELD, f"{GUID}1")), {"properties": free}, token=token)).status == 403
        assert door.stored() == before
        # A deployment gives what he may give.
        assert (await _give(door, group, CONTRIBUTOR.id, DELEGATE, "6")).status == 201
        for given, status, state in ((wanted, 400, "Failed"), (allowed, 200, "Succeeded")):
            body = deployment([resource(HELD, f"{GUID}3", {"properties": given})])
            id = group.resource("Microsoft.Resources/deployments", state)
            assert (await door.ask("POST", f"{id}/validate", body, token=token)).status == status
            assert (await door.ask("PUT", str(id), body, token=token)).status == 201
            await door.is_idle()
            assert (await door.get(id))["properties"]["provisioningState"] == state
        assert (await door.get(path))["properties"]["roleDefinitionId"] == reader

    _world(story)


def test_a_condition_that_is_not_understood_is_refused() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        door.token(DELEGATE)
        rows: list[dict[str, Any]] = [
            {"condition": MINE}, {"condition": MINE, "conditionVersion": "1.0"},
            {"condition": "@Resource[Microsoft.Storage/x:y] StringEquals 'a'", "conditionVersion": "2.0"},
        ]  # fmt: skip
        for more in rows:
            answer = await _give(door, group, READER, DELEGATE, "1", **more)
            assert answer.status == 400 and {c for c, _ in answer.faults()} == {"RoleAssignmentConditionNotValid"}, answer.raw

    _world(story)


def test_what_is_held_on_a_condition_is_told_with_it() -> None:
    async def story(door: Door) -> None:
        group = _group_of(door)
        token = await _delegated(door, group)
        path = f"{group}/providers/Microsoft.Authorization"
        held = (await door.ask("GET", f"{path}/permissions", token=token)).json["value"]
        assert [(h["condition"], h["conditionVersion"]) for h in held] == [(MINE, "2.0")]
        assert "Microsoft.Authorization/*" in held[0]["actions"]
        actions = [{"Id": f"{HELD}/read"}, {"Id": f"{HELD}/write"}, {"Id": "Microsoft.Network/x/write"}]
        question = {"Subject": {"Attributes": {"ObjectId": DELEGATE}}, "Actions": actions}
        read, write, other = (await door.ask("POST", f"{path}/checkAccess", question)).json
        assert (read["accessDecision"], read["roleAssignment"]["name"]) == ("Allowed", f"{GUID}1")
        # Whether it may be written depends on what is written: the answer names whose condition decides.
        assert write["accessDecision"] == "NotAllowed" and write["roleAssignment"]["properties"]["condition"] == MINE
        assert other["accessDecision"] == "NotAllowed" and "roleAssignment" not in other
        assert (await _give(door, group, READER, DELEGATE, "2")).status == 201
        held = (await door.ask("GET", f"{path}/permissions", token=token)).json["value"]
        assert [h.get("condition") for h in held] == [None, MINE], "Reader has none"

    _world(story)
