"""A desire source in memory, and virtual time that moves whenever everybody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lazur.kernel.clock import Clock, VirtualClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.model.desire import Batch, Desire, Report, State

DOMAIN = "host/h01"


class Plane:
    """The control plane as an executor sees it; `down` makes every call fail."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._desires: dict[tuple[str, str], tuple[int, Desire]] = {}
        self._cursor = 0
        self.down = False
        self.refuse: set[str] = set()
        self.reports: dict[tuple[str, str], Report] = {}
        self.log: list[Report] = []
        self.artifacts: dict[str, bytes] = {}

    def want(
        self, kind: str, key: str, generation: int, payload: dict[str, object] | None = None, removed: bool = False
    ) -> None:
        self._cursor += 1
        self._desires[kind, key] = (self._cursor, Desire(DOMAIN, kind, key, generation, payload or {}, removed))

    def drop(self, kind: str, key: str) -> None:
        del self._desires[kind, key]

    async def changes(self, since: int, wait: float) -> Batch:
        deadline = self._clock.monotonic() + wait
        while True:
            if self.down:
                raise Unavailable("down")
            found = [d for at, d in self._desires.values() if at > since]
            if found or since == 0 or self._clock.monotonic() >= deadline:
                return Batch(max(self._cursor, 1), found, full=since == 0)
            await self._clock.sleep(0.1)

    async def report(self, reports: Sequence[Report]) -> None:
        if self.down:
            raise Unavailable("down")
        if any(r.key in self.refuse for r in reports):
            raise LazurError("Refused", "no")
        for report in reports:
            self.log.append(report)
            slot = (report.kind, report.key)
            self.reports[slot] = report
            known = self._desires.get(slot)
            if report.state is State.GONE and known and known[1].removed and known[1].generation == report.generation:
                del self._desires[slot]

    async def artifact(self, name: str, content: bytes) -> None:
        if self.down:
            raise Unavailable("down")
        self.artifacts[name] = content


async def advance(clock: VirtualClock, until: Callable[[], bool], limit: float = 600.0) -> None:
    """Move virtual time from sleeper to sleeper until `until` holds; fails after `limit` seconds of it."""
    end = clock.monotonic() + limit
    while True:
        for _ in range(30):
            await asyncio.sleep(0)
        if until():
            return
        due = clock.next_deadline()
        assert due is not None, "everybody waits for ever"
        assert due <= end, "did not happen in time"
        clock.advance(due - clock.monotonic())


async def settle(clock: VirtualClock, seconds: float) -> None:
    """Let `seconds` of virtual time pass."""
    end = clock.monotonic() + seconds
    while (due := clock.next_deadline()) is not None and due <= end:
        clock.advance(due - clock.monotonic())
        for _ in range(30):
            await asyncio.sleep(0)
    clock.advance(end - clock.monotonic())
