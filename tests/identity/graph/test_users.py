"""Users through Graph: made, found, changed, gone; their passwords and sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lazur.identity.graph.request import SETS
from lazur.identity.lockout import ATTEMPTS, LOCKED_FOR
from lazur.identity.oauth import OAuthError
from lazur.identity.passwords import check_password
from lazur.kernel.clock import VirtualClock
from tests.identity.graph.desk import Desk, Reply, at_the_desk, person
from tests.identity.support import cheap


def alice(desk: Desk, **more: Any) -> dict[str, Any]:
    return {
        "accountEnabled": True, "displayName": "Alice", "mailNickname": "alice", "userPrincipalName": f"alice@{desk.domain}",
        "passwordProfile": {"password": "correct-Horse1", "forceChangePasswordNextSignIn": False}, **more,
    }  # fmt: skip


def test_a_user_is_made_shown_changed_and_gone() -> None:
    async def test(desk: Desk) -> None:
        made = await desk.ask("POST", "users", alice(desk, givenName="Alice", **{"@odata.type": "#microsoft.graph.user"}))
        assert made.status == 201 and made.headers["location"].endswith("/Microsoft.DirectoryServices.User")
        id = made.json["id"]
        root = desk.made.endpoints.graph
        assert made.json["@odata.context"] == f"{root}/v1.0/$metadata#users/$entity"
        for name in (id, id.upper(), f"alice@{desk.domain}", f"ALICE@{desk.domain}"):
            assert (await desk.get(f"users/{name}"))["id"] == id
        assert (await desk.get(f"users('alice@{desk.domain}')"))["givenName"] == "Alice"
        # v1.0 shows the usual properties, beta and a selection show others.
        assert "accountEnabled" not in await desk.get(f"users/{id}")
        assert (await desk.get(f"/beta/users/{id}"))["accountEnabled"] is True
        shown = await desk.get(f"users/{id}?$select=accountEnabled,userType,passwordProfile")
        assert {k: v for k, v in shown.items() if "@" not in k} == {
            "accountEnabled": True, "userType": "Member", "passwordProfile": None,
        }  # fmt: skip
        patched = await desk.ask("PATCH", f"users/{id}", {"jobTitle": "Boss", "givenName": None, "id": id})
        assert (patched.status, patched.raw) == (204, b"")
        shown = await desk.get(f"users/{id}")
        assert (shown["jobTitle"], shown["givenName"]) == ("Boss", None)
        full = await desk.ask("PATCH", f"users/{id}", {"city": "B"}, headers={"Prefer": "return=representation"})
        assert full.status == 200 and full.json["displayName"] == "Alice"
        assert (await desk.ask("DELETE", f"users/{id}")).status == 204
        (await desk.ask("GET", f"users/{id}")).refused(404, "Request_ResourceNotFound", id, "does not exist")
        (await desk.ask("DELETE", f"users/{id}")).refused(404, "Request_ResourceNotFound")

    at_the_desk(test)


def test_all_that_is_wrong_with_a_user_is_said_at_once() -> None:
    async def test(desk: Desk) -> None:
        reply = await desk.ask("POST", "users", {"displayName": 7, "nonsense": True, "usageLocation": "Germany"})
        reply.refused(400, "Request_BadRequest")
        found = {row["target"]: row["message"] for row in reply.json["error"]["details"]}
        assert set(found) == {"accountEnabled", "displayName", "mailNickname", "userPrincipalName", "nonsense", "usageLocation"}
        assert found["displayName"] == "Invalid value specified for property 'displayName' of resource 'User'."
        assert found["mailNickname"].startswith("A value is required for property 'mailNickname'")
        for wrong in ("alice@other.example", f"a b@{desk.domain}", f"@{desk.domain}", "alice"):
            reply = await desk.ask("POST", "users", alice(desk, userPrincipalName=wrong))
            reply.refused(400, "Request_BadRequest", "userPrincipalName")
        for weak in ("short1A", "nothingbutsmall", "x" * 300):
            reply = await desk.ask("POST", "users", alice(desk, passwordProfile={"password": weak}))
            reply.refused(400, "Request_BadRequest", "complexity")
        await desk.post("users", alice(desk))
        reply = await desk.ask("POST", "users", alice(desk, userPrincipalName=f"ALICE@{desk.domain}"))
        reply.refused(400, "Request_BadRequest", "userPrincipalName already exists")
        (await desk.ask("PATCH", f"users/alice@{desk.domain}", {"createdDateTime": "2026-01-01T00:00:00Z"})).refused(
            400, "Request_BadRequest", "cannot be set"
        )

    at_the_desk(test)


def test_a_password_is_hashed_and_voids_sessions() -> None:
    async def test(desk: Desk) -> None:
        id = (await desk.post("users", alice(desk)))["id"]
        user = desk.live.current.user(id)
        assert user and check_password("correct-Horse1", user.password_hash) and not user.change_password
        assert user.sessions_from == 0
        await desk.ask("PATCH", f"users/{id}", {"passwordProfile": {"password": "other-Horse2"}})
        user = desk.live.current.user(id)
        now = int(desk.made.clock.now().timestamp())
        assert user and check_password("other-Horse2", user.password_hash)
        assert user.change_password and user.sessions_from == now + 1
        (await desk.ask("POST", "me/changePassword", {"currentPassword": "x", "newPassword": "third-Horse3"}, who=id)).refused(
            400, "Request_BadRequest"
        )
        reply = await desk.ask(
            "POST", "me/changePassword", {"currentPassword": "other-Horse2", "newPassword": "third-Horse3"}, who=id
        )
        assert reply.status == 204
        user = desk.live.current.user(id)
        assert user and check_password("third-Horse3", user.password_hash)

    at_the_desk(test)


def test_guessing_the_current_password_locks_it_here_and_at_sign_in() -> None:
    async def test(desk: Desk) -> None:
        id = (await desk.post("users", alice(desk)))["id"]
        user = desk.live.current.user(id)
        assert user is not None
        await desk.write(replace(user, password_hash=cheap("correct-Horse1")))

        async def tried(current: str) -> Reply:
            body = {"currentPassword": current, "newPassword": "third-Horse3"}
            return await desk.ask("POST", "me/changePassword", body, who=id)

        for number in range(ATTEMPTS):
            (await tried(f"wrong {number}")).refused(400, "Request_BadRequest", "does not match")
        (await tried("correct-Horse1")).refused(400, "Request_BadRequest", "locked")
        with pytest.raises(OAuthError, match="locked"):
            await desk.made.provider.signin.proved(user, "correct-Horse1", "127.0.0.1")
        assert isinstance(desk.made.clock, VirtualClock)
        desk.made.clock.advance(LOCKED_FOR)
        assert (await tried("correct-Horse1")).status == 204

    at_the_desk(test)


def test_sessions_are_revoked_by_disabling_and_by_request() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.user(1)
        assert (await desk.post(f"users/{user.object_id}/revokeSignInSessions", status=200))["value"] is True
        now = int(desk.made.clock.now().timestamp())
        found = desk.live.current.user(user.upn)
        assert found and found.sessions_from == now + 1 and found.enabled
        other = await desk.user(2)
        await desk.ask("PATCH", f"users/{other.object_id}", {"accountEnabled": False})
        found = desk.live.current.user(other.upn)
        assert found and found.sessions_from == now + 1 and not found.enabled
        # Who is disabled or gone is refused at once, whatever the token says.
        token = desk.token(other.object_id)
        assert (await desk.ask("GET", "users", token=token)).status in (401, 403)
        await desk.ask("DELETE", f"users/{other.object_id}")
        assert (await desk.ask("GET", "me", token=token)).status in (401, 403)

    at_the_desk(test)


def test_lists_are_filtered_ordered_searched_and_paged() -> None:
    async def test(desk: Desk) -> None:
        await desk.write(*(person(n, f"u{n:02d}@{desk.domain}", desk.made.tenant) for n in range(25)))
        assert len((await desk.ask("GET", "users")).value) == 26
        first = await desk.get("users?$top=10&$orderby=displayName desc&$count=true&$filter=startswith(userPrincipalName,'u')")
        assert first["@odata.count"] == 25 and [r["displayName"] for r in first["value"]] == [
            f"U{n:02d}" for n in range(24, 14, -1)
        ]
        # Somebody who comes or goes between two pages shifts nothing.
        await desk.ask("DELETE", f"users/u24@{desk.domain}")
        second = await desk.get(first["@odata.nextLink"])
        third = await desk.get(second["@odata.nextLink"])
        rest = [*second["value"], *third["value"]]
        assert [r["displayName"] for r in rest] == [f"U{n:02d}" for n in range(14, -1, -1)] and "@odata.nextLink" not in third
        assert (await desk.ask("GET", f"users?$filter=userPrincipalName eq 'U07@{desk.domain}'")).names() == ["U07"]
        assert (await desk.ask("GET", 'users?$search="displayName:u1" AND "displayName:2"')).names() == ["U12"]
        count = await desk.ask("GET", "users/$count?$filter=startswith(displayName,'U0')")
        assert count.raw == b"10" and count.headers["content-type"].startswith("text/plain")
        for wrong in ("$top=0", "$top=1000", "$top=x", "$skiptoken=x", "$skip=1"):
            (await desk.ask("GET", f"users?{wrong}")).refused(400, "Request_BadRequest")
        (await desk.ask("GET", "users?$filter=nonsense")).refused(400, "Request_UnsupportedQuery")

    at_the_desk(test)


def test_a_manager_is_one() -> None:
    async def test(desk: Desk) -> None:
        one, two, three = [await desk.user(n) for n in (1, 2, 3)]
        (await desk.ask("GET", f"users/{one.object_id}/manager")).refused(404, "Request_ResourceNotFound")
        for boss in (two, three):
            body = {"@odata.id": f"https://graph.microsoft.com/v1.0/users/{boss.object_id}"}
            assert (await desk.ask("PUT", f"users/{one.object_id}/manager/$ref", body)).status == 204
        assert (await desk.get(f"users/{one.object_id}/manager"))["id"] == three.object_id
        assert (await desk.ask("GET", f"users/{three.upn}/directReports")).names("id") == [one.object_id]
        assert (await desk.ask("GET", f"users/{two.upn}/directReports")).value == []
        assert (await desk.ask("DELETE", f"users/{one.object_id}/manager/$ref")).status == 204
        assert (await desk.ask("GET", f"users/{one.object_id}/manager")).status == 404

    at_the_desk(test)


def test_every_kind_has_its_set() -> None:
    assert set(SETS) == {"user", "group", "application", "servicePrincipal"}
