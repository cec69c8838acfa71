"""Who may do what: nobody, a person, an owner, an application, an administrator; and no way up from one to the next."""

from __future__ import annotations

from dataclasses import replace

from lazur.identity.firstparty import GRAPH_ROLES, MICROSOFT_GRAPH
from lazur.identity.objects import GLOBAL_ADMINISTRATOR, USER_ADMINISTRATOR, Link
from tests.identity.graph.desk import Desk, at_the_desk

DENIED = (403, "Authorization_RequestDenied")


def test_a_token_for_something_else_is_no_token() -> None:
    async def test(desk: Desk) -> None:
        for token in (None, "junk", desk.token(desk.admin, audience=desk.made.endpoints.management)):
            reply = await desk.ask("GET", "users", token=token)
            reply.refused(401, "InvalidAuthenticationToken")
            assert reply.headers["www-authenticate"].startswith("Bearer")
        zone = desk.made.endpoints.graph
        for audience in (zone, f"{zone}/", "https://graph.microsoft.com/", MICROSOFT_GRAPH):
            assert (await desk.ask("GET", "users", token=desk.token(desk.admin, audience=audience))).status == 200

    at_the_desk(test)


def test_a_person_reads_the_directory_and_registers_their_own() -> None:
    async def test(desk: Desk) -> None:
        alice, bob = await desk.user(1), await desk.user(2)
        who = alice.object_id
        for path in ("users", "groups", "applications", "servicePrincipals", "organization", "domains", "directoryRoles",
                     f"users/{bob.upn}", "oauth2PermissionGrants"):  # fmt: skip
            assert (await desk.ask("GET", path, who=who)).status == 200, path
        assert (await desk.get("me", who=who))["userPrincipalName"] == alice.upn
        app = await desk.post("applications", {"displayName": "Mine"}, who=who)
        principal = await desk.post("servicePrincipals", {"appId": app["appId"]}, who=who)
        assert (await desk.ask("POST", f"applications/{app['id']}/addPassword", {}, who=who)).status == 200
        assert set((await desk.ask("GET", "me/ownedObjects", who=who)).names("id")) == {app["id"], principal["id"]}
        assert (await desk.ask("PATCH", "me", {"mobilePhone": "1"}, who=who)).status == 204
        for method, path, body in (
            ("PATCH", "me", {"displayName": "Root"}),
            ("PATCH", "me", {"mobilePhone": "1", "accountEnabled": True}),
            ("PATCH", f"users/{bob.upn}", {"mobilePhone": "1"}),
            ("DELETE", f"users/{bob.upn}", None),
            ("POST", f"users/{bob.upn}/revokeSignInSessions", None),
            ("POST", f"users/{bob.upn}/changePassword", {"currentPassword": "a", "newPassword": "b"}),
            ("POST", f"directoryRoles/{GLOBAL_ADMINISTRATOR}/members/$ref", {"@odata.id": f"x/{who}"}),
            ("POST", "organization", {"displayName": "X", "verifiedDomains": [{"name": "x.example"}],
                                      "passwordProfile": {"password": "correct-Horse1"}}),
            ("POST", "organization", {"displayName": "before a fault in it is told"}),
            ("DELETE", f"directoryObjects/{bob.object_id}", None),
        ):  # fmt: skip
            (await desk.ask(method, path, body, who=who)).refused(*DENIED)
        user = {"accountEnabled": True, "displayName": "x", "mailNickname": "x", "userPrincipalName": f"x@{desk.domain}",
                "passwordProfile": {"password": "correct-Horse1"}}  # fmt: skip
        (await desk.ask("POST", "users", user, who=who)).refused(*DENIED)

    at_the_desk(test)


def test_nobody_becomes_an_administrator_by_a_detour() -> None:
    async def test(desk: Desk) -> None:
        secrets = desk.made.secrets
        cli = desk.live.current.application(secrets.client_id)
        assert cli
        helper = await desk.user(1)
        await desk.write(Link("role", desk.made.tenant, USER_ADMINISTRATOR, helper.object_id))
        manager = await desk.service(1)
        graph = await desk.get(f"servicePrincipals(appId='{MICROSOFT_GRAPH}')")

        def gives(role: str) -> dict[str, str]:
            return {"principalId": manager.object_id, "resourceId": graph["id"], "appRoleId": GRAPH_ROLES[role]}

        await desk.post(f"servicePrincipals/{manager.object_id}/appRoleAssignments", gives("Application.ReadWrite.All"))
        victim = await desk.user(2)
        assert (await desk.ask("PATCH", f"users/{victim.upn}", {"jobTitle": "x"}, who=helper.object_id)).status == 204
        for who, method, path, body in (
            (helper.object_id, "PATCH", f"users/{desk.admin}", {"passwordProfile": {"password": "correct-Horse1"}}),
            (helper.object_id, "DELETE", f"users/{desk.admin}", None),
            (helper.object_id, "POST", f"users/{desk.admin}/revokeSignInSessions", None),
            (manager.object_id, "POST", f"applications/{cli.object_id}/addPassword", {}),
            (manager.object_id, "POST", f"servicePrincipals/{secrets.client_object_id}/addPassword", {}),
            (manager.object_id, "DELETE", f"applications/{cli.object_id}", None),
            (manager.object_id, "POST", f"servicePrincipals/{manager.object_id}/appRoleAssignments",
             gives("RoleManagement.ReadWrite.Directory")),
            (manager.object_id, "POST", f"servicePrincipals/{secrets.client_object_id}/owners/$ref",
             {"@odata.id": f"x/directoryObjects/{manager.object_id}"}),
        ):  # fmt: skip
            (await desk.ask(method, path, body, who=who)).refused(*DENIED)

    at_the_desk(test)


def test_an_application_may_be_let_manage_only_what_it_made() -> None:
    async def test(desk: Desk) -> None:
        maker = await desk.service(1)
        graph = await desk.get(f"servicePrincipals(appId='{MICROSOFT_GRAPH}')")
        body = {
            "principalId": maker.object_id,
            "resourceId": graph["id"],
            "appRoleId": GRAPH_ROLES["Application.ReadWrite.OwnedBy"],
        }
        await desk.post(f"servicePrincipals/{maker.object_id}/appRoleAssignments", body)
        own = await desk.post("applications", {"displayName": "Own"}, who=maker.object_id)
        foreign = await desk.post("applications", {"displayName": "Foreign"})
        await desk.post("servicePrincipals", {"appId": own["appId"]}, who=maker.object_id)
        assert (await desk.ask("PATCH", f"applications/{own['id']}", {"notes": "x"}, who=maker.object_id)).status == 204
        for method, path, given in (
            ("PATCH", f"applications/{foreign['id']}", {"notes": "x"}),
            ("POST", "servicePrincipals", {"appId": foreign["appId"]}),
            ("GET", "users", None),
            ("POST", "groups", {"displayName": "g", "mailEnabled": False, "mailNickname": "g", "securityEnabled": True}),
        ):
            (await desk.ask(method, path, given, who=maker.object_id)).refused(*DENIED)

    at_the_desk(test)


def test_a_person_through_an_application_of_the_directory_is_only_themselves() -> None:
    async def test(desk: Desk) -> None:
        app = await desk.post("applications", {"displayName": "App"})
        await desk.post("servicePrincipals", {"appId": app["appId"]})
        token = desk.token(desk.admin, app=app["appId"])
        assert (await desk.ask("GET", "me", token=token)).json["id"] == desk.admin
        for method, path in (("GET", "users"), ("GET", "me/memberOf"), ("PATCH", "me"), ("GET", "organization"),
                             ("POST", "groups"), ("GET", f"directoryObjects/{desk.admin}"),
                             ("GET", "users/nobody/manager"), ("POST", "users/nobody/changePassword")):  # fmt: skip
            body = {"displayName": "g", "mailEnabled": False, "mailNickname": "g", "securityEnabled": True}
            (await desk.ask(method, path, None if method == "GET" else body, token=token)).refused(*DENIED)

    at_the_desk(test)


def test_directory_roles_are_given_and_the_last_administrator_stays() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.user(1)
        path = f"directoryRoles(roleTemplateId='{GLOBAL_ADMINISTRATOR}')/members"
        await desk.post(f"{path}/$ref", {"@odata.id": f"https://x/v1.0/directoryObjects/{user.object_id}"}, status=204)
        assert user.object_id in (await desk.ask("GET", path)).names("id")
        holders = (await desk.ask("GET", path)).names("id")
        for holder in holders:
            if holder != user.object_id:
                assert (await desk.ask("DELETE", f"{path}/{holder}/$ref", who=user.object_id)).status == 204
        for method, gone in (("DELETE", f"{path}/{user.object_id}/$ref"), ("DELETE", f"users/{user.object_id}")):
            (await desk.ask(method, gone, who=user.object_id)).refused(400, "Request_BadRequest", "last Global Administrator")
        (await desk.ask("DELETE", f"users/{user.object_id}")).refused(*DENIED)

    at_the_desk(test)


def test_a_person_owns_only_so_many() -> None:
    async def test(desk: Desk) -> None:
        alice = await desk.user(1)
        tenant = desk.made.tenant
        await desk.write(*(Link("owner", tenant, f"x{n}", alice.object_id) for n in range(249)))
        body = {"displayName": "G", "mailEnabled": False, "mailNickname": "g", "securityEnabled": True}
        await desk.post("groups", body, who=alice.object_id)
        (await desk.ask("POST", "groups", body, who=alice.object_id)).refused(403, "Directory_QuotaExceeded")
        await desk.post("groups", body)

    at_the_desk(test)


def test_a_guest_sees_themselves_only() -> None:
    async def test(desk: Desk) -> None:
        guest = replace(await desk.user(1), properties={"userType": "Guest"})
        await desk.write(guest)
        assert (await desk.get("me", who=guest.object_id))["id"] == guest.object_id
        for path in ("users", "groups", f"users/{desk.admin}", "organization"):
            reply = await desk.ask("GET", path, who=guest.object_id)
            assert reply.status == (200 if path == "organization" else 403)

    at_the_desk(test)


def test_role_assignments_are_the_same_roles_in_another_form() -> None:
    async def test(desk: Desk) -> None:
        user = await desk.user(1)
        path = "roleManagement/directory/roleAssignments"
        assert USER_ADMINISTRATOR in (await desk.ask("GET", "roleManagement/directory/roleDefinitions")).names("id")
        shown = await desk.ask("GET", "directoryRoleTemplates?$filter=displayName eq 'User Administrator'")
        assert shown.names("id") == [USER_ADMINISTRATOR]
        active = await desk.ask("POST", "directoryRoles", {"roleTemplateId": USER_ADMINISTRATOR})
        active.refused(400, "Request_BadRequest", "conflicting object")
        body = {"principalId": user.object_id, "roleDefinitionId": USER_ADMINISTRATOR, "directoryScopeId": "/"}
        (await desk.ask("POST", path, body, who=user.object_id)).refused(*DENIED)
        made = await desk.post(path, body)
        (await desk.ask("POST", path, body)).refused(400, "Request_BadRequest", "conflicting object")
        assert (await desk.get(f"{path}/{made['id']}"))["principalId"] == user.object_id
        mine = await desk.ask("GET", f"{path}?$filter=principalId eq '{user.object_id}'")
        assert mine.names("roleDefinitionId") == [USER_ADMINISTRATOR]
        role = f"directoryRoles(roleTemplateId='{USER_ADMINISTRATOR}')"
        assert (await desk.ask("GET", f"{role}/members")).names("id") == [user.object_id]
        assert (await desk.ask("DELETE", f"{path}/{made['id']}")).status == 204
        (await desk.ask("GET", f"{path}/{made['id']}")).refused(404, "Request_ResourceNotFound")
        group = {**body, "principalId": "aaaaaaaa-0000-4000-8000-00000000000f"}
        (await desk.ask("POST", path, group)).refused(404, "Request_ResourceNotFound")
        elsewhere = {**body, "directoryScopeId": "/x"}
        (await desk.ask("POST", path, elsewhere)).refused(400, "Request_BadRequest", "directoryScopeId")

    at_the_desk(test)
