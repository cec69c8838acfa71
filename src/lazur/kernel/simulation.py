"""Runs a whole control plane under virtual time: when nothing can go on, time jumps to the next sleeper.

With seeded ids and an in-memory store, the same seed gives the same run. Must never be used outside tests and simulations
of time itself.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from lazur.kernel.clock import VirtualClock

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

# Work in threads (password hashes) shows itself only through the loop's own wake-up; give it a moment before time jumps.
_GRACE_SECONDS = 0.05


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: with no event at hand the clock moves on instead."""

    def __init__(self, clock: VirtualClock, busy: Callable[[], bool]) -> None:
        super().__init__()
        self._clock = clock
        self._busy = busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if self._busy():
            return super().select(_GRACE_SECONDS)
        deadline = self._clock.next_deadline()
        if deadline is None:
            return super().select(timeout if timeout is not None else _GRACE_SECONDS)
        self._clock.advance(deadline - self._clock.monotonic())
        return []


class _Loop(asyncio.SelectorEventLoop):
    """Counts the work it handed to threads."""

    threads = 0

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], R], *args: *Ts
    ) -> asyncio.Future[R]:
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: Any) -> None:
        self.threads -= 1


def run_virtual(main: Callable[[VirtualClock], Awaitable[T]], clock: VirtualClock | None = None) -> T:
    """Run `main(clock)` to its end under virtual time."""
    time = clock or VirtualClock()
    loop = _Loop(_JumpingSelector(time, lambda: loop.threads > 0))
    try:
        return loop.run_until_complete(main(time))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
