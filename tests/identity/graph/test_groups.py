"""Groups through Graph: members of three kinds, nesting, owners, and the functions clients ask about membership with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.graph.desk import Desk, at_the_desk


def body(name: str, **more: Any) -> dict[str, Any]:
    return {"displayName": name, "mailEnabled": False, "mailNickname": name, "securityEnabled": True, **more}


def ref(id: str, kind: str = "directoryObjects") -> dict[str, str]:
    return {"@odata.id": f"https://graph.microsoft.com/v1.0/{kind}/{id}"}


def test_members_come_and_go() -> None:
    async def test(desk: Desk) -> None:
        group = (await desk.post("groups", body("Team", description="all of us")))["id"]
        user, service = await desk.user(1), await desk.service(1)
        for id in (user.object_id, service.object_id):
            assert (await desk.ask("POST", f"groups/{group}/members/$ref", ref(id))).status == 204
        again = await desk.ask("POST", f"groups/{group}/members/$ref", ref(user.object_id))
        again.refused(400, "Request_BadRequest", "already exist", "'members'")
        rows = (await desk.ask("GET", f"groups/{group}/members")).value
        assert {r["@odata.type"] for r in rows} == {"#microsoft.graph.user", "#microsoft.graph.servicePrincipal"}
        cast = await desk.get(f"groups/{group}/members/microsoft.graph.user?$select=id")
        assert [{k: v for k, v in r.items() if "@" not in k} for r in cast["value"]] == [{"id": user.object_id}]
        assert (await desk.ask("GET", f"groups/{group}/members/$count")).raw == b"2"
        refs = (await desk.ask("GET", f"groups/{group}/members/$ref")).value
        assert refs[0]["@odata.id"].endswith(f"/directoryObjects/{user.object_id}")
        assert (await desk.ask("GET", f"groups/{group}/members/{user.object_id}/$ref")).status == 200
        assert (await desk.ask("DELETE", f"groups/{group}/members/{user.object_id}/$ref")).status == 204
        (await desk.ask("DELETE", f"groups/{group}/members/{user.object_id}/$ref")).refused(404, "Request_ResourceNotFound")
        await desk.ask("DELETE", f"servicePrincipals/{service.object_id}")
        assert (await desk.ask("GET", f"groups/{group}/members")).value == []

    at_the_desk(test)


def test_nesting_is_followed_and_circles_end() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.user(1)
        outer, middle, inner = [(await desk.post("groups", body(name)))["id"] for name in ("outer", "middle", "inner")]
        for group, member in ((outer, middle), (middle, inner), (inner, user.object_id), (inner, outer)):
            await desk.post(f"groups/{group}/members/$ref", ref(member), status=204)
        assert (await desk.ask("GET", f"users/{user.object_id}/memberOf")).names() == ["inner"]
        assert set((await desk.ask("GET", f"users/{user.upn}/transitiveMemberOf")).names()) == {"outer", "middle", "inner"}
        assert user.object_id in (await desk.ask("GET", f"groups/{outer}/transitiveMembers")).names("id")
        found = await desk.post(f"users/{user.upn}/getMemberGroups", {"securityEnabledOnly": True}, status=200)
        assert set(found["value"]) == {outer, middle, inner}
        for set_name in ("users", "directoryObjects"):
            asked = {"groupIds": [outer, "11111111-0000-4000-8000-000000000000"]}
            checked = await desk.post(f"{set_name}/{user.object_id}/checkMemberGroups", asked, status=200)
            assert checked["value"] == [outer]
        (await desk.ask("POST", f"groups/{outer}/members/$ref", ref(outer))).refused(400, "Request_BadRequest", "cannot be")
        await desk.ask("DELETE", f"groups/{middle}")
        found = await desk.post("me/getMemberObjects", {}, who=user.object_id, status=200)
        assert found["value"] == [inner]

    at_the_desk(test)


def test_owners_rule_what_is_theirs() -> None:
    async def test(desk: Desk) -> None:
        alice, bob = await desk.user(1), await desk.user(2)
        group = (await desk.post("groups", body("Alices"), who=alice.object_id))["id"]
        assert (await desk.ask("GET", f"groups/{group}/owners")).names("id") == [alice.object_id]
        assert (await desk.ask("PATCH", f"groups/{group}", {"description": "x"}, who=alice.object_id)).status == 204
        for refused in (
            await desk.ask("PATCH", f"groups/{group}", {"description": "y"}, who=bob.object_id),
            await desk.ask("DELETE", f"groups/{group}", who=bob.object_id),
            await desk.ask("POST", f"groups/{group}/members/$ref", ref(bob.object_id), who=bob.object_id),
            await desk.ask("POST", f"groups/{group}/owners/$ref", ref(bob.object_id), who=bob.object_id),
        ):
            refused.refused(403, "Authorization_RequestDenied")
        last = await desk.ask("DELETE", f"groups/{group}/owners/{alice.object_id}/$ref", who=alice.object_id)
        last.refused(400, "Request_BadRequest", "at least one owner")
        await desk.post(f"groups/{group}/owners/$ref", ref(bob.object_id, "users"), who=alice.object_id, status=204)
        assert (await desk.ask("DELETE", f"groups/{group}/owners/{alice.object_id}/$ref", who=bob.object_id)).status == 204
        assert (await desk.ask("GET", "me/ownedObjects", who=bob.object_id)).names("id") == [group]

    at_the_desk(test)


def test_what_a_body_binds_is_linked() -> None:
    async def test(desk: Desk) -> None:
        one, two = await desk.user(1), await desk.user(2)
        url = ref(one.object_id)["@odata.id"]
        made = await desk.post("groups", body("G", **{"owners@odata.bind": [url], "members@odata.bind": [url, url]}))
        assert (await desk.ask("GET", f"groups/{made['id']}/owners")).names("id") == [one.object_id]
        patch = {"members@odata.bind": [ref(two.object_id)["@odata.id"]]}
        assert (await desk.ask("PATCH", f"groups/{made['id']}", patch)).status == 204
        assert (await desk.ask("GET", f"groups/{made['id']}/members")).names("id") == [one.object_id, two.object_id]
        (await desk.ask("PATCH", f"groups/{made['id']}", patch)).refused(400, "Request_BadRequest", "already exist")
        for wrong in ("nothing", ["nothing"], [url] * 21):
            (await desk.ask("POST", "groups", body("H", **{"members@odata.bind": wrong}))).refused(400, "Request_BadRequest")
        missing = ref("11111111-0000-4000-8000-000000000000")["@odata.id"]
        (await desk.ask("POST", "groups", body("H", **{"members@odata.bind": [missing]}))).refused(
            404, "Request_ResourceNotFound"
        )
        assert (await desk.ask("GET", "groups?$filter=displayName eq 'H'")).value == []

    at_the_desk(test)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"groupTypes": ["Unified"]}, 501, "NotSupported"),
        ({"mailEnabled": True}, 501, "NotSupported"),
        ({"groupTypes": ["DynamicMembership"], "membershipRule": "x"}, 501, "NotSupported"),
        ({"isAssignableToRole": True}, 501, "NotSupported"),
        ({"securityEnabled": False}, 400, "Request_BadRequest"),
        ({"groupTypes": ["Wrong"]}, 400, "Request_BadRequest"),
        ({"displayName": ""}, 400, "Request_BadRequest"),
    ],
)
def test_groups_that_cannot_be(more: dict[str, Any], status: int, code: str) -> None:
    async def test(desk: Desk) -> None:
        (await desk.ask("POST", "groups", body("G", **more))).refused(status, code)

    at_the_desk(test)
