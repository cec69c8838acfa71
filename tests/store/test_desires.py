"""Desires: a wanted set replaces the former one, generations never repeat, answers count for what they looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies

from lazur.model.desire import Report, State
from lazur.model.documents import Change, DesireRecord, Wanted
from lazur.store.sqlite import SqliteStore, _want
from tests.store.support import key, on, record, wanted

Make = Callable[[], SqliteStore]
HOST = "host/h01"


def _wants(*desires: Wanted, owner: str = "a") -> Change:
    return Change(desires_of=key(owner), desires=desires)


def _by_name(store: SqliteStore, owner: str = "a") -> dict[str, DesireRecord]:
    return {d.wanted.key: d for d in store.desires(key(owner))}


def _said(name: str, generation: int, state: State = State.READY, **fields: Any) -> Report:
    return Report("vm", name, generation, state, **fields)


def test_a_set_replaces_the_former_one(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_wants(wanted("kept"), wanted("changed"), wanted("dropped")))
        await store.commit(_wants(wanted("other"), owner="b"))
        position, before = store.position(), _by_name(store)
        await store.commit(_wants(wanted("kept"), wanted("changed", size=2), wanted("new")))
        found = _by_name(store)
        assert found["kept"] == before["kept"]
        assert {n for n, d in found.items() if d.generation > position} == {"changed", "dropped", "new"}
        assert [n for n, d in found.items() if d.removed] == ["dropped"]
        assert not _by_name(store, "b")["other"].removed
        now, news = store.domain(HOST, position)
        assert {d.wanted.key for d in news} == {"changed", "dropped", "new"} and now == store.position()
        await store.commit(_wants(wanted("kept"), wanted("changed", size=2), wanted("new")))
        assert _by_name(store) == found and store.position() == now, "the same again is nothing"

    on(make, work)


def test_secrets_are_part_of_what_is_wanted(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        first = Wanted(HOST, "vm", "a", {}, {"password": "sealed-1"})
        await store.commit(_wants(first))
        await store.commit(_wants(Wanted(HOST, "vm", "a", {}, {"password": "sealed-2"})))
        found = _by_name(store)["a"]
        assert found.generation == store.position() and found.wanted.secrets == {"password": "sealed-2"}

    on(make, work)


def test_answers_count_for_their_generation(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_wants(wanted("x")))
        old = _by_name(store)["x"].generation
        await store.report(HOST, [_said("x", old, observed={"pid": 7})])
        assert _by_name(store)["x"].ready and _by_name(store)["x"].observed == {"pid": 7}
        await store.commit(_wants(wanted("x", size=2)))
        assert not _by_name(store)["x"].ready
        position, new = store.position(), _by_name(store)["x"].generation
        await store.report(HOST, [_said("x", old), _said("x", new + 1), _said("unknown", old)])
        await store.report("host/h02", [_said("x", new)])
        assert not _by_name(store)["x"].ready and store.position() == position, "late and strange answers are nothing"
        error = {"code": "MachineStartFailed", "message": "no"}
        await store.report(HOST, [_said("x", new, State.FAILED, error=error)])
        assert _by_name(store)["x"].failed and _by_name(store)["x"].error == error
        assert [(e.what, e.key, e.domain) for e in store.feed(position)] == [("report", key("a"), HOST)]
        await store.report(HOST, [_said("x", new)])
        assert _by_name(store)["x"].ready and _by_name(store)["x"].error is None

    on(make, work)


def test_gone_removes_only_what_is_to_go(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        async def wants(*desires: Wanted) -> int:
            await store.commit(_wants(*desires))
            return _by_name(store)["x"].generation

        first = await wants(wanted("x"))
        await store.report(HOST, [_said("x", first, State.GONE)])
        assert not _by_name(store)["x"].removed
        second = await wants()
        await store.report(HOST, [_said("x", first, State.GONE)])
        assert _by_name(store)["x"].removed, "the answer was to an older wish"
        assert await wants(wanted("x")) > second > first
        await store.report(HOST, [_said("x", second, State.GONE)])
        assert not _by_name(store)["x"].removed, "it is wanted again"
        last = await wants()
        await store.report(HOST, [_said("x", last, State.GONE)])
        assert _by_name(store) == {}
        await store.report(HOST, [_said("x", last, State.READY)])
        assert _by_name(store) == {}
        await store.commit(_wants(wanted("x")))
        again = _by_name(store)["x"]
        assert again.generation > last + 1, "an executor may have counted one on by itself when it missed the removal"
        assert (again.reported, again.state, again.observed) == (0, "Pending", {})

    on(make, work)


def test_what_stands_in_a_domain_has_an_owner_there(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_wants(wanted("x"), Wanted("host/h02", "capture", "y", {})))
        assert store.wanted(HOST, "x") == store.wanted("host/h02", "y") == key("a")
        assert store.wanted(HOST, "y") is store.wanted("host/h02", "x") is store.wanted(HOST, "z") is None
        await store.commit(_wants(wanted("x")))
        assert store.wanted("host/h02", "y") is None, "it is to go"

    on(make, work)


def test_a_removal_is_seen_once_more_after_its_owner(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")], desires_of=key("a"), desires=[wanted("x")]))
        await store.commit(Change(removed=[(key("a"), 1)], desires_of=key("a")))
        _, found = store.domain(HOST, 0)
        assert [(d.wanted.key, d.removed) for d in found] == [("x", True)]

    on(make, work)


def test_the_whole_of_a_domain_is_one_moment(tmp_path: Path) -> None:
    """A desire written again while the domain is read must not seem to be gone: an executor would tear it down."""

    async def work(store: SqliteStore) -> None:
        other = SqliteStore(tmp_path / "s.db")
        await store.commit(_wants(wanted("x"), wanted("y")))
        sizes = iter(range(2, 100))

        def write_meanwhile(statement: str) -> None:
            if "FROM desires" in statement:
                _want(other._writer, key("a"), [wanted("x", size=next(sizes)), wanted("y")])

        store._reader.set_trace_callback(write_meanwhile)
        position, found = store.domain(HOST, 0)
        store._reader.set_trace_callback(None)
        assert next(sizes) > 2, "something was written meanwhile"
        assert {d.wanted.key: d.wanted.payload["size"] for d in found} == {"x": 1, "y": 1}
        _, later = store.domain(HOST, position)
        assert {d.wanted.key: d.wanted.payload["size"] for d in later} == {"x": 2}
        other.close()

    on(lambda: SqliteStore(tmp_path / "s.db"), work)


_STEPS = strategies.lists(
    strategies.one_of(
        strategies.dictionaries(strategies.sampled_from("xyz"), strategies.integers(1, 2), max_size=3),
        strategies.tuples(strategies.sampled_from("xyz"), strategies.integers(0, 3), strategies.sampled_from(State)),
    ),
    max_size=25,
)


@hypothesis.settings(max_examples=40)
@hypothesis.given(_STEPS)
def test_generations_only_grow(steps: list[object]) -> None:
    """Against a model: wanted sets and answers in any order."""

    async def work(store: SqliteStore) -> None:
        last: dict[str, int] = {}
        model: dict[str, tuple[int, int | None]] = {}  # name -> generation, wanted size or None when removed
        for step in steps:
            if isinstance(step, dict):
                await store.commit(_wants(*(wanted(n, size=s) for n, s in step.items())))
                found = _by_name(store)
                for name in step.keys() | model.keys():
                    size = step.get(name)
                    if name not in model or model[name][1] != size:
                        assert found[name].generation > last.get(name, 0)
                        last[name] = found[name].generation
                        model[name] = (last[name], size)
            else:
                assert isinstance(step, tuple)
                name, behind, state = step
                generation = last.get(name, 0) - behind
                await store.report(HOST, [_said(name, generation, state)])
                if name in model and state is State.GONE and model[name] == (generation, None):
                    del model[name]
            found = _by_name(store)
            seen = {n: (d.generation, None if d.removed else d.wanted.payload["size"]) for n, d in found.items()}
            assert seen == model

    on(lambda: SqliteStore(None), work)
