"""Health probes: when a backend is up and when it is down, under a clock that moves only when told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lazur.guestservices.access import LoopbackAccess
from lazur.guestservices.ledger import Ledger
from lazur.guestservices.prober import Prober
from lazur.kernel.clock import VirtualClock
from tests.guestservices.cloud import ledger_write, probes

UP = {"lb": {"down": [], "up": ["p1/n1"]}}
DOWN = {"lb": {"down": ["p1/n1"], "up": []}}


class Web:
    """A backend whose answer, or silence, a test chooses."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        self.seen: list[str] = []
        self.closes = True

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answer)
            await writer.drain()
            if not self.closes:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Bench:
    """A prober, its clock and its file."""

    def __init__(self, root: Path, document: dict[str, Any], limit: int = 16) -> None:
        self.clock = VirtualClock()
        self.file = root / "probes.json"
        self.access = LoopbackAccess()
        self.ledger = Ledger(root / "ledger")
        self.root = root
        self.prober = Prober(self.access, self.clock, self.file, limit)
        self.want(document)

    def want(self, document: dict[str, Any]) -> None:
        ledger_write(self.root / "ledger", "probes", "lb", document)
        self.ledger.refresh()
        self.prober.want(self.ledger.snapshot.balancers)

    @property
    def found(self) -> Any:
        return json.loads(self.file.read_text())

    async def rounds(self, count: int) -> None:
        """Let this many further probes begin and end."""
        goal = self.prober.probes + count
        for _ in range(5000):
            await asyncio.sleep(0.002)
            if self.prober.probes >= goal and self.prober.settled:
                return
            if not self.prober.running:
                self.clock.advance(0.25)
        raise AssertionError("the prober does not probe")


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    await bench.access.attach("net")
    task = asyncio.ensure_future(bench.prober.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def on_web(tmp_path: Path, path: str | None, check: Callable[[Bench, Web, asyncio.Server], Awaitable[None]]) -> None:
    async def scenario() -> None:
        web = Web()
        server = await asyncio.start_server(web.connected, "127.0.0.1", 0)
        bench = Bench(tmp_path, probes("lb", "net", "127.0.0.1", server.sockets[0].getsockname()[1], path))
        async with running(bench):
            await check(bench, web, server)
        server.close()

    asyncio.run(scenario())


def test_down_until_the_first_success_then_up(tmp_path: Path) -> None:
    async def check(bench: Bench, web: Web, server: asyncio.Server) -> None:
        assert bench.found == DOWN
        await bench.rounds(1)
        assert bench.found == UP
        request = web.seen[0]
        assert request.startswith("GET /health%20check HTTP/1.1\r\nHost: 127.0.0.1:")
        assert "Connection: close\r\n" in request

    on_web(tmp_path, "/health check", check)


def test_an_answer_of_500_takes_the_threshold_and_one_200_brings_it_back(tmp_path: Path) -> None:
    async def check(bench: Bench, web: Web, server: asyncio.Server) -> None:
        await bench.rounds(1)
        good, web.answer = web.answer, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        await bench.rounds(1)
        assert bench.found == UP, "one failure is below the threshold of two"
        await bench.rounds(1)
        assert bench.found == DOWN
        web.answer = good
        await bench.rounds(1)
        assert bench.found == UP

    on_web(tmp_path, "/", check)


def test_a_success_between_failures_starts_the_count_anew(tmp_path: Path) -> None:
    async def check(bench: Bench, web: Web, server: asyncio.Server) -> None:
        await bench.rounds(1)
        good, bad = web.answer, b"HTTP/1.1 503 No\r\n\r\n"
        for web.answer in (bad, good, bad, good):
            await bench.rounds(1)
            assert bench.found == UP

    on_web(tmp_path, "/", check)


def test_only_status_200_counts(tmp_path: Path) -> None:
    async def check(bench: Bench, web: Web, server: asyncio.Server) -> None:
        for web.answer in (
            b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 301 Moved\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"",
            b"200 OK\r\n\r\n", b"HTTP/1.1 200 and no end of line", b"\xff" * 40_000,
        ):  # fmt: skip
            await bench.rounds(1)
            assert bench.found == DOWN, web.answer[:30]

    on_web(tmp_path, "/", check)


def test_200_counts_although_the_backend_keeps_the_connection(tmp_path: Path) -> None:
    async def check(bench: Bench, web: Web, server: asyncio.Server) -> None:
        web.closes = False
        for _ in range(5000):
            await asyncio.sleep(0.002)
            bench.clock.advance(0.05)
            if bench.found == UP:
                return
        raise AssertionError("never up")

    on_web(tmp_path, "/", check)


def test_a_silent_backend_and_a_dead_one_are_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        silent = socket.socket()
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        bench = Bench(tmp_path, probes("lb", "net", "127.0.0.1", silent.getsockname()[1], None))
        async with running(bench):
            await bench.rounds(1)
            assert bench.found == UP, "a TCP probe needs no more than a handshake"
            bench.want(probes("lb", "net", "127.0.0.1", silent.getsockname()[1], "/"))
            assert bench.found == UP, "a changed probe keeps the state until it has probed"
            for _ in range(3000):
                await asyncio.sleep(0.002)
                bench.clock.advance(0.25)
                if bench.found == DOWN:
                    break
            assert bench.found == DOWN, "connected, but never answered"
            bench.want(probes("lb", "net", "127.0.0.1", silent.getsockname()[1], None))
            for _ in range(3000):
                await asyncio.sleep(0.002)
                bench.clock.advance(0.25)
                if bench.found == UP:
                    break
            assert bench.found == UP
            silent.close()
            await bench.rounds(2)
            assert bench.found == DOWN

    asyncio.run(scenario())


def test_a_restart_goes_on_from_the_last_state(tmp_path: Path) -> None:
    (tmp_path / "probes.json").write_text(json.dumps({"lb": {"down": [], "up": ["p1/n1"]}, "old": {"up": ["a/b"]}, "x": 1}))
    assert Bench(tmp_path, probes("lb", "net", "127.0.0.1", 9, None)).found == UP
    (tmp_path / "probes.json").write_text('{"lb": {"do')
    assert Bench(tmp_path, probes("lb", "net", "127.0.0.1", 9, None)).found == DOWN


def test_targets_come_and_go_and_an_unattached_network_is_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path, probes("lb", "elsewhere", "127.0.0.1", 9, None))
        async with running(bench):
            await bench.rounds(3)
            assert bench.found == DOWN
            bench.want({"lb": "lb", "probes": []})
            assert bench.found == {"lb": {"down": [], "up": []}}
            (tmp_path / "ledger" / "probes" / "lb.json").unlink()
            bench.ledger.refresh()
            bench.prober.want(bench.ledger.snapshot.balancers)
            assert bench.found == {}

    asyncio.run(scenario())


def test_states_are_written_once_they_can_be(tmp_path: Path) -> None:
    async def check(bench: Bench, web: Web, server: asyncio.Server) -> None:
        blocked = bench.file.with_name(".probes.json.new")
        blocked.mkdir()
        for _ in range(2000):
            await asyncio.sleep(0.002)
            bench.clock.advance(0.05)
            if web.seen and not bench.prober.running:
                break
        assert bench.found == DOWN
        blocked.rmdir()
        await bench.rounds(1)
        assert bench.found == UP

    on_web(tmp_path, "/", check)


def test_thousands_of_targets_stay_within_the_bound(tmp_path: Path) -> None:
    async def scenario() -> None:
        web = Web()
        server = await asyncio.start_server(web.connected, "127.0.0.1", 0, backlog=512)
        document = probes("lb", "net", "127.0.0.1", server.sockets[0].getsockname()[1], None)
        targets = [{"nic": f"n{n}", "vm": "v", "vnet": "net", "address": "127.0.0.1"} for n in range(2000)]
        document["probes"][0]["targets"] = targets
        bench = Bench(tmp_path, document, limit=50)
        async with running(bench):
            most = 0
            for _ in range(5000):
                await asyncio.sleep(0)
                most = max(most, bench.prober.running)
                bench.clock.advance(0.01)
                if bench.prober.probes >= 2000 and not bench.prober.running:
                    break
            assert 0 < most <= 50
        server.close()

    asyncio.run(scenario())
