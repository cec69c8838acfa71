"""Desires over mutual TLS: the server knows the domain by the certificate alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lazur.executor.client import HttpSource, client_context
from lazur.identity.pki import Authority
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.model.desire import Desire, Report, State

Script = Callable[["Server", HttpSource], Awaitable[None]]


class Server:
    """The control plane's desire endpoints, as the contract has them."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.status = 200

    def _domain(self, request: web.Request) -> str:
        assert request.transport is not None
        subject = request.transport.get_extra_info("peercert")["subject"]
        return str(dict(pair for part in subject for pair in part)["commonName"])

    async def desires(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.Response(status=self.status, text="internal words")
        self.seen.append((self._domain(request), dict(request.query)))
        row = {"kind": "vm", "key": "a", "generation": 3, "payload": {"x": 1}, "removed": False}
        return web.json_response({"cursor": 7, "full": True, "desires": [row]})

    async def reports(self, request: web.Request) -> web.Response:
        self.seen.append((self._domain(request), await request.json()))
        return web.Response(status=204)

    async def artifact(self, request: web.Request) -> web.Response:
        self.seen.append((request.match_info["name"], await request.read()))
        return web.Response(status=204)


def play(folder: Path, script: Script) -> None:
    async def main() -> None:
        authority = Authority.open(folder, clock=SystemClock())
        theirs = authority.issue(folder, "control", ips=["127.0.0.1"])
        mine = authority.issue(folder, "host-h01", common_name="host/h01", client=True)
        server = Server()
        app = web.Application()
        app.router.add_get("/desires", server.desires)
        app.router.add_post("/reports", server.reports)
        app.router.add_put("/artifacts/{name:.+}", server.artifact)
        runner = web.AppRunner(app)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
        context.load_cert_chain(theirs.cert, theirs.key)
        context.verify_mode = ssl.CERT_REQUIRED
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        tls = client_context(authority.ca, mine.cert, mine.key)
        source = HttpSource(f"https://127.0.0.1:{port}", "host/h01", tls)
        try:
            await script(server, source)
        finally:
            await source.close()
            await runner.cleanup()

    asyncio.run(main())


def test_desires_reports_and_artifacts_travel_unchanged(tmp_path: Path) -> None:
    async def script(server: Server, source: HttpSource) -> None:
        batch = await source.changes(0, 1.0)
        assert (batch.cursor, batch.full) == (7, True)
        assert list(batch.desires) == [Desire("host/h01", "vm", "a", 3, {"x": 1})]
        await source.report([Report("vm", "a", 3, State.FAILED, {"code": "C", "message": "m"}, {"power": "stopped"})])
        await source.artifact("a/serial.log", b"\x00log")
        (domain, query), (_, rows), artifact = server.seen
        assert domain == "host/h01"
        assert query == {"since": "0", "wait": "1"}
        expected = {"kind": "vm", "key": "a", "generation": 3, "state": "Failed"}
        assert rows == [expected | {"error": {"code": "C", "message": "m"}, "observed": {"power": "stopped"}}]
        assert artifact == ("a/serial.log", b"\x00log")

    play(tmp_path, script)


def test_server_trouble_is_unavailable_and_refusal_is_not(tmp_path: Path) -> None:
    async def script(server: Server, source: HttpSource) -> None:
        server.status = 503
        with pytest.raises(Unavailable):
            await source.changes(0, 0)
        server.status = 403
        with pytest.raises(LazurError) as caught:
            await source.changes(0, 0)
        assert not isinstance(caught.value, Unavailable)
        assert "internal words" not in caught.value.message

    play(tmp_path, script)


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    async def script(server: Server, source: HttpSource) -> None:
        lost = HttpSource("https://127.0.0.1:9", "host/h01", source._context)
        with pytest.raises(Unavailable):
            await lost.report([])
        await lost.close()

    play(tmp_path, script)
