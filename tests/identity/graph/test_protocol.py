"""The wire: versions, paths, methods, bodies, headers, and what is honestly not there."""

from __future__ import annotations

import pytest

from lazur.identity.endpoints import Endpoints
from tests.identity.graph.desk import Desk, at_the_desk

GUID = "12345678-0000-4000-8000-123456789012"


def test_answers_carry_graphs_headers() -> None:
    async def test(desk: Desk) -> None:
        reply = await desk.ask("GET", "organization", headers={"client-request-id": GUID})
        assert reply.headers["client-request-id"] == GUID and reply.headers["request-id"] != GUID
        assert reply.headers["content-type"].startswith("application/json;odata.metadata=minimal")
        assert reply.headers["odata-version"] == "4.0" and reply.headers["cache-control"] == "no-cache"
        refused = await desk.ask("GET", f"users/{GUID}", headers={"client-request-id": "injected\r\nx: y"})
        inner = refused.json["error"]["innerError"]
        assert inner["client-request-id"] == inner["request-id"] == refused.headers["request-id"]

    at_the_desk(test)


def test_paths_that_are_not_there_are_named() -> None:
    async def test(desk: Desk) -> None:
        for path, segment in (("nothing", "nothing"), (f"users/{desk.admin}/messages", "messages"), ("users/x/y/z", "")):
            reply = await desk.ask("GET", path)
            assert reply.status in (400, 404) and segment in reply.json["error"]["message"]
        for method, path in (("PUT", "users"), ("DELETE", "groups"), ("POST", f"users/{desk.admin}"), ("PATCH", "domains/x")):
            (await desk.ask(method, path)).refused(405, "Request_BadRequest", "not allowed")
        (await desk.ask("GET", "/v3.0/users")).refused(400, "Request_BadRequest", "Invalid version")
        for path in ("/v1.0", "/v1.0/"):
            assert (await desk.ask("GET", path)).status == 400
        legacy = await desk.ask("GET", f"/{desk.made.tenant}/users?api-version=1.6", token=None)
        assert legacy.status == 410 and "Azure AD Graph is retired" in legacy.json["odata.error"]["message"]["value"]

    at_the_desk(test)


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff", b"[" * 5000, b'{"a":' * 600 + b"1" + b"}" * 600])
def test_bodies_that_are_no_object(raw: bytes) -> None:
    async def test(desk: Desk) -> None:
        for method, path in (("POST", "users"), ("PATCH", f"users/{desk.admin}")):
            reply = await desk.ask(method, path, raw=raw)
            assert reply.status == 400 and reply.json["error"]["code"] in ("BadRequest", "Request_BadRequest"), reply.raw
        assert (await desk.ask("POST", "users", raw=b" " * (1 << 20) + b"  ")).status == 413

    at_the_desk(test)


def test_what_is_not_kept_is_said() -> None:
    async def test(desk: Desk) -> None:
        (await desk.ask("POST", "domains", {"id": "x.example"})).refused(501, "NotSupported", "domains")
        assert (await desk.ask("GET", "directory/deletedItems/microsoft.graph.application")).value == []
        (await desk.ask("GET", f"directory/deletedItems/{GUID}")).refused(404, "Request_ResourceNotFound")
        (await desk.ask("POST", f"directory/deletedItems/{GUID}/restore")).refused(404, "Request_ResourceNotFound")

    at_the_desk(test)


def test_an_application_has_no_me() -> None:
    async def test(desk: Desk) -> None:
        for path in ("me", "me/memberOf"):
            reply = await desk.ask("GET", path, who=desk.made.secrets.client_object_id)
            reply.refused(400, "BadRequest", "/me request is only valid with delegated authentication flow.")

    at_the_desk(test)


def test_one_port_serves_graph_below_a_path_of_its_own() -> None:
    async def test(desk: Desk) -> None:
        endpoints = Endpoints.for_localhost(5000, "local", "lazur.internal")
        assert endpoints.graph == "https://localhost:5000/graph"
        assert not endpoints.accepted_by_graph & endpoints.accepted_by_arm
        desk.serve(endpoints)
        token = desk.token(desk.admin, audience="https://graph.microsoft.com")
        reply = await desk.ask("GET", "/graph/v1.0/users?$top=1", token=token)
        assert reply.json["@odata.context"] == "https://localhost:5000/graph/v1.0/$metadata#users"
        assert (await desk.ask("GET", "/v1.0/users", token=token)).status == 404

    at_the_desk(test)
