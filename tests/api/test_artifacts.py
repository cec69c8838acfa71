"""Files from hosts: only of what the host holds, only where they belong, and gone with their machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lazur.api.artifacts import Artifacts
from lazur.api.desires import Desires, desire_app
from lazur.api.guest_tokens import GuestTokens
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Wanted
from lazur.store.sqlite import SqliteStore
from tests.store.support import MACHINES, key, record

HOST, OTHER = "host/h01", "host/h02"


def _nobody(who: Mapping[str, Any], arm_id: str, resource: str) -> tuple[int, dict[str, Any]]:
    raise AssertionError(f"{arm_id} is nobody")


class Hosts:
    """The desires' endpoint of two hosts; machine `m1` runs on the first, `m2` on the second."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = SqliteStore(None)
        self.artifacts = Artifacts(root, self.store)
        self.app = desire_app(self._open, lambda request: request.headers["x-domain"], GuestTokens(self.store, _nobody))

    def _open(self, domain: str) -> Desires:
        return Desires(domain, self.store, SystemClock(), lambda text, context: b"", self.artifacts, lambda domain: None)

    async def machine(self, name: str, domain: str) -> None:
        """A machine with a desire of its own."""
        wanted = [Wanted(domain, "capture", f"uid-{name}", {"nonce": "1"})]
        owner = key(name, MACHINES)
        await self.store.commit(Change(records=[record(name, type=MACHINES)], desires_of=owner, desires=wanted))

    async def call(self, domain: str, method: str, path: str, body: bytes = b"", query: str = "") -> tuple[int, Any]:
        """Status and body of one request of `domain`."""
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(b"x-domain", domain.encode())], "http_version": "1.1", "root_path": "", "scheme": "https",
        }  # fmt: skip
        parts = [body[n : n + 1024 * 1024] for n in range(0, len(body) or 1, 1024 * 1024)]
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        text = b"".join(m.get("body", b"") for m in sent[1:])
        return sent[0]["status"], json.loads(text) if text.startswith(b"{") else text

    def files(self) -> dict[str, bytes]:
        """What is kept, without the notes of who owns it."""
        found = [p for p in self.root.rglob("*") if p.is_file() and p.name != ".owner"]
        return {str(p.relative_to(self.root)): p.read_bytes() for p in found}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    """Two hosts with a machine each."""
    made = Hosts(tmp_path / "artifacts")
    asyncio.run(made.machine("m1", HOST))
    asyncio.run(made.machine("m2", OTHER))
    return made


def test_a_host_delivers_for_its_own_machines_only(hosts: Hosts) -> None:
    async def story() -> None:
        assert await hosts.call(HOST, "PUT", "/artifacts/uid-m1/serial.log", b"one") == (204, b"")
        assert await hosts.call(HOST, "PUT", "/artifacts/uid-m1/serial.log", b"two") == (204, b"")
        for domain, name in (HOST, "uid-m2"), (OTHER, "uid-m1"), (HOST, "uid-m3"), ("network/main", "uid-m1"):
            status, body = await hosts.call(domain, "PUT", f"/artifacts/{name}/serial.log", b"forged")
            assert (status, body["error"]["code"]) == (403, "ArtifactForbidden")
        assert hosts.files() == {"uid-m1/serial.log": b"two"}

    asyncio.run(story())


@pytest.mark.parametrize(
    "name",
    ["uid-m1", "uid-m1/", "uid-m1/.owner", "uid-m1/../x", "../uid-m1/x", "uid-m1/a/b", "/uid-m1/x", "uid-m1/x\n", "uid-m1/é"],
)
def test_names_lead_nowhere_else(hosts: Hosts, name: str) -> None:
    with pytest.raises(LazurError) as caught:
        hosts.artifacts.write(HOST, name, b"x")
    assert caught.value.code == "InvalidArtifactName"
    assert hosts.files() == {} and hosts.artifacts.path(name) is None


def test_too_much_is_refused_before_it_is_all_read(hosts: Hosts) -> None:
    async def story() -> None:
        status, _ = await hosts.call(HOST, "PUT", "/artifacts/uid-m1/serial.log", bytes(9 * 1024 * 1024))
        assert status == 413 and hosts.files() == {}

    asyncio.run(story())


@pytest.mark.parametrize("query", ["since=x", "since=-1", "since=1&wait=soon", "wait=nan"])
def test_a_question_that_makes_no_sense_is_refused(hosts: Hosts, query: str) -> None:
    status, _ = asyncio.run(hosts.call(HOST, "GET", "/desires", query=query))
    assert status == 400


def test_files_go_with_their_machine(hosts: Hosts) -> None:
    async def story() -> None:
        await hosts.call(HOST, "PUT", "/artifacts/uid-m1/serial.log", b"one")
        await hosts.call(OTHER, "PUT", "/artifacts/uid-m2/serial.log", b"two")
        hosts.artifacts.trim()
        assert set(hosts.files()) == {"uid-m1/serial.log", "uid-m2/serial.log"}
        # The machine is on no host for a while; its log stays readable.
        await hosts.store.commit(Change(desires_of=key("m1", MACHINES)))
        hosts.artifacts.trim()
        assert set(hosts.files()) == {"uid-m1/serial.log", "uid-m2/serial.log"}
        await hosts.store.commit(Change(removed=[(key("m1", MACHINES), 1)]))
        await hosts.store.commit(Change(removed=[(key("m2", MACHINES), 1)]))
        # Somebody else has the name now.
        await hosts.store.commit(Change(records=[record("m2", type=MACHINES, uid="uid-later")]))
        hosts.artifacts.trim()
        assert hosts.files() == {} and list(hosts.root.iterdir()) == []
        with pytest.raises(LazurError):
            hosts.artifacts.write(HOST, "uid-m1/serial.log", b"late")

    asyncio.run(story())


def test_files_stay_with_a_machine_that_is_moved(hosts: Hosts) -> None:
    async def story() -> None:
        await hosts.call(HOST, "PUT", "/artifacts/uid-m1/serial.log", b"one")
        old = record("m1", type=MACHINES)
        moved = old.with_(id=ArmId("sub", "other").resource(MACHINES, "m1"))
        await hosts.store.commit(Change(records=[moved], removed=[(old.key, 1)], moved={old.key: moved.key}))
        # Again and again, and although somebody else takes the name it had.
        for _ in range(2):
            hosts.artifacts.trim()
            assert hosts.files() == {"uid-m1/serial.log": b"one"}
            await hosts.store.commit(Change(records=[record("m1", type=MACHINES, uid="uid-later")]))
            await hosts.store.commit(Change(removed=[(old.key, 1)]))
        await hosts.store.commit(Change(removed=[(moved.key, 1)]))
        hosts.artifacts.trim()
        assert list(hosts.root.iterdir()) == []

    asyncio.run(story())
