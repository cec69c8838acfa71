"""An outside world for tests: another stamp of ours as a company's OpenID provider, reached without a socket."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from lazur.identity.directory import Write
from lazur.identity.endpoints import Endpoints
from lazur.identity.federation import Federation
from lazur.identity.objects import Application, Secret, ServicePrincipal, Stored, User
from lazur.identity.service import Outside
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Unavailable
from tests.identity.support import Kept, MemoryObjects, Stamp, again, call, cheap, stamp

SECRET = "outside-secret-canary"
CALLBACK = "https://login.local.lazur.internal/common/oauth2/federation"


class StampWeb:
    """`Web` to one other stamp. `twist` may change what comes back; `down` makes it unreachable."""

    def __init__(self, other: Stamp) -> None:
        self.other = other
        self.down = False
        self.asked: list[str] = []
        self.twist: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer

    async def get(self, url: str) -> dict[str, Any]:
        return await self._ask("GET", url, None)

    async def post(self, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        return self.twist(await self._ask("POST", url, dict(form)))

    async def fetch(self, url: str) -> bytes:
        """The same as the guarded way to issuers that customers name."""
        self._check(url)
        return (await call(self.other.app, "GET", url)).body

    async def _ask(self, method: str, url: str, form: dict[str, str] | None) -> dict[str, Any]:
        self._check(url)
        answer = await call(self.other.app, method, url, form)
        if answer.status not in (200, 400, 401):
            raise Unavailable(f"'{url}' cannot be read.")
        found: dict[str, Any] = answer.json
        return found

    def _check(self, url: str) -> None:
        self.asked.append(url)
        if self.down or urlsplit(url).netloc != urlsplit(self.other.endpoints.login).netloc:
            raise Unavailable(f"'{url}' cannot be read.")


_first: list[Kept] = []
"""What a company's provider begins with, made once: hashing and key generation are slow on purpose."""


async def company(clock: Clock) -> Stamp:
    """A company's provider, with keys and people of its own; our stamp is registered there as `lazur`."""
    endpoints = Endpoints.for_region("idp", "corp.example")
    kept = copy.deepcopy(_first[0]) if _first else Kept(MemoryObjects(), {})
    made = await again(kept, clock, endpoints, seed=77, key=bytes(range(32, 64)), domain="corp.example")
    if not _first:
        _first.append(copy.deepcopy(kept))
    app = Application(
        "lazur", "o-lazur", made.tenant, "Our cloud", secrets=(Secret.of("k", SECRET),),
        properties={"web": {"redirectUris": [CALLBACK]}},
    )  # fmt: skip
    things: list[Stored] = [
        app,
        ServicePrincipal("sp-lazur", "lazur", made.tenant, "Our cloud"),
        replace(made.admin, password_hash=cheap("admin")),
        User("u-alice", made.tenant, "alice@corp.example", "Alice Able", cheap("alice")),
        User("u-bob", made.tenant, "bob@corp.example", "Bob Best", cheap("bob")),
    ]
    await made.directory.change(lambda d: [Write(thing) for thing in things])
    return made


def issuer(made: Stamp) -> str:
    """What the company's provider calls itself."""
    return f"{made.endpoints.login}/{made.tenant}/v2.0"


async def federated(clock: Clock, **settings: Any) -> tuple[Stamp, StampWeb]:
    """Our stamp with the company's provider configured."""
    other = await company(clock)
    web = StampWeb(other)
    known = Federation("corp", "Corp Ltd", issuer(other), "lazur", SECRET, **settings)
    return await stamp(clock, outside=Outside([known], web, web.fetch)), web
