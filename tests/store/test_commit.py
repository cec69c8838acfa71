"""What a commit promises: all of a change or nothing, and nothing that was decided from something stale."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lazur.model.documents import Change, Claim, Document, Reference
from lazur.store.sqlite import _FROM, _TO, SqliteStore
from tests.store.support import DISKS, GROUP, MACHINES, key, on, operation, record, refused, wanted, whole

Make = Callable[[], SqliteStore]


def _everything(name: str, **more: Any) -> Change:
    """A change that touches each kind of document."""
    change: dict[str, Any] = {
        "records": [record(name)],
        "operations": [operation(f"op-{name}", name)],
        "rewire": {key(name): ([Reference(key(name), "properties.x", key("target"))], [Claim("pool", name, key(name))])},
        "desires_of": key(name),
        "desires": [wanted(name)],
        "documents": [Document(f"doc-{name}", 1, {"n": 1})],
    }
    return Change(**{**change, **more})


def test_a_change_is_written_as_a_whole(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_everything("a"))
        assert store.get(key("a")) == record("a")
        assert store.operation("op-a") == operation("op-a")
        assert store.open_operations(key("a")) == [operation("op-a")]
        reference = Reference(key("a"), "properties.x", key("target"))
        assert list(store.references(key("a"))) == list(store.referrers(key("target"))) == [reference]
        assert store.claims("pool") == {"a": key("a")}
        assert [d.wanted for d in store.desires(key("a"))] == [wanted("a")]
        assert store.document("doc-a") == Document("doc-a", 1, {"n": 1})
        assert {e.what for e in store.feed(0)} == {"resource", "operation", "reference", "desire", "document"}

    on(make, work)


@pytest.mark.parametrize(
    "fault",
    [
        {"records": [record("b"), record("a")]},
        {"records": [record("b"), record("a", 7)]},
        {"removed": [(key("a"), 9)]},
        {"rewire": {key("b"): ((), [Claim("pool", "free", key("b")), Claim("pool", "a", key("b"))])}},
        {"documents": [Document("doc-b", 1, {}), Document("doc-a", 1, {})]},
        {"unchanged": [(key("a"), 2)]},
        {"unchanged": [(key("nobody"), 1)]},
        {"requires": [key("nobody")]},
        {"unreferenced": [key("target")]},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_one_fault_undoes_all_of_it(make: Make, fault: dict[str, object]) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_everything("a"))
        await refused(store, _everything("b", **fault))
        await store.commit(_everything("c"))
        assert store.get(key("c")) is not None, "the store goes on"

    on(make, work)


def test_what_cannot_be_stored_fails_alone(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        before = whole(store)
        bad = [record("bad", body={"tags": {"x": "\ud800"}}), record("worse", body={"x": object()})]
        for one in bad:
            with pytest.raises((UnicodeEncodeError, TypeError)):
                await asyncio.wait_for(store.commit(Change(records=[one])), 30)
        assert whole(store) == before
        results = await asyncio.gather(
            *(store.commit(Change(records=[r])) for r in (record("a"), *bad, record("b"))), return_exceptions=True
        )
        assert [isinstance(r, Exception) for r in results] == [False, True, True, False]
        assert [r.id.name for r in store.list()] == ["a", "b"]

    on(make, work)


def test_versions(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")]))
        await store.commit(Change(records=[record("a", 2, state="Updating")]))
        error = await refused(store, Change(records=[record("a", 2, state="Failed")]))
        assert error.retryable and error.status == 409 and error.target == str(record("a").id)
        await refused(store, Change(records=[record("a")]))
        await refused(store, Change(records=[record("nobody", 2)]))
        found = store.get(key("a"))
        assert found is not None and (found.version, found.state) == (2, "Updating")
        await refused(store, Change(removed=[(key("a"), 1)]))
        await store.commit(Change(removed=[(key("a"), 2)]))
        assert store.get(key("a")) is None
        await store.commit(Change(records=[record("a")]))

    on(make, work)


def test_of_two_that_write_at_once_one_is_refused(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        async def attempt(number: int) -> bool:
            try:
                await store.commit(Change(records=[record("a", uid=str(number))]))
            except Exception:
                return False
            return True

        done = await asyncio.gather(*(attempt(n) for n in range(20)))
        found = store.get(key("a"))
        assert done.count(True) == 1 and found is not None and found.uid == str(done.index(True))

    on(make, work)


def test_claims_are_exclusive_and_released(make: Make) -> None:
    def holding(name: str, *values: str) -> Change:
        return Change(rewire={key(name): ((), [Claim("addresses", v, key(name)) for v in values])})

    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a"), record("b")]))
        await store.commit(holding("a", "10.0.0.4", "10.0.0.5"))
        await refused(store, holding("b", "10.0.0.5"))
        await store.commit(Change(rewire={key("b"): ((), [Claim("other", "10.0.0.5", key("b"))])}))
        await store.commit(holding("a", "10.0.0.4"))
        await store.commit(holding("b", "10.0.0.5"))
        assert store.claims("addresses") == {"10.0.0.4": key("a"), "10.0.0.5": key("b")}
        assert store.claims("other") == {}, "a rewire names all that its owner holds"
        await store.commit(Change(removed=[(key("a"), 1)]))
        assert store.claims("addresses") == {"10.0.0.5": key("b")}
        takers = [holding(f"n{n}", "10.0.0.9") for n in range(10)]
        results = await asyncio.gather(*(store.commit(t) for t in takers), return_exceptions=True)
        assert [r for r in results if r is None] == [None]

    on(make, work)


def test_what_a_change_requires(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("target"), record("doomed", deleting=True)]))
        await store.commit(Change(records=[record("a")], requires=[key("target")], unchanged=[(key("target"), 1)]))
        error = await refused(store, Change(records=[record("b")], requires=[key("doomed")]))
        assert error.target == key("doomed")
        await store.commit(Change(records=[record("target", 2)]))
        await refused(store, Change(records=[record("b")], unchanged=[(key("target"), 1)]))

    on(make, work)


def test_nothing_in_use_is_marked(make: Make) -> None:
    vnet = record("vnet", type="Microsoft.Network/virtualNetworks")
    subnet = f"{vnet.key}/subnets/default"
    neighbour = key("vnet2", "Microsoft.Network/virtualNetworks")

    def referring(target: str, blocking: bool = True, source: str = key("nic")) -> Change:
        return Change(rewire={source: ([Reference(source, "p", target, blocking)], ())})

    async def work(store: SqliteStore) -> None:
        free = Change(unreferenced=[vnet.key])
        await store.commit(Change(records=[vnet]))
        await store.commit(free)
        await store.commit(referring(subnet))
        error = await refused(store, free)
        assert key("nic") in error.message
        assert [r.source for r in store.referrers(vnet.key)] == [key("nic")]
        await store.commit(referring(subnet, blocking=False))
        await store.commit(free)
        await store.commit(referring(neighbour))
        await store.commit(free)
        assert store.referrers(vnet.key) == []
        await store.commit(referring(subnet, source=f"{vnet.key}/peerings/self"))
        await store.commit(free)

    on(make, work)


def test_lists_are_ordered_and_bounded(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        names = ["b", "a", "ab", "Ü"]
        await store.commit(Change(records=[*map(record, names), record("a", type=MACHINES)]))
        assert [r.id.name for r in store.list(type="MICROSOFT.compute/DISKS")] == ["a", "ab", "b", "Ü"]
        assert [r.type for r in store.list(prefix=key("a", MACHINES))] == [MACHINES.lower()]
        assert len(store.list(prefix="/subscriptions/sub/resourcegroups/rg/")) == 5
        assert store.list(prefix="/subscriptions/sub/resourcegroups/r/") == []

    on(make, work)


def test_documents_are_listed_by_prefix_and_removed(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        rows = [Document(name, 1, {"of": name}) for name in ("a/2", "a/1", "a", "a0", "b/1")]
        await store.commit(Change(documents=rows))
        assert list(store.documents("a/")) == [rows[1], rows[0]]
        await refused(store, Change(documents=[Document("a/1", 3, None)]))
        await store.commit(Change(documents=[Document("a/1", 2, None)]))
        assert list(store.documents("a/")) == [rows[0]] and store.document("a/1") == Document("a/1", 0, None)
        await store.commit(Change(documents=[Document("a/1", 1, {"of": "again"})]))
        assert store.document("a/1").content == {"of": "again"}

    on(make, work)


def test_pages_meet_what_stays_once_while_others_come_and_go(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        names = [f"n{n:03}" for n in range(50)]
        await store.commit(Change(records=[*map(record, names), *(record(n, type=MACHINES) for n in names)]))
        for page, prefix in (1, ""), (7, "/subscriptions/sub/"), (50, GROUP.key + "/"), (99, ""):
            assert _paged(store, page, prefix=prefix, type=DISKS) == names
        assert len(_paged(store, 33, prefix=GROUP.key + "/")) == 100
        first = store.list(type=DISKS, limit=10)
        await store.commit(Change(records=[record("n000a"), record("n020a")], removed=[(first[-1].key, 1), (key("n030"), 1)]))
        rest = [r.id.name for r in store.list(type=DISKS, after=first[-1].key)]
        assert rest == sorted({*names[10:], "n020a"} - {"n030"})

    on(make, work)


def test_references_of_many_at_once(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        targets = [key(n) for n in ("disk", "disk-1", "disk.x", "disk0", "other", "nobody")]
        pairs = [("a", "disk"), ("b", "disk"), ("a", "disk-1"), ("c", "disk.x"), ("b", "disk0"), ("a", "other")]
        wires: dict[str, list[Reference]] = {}
        for source, target in [*pairs, ("b", "disk/parts/p"), ("c", "disk-1/parts/p")]:
            wires.setdefault(key(source), []).append(Reference(key(source), f"p.{target}", key(target), target != "other"))
        await store.commit(Change(rewire={source: (wire, None) for source, wire in wires.items()}))
        among = store.referrers_among(targets)
        assert {t: list(store.referrers(t)) for t in targets} == {t: list(among.get(t, ())) for t in targets}
        assert len(among[key("disk")]) == 3 and key("nobody") not in among
        ((_, _, _, _), (_, _, _, plan)) = store._reader.execute(f"EXPLAIN QUERY PLAN {_TO}", ("[]",))
        assert "refs_target (target>? AND target<?)" in plan
        sources = [key(n) for n in ("a", "b", "c", "disk")]
        among = store.references_among(sources)
        assert {s: list(store.references(s)) for s in sources} == {s: list(among.get(s, ())) for s in sources}
        assert len(among[key("b")]) == 3 and key("disk") not in among
        (*_, (_, _, _, plan)) = store._reader.execute(f"EXPLAIN QUERY PLAN {_FROM}", ("[]",))
        assert "PRIMARY KEY (source=?)" in plan

    on(make, work)


def _paged(store: SqliteStore, page: int, **what: str) -> list[str]:
    seen: list[str] = []
    after = ""
    while found := store.list(**what, after=after, limit=page):
        seen += [r.id.name for r in found]
        after = found[-1].key
    return seen


@pytest.mark.parametrize("type", ["", DISKS])
@pytest.mark.parametrize("after", ["", key("n5")])
def test_a_page_costs_what_is_on_it(make: Make, type: str, after: str) -> None:
    async def work(store: SqliteStore) -> None:
        asked: list[str] = []
        store._reader.set_trace_callback(asked.append)
        store.list(prefix=GROUP.key + "/", type=type, after=after, limit=3)
        store._reader.set_trace_callback(None)
        ((_, _, _, plan),) = store._reader.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")
        assert plan.startswith("SEARCH") and "key>? AND key<?" in plan and "TEMP B-TREE" not in plan

    on(make, work)


def test_documents_are_compared_and_swapped(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        assert store.document("keys") == Document("keys", 0, None)
        await store.commit(Change(documents=[Document("keys", 1, ["a"])]))
        await refused(store, Change(documents=[Document("keys", 1, ["b"])]))
        await refused(store, Change(documents=[Document("keys", 3, ["b"])]))
        await store.commit(Change(documents=[Document("keys", 2, {"b": None})]))
        assert store.document("keys") == Document("keys", 2, {"b": None})

    on(make, work)


def test_a_pool_a_decision_stands_on_must_be_as_it_was(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(_everything("a"))
        seen = store.claims("pool")
        await store.commit(_everything("b"))
        await refused(store, Change(records=[record("c")], settled={"pool": seen}))
        assert store.get(key("c")) is None
        await store.commit(Change(records=[record("c")], settled={"pool": store.claims("pool"), "empty": {}}))
        assert store.get(key("c")) is not None

    on(make, work)


class _Breaks:
    """A connection whose statements that begin with `word` fail, `times` times."""

    def __init__(self, inner: sqlite3.Connection, word: str, times: int) -> None:
        self._inner, self._word, self._times = inner, word, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, *values: Any) -> Any:
        if self._times and sql.startswith(self._word):
            self._times -= 1
            if self._word == "ROLLBACK TO":
                self._inner.execute("ROLLBACK")  # As SQLite does by itself when the disk is full.
            raise sqlite3.OperationalError("database or disk is full")
        return self._inner.execute(sql, *values)


@pytest.mark.parametrize("word", ["BEGIN", "SAVEPOINT", "ROLLBACK TO", "SELECT MAX", "COMMIT"])
def test_a_full_disk_is_told_to_all_who_wait_and_passes(make: Make, word: str) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")]))
        before, edition = whole(store), store.edition(DISKS.lower())
        broken: Any = _Breaks(store._writer, word, 1)
        store._writer = broken
        changes = [Change(records=[record("b")]), Change(records=[record("a")]), Change(records=[record("c")])]
        results = await asyncio.wait_for(asyncio.gather(*map(store.commit, changes), return_exceptions=True), 30)
        assert any(isinstance(r, sqlite3.OperationalError) for r in results)
        if not store._inline:  # In memory every commit is a transaction of its own, and the others went through.
            assert whole(store) == before and store.edition(DISKS.lower()) == edition
        await store.commit(Change(records=[record("d")]))
        assert store.get(key("d")) is not None

    on(make, work)


def test_a_store_outlives_the_loop_it_was_used_in(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")

    async def begin(name: str) -> None:
        task = asyncio.ensure_future(store.commit(Change(records=[record(name)])))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()

    async def whole_one(name: str) -> None:
        await asyncio.wait_for(store.commit(Change(records=[record(name)])), 30)

    for number in range(20):
        asyncio.run(begin(f"begun{number}"))
        asyncio.run(whole_one(f"whole{number}"))
    assert {r.id.name for r in store.list()} >= {f"whole{n}" for n in range(20)}
    store.close()
