"""Starts a server of `bench.servers` and talks to it outside the timed blocks. Must never run inside one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench.machine import pin
from bench.pairing import Wrong
from lazur.kernel.clock import SystemClock
from lazur.lifecycle.project import ROOT

VERSION = "2024-11-01"


@dataclass
class Served:
    """A running server; `token`, `subscription` and `tenants` (`bench.tenants`) of a control plane only."""

    port: int
    pid: int
    session: aiohttp.ClientSession
    token: str = ""
    subscription: str = ""
    tenants: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """What every request to it carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, dict[str, str]]:
        """Status, body, headers."""
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.port}{path}"
        url = url.replace("https://localhost", "http://127.0.0.1")
        if "api-version=" not in url:
            url += f"?api-version={VERSION}"
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, url, data=data, headers={"Host": "localhost", **self.headers}) as answer:
            return answer.status, await answer.read(), {k.lower(): v for k, v in answer.headers.items()}

    async def put(self, path: str, body: Any) -> dict[str, Any]:
        """PUT and wait for its end; the resource as GET shows it then."""
        status, text, headers = await self.ask("PUT", path, body)
        if status >= 300:
            raise Wrong(f"PUT {path}: {status} {text[:500]!r}")
        await self.ended(headers.get("azure-asyncoperation"))
        found: dict[str, Any] = json.loads((await self.ask("GET", path))[1])
        return found

    async def ended(self, url: str | None, pause: float = 0.05) -> None:
        """Wait for an operation."""
        clock = SystemClock()
        while url:
            said = json.loads((await self.ask("GET", url))[1])
            if said["status"] == "Succeeded":
                return
            if said["status"] != "InProgress":
                raise Wrong(json.dumps(said)[:2000])
            await clock.sleep(pause)


@asynccontextmanager
async def served(kind: str, body: bytes = b"", prefix: Sequence[str] = ()) -> AsyncIterator[Served]:
    """A server of `kind` on core 0, gone with the block; `prefix` are arguments for Python, such as a profiler's."""
    with tempfile.TemporaryDirectory(prefix="lazur-bench-", dir="/var/tmp") as name:
        (Path(name) / "body").write_bytes(body)
        argv = [sys.executable, *prefix, "-m", "bench.servers", kind, name]
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin and process.stdout
        try:
            pin(process.pid, 0)
            line = process.stdout.readline()
            if not line:
                raise Wrong(f"the server '{kind}' did not start")
            told = json.loads(line)
            async with aiohttp.ClientSession() as session:
                found = Served(told["port"], process.pid, session, tenants=told.get("tenants", {}))
                if "credentials" in told:
                    await _sign_in(found, told["credentials"])
                yield found
        finally:
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


async def _sign_in(server: Served, secrets: dict[str, Any]) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": secrets["client_id"],
        "client_secret": secrets["client_secret"],
        "resource": secrets["endpoints"]["management"],
    }
    url = f"http://127.0.0.1:{server.port}/adfs/oauth2/token"
    async with server.session.post(url, data=form, headers={"Host": "localhost"}) as answer:
        said = await answer.json(content_type=None)
    if "access_token" not in said:
        raise Wrong(f"the sign-in was refused: {said}")
    server.token, server.subscription = said["access_token"], f"/subscriptions/{secrets['subscription_id']}"
