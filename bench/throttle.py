"""`throttle`: the check of one request against its buckets, let through and refused, against one bare bucket in a table.

Every answer is compared with that of a model that counts in whole numbers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from lazur.api.throttle import LIMITS, Throttle
from lazur.kernel.errors import LazurError

_TICKS = 1024
"""Of a second: what floating point holds exactly."""
_STEPS, _PRINCIPALS, _SUBSCRIPTIONS = 20_000, 300, 20
_TOGETHER = 15
_METHODS = {"GET": "reads", "PUT": "writes", "DELETE": "deletes"}
_METRIC = "µs CPU per check"


@dataclass(frozen=True)
class _Step:
    """One request, so many ticks after the last."""

    pause: int
    method: str
    subscription: str
    principal: str


class _Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ticks = 0

    def monotonic(self) -> float:
        return self.ticks / _TICKS

    def now(self) -> datetime:
        raise AssertionError("the throttle knows no calendar")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the check waits for nothing")


def _steps(pause: int, principals: int) -> list[_Step]:
    draw = random.Random(pause)
    found = []
    for _ in range(_STEPS):
        number = draw.randrange(principals)
        method = draw.choices(("GET", "PUT", "DELETE"), (8, 3, 1))[0]
        found.append(_Step(draw.randrange(2 * pause + 1), method, f"s{number % _SUBSCRIPTIONS}", f"p{number}"))
    return found


def _counted(steps: Sequence[_Step]) -> list[int]:
    """What is left of each principal's own bucket after each request, -1 for a refused one; in 1/1024 of a token."""
    kept: dict[tuple[str, str, str], tuple[int, int]] = {}
    now, found = 0, []
    for step in steps:
        now += step.pause
        kind = _METHODS[step.method]
        keys = [(kind, step.subscription, step.principal), (kind, step.subscription, "")]
        have = []
        for key, times in zip(keys, (1, _TOGETHER), strict=True):
            size, rate = LIMITS[kind].size * times * _TICKS, LIMITS[kind].rate * times
            tokens, at = kept.get(key, (size, now))
            have.append(min(size, tokens + (now - at) * rate))
        passes = all(tokens >= _TICKS for tokens in have)
        kept |= {key: (tokens - _TICKS if passes else tokens, now) for key, tokens in zip(keys, have, strict=True)}
        found.append((have[0] - _TICKS) // _TICKS if passes else -1)
    return found


def _timed(fresh: Callable[[_Hand], Callable[[_Step], int]], steps: Sequence[_Step], expected: Sequence[int] | None,
           seconds: float) -> Block:  # fmt: skip
    """All steps over and over, each round from full buckets and timed by this thread's own CPU clock."""
    rounds: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(rounds) < 2:
        clock, found = _Hand(), []
        check = fresh(clock)
        begun = time.thread_time_ns()
        for step in steps:
            clock.ticks += step.pause
            found.append(check(step))
        rounds.append((time.thread_time_ns() - begun) / 1e3 / len(steps))
        if expected is not None and found != expected:
            raise Wrong("the buckets did not hold what was counted")
    return Block({"cpu": sum(rounds) / len(rounds)}, {"rounds": len(rounds)})


def _ours(clock: _Hand) -> Callable[[_Step], int]:
    throttle = Throttle(clock, lambda subscription: "t")

    def check(step: _Step) -> int:
        try:
            return int(throttle.take(step.method, "t", step.subscription, step.principal)[1])
        except LazurError:
            return -1

    return check


def _bare(clock: _Hand) -> Callable[[_Step], int]:
    kept: dict[str, tuple[float, float]] = {}

    def check(step: _Step) -> int:
        now = clock.monotonic()
        tokens, at = kept.get(step.principal, (250.0, now))
        tokens = min(250.0, tokens + (now - at) * 25)
        passes = tokens >= 1
        kept[step.principal] = (tokens - 1 if passes else tokens, now)
        return int(tokens - 1) if passes else -1

    return check


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of calm and of flood; the goal of 5 µs is one of time, not of the ratio."""
    figures: list[Figure] = []
    rows: dict[str, Any] = {}
    for name, pause, principals in (("calm", 8, _PRINCIPALS), ("flood", 1, 8)):
        steps = _steps(pause, principals)
        expected, seconds = _counted(steps), effort.seconds / 5

        async def bare(steps: Sequence[_Step] = steps, seconds: float = seconds) -> Block:
            return _timed(_bare, steps, None, seconds)

        async def ours(steps: Sequence[_Step] = steps, expected: Sequence[int] = expected, seconds: float = seconds) -> Block:
            return _timed(_ours, steps, expected, seconds)

        refused = expected.count(-1) / len(steps)
        found, blocks = await compare((Metric("cpu", f"{_METRIC}, {name}"),), bare, bare, ours, effort, say)
        say(f"  {name}: {refused:.0%} of {len(steps)} requests refused; {found[0].ours:.2f} µs CPU each, goal at most 5 µs")
        figures += found
        rows[name] = blocks
    return figures, rows
