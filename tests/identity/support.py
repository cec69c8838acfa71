"""A stamp's identity service in memory, and a way to call it: over ASGI without a socket, or over TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvicorn
from starlette.applications import Starlette

from lazur.identity.app import routes
from lazur.identity.directory import LiveDirectory, Secrets, Write
from lazur.identity.endpoints import Endpoints
from lazur.identity.keys import KeyRing
from lazur.identity.objects import User
from lazur.identity.pki import Authority
from lazur.identity.provider import OpenIdProvider
from lazur.identity.sealing import StampKey
from lazur.identity.service import Identity, Outside
from lazur.identity.tokens import Verifier
from lazur.kernel.clock import Clock, SystemClock, VirtualClock
from lazur.kernel.ids import SeededIds
from lazur.model.documents import Change
from tests.asgi import asked

DOMAIN = "local.lazur.internal"
STAMP_KEY = bytes(range(32))


class MemoryStore:
    """Keeps one document as JSON, as a real store would."""

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        self.text = json.dumps(document or {})

    async def load(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.text)
        return loaded

    async def save(self, document: dict[str, Any]) -> None:
        self.text = json.dumps(document)


class MemoryObjects:
    """Keeps many documents as JSON, as a real store would."""

    def __init__(self, documents: dict[str, Any] | None = None) -> None:
        self.texts = {name: json.dumps(content) for name, content in (documents or {}).items()}

    async def load(self) -> dict[str, Any]:
        return {name: json.loads(text) for name, text in self.texts.items()}

    async def save(self, changes: Mapping[str, Any], beside: Change | None = None) -> None:
        written = {name: json.dumps(content) for name, content in changes.items() if content is not None}
        gone = [name for name, content in changes.items() if content is None]
        self.texts = {name: text for name, text in (self.texts | written).items() if name not in gone}


@dataclass
class Kept:
    """What outlives a restart."""

    objects: MemoryObjects
    documents: dict[str, MemoryStore]

    def document(self, name: str) -> MemoryStore:
        return self.documents.setdefault(name, MemoryStore())


def cheap(password: str) -> str:
    """A stored password that costs a test nothing to check."""
    salt = "00" * 16
    digest = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2, r=8, p=1, dklen=32).hex()
    return f"scrypt$2$8$1${salt}${digest}"


_first: list[tuple[dict[str, Any], dict[str, Any]]] = []


async def _first_documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """A bootstrapped directory and a key ring, made once: hashing and key generation are slow on purpose."""
    if not _first:
        directory, keys, stamp_key = MemoryObjects(), MemoryStore(), StampKey(STAMP_KEY, SeededIds(1))
        live, secrets = await LiveDirectory.open(directory, SeededIds(2), DOMAIN, stamp_key)
        admin = live.current.user(secrets.admin_object_id)
        assert admin is not None
        await live.change(lambda _: [Write(replace(admin, password_hash=cheap(secrets.admin_password)))])
        await KeyRing.open(keys, stamp_key, VirtualClock(datetime(2020, 1, 1, tzinfo=UTC)))
        _first.append((await directory.load(), await keys.load()))
    return _first[0]


@dataclass
class Stamp:
    """Everything a test needs of a stamp."""

    endpoints: Endpoints
    identity: Identity
    kept: Kept
    app: Starlette
    clock: Clock

    @property
    def directory(self) -> LiveDirectory:
        return self.identity.directory

    @property
    def keys(self) -> KeyRing:
        return self.identity.keys

    @property
    def secrets(self) -> Secrets:
        return self.identity.secrets

    @property
    def provider(self) -> OpenIdProvider:
        return self.identity.provider

    @property
    def verifier(self) -> Verifier:
        return self.identity.verifier

    @property
    def tenant(self) -> str:
        return self.secrets.tenant_id

    @property
    def admin(self) -> User:
        """The first user, as the directory has them now."""
        found = self.directory.current.user(self.secrets.admin_object_id)
        assert found is not None
        return found


async def stamp(
    clock: Clock | None = None, endpoints: Endpoints | None = None, outside: Outside | None = None, seed: int = 5
) -> Stamp:
    """A fresh stamp; the directory and keys are copies of the same first ones."""
    clock = clock or VirtualClock()
    endpoints = endpoints or Endpoints.for_region("local", "lazur.internal")
    objects, key_document = copy.deepcopy(await _first_documents())
    key = key_document["keys"][0]
    key["signs_from"] = int(clock.now().timestamp())
    key["signs_until"] = key["signs_from"] + 30 * 86_400
    kept = Kept(MemoryObjects(objects), {"signing-keys": MemoryStore({"keys": [key]})})
    return await again(kept, clock, endpoints, outside, seed)


async def again(
    kept: Kept,
    clock: Clock,
    endpoints: Endpoints,
    outside: Outside | None = None,
    seed: int = 6,
    *,
    key: bytes = STAMP_KEY,
    domain: str = DOMAIN,
) -> Stamp:
    """The stamp whose documents are `kept`, as after a restart."""
    stamp_key = StampKey(key, SeededIds(seed))
    identity = await Identity.open(kept.objects, kept.document, endpoints, domain, stamp_key, clock, SeededIds(seed), outside)
    return Stamp(endpoints, identity, kept, Starlette(routes=routes(identity.provider)), clock)


@dataclass
class Answer:
    """A response over ASGI."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def cookies(self) -> dict[str, str]:
        """What a browser would send next."""
        return {"cookie": self.headers["set-cookie"].partition(";")[0]}


async def call(
    app: Starlette,
    method: str,
    url: str,
    form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    *,
    body: str | None = None,
    source: str = "127.0.0.1",
) -> Answer:
    """One request to `app` from the address `source`, no socket involved; `body` instead of `form` is sent as it is."""
    parts = urlsplit(url)
    text = urlencode(form) if form is not None else body
    sent = {"host": parts.netloc or "login.local"}
    if text is not None:
        sent["content-type"] = "application/x-www-form-urlencoded"
    sent |= headers or {}
    return Answer(*await asked(app, method, parts.path, parts.query, sent, (text or "").encode(), source))


@dataclass
class Served:
    """A stamp behind TLS on `https://localhost:<port>`; `ca` is what a client must trust."""

    stamp: Stamp
    port: int
    ca: Path


@contextlib.contextmanager
def served(directory: Path) -> Iterator[Served]:
    """Serve a stamp, with the machine's clock, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    authority = Authority.open(directory, clock=SystemClock())
    pair = authority.issue(directory, "api", dns=["localhost"], ips=["127.0.0.1"])
    ready: list[Stamp] = []
    server: list[uvicorn.Server] = []
    started = threading.Event()

    async def run() -> None:
        made = await stamp(SystemClock(), Endpoints.for_localhost(port, "local", "lazur.internal"))
        config = uvicorn.Config(
            made.app,
            ssl_certfile=str(pair.cert),
            ssl_keyfile=str(pair.key),
            log_level="error",
            lifespan="off",
            # Idle connections that a client keeps open would hold the end of the test up for half a minute.
            headers=[("Connection", "close")],
        )
        ready.append(made)
        server.append(uvicorn.Server(config))
        started.set()
        # The socket listens already: a client that comes early waits in its queue.
        await server[0].serve(sockets=[listener])

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert started.wait(60)
        yield Served(ready[0], port, authority.ca)
    finally:
        server[0].should_exit = True
        thread.join()
