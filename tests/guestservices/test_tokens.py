"""Tokens of managed identities as guests get them: Azure's rules, one guest's own only, and a control plane that dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from lazur.guestservices.httpd import Request
from lazur.guestservices.ledger import Machine
from lazur.guestservices.tokens import BURST, FRESH_SECONDS, Tokens
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import Unavailable
from tests.guestservices.cloud import Guest, ledger_write, serving, vm

TOKEN = "identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.example"
WHO = {"tenantId": "t-1", "clientIds": ["app-1"]}


class Control:
    """A control plane: what it answers, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.dead = False
        self.client = "app-1"
        self.refusal: dict[str, str] | None = None
        self.life = 3600

    async def token(self, machine: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        if self.dead:
            raise Unavailable("The control plane cannot be reached.")
        self.asked.append((machine, dict(query)))
        if self.refusal is not None:
            return 400, self.refusal
        return 200, {
            "access_token": f"token {len(self.asked)} of {machine}", "client_id": self.client, "expires_in": str(self.life),
            "ext_expires_in": str(self.life), "expires_on": "1800003600", "not_before": "1800000000",
            "resource": query["resource"], "token_type": "Bearer",
        }  # fmt: skip


def served(tmp_path: Path, control: Control, check: Callable[[Guest], Awaitable[None]], **payload: Any) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4", **payload))
        ledger_write(tmp_path / "ledger", "vm", "v2", vm("v2", "net", "127.0.0.5", identity={**WHO, "clientIds": ["app-2"]}))
        async with serving(tmp_path, "net", tokens=control) as access:
            await check(Guest(access, "net", "127.0.0.4"))

    asyncio.run(scenario())


def test_a_token_has_azures_form(tmp_path: Path) -> None:
    control = Control()

    async def check(guest: Guest) -> None:
        answer = await guest.imds(f"{TOKEN}&client_id=app-1&object_id=&other=x")
        assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
        assert answer.json.pop("expires_in") in ("3599", "3600")
        assert {type(value) for value in answer.json.values()} == {str}
        assert answer.json.keys() == {
            "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource", "token_type",
        }  # fmt: skip
        assert control.asked == [("v1", {"resource": "https://vault.example", "client_id": "app-1"})]
        info = await guest.imds("identity/info?api-version=2018-02-01")
        assert (info.status, info.json) == (200, {"tenantId": "t-1"})

    served(tmp_path, control, check, identity=WHO)


def test_the_rules(tmp_path: Path) -> None:
    control = Control()

    async def check(guest: Guest) -> None:
        async def said(path: str, **headers: str) -> tuple[int, str, str]:
            answer = await guest.imds(path, **headers)
            return answer.status, answer.json["error"], answer.json.get("error_description", "")

        bare = await guest.http("GET", f"http://169.254.169.254/metadata/{TOKEN}")
        assert (bare.status, bare.json["error_description"]) == (400, "Required metadata header not specified")
        status, error, words = await said(TOKEN, **{"X-Forwarded-For": "10.0.0.1"})
        assert (status, error) == (400, "invalid_request") and "X-Forwarded-For" in words
        status, error, words = await said("identity/oauth2/token?api-version=2018-02-01")
        assert (status, words) == (400, "Required query variable 'resource' is missing")
        assert (await guest.imds("identity/oauth2/token?resource=x")).status == 400
        assert (await guest.imds("identity/oauth2?api-version=2018-02-01")).status == 404
        posted = await guest.http("POST", f"http://169.254.169.254/metadata/{TOKEN}", {"Metadata": "true"})
        assert posted.status == 405
        assert (await said(f"{TOKEN}{'x' * 3000}"))[0] == 400
        assert not control.asked
        control.refusal = {"error": "invalid_resource", "error_description": "AADSTS500011: …"}
        assert await said(TOKEN) == (400, "invalid_resource", "AADSTS500011: …")

    served(tmp_path, control, check, identity=WHO)


def test_a_guest_that_is_nobody_asks_nobody(tmp_path: Path) -> None:
    control = Control()

    async def check(guest: Guest) -> None:
        for path in (TOKEN, "identity/info?api-version=2018-02-01"):
            answer = await guest.imds(path)
            assert answer.status == 400
            assert answer.json == {"error": "invalid_request", "error_description": "Identity not found"}
        assert not control.asked

    served(tmp_path, control, check)


def test_each_guest_gets_its_own(tmp_path: Path) -> None:
    control = Control()

    async def check(guest: Guest) -> None:
        mine = (await guest.imds(TOKEN)).json["access_token"]
        control.client = "app-2"
        # Nothing that a guest says moves it into another's place.
        forged = {"Host": "127.0.0.4", "X-Real-IP": "127.0.0.4", "Forwarded": "for=127.0.0.4"}
        theirs = (await Guest(guest.access, "net", "127.0.0.5").imds(TOKEN, **forged)).json["access_token"]
        assert mine.endswith("v1") and theirs.endswith("v2") and [m for m, _ in control.asked] == ["v1", "v2"]
        stranger = await Guest(guest.access, "net", "127.0.0.6").imds(TOKEN)
        assert stranger.status == 403

    served(tmp_path, control, check, identity=WHO)


# -- what is kept, under a clock that stands still --------------------------------------------------------------------


class Asker:
    """One guest's questions without a socket between."""

    def __init__(self) -> None:
        self.control, self.clock = Control(), VirtualClock()
        self.tokens = Tokens(self.control, self.clock)
        self.machine = Machine("v1", "", "v1", "v1", (), None, {}, "t-1", frozenset({"app-1"}))

    def ask(self, resource: str = "r", **query: str) -> tuple[int, Any]:
        request = Request("GET", "", {"resource": resource, **query}, {}, b"", False, "10.0.0.4")
        answer = asyncio.run(self.tokens.answer(self.machine, ["oauth2", "token"], request))
        return answer.status, json.loads(answer.body)


def test_the_control_planes_word_is_good_for_half_a_minute() -> None:
    guest = Asker()
    first = guest.ask()
    guest.clock.advance(FRESH_SECONDS - 1)
    status, again = guest.ask()
    assert status == 200 and again["access_token"] == first[1]["access_token"] and again["expires_in"] == "3571"
    guest.clock.advance(2)
    assert guest.ask()[1]["access_token"] != first[1]["access_token"]
    assert guest.ask("r", client_id="app-1")[0] == guest.ask("other")[0] == 200 and len(guest.control.asked) == 4


def test_what_was_taken_back_is_not_handed_out_again() -> None:
    guest = Asker()
    assert guest.ask()[0] == 200
    guest.control.refusal = {"error": "invalid_request", "error_description": "Identity not found"}
    guest.clock.advance(FRESH_SECONDS)
    assert guest.ask() == (400, guest.control.refusal)
    guest.control.dead = True
    assert guest.ask()[0] == 503


def test_an_identity_that_the_host_knows_to_be_taken_away_is_gone_at_once() -> None:
    guest = Asker()
    assert guest.ask()[0] == 200
    guest.control.dead = True
    assert guest.ask()[0] == 200
    guest.machine = Machine("v1", "", "v1", "v1", (), None, {}, "t-1", frozenset({"app-2"}))
    assert guest.ask()[0] == 503


def test_a_dead_control_plane_is_survived_until_the_token_expires() -> None:
    guest = Asker()
    kept = guest.ask()[1]["access_token"]
    guest.control.dead = True
    for _ in range(35):
        guest.clock.advance(100)
        status, body = guest.ask()
        assert status == 200 and body["access_token"] == kept
    guest.clock.advance(101)
    status, body = guest.ask()
    assert status == 503 and body["error"] == "temporarily_unavailable"
    guest.control.dead = False
    assert guest.ask()[0] == 200


def test_a_flood_is_refused_and_forgiven() -> None:
    guest = Asker()
    found = [guest.ask()[0] for _ in range(int(BURST) + 5)]
    assert found == [200] * int(BURST) + [429] * 5 and len(guest.control.asked) == 1
    guest.clock.advance(1)
    assert guest.ask()[0] == 200
    guest.tokens.keep({})
    guest.clock.advance(1)
    assert guest.ask()[0] == 200 and len(guest.control.asked) == 2
