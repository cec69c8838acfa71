"""Whatever one directory has is not there for another: the same bytes as for something that never was, for every operation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lazur.identity.directory import Directory
from lazur.identity.graph.app import _ACTIONS, _FIND, _ROUTES
from lazur.identity.graph.links import RELATIONS
from lazur.identity.objects import (
    Application,
    AppRoleAssignment,
    FederatedCredential,
    Group,
    Link,
    PermissionGrant,
    ServicePrincipal,
    User,
)
from tests.identity.flows import by_password
from tests.identity.graph.desk import OTHER, Desk, at_the_desk

NEVER = "12345678-0000-4000-8000-123456789012"
IDS = {
    "users": "aaaaaaaa-0000-4000-8000-000000000001",
    "groups": "aaaaaaaa-0000-4000-8000-000000000002",
    "applications": "dddddddd-0000-4000-8000-000000000001",
    "serviceprincipals": "cccccccc-0000-4000-8000-000000000001",
    "oauth2permissiongrants": "ffffffff-0000-4000-8000-000000000003",
}
ASSIGNMENT = "ffffffff-0000-4000-8000-000000000001"
CREDENTIAL = "ffffffff-0000-4000-8000-000000000002"


async def full(desk: Desk) -> None:
    """One object of each kind in the stamp's own directory, linked with each other."""
    tenant = desk.made.tenant
    user, group = await desk.user(1), Group(IDS["groups"], tenant, "Secret group")
    service = await desk.service(1)
    app = desk.live.current.application(service.app_id)
    assert app and app.object_id == IDS["applications"] and service.object_id == IDS["serviceprincipals"]
    credential = FederatedCredential(CREDENTIAL, "name", "i", "s", ("a",))
    await desk.write(
        group,
        Application(**{**vars(app), "federated": (credential,)}),
        Link("member", tenant, group.object_id, user.object_id),
        Link("owner", tenant, group.object_id, user.object_id),
        Link("owner", tenant, app.object_id, user.object_id),
        Link("manager", tenant, user.object_id, desk.admin),
        AppRoleAssignment(ASSIGNMENT, tenant, user.object_id, service.object_id, NEVER),
        PermissionGrant(IDS["oauth2permissiongrants"], tenant, service.object_id, service.object_id, user.object_id),
    )


def operations() -> list[tuple[str, str]]:
    """Every method and path that names an object; `{}` stands for ids."""
    found = [(method, "/".join(pattern)) for method, pattern, _ in _ROUTES if "{}" in pattern]
    for name, (kinds, _) in _FIND.items():
        found += [("POST", f"{name}/{{}}/{action}") for action, (able, _) in _ACTIONS.items() if set(able) & set(kinds)]
        for relation in {r.name for kind in kinds for r in RELATIONS[kind]}:
            found += [("GET", f"{name}/{{}}/{relation}"), ("POST", f"{name}/{{}}/{relation}/$ref"),
                      ("DELETE", f"{name}/{{}}/{relation}/{{}}/$ref")]  # fmt: skip
        found += [("GET", f"{name}/{{}}/oauth2PermissionGrants")]
        for assigned in ("appRoleAssignments", "appRoleAssignedTo"):
            found += [("GET", f"{name}/{{}}/{assigned}"), ("POST", f"{name}/{{}}/{assigned}"),
                      ("DELETE", f"{name}/{{}}/{assigned}/{{}}")]  # fmt: skip
    return sorted(set(found))


def _bodies(id: str, head: str) -> dict[str, Any]:
    return {
        "POST": {"ids": [id], "groupIds": [id], "@odata.id": f"x/directoryObjects/{id}", "keyId": NEVER, "proof": "x",
                 "passwordCredential": {}, "appId": NEVER, "currentPassword": "a", "newPassword": "b"},
        "PATCH": {"scope": ""} if head == "oauth2permissiongrants" else {"displayName": "Changed"},
        "PUT": {"@odata.id": f"x/directoryObjects/{id}"},
    }  # fmt: skip


def _plain(raw: bytes, *ids: str) -> bytes:
    """The answer without what differs between any two answers."""
    for id in ids:
        raw = raw.replace(id.encode(), NEVER.encode())
    if raw.startswith(b'{"error"'):
        said = json.loads(raw)
        said["error"].pop("innerError")
        return json.dumps(said).encode()
    return raw


@pytest.mark.parametrize("head", sorted({pattern.split("/")[0] for _, pattern in operations()}))
def test_another_directorys_objects_are_not_there(head: str) -> None:
    async def test(desk: Desk) -> None:
        await full(desk)
        them = (await desk.other()).object_id
        mine = desk.live.current.home
        for method, pattern in operations():
            if pattern.split("/")[0] == head:
                await same_as_nothing(desk, them, method, pattern)
        assert _same(desk.live.current.home, mine)

    at_the_desk(test)


async def same_as_nothing(desk: Desk, who: str, method: str, pattern: str) -> None:
    """Ask for what another directory has and for what nobody has; the answers are the same bytes."""
    head = pattern.split("/")[0]
    second = ASSIGNMENT if "approle" in pattern.lower() else CREDENTIAL if "federated" in pattern else IDS["users"]
    for first in [IDS[head]] if head in IDS else [*IDS.values(), desk.admin, desk.made.tenant]:
        there = pattern.replace("{}", first, 1).replace("{}", second)
        nowhere = pattern.replace("{}", NEVER, 1).replace("{}", NEVER)
        found = await desk.ask(method, there, _bodies(first, head).get(method), who=who)
        never = await desk.ask(method, nowhere, _bodies(NEVER, head).get(method), who=who)
        assert found.status == never.status >= 400, (method, pattern, found.raw, never.raw)
        assert _plain(found.raw, first, second) == _plain(never.raw, first, second), (method, pattern)


def _same(one: Directory, two: Directory) -> bool:
    kept = ("objects", "targets", "assignments", "grants")
    return all(getattr(one, name) == getattr(two, name) for name in kept)


def test_lists_show_ones_own_only() -> None:
    async def test(desk: Desk) -> None:
        await full(desk)
        them = await desk.other()
        ids = [*IDS.values(), desk.admin]
        assert (await desk.ask("GET", "users", who=them.object_id)).names("id") == [them.object_id]
        for set_name in ("groups", "applications", "oauth2PermissionGrants"):
            assert (await desk.ask("GET", set_name, who=them.object_id)).value == []
        assert not set(ids) & set((await desk.ask("GET", "servicePrincipals", who=them.object_id)).names("id"))
        found = await desk.post("directoryObjects/getByIds", {"ids": ids}, who=them.object_id, status=200)
        assert found["value"] == []
        assert (await desk.ask("GET", f"users?$filter=id eq '{desk.admin}'", who=them.object_id)).value == []
        assert (await desk.ask("GET", "organization", who=them.object_id)).names("id") == [OTHER.id]
        assert (await desk.ask("GET", "domains", who=them.object_id)).names("id") == ["other.example"]
        for name in ("users", "groups", "servicePrincipals", "organization"):
            assert desk.made.tenant.encode() not in (await desk.ask("GET", name, who=them.object_id)).raw

    at_the_desk(test)


def test_links_stay_within_a_directory() -> None:
    async def test(desk: Desk) -> None:
        await full(desk)
        them = (await desk.other()).object_id
        body = {"displayName": "G", "mailEnabled": False, "mailNickname": "g", "securityEnabled": True}
        group = (await desk.post("groups", body, who=them))["id"]
        for id in (IDS["users"], NEVER):
            ref = {"@odata.id": f"https://graph/v1.0/{desk.made.tenant}/directoryObjects/{id}"}
            (await desk.ask("POST", f"groups/{group}/members/$ref", ref, who=them)).refused(404, "Request_ResourceNotFound", id)
            bound = {**body, "owners@odata.bind": [ref["@odata.id"]]}
            (await desk.ask("POST", "groups", bound, who=them)).refused(404, "Request_ResourceNotFound", id)
        # The tenant in a path is one's own or nothing.
        assert (await desk.ask("GET", f"{OTHER.id}/users", who=them)).status == 200
        for tenant in (desk.made.tenant, NEVER):
            (await desk.ask("GET", f"{tenant}/users", who=them)).refused(400, "BadRequest", tenant)

    at_the_desk(test)


def test_an_administrator_of_the_stamp_makes_a_directory_and_is_nobody_there() -> None:
    async def test(desk: Desk) -> None:
        body = {"displayName": "Contoso", "verifiedDomains": [{"name": "Contoso.example"}],
                "passwordProfile": {"password": "correct-Horse1"}}  # fmt: skip
        made = await desk.post("organization", body)
        assert made["administrator"] == "admin@contoso.example" and made["verifiedDomains"][0]["name"] == "contoso.example"
        found = desk.live.current.directory("CONTOSO.example")
        assert found is not None and found.tenant.id == made["id"] and found.user(desk.admin) is None
        admin = found.user("admin@contoso.example")
        assert isinstance(admin, User)
        form = {"username": admin.upn, "scope": f"{desk.made.endpoints.graph}/.default"}
        signed_in = await by_password(desk.made, "correct-Horse1", path="/contoso.example/oauth2/v2.0/token", **form)
        me = await desk.ask("GET", "me", token=signed_in.json["access_token"])
        assert me.json["id"] == admin.object_id
        assert [t for t in found.objects.values() if isinstance(t, ServicePrincipal) and t.tenant_id != made["id"]] == []
        (await desk.ask("POST", "organization", body)).refused(400, "Request_BadRequest", "verifiedDomains")
        faulty: tuple[dict[str, Any], ...] = (
            {"verifiedDomains": []}, {"verifiedDomains": [{"name": "no domain"}]}, {"passwordProfile": {}},
            {"passwordProfile": {"password": "correct-Horse1", "forceChangePasswordNextSignIn": True}},
        )  # fmt: skip
        for wrong in faulty:
            (await desk.ask("POST", "organization", {**body, **wrong})).refused(400, "Request_BadRequest")
        more = {**body, "verifiedDomains": [{"name": "fabrikam.example"}]}
        (await desk.ask("POST", "organization", more, who=admin.object_id)).refused(403, "Authorization_RequestDenied")

    at_the_desk(test)
