"""Delegated permission grants: as az and Terraform make them, who may, and that they go with what they are about."""

from __future__ import annotations

from lazur.identity.firstparty import ARM
from lazur.identity.objects import APPLICATION_ADMINISTRATOR
from tests.identity.graph.desk import Desk, at_the_desk

GRANTS = "oauth2PermissionGrants"
DENIED = 403, "Authorization_RequestDenied"


async def about(desk: Desk) -> dict[str, str]:
    """A grant's two ends: a program of the directory, and ARM."""
    service = await desk.service(1)
    arm = (await desk.get(f"servicePrincipals(appId='{ARM}')"))["id"]
    return {"clientId": service.object_id, "resourceId": arm}


def test_a_life() -> None:
    async def test(desk: Desk) -> None:
        alice, ends = await desk.user(1), await about(desk)
        body = {**ends, "consentType": "AllPrincipals", "principalId": None, "scope": " user_impersonation "}
        made = await desk.post(GRANTS, {**body, "startTime": "2026-01-01T00:00:00Z", "expiryTime": "2027-01-01T00:00:00Z"})
        shown = {**body, "scope": "user_impersonation", "id": made["id"]}
        assert {k: v for k, v in made.items() if not k.startswith("@")} == shown
        (await desk.ask("POST", GRANTS, body)).refused(409, "Request_MultipleObjectsWithSameKeyValue")
        hers = await desk.post(GRANTS, {**body, "consentType": "Principal", "principalId": alice.object_id})
        both = [made["id"], hers["id"]]
        assert (await desk.ask("GET", f"{GRANTS}?$filter=clientId eq '{ends['clientId']}'")).names("id") == sorted(both)
        assert (await desk.ask("GET", f"servicePrincipals/{ends['clientId']}/{GRANTS}")).names("id") == sorted(both)
        assert (await desk.ask("GET", f"users/{alice.object_id}/{GRANTS}")).names("id") == [hers["id"]]
        assert (await desk.ask("PATCH", f"{GRANTS}/{made['id']}", {"scope": ""})).status == 204
        assert (await desk.get(f"{GRANTS}/{made['id']}"))["scope"] == ""
        assert (await desk.ask("DELETE", f"{GRANTS}/{made['id']}")).status == 204
        (await desk.ask("GET", f"{GRANTS}/{made['id']}")).refused(404, "Request_ResourceNotFound")
        assert (await desk.ask("DELETE", f"users/{alice.object_id}")).status == 204
        assert (await desk.ask("GET", GRANTS)).value == []

    at_the_desk(test)


def test_what_cannot_be_granted() -> None:
    async def test(desk: Desk) -> None:
        alice, ends = await desk.user(1), await about(desk)
        body = {**ends, "consentType": "AllPrincipals", "scope": "user_impersonation"}
        for wrong, target in (
            ({"scope": "everything"}, "scope"), ({"principalId": alice.object_id}, "principalId"),
            ({"consentType": "Principal"}, "principalId"), ({"consentType": "Nobody"}, "consentType"),
        ):  # fmt: skip
            reply = await desk.ask("POST", GRANTS, {**body, **wrong})
            assert (reply.status, reply.json["error"]["code"]) == (400, "Request_BadRequest"), reply.raw
            assert target in reply.json["error"]["message"], reply.raw
        for end in ends:
            (await desk.ask("POST", GRANTS, {**body, end: alice.object_id})).refused(404, "Request_ResourceNotFound")

    at_the_desk(test)


def test_only_who_rules_the_directory_consents() -> None:
    async def test(desk: Desk) -> None:
        alice, ends = await desk.user(1), await about(desk)
        body = {**ends, "consentType": "Principal", "principalId": alice.object_id, "scope": "user_impersonation"}
        registrar = await desk.service(2, APPLICATION_ADMINISTRATOR)
        made = await desk.post(GRANTS, body)
        for who in (alice.object_id, registrar.object_id):
            assert (await desk.ask("GET", GRANTS, who=who)).names("id") == [made["id"]]
            (await desk.ask("POST", GRANTS, body, who=who)).refused(*DENIED)
            (await desk.ask("PATCH", f"{GRANTS}/{made['id']}", {"scope": ""}, who=who)).refused(*DENIED)
            (await desk.ask("DELETE", f"{GRANTS}/{made['id']}", who=who)).refused(*DENIED)

    at_the_desk(test)
