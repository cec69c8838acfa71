"""Tokens of the guests' managed identities: `/metadata/identity`, answered from the control plane and, while it is silent, from
what it said before.

A token is kept in memory until it expires, and asked for again once the last answer is older than `FRESH_SECONDS`, so that what
was taken from a machine is gone for its guest within a minute. Must never write a token anywhere, nor hand out one whose
identity the ledger does not name for that machine any more.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import aiohttp

from lazur.guestservices.httpd import JSON, Request, Response
from lazur.guestservices.ledger import Machine
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Unavailable
from lazur.kernel.log import logger

_log = logger("guestservices.tokens")

FRESH_SECONDS = 30.0
"""How long the control plane's word is good without asking it again."""
RETRY_SECONDS = 5.0
"""How long a token is handed out without asking a control plane that did not answer."""
PATIENCE_SECONDS = 5.0
"""How long the control plane may take to answer."""
BURST, RATE = 20.0, 20.0
"""How many questions a guest may have at once, and how many more each second, as Azure documents it."""
_KEPT = 64
_LONGEST = 2048
_ASKED = ("resource", "client_id", "object_id", "msi_res_id", "mi_res_id")


class TokenSource(Protocol):
    """The control plane, which knows who is who."""

    async def token(self, machine: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Status and body for a question of the guest `machine`. Raises `Unavailable` without an answer."""
        ...


class HttpTokens:
    """`TokenSource` over the host's own mutual TLS connection. `base` has no trailing slash."""

    def __init__(self, base: str, context: ssl.SSLContext) -> None:
        self._base = base
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def token(self, machine: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._context))
        limit, asked = aiohttp.ClientTimeout(total=PATIENCE_SECONDS), {"machine": machine, "query": dict(query)}
        try:
            async with self._session.post(f"{self._base}/tokens", json=asked, timeout=limit) as response:
                if response.status not in (200, 400):
                    raise Unavailable("The control plane cannot answer now.", internal=str(response.status))
                return response.status, await response.json()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable("The control plane cannot be reached.", internal=repr(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


@dataclass(frozen=True)
class _Kept:
    """A token as it was answered, until when it is good, and until when nobody need be asked about it."""

    body: Mapping[str, Any] = field(repr=False)
    expires: float
    fresh: float


@dataclass
class _Guest:
    """What is known of one guest: its tokens by question, one turn at a time for each, and what it may still ask."""

    tokens: dict[tuple[str, ...], _Kept] = field(default_factory=dict)
    turns: dict[tuple[str, ...], asyncio.Lock] = field(default_factory=dict)
    left: float = BURST
    at: float = 0.0


class Tokens:
    """The identity endpoints of one host's guests."""

    def __init__(self, source: TokenSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._guests: dict[str, _Guest] = {}

    def keep(self, machines: Mapping[str, Machine]) -> None:
        """Forget guests that are not on this host any more."""
        self._guests = {uid: guest for uid, guest in self._guests.items() if uid in machines}

    async def answer(self, machine: Machine, path: list[str], request: Request) -> Response:
        """One request below `/metadata/identity` whose form is in order."""
        guest = self._guests.setdefault(machine.uid, _Guest(at=self._clock.monotonic()))
        if not self._may_ask(guest):
            return refusal(429, "too_many_requests", "Too many requests; slow down", {"Retry-After": "1"})
        if path == ["info"]:
            return _json(200, {"tenantId": machine.tenant}) if machine.tenant else _nobody()
        asked = {name: request.query[name] for name in _ASKED if request.query.get(name)}
        if "resource" not in asked:
            return refusal(400, "invalid_request", "Required query variable 'resource' is missing")
        if any(len(value) > _LONGEST for value in asked.values()):
            return refusal(400, "invalid_request", f"A query variable has more than {_LONGEST} characters")
        if not machine.tenant:
            return _nobody()
        key = tuple(asked.get(name, "") for name in _ASKED)
        async with guest.turns.setdefault(key, asyncio.Lock()):
            return await self._token(machine, guest, key, asked)

    def _may_ask(self, guest: _Guest) -> bool:
        now = self._clock.monotonic()
        guest.left, guest.at = min(BURST, guest.left + (now - guest.at) * RATE), now
        if guest.left < 1.0:
            return False
        guest.left -= 1.0
        return True

    async def _token(self, machine: Machine, guest: _Guest, key: tuple[str, ...], asked: Mapping[str, str]) -> Response:
        now, kept = self._clock.monotonic(), guest.tokens.get(key)
        if kept is not None and (kept.expires <= now or kept.body.get("client_id") not in machine.clients):
            kept = None
        if kept is None or kept.fresh <= now:
            try:
                status, body = await self._source.token(machine.uid, asked)
            except Unavailable as error:
                if kept is None:
                    _log.warning("no token to be had", machine=machine.uid, error=error.internal)
                    return refusal(503, "temporarily_unavailable", "The identity service does not answer; try again", _LATER)
                kept = replace(kept, fresh=now + RETRY_SECONDS)
            else:
                if status != 200:
                    self._forget(guest, key)
                    return _json(status, body)
                kept = _Kept(body, now + int(body["expires_in"]), now + FRESH_SECONDS)
            self._remember(guest, key, kept)
        left = str(max(0, int(kept.expires - self._clock.monotonic())))
        return _json(200, {**kept.body, "expires_in": left, "ext_expires_in": left})

    def _remember(self, guest: _Guest, key: tuple[str, ...], kept: _Kept) -> None:
        guest.tokens.pop(key, None)
        guest.tokens[key] = kept
        if len(guest.tokens) > _KEPT:
            self._forget(guest, next(iter(guest.tokens)))

    def _forget(self, guest: _Guest, key: tuple[str, ...]) -> None:
        guest.tokens.pop(key, None)
        guest.turns.pop(key, None)


_LATER = {"Retry-After": "5"}


def refusal(status: int, error: str, words: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal in the form of the identity endpoints."""
    return _json(status, {"error": error, "error_description": words}, headers)


def _nobody() -> Response:
    return refusal(400, "invalid_request", "Identity not found")


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps(body).encode(), JSON, {"Cache-Control": "no-store", **(headers or {})})
