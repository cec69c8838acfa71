"""The lowest free address of a pool: what is asked costs the same however many are taken, and never misses a commit."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable

import hypothesis
from hypothesis import strategies

from lazur.kernel.errors import Conflict
from lazur.model.documents import Change, Claim
from lazur.store.runs import Runs
from lazur.store.sqlite import SqliteStore
from tests.store.support import key, on, record

Make = Callable[[], SqliteStore]
RANGE = ("10.0.0.4", "10.0.0.254")


def _holding(name: str, *values: str, pool: str = "net") -> Change:
    return Change(rewire={key(name): ((), [Claim(pool, v, key(name)) for v in values])})


_NUMBERS = strategies.integers(0, 30)


@hypothesis.given(
    strategies.sets(_NUMBERS),
    strategies.lists(strategies.tuples(strategies.booleans(), _NUMBERS), max_size=60),
    _NUMBERS,
    _NUMBERS,
)
def test_runs_are_a_set(begun: set[int], steps: list[tuple[bool, int]], first: int, last: int) -> None:
    model, runs = set(begun), Runs(begun)
    for adds, number in steps:
        (model.add if adds else model.discard)(number)
        (runs.add if adds else runs.discard)(number)
        assert runs.free(first, last) == next((n for n in range(first, last + 1) if n not in model), None)


def test_the_lowest_free_address_is_found_in_numeric_order(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        assert store.free("net", *RANGE) == "10.0.0.4"
        await store.commit(_holding("a", *(f"10.0.0.{n}" for n in range(4, 12))))
        await store.commit(_holding("b", "10.0.0.12", "10.0.0.99"))
        assert store.free("net", *RANGE) == "10.0.0.13"
        assert store.free("net", "10.0.0.99", "10.0.0.99") is None
        assert store.free("other", *RANGE) == "10.0.0.4"
        await store.commit(_holding("a", "10.0.0.4", "10.0.0.6"))
        assert store.free("net", *RANGE) == "10.0.0.5"
        await store.commit(Change(records=[record("b")]))
        await store.commit(Change(removed=[(key("b"), 1)]))
        assert store.free("net", "10.0.0.12", "10.0.0.254") == "10.0.0.12"
        assert store.holder("net", "10.0.0.6") == key("a") and store.holder("net", "10.0.0.12") is None

    on(make, work)


def test_versions_do_not_meet(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        assert store.free("net", "::4", "::9") == "::4"
        await store.commit(_holding("a", "::4", "0.0.0.5", "fd00::1:0"))
        assert store.free("net", "::4", "::9") == "::5"
        assert store.free("net", "0.0.0.4", "0.0.0.9") == "0.0.0.4"
        assert store.free("net", "fd00::1:0", "fd00::ffff:ffff") == "fd00::1:1"

    on(make, work)


def test_a_refused_commit_takes_nothing(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_holding("a", "10.0.0.4"))
        assert store.free("net", *RANGE) == "10.0.0.5"
        results = await asyncio.gather(
            store.commit(_holding("b", "10.0.0.5", "10.0.0.4")), store.commit(_holding("c", "10.0.0.6")), return_exceptions=True
        )
        assert isinstance(results[0], Conflict) and results[1] is None
        assert store.free("net", *RANGE) == "10.0.0.5"
        assert store.free("net", "10.0.0.6", "10.0.0.9") == "10.0.0.7"

    on(make, work)


def test_many_who_choose_at_once_get_different_addresses(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        async def choose(name: str) -> str:
            while True:
                chosen = store.free("net", *RANGE)
                assert chosen is not None
                try:
                    await store.commit(_holding(name, chosen))
                    return chosen
                except Conflict:
                    continue

        chosen = await asyncio.gather(*(choose(f"n{n}") for n in range(30)))
        first = int(ipaddress.ip_address(RANGE[0]))
        assert sorted(int(ipaddress.ip_address(c)) for c in chosen) == list(range(first, first + 30))

    on(make, work)
