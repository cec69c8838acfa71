"""Tokens for guests at the control plane: of machines on the host that asks, and of their own identities alone."""

from __future__ import annotations

import json
from typing import Any

from lazur.api.desires import desire_app
from tests.api.front import Door, at_the_door
from tests.governance.test_machine_identities import BOTH, SYSTEM, USER, patch, shown, vm, with_machine
from tests.governance.test_managed_identities import READER, assign, identity_id, made

NOT_FOUND = {"error": "invalid_request", "error_description": "Identity not found"}


async def ask(door: Door, domain: str = "host/h01", machine: str = "", **query: str) -> tuple[int, dict[str, Any]]:
    """A host's question for its guest."""
    record = door.store.get(vm(door).key)
    machine = machine or (record.uid if record else "")
    body = json.dumps({"machine": machine, "query": {"resource": door.audience, **query}}).encode()
    app = desire_app(door.plane.desires, lambda request: domain, door.plane.tokens)
    scope = {
        "type": "http", "method": "POST", "path": "/tokens", "raw_path": b"/tokens", "query_string": b"", "headers": [],
        "http_version": "1.1", "root_path": "", "scheme": "https",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(m.get("body", b"") for m in sent[1:]))


def test_a_machine_reads_what_its_role_allows() -> None:
    async def story(door: Door) -> None:
        assert await ask(door) == (400, NOT_FOUND)
        await patch(door, {"type": SYSTEM})
        own = await shown(door)
        status, answer = await ask(door)
        assert status == 200 and answer["token_type"] == "Bearer" and answer["resource"] == door.audience
        assert all(isinstance(value, str) for value in answer.values())
        token = answer["access_token"]
        assert (await door.ask("GET", str(vm(door)), token=token)).status == 403
        assert (await assign(door, own["principalId"], READER, vm(door).scope)).status == 201
        assert (await door.ask("GET", str(vm(door)), token=token)).json["name"] == "vm1"
        assert (await door.ask("DELETE", str(vm(door)), token=token)).status == 403
        # The same one again for half of its life, then the next.
        await door.cloud.clock.sleep(1000)
        status, again = await ask(door)
        assert again["access_token"] == token and again["expires_in"] == "2600"
        await door.cloud.clock.sleep(1000)
        assert (await ask(door))[1]["access_token"] != token
        assert token.rpartition(".")[2].encode() not in door.store._writer.serialize()

    at_the_door(with_machine(), story)


def test_only_the_host_it_runs_on_may_ask() -> None:
    async def story(door: Door) -> None:
        await patch(door, {"type": SYSTEM})
        record = door.store.get(vm(door).key)
        assert record is not None
        here = record.allocated["host"]
        (other,) = {"h01", "h02"} - {here}
        assert (await ask(door, f"host/{here}"))[0] == 200
        for domain in (f"host/{other}", "network/main", "storage/main", ""):
            assert await ask(door, domain) == (400, NOT_FOUND)
        assert await ask(door, f"host/{here}", "somebody-else") == (400, NOT_FOUND)
        await door.ask("POST", f"{vm(door)}/deallocate")
        await door.is_idle()
        assert await ask(door, f"host/{here}") == (400, NOT_FOUND)

    at_the_door(with_machine(), story)


def test_it_says_whom_it_means() -> None:
    async def story(door: Door) -> None:
        one, other = await made(door, "id1"), await made(door, "id2")
        await made(door, "id3")
        first, second = str(identity_id(door, "id1")), str(identity_id(door, "id2"))
        await patch(door, {"type": USER, "userAssignedIdentities": {first: {}}})
        assert (await ask(door))[1]["client_id"] == one["clientId"]
        await patch(door, {"type": USER, "userAssignedIdentities": {second: {}}})
        status, refused = await ask(door)
        assert status == 400 and refused["error_description"].startswith("Multiple user assigned identities exist")
        for query in (
            {"client_id": other["clientId"].upper()}, {"object_id": other["principalId"]}, {"mi_res_id": second.upper()},
            {"msi_res_id": second},
        ):  # fmt: skip
            assert (await ask(door, **query))[1]["client_id"] == other["clientId"], query
        third = door.plane.identity.directory.current.home.tenant.id
        absent = str(identity_id(door, "id3"))
        for query in ({"client_id": third}, {"mi_res_id": absent}, {"object_id": "x"}, {"mi_res_id": "x"}):
            assert await ask(door, **query) == (400, NOT_FOUND), query
        assert (await ask(door, client_id="x", object_id="y"))[1]["error"] == "invalid_request"
        # Its own comes first where it has one.
        await patch(door, {"type": BOTH})
        own = await shown(door)
        found = (await ask(door))[1]["client_id"]
        assert found not in (one["clientId"], other["clientId"])
        assert (await ask(door, object_id=own["principalId"]))[1]["client_id"] == found
        assert (await ask(door, resource="https://nowhere.example"))[1]["error"] == "invalid_resource"

    at_the_door(with_machine(), story)


def test_what_is_taken_away_is_gone_at_once() -> None:
    async def story(door: Door) -> None:
        said = await made(door)
        await patch(door, {"type": BOTH, "userAssignedIdentities": {str(identity_id(door)): {}}})
        own, named = await shown(door), {"client_id": said["clientId"]}
        assert (await ask(door, **named))[0] == (await ask(door))[0] == 200
        await patch(door, {"type": SYSTEM})
        assert await ask(door, **named) == (400, NOT_FOUND)
        # Revoked: the token there was is void, the next one is good.
        token = (await ask(door))[1]["access_token"]
        live, now = door.plane.identity.directory, int(door.cloud.clock.now().timestamp())
        await live.revoke(own["tenantId"], own["principalId"], now)
        assert (await door.ask("GET", str(vm(door)), token=token)).status == 401
        assert (await door.ask("GET", str(vm(door)), token=(await ask(door))[1]["access_token"])).status == 403
        await patch(door, {"type": "None"})
        assert await ask(door) == (400, NOT_FOUND)

    at_the_door(with_machine(), story)
