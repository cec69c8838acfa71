"""The front door of an in-process cloud: requests through the real ASGI application, with tokens of the real issuer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.types import ASGIApp

from lazur.identity.directory import DIRECTORIES, LiveDirectory, Write
from lazur.identity.kept import StoredObjects
from lazur.identity.objects import ServicePrincipal, Tenant
from lazur.identity.sealing import StampKey
from lazur.identity.tokens import Issuer, Subject
from lazur.kernel.clock import VirtualClock
from lazur.kernel.ids import SeededIds
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.model.rights import Assignment, Role
from tests.api.contract import contract
from tests.asgi import asked
from tests.cloud.cloud import Cloud, World, new_world

VERSION = "2024-11-01"
ELSEWHERE = "99999999-0000-0000-0000-000000000001"
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> dict[str, Any]:
        """The ARM error; fails when the body has not exactly its form."""
        body = self.json
        assert set(body) == {"error"}, body
        error: dict[str, Any] = body["error"]
        assert {"code", "message"} <= set(error) <= {"code", "message", "target", "details", "additionalInfo"}, error
        assert error["code"] and error["message"]
        return error

    def faults(self) -> set[tuple[str, str]]:
        """(code, target) of every cause."""
        error = self.error
        several = error["details"] if error["code"] in ("MultipleErrorsOccurred", "InvalidTemplateDeployment") else [error]
        return {(e["code"], e.get("target", "")) for e in several}


@dataclass(frozen=True)
class _Earlier:
    """A clock that is slow."""

    clock: VirtualClock

    def now(self) -> datetime:
        return self.clock.now() - timedelta(hours=3)


class Door:
    """A cloud as its customers reach it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.plane = cloud.plane
        self.store = cloud.world.store
        self.endpoints = cloud.plane.endpoints
        self.audience = cloud.plane.endpoints.arm_audiences[0]
        self._twins: dict[str, str] = {}
        self.owner = self.token(cloud.owner.object_id)

    # -- who asks -----------------------------------------------------------------------------------------------------

    def token(self, object_id: str, *, tenant: str = "", audience: str = "", late: bool = False) -> str:
        """An access token for a service principal, which is made when there is none of that id."""
        clock: Any = _Earlier(self.cloud.clock) if late else self.cloud.clock
        issuer = Issuer(self.endpoints, self.plane.app.keys, clock, SeededIds(7))
        subject = self._subject(object_id, tenant or self.plane.stamp.tenant)
        made = issuer.access(subject, audience or self.audience)
        # The same principal at the operator's endpoint, which is asked in its stead for what is served there alone.
        self._twins[made] = issuer.access(subject, audience or self.endpoints.admin_management)
        return made

    def _subject(self, object_id: str, tenant: str) -> Subject:
        live = self.plane.identity.directory
        found = live.current.by_id[tenant].object(object_id)
        if not isinstance(found, ServicePrincipal):
            found = ServicePrincipal(object_id, f"app of {object_id}", tenant, "somebody", type="ManagedIdentity")
            # In memory alone: the world's documents stay those of the test.
            live._current, _ = live.current.edited([Write(found)])
        app = live.current.application(found.app_id)
        return Subject.of_service(found, 1, app.secrets[0].key_id if app else "")

    def grant(self, object_id: str, actions: Sequence[str], scope: str, without: Sequence[str] = ()) -> None:
        """Make this the one custom role a principal holds."""
        held = Assignment(object_id, Role("custom", "custom", tuple(actions), tuple(without)), scope)
        self.assign(held)

    def assign(self, *held: Assignment) -> None:
        """Replace every assignment but the stamp's own."""
        self.plane.authority.assign(*self.cloud.standing, *held)

    # -- what is asked ------------------------------------------------------------------------------------------------

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", version: str | None = VERSION,
        query: str = "", headers: dict[str, str] | None = None, raw: bytes | None = None,
    ) -> Answer:  # fmt: skip
        """One request. `token`: "" the owner's, None without; `raw` in place of a JSON body; the path as on the wire.

        What is the operator's is asked for at the operator's endpoint, with the twin of the token.
        """
        operators = ".admin/" in path.lower()
        shown = None if token is None else token or self.owner
        return await self.at(
            self.plane.operator_app if operators else self.plane.app, method, path,
            self._twins.get(shown, shown) if operators and shown else shown, version, body, query, headers, raw,
        )  # fmt: skip

    def operators_token(self) -> str:
        """The owner's, for the operator's endpoint."""
        return self._twins[self.owner]

    async def at(
        self, app: ASGIApp, method: str, path: str, token: str | None, version: str | None = VERSION, body: Any = None,
        query: str = "", headers: dict[str, str] | None = None, raw: bytes | None = None,
    ) -> Answer:  # fmt: skip
        """One request to one endpoint."""
        host = self.endpoints.admin_management if app is self.plane.operator_app else self.endpoints.management
        sent = {"host": host.partition("://")[2], **(headers or {})}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        content = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        question = "&".join(q for q in (f"api-version={version}" if version is not None else "", query) if q)
        answer = Answer(*await asked(app, method, path, question, sent, content))
        self._is_well_formed(answer)
        broken = contract().faults(method, unquote(path), answer.status, answer.headers, answer.raw)
        assert not broken, f"{method} {path}: {answer.status} is not as documented: {broken[:5]} {answer.raw[:1500]!r}"
        return answer

    def _is_well_formed(self, answer: Answer) -> None:
        """What every answer of ARM has, whatever it says."""
        for name in ("x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id", "cache-control"):
            assert answer.headers.get(name), f"{name} is missing"
        assert "\n" not in "".join(answer.headers.values())
        assert ("www-authenticate" in answer.headers) == (answer.status == 401)
        if answer.status >= 400 and answer.raw:
            assert answer.error

    async def put(self, path: str | ArmId, body: Any, version: str = VERSION) -> Answer:
        """PUT as the owner."""
        return await self.ask("PUT", str(path), body, version=version)

    async def get(self, path: str | ArmId, query: str = "") -> Any:
        """The body of a successful GET."""
        answer = await self.ask("GET", str(path), query=query)
        assert answer.status == 200, answer.raw
        return answer.json

    def stored(self) -> dict[str, Record]:
        """Every resource as it is."""
        return {r.key: r for r in self.store.list()}

    async def is_idle(self) -> None:
        """Wait until everything is as wanted."""
        await self.cloud.settled()


async def second_tenant(world: World) -> None:
    """Another organisation in the directory of a stamp that does not run."""
    key = StampKey(bytes(32), SeededIds(1))
    directory, _ = await LiveDirectory.open(StoredObjects(world.store, DIRECTORIES), SeededIds(2), "x", key)
    await directory.change(lambda d: [Write(Tenant(ELSEWHERE, "Elsewhere", "elsewhere.example"))])


_worlds: dict[str, World] = {}


def world_of(name: str, prepare: Callable[[Cloud], Awaitable[None]]) -> World:
    """A copy of the world that `prepare` made; it is made once for each name."""
    if name not in _worlds:
        world = new_world()

        async def main(clock: VirtualClock) -> None:
            await second_tenant(world)
            cloud = await Cloud(clock, world=world).start()
            await prepare(cloud)
            await cloud.settled()
            await cloud.stop()

        run_virtual(main, world.clock())
        _worlds[name] = world
    return _worlds[name].copy()


def at_the_door(world: World, main: Callable[[Door], Awaitable[T]], *, executors: bool = True) -> T:
    """Run `main` with a cloud over `world`; without executors everything that was wanted stays under way."""

    async def run(clock: VirtualClock) -> T:
        cloud = Cloud(clock, world=world)
        await (cloud.start() if executors else cloud.revive("control"))
        try:
            return await main(Door(cloud))
        finally:
            await cloud.stop()

    return run_virtual(run, world.clock())
