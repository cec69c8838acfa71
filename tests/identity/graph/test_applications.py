"""Applications and service principals through Graph: registration, credentials, app roles, several directories."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.firstparty import GRAPH_ROLES, MICROSOFT_GRAPH
from lazur.identity.objects import ServicePrincipal
from tests.identity.graph.desk import OTHER, Desk, at_the_desk

ROLE = "22222222-0000-4000-8000-000000000001"


def certificate(private: Any, days: int = 365) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    # The virtual clock of these tests begins here.
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key()).serial_number(7)
    signed = made.not_valid_before(now).not_valid_after(now + dt.timedelta(days=days)).sign(private, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode()


def test_an_application_is_registered_with_all_its_parts() -> None:
    async def test(desk: Desk) -> None:
        body = {
            "displayName": "Web", "identifierUris": ["api://web"], "signInAudience": "AzureADMyOrg",
            "web": {"redirectUris": ["https://web.example/cb"], "implicitGrantSettings": {"enableIdTokenIssuance": True}},
            "publicClient": {"redirectUris": ["http://localhost"]}, "isFallbackPublicClient": True,
            "api": {"oauth2PermissionScopes": [{"id": ROLE, "value": "use", "type": "User", "isEnabled": True}]},
            "appRoles": [{"id": ROLE, "value": "Admin", "displayName": "Admin", "description": "d",
                          "allowedMemberTypes": ["User", "Application"], "isEnabled": True}],
            "requiredResourceAccess": [{"resourceAppId": MICROSOFT_GRAPH, "resourceAccess": [{"id": ROLE, "type": "Role"}]}],
        }  # fmt: skip
        made = await desk.post("applications", body)
        assert made["passwordCredentials"] == [] and made["publisherDomain"] == desk.domain
        app = desk.live.current.application(made["appId"])
        assert app and app.public and app.redirect_uris == ("https://web.example/cb", "http://localhost")
        assert app.identifier_uris == ("api://web",) and app.app_roles[0]["value"] == "Admin"
        for path in (f"applications/{made['id']}", f"applications(appId='{made['appId']}')",
                     f"applications?$filter=appId eq '{made['appId']}'",
                     "applications?$filter=identifierUris/any(s:s eq 'api://web')"):  # fmt: skip
            found = await desk.get(path)
            assert (found["value"][0] if "value" in found else found)["displayName"] == "Web", path
        # A part of a complex property leaves the rest of it alone.
        await desk.ask("PATCH", f"applications/{made['id']}", {"web": {"homePageUrl": "https://web.example"}})
        web = (await desk.get(f"applications/{made['id']}"))["web"]
        assert web["redirectUris"] == ["https://web.example/cb"] and web["homePageUrl"] == "https://web.example"
        assert web["implicitGrantSettings"] == {"enableAccessTokenIssuance": False, "enableIdTokenIssuance": True}

    at_the_desk(test)


def test_applications_that_cannot_be() -> None:
    async def test(desk: Desk) -> None:
        await desk.post("applications", {"displayName": "One", "identifierUris": ["api://one"]})
        twice = [
            {"id": ROLE, "value": "a", "allowedMemberTypes": ["User"]},
            {"id": ROLE, "value": "b", "allowedMemberTypes": ["User"]},
        ]
        for body, status, words in (
            ({"displayName": "Two", "identifierUris": ["API://one/"]}, 409, "identifierUris"),
            ({"displayName": "Two", "identifierUris": ["https://elsewhere.example/x"]}, 400, "verified domain"),
            ({"displayName": "Two", "identifierUris": ["nothing"]}, 400, "identifierUris"),
            ({"displayName": "Two", "appRoles": twice}, 400, "appRoles"),
            ({"displayName": "Two", "signInAudience": "Everybody"}, 400, "signInAudience"),
            ({"displayName": "Two", "appId": ROLE}, 400, "appId"),
            ({"displayName": "Two", "web": {"redirectUris": "x"}}, 400, "web.redirectUris"),
            ({"displayName": "Two", "web": {"nothing": 1}}, 400, "web.nothing"),
            ({}, 400, "displayName"),
        ):
            reply = await desk.ask("POST", "applications", body)
            assert reply.status == status and words in reply.json["error"]["message"], (body, reply.raw)
        assert (await desk.post("applications", {"displayName": "Two", "identifierUris": [f"https://x.{desk.domain}/"]}))["id"]

    at_the_desk(test)


def test_a_secret_is_shown_once_and_works_until_it_is_removed() -> None:
    async def test(desk: Desk) -> None:
        made = await desk.post("applications", {"displayName": "App", "passwordCredentials": [{"displayName": "first"}]})
        (first,) = made["passwordCredentials"]
        asked = {"passwordCredential": {"displayName": "rbac", "endDateTime": "2027-01-01T00:00:00.123+00:00"}}
        second = await desk.post(f"applications/{made['id']}/addPassword", asked, status=200)
        assert second["endDateTime"] == "2027-01-01T00:00:00Z" and second["hint"] == second["secretText"][:3]
        app = desk.live.current.application(made["appId"])
        assert app and [
            s.matches(t) for s, t in zip(app.secrets, (first["secretText"], second["secretText"]), strict=True)
        ] == [True, True]
        shown = await desk.ask("GET", f"applications/{made['id']}")
        assert [row["secretText"] for row in shown.json["passwordCredentials"]] == [None, None]
        assert first["secretText"].encode() not in shown.raw
        gone = {"keyId": first["keyId"]}
        assert (await desk.ask("POST", f"applications/{made['id']}/removePassword", gone)).status == 204
        again = await desk.ask("POST", f"applications/{made['id']}/removePassword", gone)
        again.refused(400, "Request_BadRequest", first["keyId"])
        past = {"passwordCredential": {"endDateTime": "2001-01-01T00:00:00Z"}}
        (await desk.ask("POST", f"applications/{made['id']}/addPassword", past)).refused(400, "Request_BadRequest", "end date")
        patch = {"passwordCredentials": [{"displayName": "smuggled"}]}
        (await desk.ask("PATCH", f"applications/{made['id']}", patch)).refused(400, "Request_BadRequest", "addPassword")

    at_the_desk(test)


def test_certificates_are_replaced_as_a_list_and_rolled_with_proof() -> None:
    async def test(desk: Desk) -> None:
        one, two = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
        key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": certificate(one), "displayName": "CN=app"}
        made = await desk.post("applications", {"displayName": "App", "keyCredentials": [key]})
        (row,) = made["keyCredentials"]
        assert row["key"] is None and len(row["customKeyIdentifier"]) == 40
        keep_and_add = {"keyCredentials": [row, {**key, "key": certificate(two)}]}
        assert (await desk.ask("PATCH", f"applications/{made['id']}", keep_and_add)).status == 204
        app = desk.live.current.application(made["appId"])
        assert app and len(app.certificates) == 2 and app.certificates[0].key_id == row["keyId"]
        curve = certificate(ec.generate_private_key(ec.SECP256R1()))
        for wrong in (
            {**key, "key": "bm8="},
            {**key, "key": curve},
            {**key, "endDateTime": "2099-01-01T00:00:00Z"},
            {"keyId": ROLE},
        ):
            (await desk.ask("PATCH", f"applications/{made['id']}", {"keyCredentials": [wrong]})).refused(
                400, "Request_BadRequest"
            )
        now = int(desk.made.clock.now().timestamp())
        pkcs8 = one.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        claims = {"aud": "00000002-0000-0000-c000-000000000000", "iss": made["id"], "nbf": now, "exp": now + 600}

        def proof(**more: Any) -> str:
            return jwt.encode({"alg": "RS256"}, {**claims, **more}, RSAKey.import_key(pkcs8), algorithms=["RS256"])

        gone = {"keyId": app.certificates[1].key_id}
        for bad in ("", "x.y.z", proof(iss="other"), proof(exp=now - 1), proof(exp=now + 86_400), proof(aud="other")):
            (await desk.ask("POST", f"applications/{made['id']}/removeKey", {**gone, "proof": bad})).refused(
                403, "Authorization_RequestDenied"
            )
        assert (await desk.ask("POST", f"applications/{made['id']}/removeKey", {**gone, "proof": proof()})).status == 204
        added = {"keyCredential": {**key, "key": certificate(two)}, "proof": proof()}
        assert (await desk.ask("POST", f"applications/{made['id']}/addKey", added)).status == 200
        assert len((await desk.get(f"applications/{made['id']}"))["keyCredentials"]) == 2

    at_the_desk(test)


def test_credentials_and_lists_have_an_end() -> None:
    async def test(desk: Desk) -> None:
        made = await desk.post("applications", {"displayName": "App"})
        path, key = f"applications/{made['id']}", rsa.generate_private_key(65537, 2048)
        row = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": certificate(key)}
        for name, one in (("passwordCredentials", {"displayName": "s"}), ("keyCredentials", row)):
            full = await desk.ask("POST", "applications", {"displayName": "Many", name: [one] * 101})
            full.refused(400, "Request_BadRequest", "at most 100")
        patch = {"keyCredentials": [row] * 100}
        assert (await desk.ask("PATCH", path, patch)).status == 204
        now = int(desk.made.clock.now().timestamp())
        claims = {"aud": "00000002-0000-0000-c000-000000000000", "iss": made["id"], "nbf": now, "exp": now + 600}
        pkcs8 = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        proof = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(pkcs8), algorithms=["RS256"])
        more = await desk.ask("POST", f"{path}/addKey", {"keyCredential": row, "proof": proof})
        more.refused(400, "Request_BadRequest", "100 key credentials")
        long = {"passwordCredential": {"displayName": "x" * 257}}
        (await desk.ask("POST", f"{path}/addPassword", long)).refused(400, "Request_BadRequest", "displayName")
        wide = {**row, "key": "A" * 40_000}
        (await desk.ask("PATCH", path, {"keyCredentials": [wide]})).refused(400, "Request_BadRequest", "key")
        for name, value in (("tags", ["x"] * 1201), ("web", {"redirectUris": ["https://a.example"] * 1201})):
            (await desk.ask("PATCH", path, {name: value})).refused(400, "Request_BadRequest", "at most 1200")
        for n in range(100):
            await desk.post(f"{path}/addPassword", {"passwordCredential": {"displayName": f"s{n}"}}, status=200)
        last = await desk.ask("POST", f"{path}/addPassword", {})
        last.refused(400, "Request_BadRequest", "100 password credentials")

    at_the_desk(test)


def test_federated_credentials() -> None:
    async def test(desk: Desk) -> None:
        app = (await desk.post("applications", {"displayName": "App"}))["id"]
        path = f"applications/{app}/federatedIdentityCredentials"
        body = {"name": "ci", "issuer": "https://ci.example", "subject": "repo:x", "audiences": ["api://AzureADTokenExchange"]}
        body["name"] = "ci-main"
        made = await desk.post(path, body)
        assert (await desk.get(f"{path}/ci-main"))["id"] == (await desk.get(f"{path}/{made['id']}"))["id"] == made["id"]
        (await desk.ask("POST", path, {**body, "subject": "y"})).refused(409, "Request_MultipleObjectsWithSameKeyValue")
        (await desk.ask("POST", path, {**body, "name": "other"})).refused(400, "Request_BadRequest", "issuer and subject")
        (await desk.ask("POST", path, {**body, "audiences": []})).refused(400, "Request_BadRequest", "audiences")
        assert (await desk.ask("PATCH", f"{path}/ci-main", {"subject": "repo:y", "description": "d"})).status == 204
        assert (await desk.ask("GET", path)).names("subject") == ["repo:y"]
        assert (await desk.ask("DELETE", f"{path}/{made['id']}")).status == 204
        (await desk.ask("DELETE", f"{path}/{made['id']}")).refused(404, "Request_ResourceNotFound")

    at_the_desk(test)


def test_a_service_principal_shows_its_application_and_goes_with_it() -> None:
    async def test(desk: Desk) -> None:
        app = await desk.post("applications", {"displayName": "App", "identifierUris": ["api://app"]})
        made = await desk.post("servicePrincipals", {"appId": app["appId"], "accountEnabled": True})
        assert made["servicePrincipalNames"] == ["api://app", app["appId"]] and made["appDisplayName"] == "App"
        for path in (f"servicePrincipals(appId='{app['appId']}')", f"servicePrincipals/{made['id']}"):
            assert (await desk.get(path))["id"] == made["id"]
        for name in ("api://app", app["appId"]):
            query = f"servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{name}')"
            assert (await desk.ask("GET", query)).names("id") == [made["id"]]
        again = await desk.ask("POST", "servicePrincipals", {"appId": app["appId"]})
        again.refused(409, "Request_MultipleObjectsWithSameKeyValue", "already in use")
        unknown = await desk.ask("POST", "servicePrincipals", {"appId": ROLE})
        unknown.refused(400, "Request_BadRequest", "does not reference a valid application object")
        found = await desk.post("directoryObjects/getByIds", {"ids": [made["id"], app["id"], ROLE]}, status=200)
        assert [r["@odata.type"] for r in found["value"]] == [
            "#microsoft.graph.servicePrincipal",
            "#microsoft.graph.application",
        ]
        typed = await desk.post(
            "directoryObjects/getByIds", {"ids": [made["id"], app["id"]], "types": ["servicePrincipal"]}, status=200
        )
        assert [r["id"] for r in typed["value"]] == [made["id"]]
        secret = await desk.post(f"servicePrincipals/{made['id']}/addPassword", {"passwordCredential": {}}, status=200)
        principal = desk.live.current.principal(app["appId"], desk.made.tenant)
        assert principal and principal.secrets[0].matches(secret["secretText"])
        assert (
            await desk.ask("PATCH", f"servicePrincipals/{made['id']}", {"tags": ["a"], "accountEnabled": False})
        ).status == 204
        principal = desk.live.current.principal(app["appId"], desk.made.tenant)
        assert principal and not principal.enabled and principal.sessions_from
        assert (await desk.ask("DELETE", f"applications/{app['id']}")).status == 204
        assert (await desk.ask("GET", f"servicePrincipals/{made['id']}")).status == 404

    at_the_desk(test)


def test_app_roles_are_given_and_taken() -> None:
    async def test(desk: Desk) -> None:
        role = {"id": ROLE, "value": "Admin", "displayName": "A", "allowedMemberTypes": ["User"], "isEnabled": True}
        app = await desk.post("applications", {"displayName": "App", "appRoles": [role]})
        resource = (await desk.post("servicePrincipals", {"appId": app["appId"]}))["id"]
        user, service = await desk.user(1), await desk.service(1)
        body = {"appRoleId": ROLE, "principalId": user.object_id, "resourceId": resource}
        made = await desk.post(f"servicePrincipals/{resource}/appRoleAssignedTo", body)
        assert (made["principalType"], made["resourceDisplayName"]) == ("User", "App")
        for set_name, id, name in (
            ("servicePrincipals", resource, "appRoleAssignedTo"),
            ("users", user.upn, "appRoleAssignments"),
        ):
            assert (await desk.ask("GET", f"{set_name}/{id}/{name}")).names("id") == [made["id"]]
        here = desk.live.current
        assert here.home.roles_for(user.object_id, app["appId"], here.application(app["appId"])) == ("Admin",)
        for wrong in ({**body}, {**body, "appRoleId": user.object_id}, {**body, "principalId": service.object_id}):
            (await desk.ask("POST", f"servicePrincipals/{resource}/appRoleAssignedTo", wrong)).refused(
                400, "Request_BadRequest"
            )
        path = f"servicePrincipals/{resource}/appRoleAssignedTo/{made['id']}"
        assert (await desk.ask("DELETE", path)).status == 204
        (await desk.ask("DELETE", path)).refused(404, "Request_ResourceNotFound")

    at_the_desk(test)


def test_graphs_own_roles_open_graph_to_an_application() -> None:
    async def test(desk: Desk) -> None:
        service = await desk.service(1)
        (await desk.ask("GET", "users", who=service.object_id)).refused(403, "Authorization_RequestDenied")
        graph = await desk.get(f"servicePrincipals(appId='{MICROSOFT_GRAPH}')")
        assert {r["value"]: r["id"] for r in graph["appRoles"]} == GRAPH_ROLES
        for name, path in (("User.Read.All", "users"), ("Application.Read.All", "applications"), ("Group.Read.All", "groups")):
            body = {"principalId": service.object_id, "resourceId": graph["id"], "appRoleId": GRAPH_ROLES[name]}
            await desk.post(f"servicePrincipals/{service.object_id}/appRoleAssignments", body)
            assert (await desk.ask("GET", path, who=service.object_id)).status == 200
        (await desk.ask("POST", "applications", {"displayName": "x"}, who=service.object_id)).refused(
            403, "Authorization_RequestDenied"
        )
        # What was taken away is gone at once, whatever token is still about.
        rows = (await desk.ask("GET", f"servicePrincipals/{service.object_id}/appRoleAssignments")).value
        for row in rows:
            await desk.ask("DELETE", f"servicePrincipals/{service.object_id}/appRoleAssignments/{row['id']}")
        assert (await desk.ask("GET", "users", who=service.object_id)).status == 403

    at_the_desk(test)


def test_an_application_for_several_directories_is_brought_into_another() -> None:
    async def test(desk: Desk) -> None:
        them = (await desk.other()).object_id
        alone = await desk.post("applications", {"displayName": "Alone"})
        shared = await desk.post("applications", {"displayName": "Shared", "signInAudience": "AzureADMultipleOrgs"})
        absent = await desk.ask("POST", "servicePrincipals", {"appId": ROLE}, who=them)
        hidden = await desk.ask("POST", "servicePrincipals", {"appId": alone["appId"]}, who=them)
        assert (
            hidden.status == 400
            and hidden.json["error"]["message"].replace(alone["appId"], ROLE) == absent.json["error"]["message"]
        )
        made = await desk.post("servicePrincipals", {"appId": shared["appId"]}, who=them)
        assert made["appOwnerOrganizationId"] == desk.made.tenant
        assert (await desk.ask("GET", f"applications(appId='{shared['appId']}')", who=them)).status == 404
        assert desk.live.current.principal(shared["appId"], OTHER.id) and not desk.live.current.principal(
            shared["appId"], desk.made.tenant
        )

    at_the_desk(test)


def test_what_the_cloud_made_is_not_the_directorys_to_change() -> None:
    async def test(desk: Desk) -> None:
        identity = ServicePrincipal(
            "eeeeeeee-0000-4000-8000-000000000001", "eeeeeeee-0000-4000-8000-000000000002", desk.made.tenant, "id1",
            type="ManagedIdentity", properties={"alternativeNames": ["isExplicit=True", "/subscriptions/s/…/id1"]},
        )  # fmt: skip
        await desk.write(identity)
        shown = await desk.get(f"servicePrincipals/{identity.object_id}")
        assert shown["servicePrincipalType"] == "ManagedIdentity" and shown["alternativeNames"][0] == "isExplicit=True"
        graph = await desk.get(f"servicePrincipals(appId='{MICROSOFT_GRAPH}')")
        for id in (identity.object_id, graph["id"]):
            for method, path, body in (("DELETE", "", None), ("PATCH", "", {"tags": ["x"]}), ("POST", "/addPassword", {})):
                (await desk.ask(method, f"servicePrincipals/{id}{path}", body)).refused(400, "Request_BadRequest")
            (await desk.ask("DELETE", f"directoryObjects/{id}")).refused(400, "Request_BadRequest")

    at_the_desk(test)
