"""A stamp with two directories behind its Graph, and callers of each kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette

from lazur.identity.directory import Write
from lazur.identity.endpoints import Endpoints
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.graph.app import routes
from lazur.identity.graph.request import Stage
from lazur.identity.objects import GLOBAL_ADMINISTRATOR, Application, Link, Secret, ServicePrincipal, Stored, Tenant, User
from lazur.identity.tokens import Issuer, Subject
from lazur.kernel.clock import VirtualClock
from lazur.kernel.ids import SeededIds
from tests.asgi import asked
from tests.identity.support import Stamp, stamp

OTHER = Tenant("99999999-0000-4000-8000-000000000009", "Other", "other.example")
# Never signs in with a password: nobody knows what this is the hash of.
HASH = f"scrypt$16384$8$5${'0' * 32}${'1' * 64}"


def person(number: int, upn: str, tenant: str, **more: Any) -> User:
    name = upn.partition("@")[0].capitalize()
    return User(f"aaaaaaaa-0000-4000-8000-{number:012d}", tenant, upn, name, HASH, **more)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def value(self) -> list[Any]:
        assert self.status == 200, self.raw
        rows: list[Any] = self.json["value"]
        return rows

    def names(self, name: str = "displayName") -> list[str]:
        return [row[name] for row in self.value]

    def refused(self, status: int, code: str, *words: str) -> str:
        """The message of a refusal in Graph's form."""
        assert self.status == status, self.raw
        error = self.json["error"]
        assert error["code"] == code, error
        assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
        message = str(error["message"])
        assert all(word in message for word in words), message
        return message


class Desk:
    """Graph, and who asks it."""

    def __init__(self, made: Stamp) -> None:
        self.made = made
        self.live = made.directory
        self.serve(made.endpoints)
        self.admin = made.secrets.admin_object_id
        self.domain = made.directory.current.home.tenant.default_domain

    def serve(self, endpoints: Endpoints) -> None:
        """Serve Graph at `endpoints` from now on."""
        stage = Stage(self.live, endpoints, self.made.clock, SeededIds(11), self.made.provider.signin)
        self.app = Starlette(routes=routes(stage, self.made.verifier))

    def token(self, object_id: str, *, app: str = AZ_CLI, audience: str = "") -> str:
        """A token of a person, through `app`, or of an application by its first secret."""
        found = self.live.current
        thing = next(t for d in found.by_id.values() if (t := d.object(object_id)))
        program = found.application(thing.app_id if isinstance(thing, ServicePrincipal) else app)
        assert program and isinstance(thing, User | ServicePrincipal)
        if isinstance(thing, ServicePrincipal):
            subject = Subject.of_service(thing, 1, program.secrets[0].key_id)
        else:
            subject = Subject.of_user(thing, program, "")
        issuer = Issuer(self.made.endpoints, self.made.keys, self.made.clock, SeededIds(12))
        return issuer.access(subject, audience or self.made.endpoints.graph)

    async def ask(
        self, method: str, path: str, body: Any = None, *, who: str = "", token: str | None = "", raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """One request. `who`: an object id, the administrator without; `path` follows `/v1.0/` unless it starts with `/`."""
        parts = urlsplit(path if path.startswith(("/", "https:")) else f"/v1.0/{path}")
        sent = {"host": "graph", **(headers or {})}
        if token is not None:
            sent["authorization"] = f"Bearer {token or self.token(who or self.admin)}"
        content = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        query = parts.query.replace(" ", "%20")
        return Reply(*await asked(self.app, method, parts.path, query, sent, content))

    async def get(self, path: str, who: str = "") -> Any:
        """The body of a successful GET."""
        reply = await self.ask("GET", path, who=who)
        assert reply.status == 200, reply.raw
        return reply.json

    async def post(self, path: str, body: Any = None, who: str = "", status: int = 201) -> Any:
        """The body of a successful POST."""
        reply = await self.ask("POST", path, body, who=who)
        assert reply.status == status, reply.raw
        return reply.json if reply.raw else None

    async def write(self, *things: Stored) -> None:
        """Put objects straight into the directory."""
        await self.live.change(lambda _: [Write(thing) for thing in things])

    async def user(self, number: int, upn: str = "") -> User:
        """Another person of the stamp's own directory."""
        made = person(number, upn or f"user{number}@{self.domain}", self.made.tenant)
        await self.write(made)
        return made

    async def service(self, number: int, *roles: str) -> ServicePrincipal:
        """Another application of the stamp's own directory that holds directory roles."""
        app = Application(
            f"bbbbbbbb-0000-4000-8000-{number:012d}", f"dddddddd-0000-4000-8000-{number:012d}", self.made.tenant,
            f"app{number}", secrets=(Secret.of("k1", "secret"),),
        )  # fmt: skip
        made = ServicePrincipal(f"cccccccc-0000-4000-8000-{number:012d}", app.app_id, self.made.tenant, app.display_name)
        await self.write(app, made, *(Link("role", self.made.tenant, role, made.object_id) for role in roles))
        return made

    async def other(self) -> User:
        """A second directory, and its administrator."""
        admin = person(900, "admin@other.example", OTHER.id)
        await self.write(OTHER, admin, Link("role", OTHER.id, GLOBAL_ADMINISTRATOR, admin.object_id))
        return admin


def at_the_desk(test: Callable[[Desk], Awaitable[None]]) -> None:
    """Run `test` with a fresh stamp."""

    async def run() -> None:
        await test(Desk(await stamp(VirtualClock())))

    asyncio.run(run())
