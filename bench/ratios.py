"""The statistics of paired measurements: pure functions, the same numbers give the same verdict every time.

A figure is the median of per-pair log ratios with a 95 % bootstrap interval. Must never read a clock or a process.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_RESAMPLES = 4000
_SEED = 20260101
WIDEST = 0.10
"""Half width beyond which an A/A interval says that this machine cannot tell, as a share."""


@dataclass(frozen=True)
class Ratio:
    """Ours over the baseline: the median, and the ends of its 95 % interval."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Target:
    """What a ratio is held to. `most`: smaller is better; otherwise larger is. `gate` must hold, `goal` is aimed at."""

    goal: float
    gate: float
    most: bool = True

    def verdict(self, ratio: Ratio) -> str:
        """`goal met`, `gate met` or `missed`, judged by the worse end of the interval."""
        worse = ratio.high if self.most else ratio.low
        for limit, word in ((self.goal, "goal met"), (self.gate, "gate met")):
            if worse <= limit if self.most else worse >= limit:
                return word
        return "missed"

    def __str__(self) -> str:
        sign = "at most" if self.most else "at least"
        return f"goal {sign} {self.goal:g}, gate {self.gate:g}"


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """The ratio second over first of `pairs`, all above zero; at least two of them."""
    if len(pairs) < 2:
        raise ValueError("a ratio needs at least two pairs")
    logs = [math.log(second / first) for first, second in pairs]
    draw = random.Random(_SEED)
    medians = sorted(statistics.median(draw.choices(logs, k=len(logs))) for _ in range(_RESAMPLES))
    low, high = medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES) - 1]
    return Ratio(math.exp(statistics.median(logs)), math.exp(low), math.exp(high), len(pairs))


def void(same: Ratio) -> str:
    """Why a run whose baseline was compared with itself cannot be believed; empty when it can."""
    if not same.low <= 1.0 <= same.high:
        return f"the baseline differs from itself: {same}"
    if same.high > 1 + WIDEST or same.low < 1 - WIDEST:
        return f"the baseline scatters too much: {same}"
    return ""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie (nearest rank); 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
