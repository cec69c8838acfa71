"""Health probes of load balancers, from 168.63.129.16 inside the backend's own virtual network.

A backend is down until its first success, up after one success, down after `threshold` failures in a row; over HTTP
success is status 200 and nothing else. Must never probe a backend twice at a time, and never more than the bound at once.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazur.guestservices.access import NetworkAccess
from lazur.guestservices.ledger import ProbeTarget
from lazur.guestservices.outputs import read_json, write_json
from lazur.kernel.clock import Clock
from lazur.kernel.ids import short
from lazur.kernel.log import logger

_log = logger("guestservices.prober")

MAX_TIMEOUT = 30.0
"""Seconds a probe may take at most; a shorter interval is its limit."""
MAX_ANSWER = 16 * 1024
"""Bytes of an answer that are read; what comes later does not change the verdict."""
FIRST_SECONDS = 2.0
"""First probes are spread over this time."""
TICK_SECONDS = 0.2
"""How often the schedule is looked at when nothing is due before."""


@dataclass
class Verdict:
    """What one probe found. It counts from the moment it is set, whatever becomes of the rest of the answer."""

    healthy: bool = False


@dataclass(eq=False)
class _Backend:
    """A target and what its probes found."""

    target: ProbeTarget
    up: bool
    due: float
    failures: int = 0
    attempt: asyncio.Task[None] | None = None
    deadline: float = 0.0
    dropped: bool = False


class Prober:
    """Probes every target of the ledger and keeps `file` in step with what it found.

    The file is also its memory: a prober that starts anew goes on from the states in it, so that its own death takes no
    backend out of rotation.
    """

    def __init__(self, access: NetworkAccess, clock: Clock, file: Path, limit: int) -> None:
        self._access = access
        self._clock = clock
        self._file = file
        self._limit = limit
        self._backends: dict[tuple[str, str], _Backend] = {}
        self._balancers: tuple[str, ...] = ()
        self._queue: list[tuple[float, int, _Backend]] = []
        self._pushed = 0
        self._running: set[_Backend] = set()
        self._remembered = _remembered(read_json(file))
        self._written: Mapping[str, Any] | None = None
        self._unwritten = False
        self.probes = 0

    @property
    def running(self) -> int:
        """Probes under way."""
        return len(self._running)

    @property
    def settled(self) -> bool:
        """Whether no probe is under way and the file says what all of them found."""
        return not self._running and not self._unwritten

    def want(self, balancers: Mapping[str, Sequence[ProbeTarget]]) -> None:
        """Probe these and no others. A target that stays keeps its state, also when its probe changed."""
        wanted = {(lb, target.key): target for lb, targets in balancers.items() for target in targets}
        self._balancers = tuple(sorted(balancers))
        for key in self._backends.keys() - wanted.keys():
            self._drop(self._backends.pop(key))
        for key, target in wanted.items():
            known = self._backends.get(key)
            if known is not None and (known.target.vnet, known.target.address) == (target.vnet, target.address):
                known.target = target
                continue
            if known is not None:
                self._drop(known)
            self._add(key, target)
        self._remembered = {}
        self._publish()

    async def run(self) -> None:
        """Probe until cancelled."""
        try:
            while True:
                self._tick()
                await self._clock.sleep(self._pause())
        finally:
            for backend in self._running:
                if backend.attempt is not None:
                    backend.attempt.cancel()

    def _add(self, key: tuple[str, str], target: ProbeTarget) -> None:
        spread = int(short(target.lb, target.key), 16) / 16**10
        first = self._clock.monotonic() + spread * min(target.interval, FIRST_SECONDS)
        self._backends[key] = backend = _Backend(target, up=self._remembered.get(key, False), due=first)
        self._push(backend)

    def _drop(self, backend: _Backend) -> None:
        backend.dropped = True
        if backend.attempt is not None:
            backend.attempt.cancel()

    def _push(self, backend: _Backend) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (backend.due, self._pushed, backend))

    def _pause(self) -> float:
        if not self._queue or len(self._running) >= self._limit:
            return TICK_SECONDS
        return min(TICK_SECONDS, max(0.0, self._queue[0][0] - self._clock.monotonic()))

    def _tick(self) -> None:
        if self._unwritten:
            # Once for all changes since the last look: a host that loses a thousand backends writes one file.
            try:
                self._publish()
            except OSError as error:
                _log.error("probe states could not be written; it is tried again", error=str(error))
        now = self._clock.monotonic()
        for backend in [b for b in self._running if b.deadline <= now]:
            if backend.attempt is not None:
                backend.attempt.cancel()
        while self._queue and self._queue[0][0] <= now and len(self._running) < self._limit:
            backend = heapq.heappop(self._queue)[2]
            if not backend.dropped:
                self._start(backend, now)

    def _start(self, backend: _Backend, now: float) -> None:
        self.probes += 1
        backend.deadline = now + min(backend.target.interval, MAX_TIMEOUT)
        verdict = Verdict()
        backend.attempt = asyncio.get_running_loop().create_task(probe(self._access, backend.target, verdict))
        self._running.add(backend)
        backend.attempt.add_done_callback(lambda attempt: self._finished(backend, attempt, verdict.healthy))

    def _finished(self, backend: _Backend, attempt: asyncio.Task[None], success: bool) -> None:
        self._running.discard(backend)
        backend.attempt = None
        if backend.dropped:
            return
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            _log.error("probe broke", target=backend.target.key, error=repr(error))
        backend.failures = 0 if success else backend.failures + 1
        up = success or (backend.up and backend.failures < backend.target.threshold)
        # Behind schedule the rhythm starts anew; catching up would probe a slow backend hardest.
        backend.due = max(backend.due + backend.target.interval, self._clock.monotonic())
        self._push(backend)
        if up != backend.up:
            backend.up = up
            _log.info("backend changed", lb=backend.target.lb, target=backend.target.key, up=up)
            self._unwritten = True

    def _publish(self) -> None:
        found: dict[str, dict[str, list[str]]] = {lb: {"down": [], "up": []} for lb in self._balancers}
        for lb, key in sorted(self._backends):
            found[lb]["up" if self._backends[lb, key].up else "down"].append(key)
        if found != self._written:
            write_json(self._file, found)
            self._written = found
        self._unwritten = False


async def probe(access: NetworkAccess, target: ProbeTarget, verdict: Verdict) -> None:
    """One probe, without a time limit: the caller cancels it. Whatever goes wrong leaves the verdict unhealthy."""
    loop = asyncio.get_running_loop()
    # The namespace may be gone, the connection refused, reset or without a route: each is a failed probe and no more.
    with suppress(OSError), access.connector(target.vnet) as sock:
        await loop.sock_connect(sock, (target.address, target.port))
        if target.path is None:
            verdict.healthy = True
        else:
            await _get(loop, sock, target, verdict)


async def _get(loop: asyncio.AbstractEventLoop, sock: socket.socket, target: ProbeTarget, verdict: Verdict) -> None:
    host = target.address if target.port == 80 else f"{target.address}:{target.port}"
    request = f"GET {_path(target.path or '/')} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Load Balancer Agent\r\n"
    await loop.sock_sendall(sock, f"{request}Accept: */*\r\nConnection: close\r\n\r\n".encode("ascii"))
    head = b""
    received = 0
    # Read on after the verdict: closing early would reset the connection, and the backend would log an error each time.
    while received < MAX_ANSWER and (data := await loop.sock_recv(sock, 4096)):
        received += len(data)
        if b"\r\n" not in head:
            head += data
            verdict.healthy = b"\r\n" in head and _is_ok(head)


def _is_ok(head: bytes) -> bool:
    version, _, rest = head.partition(b" ")
    return version.startswith(b"HTTP/1.") and rest[:3] == b"200" and not rest[3:4].isdigit()


def _path(path: str) -> str:
    """A probe's path as a request target: it cannot end the line it stands in."""
    path = path if path.startswith("/") else f"/{path}"
    return "".join(c if "!" <= c <= "~" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in path)


def _remembered(document: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    states: dict[tuple[str, str], bool] = {}
    for lb, found in document.items():
        for key in found.get("up", ()) if isinstance(found, dict) else ():
            states[lb, str(key)] = True
    return states
