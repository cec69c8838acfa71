"""The statistics of the benchmarks: known pairs give known verdicts. No timing is ever asserted."""

from __future__ import annotations

import asyncio
import random

import pytest

from bench.pairing import Block, Effort, Metric, Wrong, compare
from bench.ratios import Ratio, Target, percentile, ratio, void


def _pairs(factor: float, noise: float, count: int = 12) -> list[tuple[float, float]]:
    draw = random.Random(11)
    return [(base, base * factor * draw.uniform(1 - noise, 1 + noise)) for base in (draw.uniform(1, 9) for _ in range(count))]


def test_a_ratio_is_the_median_and_its_interval_holds_the_truth() -> None:
    found = ratio(_pairs(3.0, 0.05))
    assert found.low < 3.0 < found.high
    assert found.low <= found.median <= found.high
    assert found.pairs == 12


def test_one_wild_pair_does_not_move_a_ratio() -> None:
    calm = _pairs(2.0, 0.02)
    assert ratio([*calm, (1.0, 500.0)]).median == pytest.approx(ratio(calm).median, rel=0.03)


def test_the_same_pairs_give_the_same_interval() -> None:
    assert ratio(_pairs(1.5, 0.3)) == ratio(_pairs(1.5, 0.3))


def test_swapped_sides_give_the_inverse() -> None:
    pairs = _pairs(2.5, 0.1)
    back = ratio([(b, a) for a, b in pairs])
    assert back.median == pytest.approx(1 / ratio(pairs).median)


def test_one_pair_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        ratio([(1.0, 2.0)])


@pytest.mark.parametrize(
    ("same", "said"),
    [
        (Ratio(1.0, 0.95, 1.05, 10), ""),
        (Ratio(1.1, 1.05, 1.09, 10), "differs from itself"),
        (Ratio(1.0, 0.85, 1.05, 10), "scatters"),
        (Ratio(1.0, 0.95, 1.15, 10), "scatters"),
    ],
)
def test_a_run_is_void_when_the_baseline_is_not_itself(same: Ratio, said: str) -> None:
    assert said in void(same)
    assert bool(void(same)) == bool(said)


def test_the_worse_end_decides() -> None:
    held = Target(4.0, 6.0)
    verdicts = [held.verdict(Ratio(3.0, 2.0, high, 10)) for high in (3.9, 5.0, 6.1)]
    assert verdicts == ["goal met", "gate met", "missed"]
    rate = Target(5.0, 3.0, most=False)
    assert [rate.verdict(Ratio(6.0, low, 9.0, 10)) for low in (5.1, 4.0, 2.0)] == ["goal met", "gate met", "missed"]


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0), percentile([], 0.5)) == (50, 99, 100, 0)


class _Side:
    """A side whose cost is known; remembers when it was asked."""

    def __init__(self, name: str, cost: float, order: list[str], wrong: bool = False) -> None:
        self._block = Block({"cost": cost})
        self._name = name
        self._order = order
        self._wrong = wrong

    async def __call__(self) -> Block:
        self._order.append(self._name)
        if self._wrong:
            raise Wrong("not what was asked for")
        return self._block


def test_sides_take_turns_and_the_baseline_meets_itself_first() -> None:
    order: list[str] = []
    base, twin, ours = _Side("base", 2.0, order), _Side("twin", 2.0, order), _Side("ours", 8.0, order)
    metric = Metric("cost", "s", Target(5.0, 6.0))
    (figure,), rows = asyncio.run(compare([metric], base, twin, ours, Effort(pairs=4), lambda _: None))
    assert order[:3] == ["base", "twin", "ours"], "each side warms up once"
    assert order[3:11] == ["base", "twin", "twin", "base"] * 2
    assert order[11:] == ["base", "ours", "ours", "base"] * 2
    assert figure.ratio.median == pytest.approx(4.0)
    assert figure.verdict == "goal met"
    assert len(rows["pairs"]) == len(rows["same"]) == 4


def test_a_wrong_answer_ends_the_measurement() -> None:
    order: list[str] = []
    base, ours = _Side("base", 1.0, order), _Side("ours", 0.1, order, wrong=True)
    with pytest.raises(Wrong):
        asyncio.run(compare([Metric("cost", "s")], base, base, ours, Effort(pairs=2), lambda _: None))
