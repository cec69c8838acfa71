"""200 seeds of the example deployment under faults; `LAZUR_SEEDS=5000` plays more, `LAZUR_SEEDS=17-17` plays one again."""

from __future__ import annotations

import os

from tests.cloud.parallel import spread
from tests.simulation.faults import simulate


def wanted() -> range:
    first, _, last = os.environ.get("LAZUR_SEEDS", "200").partition("-")
    return range(int(first), int(last) + 1) if last else range(int(first))


def test_every_seed_ends_well() -> None:
    outcomes = spread(simulate, wanted(), 5)
    bad = [f"seed {o.seed}: {o.faults} after {o.events}" for o in outcomes if o.faults]
    assert not bad, "\n".join(bad[:10])
    assert len({o.digest for o in outcomes}) == len(outcomes), "different seeds told the same story"


def test_the_same_seed_tells_the_same_story() -> None:
    """In another process too, where sets and dictionaries of texts have another order."""
    seeds = [s * 7 for s in range(6)]
    first, second = spread(simulate, seeds), spread(simulate, seeds)
    assert [(o.digest, o.events) for o in first] == [(o.digest, o.events) for o in second]
