"""Runs blocks of two sides in the order A B B A, first the baseline against itself, and turns them into figures.

Must never drop a block for its result, only for the state of the machine, and then both sides of the pair.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.machine import stalled, state
from bench.ratios import Ratio, Target, ratio, void
from lazur.kernel.clock import SystemClock


class Wrong(Exception):
    """A side gave a wrong answer; its figures mean nothing."""


class Skipped(Exception):
    """This machine lacks what the benchmark needs; says what."""


@dataclass(frozen=True)
class Block:
    """One block of work of one side: figures per operation by name, all above zero, and what is only reported."""

    costs: Mapping[str, float]
    facts: Mapping[str, float] = field(default_factory=dict)


Side = Callable[[], Awaitable[Block]]
"""Does one block of work; raises `Wrong` when an answer was not the right one."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How much is measured: pairs per comparison, seconds per block, and the most CPU stall of a pair that counts. After
    `budget` seconds no further pair is begun, once there are two. Without `warm` no side does a block that does not count."""

    pairs: int = 10
    seconds: float = 5.0
    stall: float = 1.0
    budget: float = math.inf
    warm: bool = True


@dataclass(frozen=True)
class Figure:
    """One metric of one comparison."""

    name: str
    unit: str
    baseline: float
    ours: float
    ratio: Ratio
    same: Ratio
    void: str
    target: Target | None

    @property
    def verdict(self) -> str:
        """What may be said of it."""
        if self.void:
            return "void"
        return self.target.verdict(self.ratio) if self.target else "reported"

    def body(self) -> dict[str, Any]:
        """For the result file."""
        return {**asdict(self), "verdict": self.verdict}

    def __str__(self) -> str:
        held = f"; {self.target}" if self.target else ""
        reason = f": {self.void}" if self.void else ""
        return (
            f"{self.name}: {self.ratio} ({self.ours:.4g} against {self.baseline:.4g} {self.unit}){held}; A/A {self.same};"
            f" {self.verdict}{reason}"
        )


@dataclass(frozen=True)
class Metric:
    """A cost to compare: its key in `Block.costs`, its unit, what it is held to."""

    name: str
    unit: str
    target: Target | None = None


async def compare(
    metrics: Sequence[Metric], baseline: Side, twin: Side, ours: Side, effort: Effort, say: Say
) -> tuple[list[Figure], dict[str, Any]]:
    """Figures for `metrics`, and the blocks they came from. `twin` is a second instance of the baseline."""
    for side in (baseline, twin, ours) if effort.warm else ():
        await side()
    same = await _pairs(baseline, twin, effort, say, "A/A")
    found = await _pairs(baseline, ours, effort, say, "A/B")
    figures = []
    for metric in metrics:
        alike, told = (
            [(a.costs[metric.name], b.costs[metric.name]) for a, b in rows] for rows in (same, found)
        )
        middle = [statistics.median(side) for side in zip(*told, strict=True)]
        check = ratio(alike)
        figures.append(Figure(metric.name, metric.unit, middle[0], middle[1], ratio(told), check, void(check), metric.target))
    rows = {"same": same, "pairs": found}
    return figures, {name: [[asdict(a), asdict(b)] for a, b in pairs] for name, pairs in rows.items()}


async def _pairs(first: Side, second: Side, effort: Effort, say: Say, title: str) -> list[tuple[Block, Block]]:
    clock = SystemClock()
    rows: list[tuple[Block, Block]] = []
    dropped, until = 0, clock.monotonic() + effort.budget
    while len(rows) < effort.pairs and dropped < effort.pairs and (len(rows) < 2 or clock.monotonic() < until):
        begun, waited = clock.monotonic(), stalled()
        if (len(rows) + dropped) % 2:
            b = await second()
            a = await first()
        else:
            a = await first()
            b = await second()
        share = (stalled() - waited) / (clock.monotonic() - begun)
        if share > effort.stall:
            dropped += 1
            continue
        rows.append((a, b))
    say(f"  {title}: {len(rows)} pairs{f', {dropped} dropped for CPU stall' if dropped else ''}; load {state()['load'][0]}")
    if len(rows) < 2:
        raise Wrong(f"the machine was busy throughout: {dropped} pairs had a CPU stall above {effort.stall:.0%}")
    return rows
