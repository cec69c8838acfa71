"""HTTP/1.1 load on raw connections, as fast as it is answered or at a set pace, cheap enough not to be what is measured.

Every answer is checked as it arrives. Must never accept an answer it was not told to expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.client import VERSION, Served
from bench.machine import cpu_seconds
from bench.pairing import Block, Wrong
from bench.ratios import percentile
from lazur.kernel.clock import SystemClock

Ask = Callable[[int], bytes]
"""Connection number -> the next request on it."""
Check = Callable[[int, int, bytes], str]
"""Connection number, status, body -> what is wrong with the answer; empty when nothing is."""


@dataclass
class _Tally:
    """What the connections of one block have seen."""

    ends: float
    latencies: list[float] = field(default_factory=list)
    wrong: str = ""


class _Connection(asyncio.Protocol):
    def __init__(self, number: int, ask: Ask, check: Check, tally: _Tally, clock: SystemClock) -> None:
        self._number = number
        self._ask = ask
        self._check = check
        self._tally = tally
        self._clock = clock
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._tally.wrong = self._tally.wrong or "the server closed a connection"
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = _length(head)
        if len(body) < length:
            return
        now = self._clock.monotonic()
        self._tally.latencies.append(now - self._sent)
        self._tally.wrong = self._tally.wrong or self._check(self._number, int(head[9:12]), body)
        self._buffer = b""
        if now >= self._tally.ends or self._tally.wrong:
            self.done.set_result(None)
            assert self._transport is not None
            self._transport.close()
        else:
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent = self._clock.monotonic()
        self._transport.write(self._ask(self._number))


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"content-length:")
    return int(lowered[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0


async def block(port: int, pid: int, seconds: float, connections: int, ask: Ask, check: Check) -> Block:
    """`seconds` of load on the server `pid` at `port`; costs are its CPU time, its wall time and its rate."""
    loop, clock = asyncio.get_running_loop(), SystemClock()
    cpu, begun = cpu_seconds(pid), clock.monotonic()
    tally = _Tally(begun + seconds)
    made = [
        await loop.create_connection(lambda n=n: _Connection(n, ask, check, tally, clock), "127.0.0.1", port)  # type: ignore[misc]
        for n in range(connections)
    ]
    await asyncio.gather(*(one.done for _, one in made))
    wall, spent, count = clock.monotonic() - begun, cpu_seconds(pid) - cpu, len(tally.latencies)
    if tally.wrong:
        raise Wrong(tally.wrong)
    costs = {"cpu": spent / count * 1e6, "wall": wall / count * 1e6, "rate": count / wall}
    shown = {"p50ms": percentile(tally.latencies, 0.5) * 1e3, "p99ms": percentile(tally.latencies, 0.99) * 1e3}
    return Block(costs, {"operations": count, **shown})


async def reads(server: Served, path: str, body: bytes, seconds: float, connections: int) -> Block:
    """`block` of GETs of `path`, each of which must answer `body`."""
    asked = request("GET", f"{path}?api-version={VERSION}", server.headers)

    def check(_: int, status: int, found: bytes) -> str:
        return "" if status == 200 and found == body else f"GET answered {status} {found[:200]!r}"

    return await block(server.port, server.pid, seconds, connections, lambda _: asked, check)


async def paced(port: int, seconds: float, rate: float, connections: int, ask: Ask, check: Check) -> Block:
    """`rate` requests a second, whether or not the ones before were answered in time; costs are the latencies in ms."""
    clock = SystemClock()
    begun = clock.monotonic()
    latencies: list[float] = []

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = begun + number / rate
        while due < begun + seconds:
            # Who waits for the answer before sends late; that wait counts. A timer that rings late does not.
            early = due - clock.monotonic()
            if early > 0:
                await clock.sleep(early)
            sent = clock.monotonic() if early > 0 else due
            writer.write(ask(number))
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            latencies.append((clock.monotonic() - sent) * 1e3)
            if wrong := check(number, int(head[9:12]), body):
                raise Wrong(wrong)
            due += connections / rate
        writer.close()

    await asyncio.gather(*map(one, range(connections)))
    return Block({"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)}, {"operations": len(latencies)})


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in headers.items())]
    if body or method in ("PUT", "POST"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
