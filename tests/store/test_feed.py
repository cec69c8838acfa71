"""The feed: every committed change once, in order, without gaps, also while many write and one reads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from lazur.model.documents import Change, Entry, Wanted
from lazur.store.sqlite import SqliteStore, snapshot
from tests.store.support import MOMENT, key, on, operation, record, refused, wanted, whole

Make = Callable[[], SqliteStore]


def test_a_follower_sees_every_change_once(make: Make) -> None:
    writers, each = 12, 25

    async def work(store: SqliteStore) -> None:
        seen: list[Entry] = []

        async def follow() -> None:
            position = 0
            while len(seen) < writers * each * 2:
                entries = store.feed(position, limit=7)
                for entry in entries:
                    assert store.get(entry.key) is not None, "what the feed names can be read"
                seen.extend(entries)
                position = seen[-1].sequence if seen else 0
                if not entries:
                    await store.changed(position)

        async def write(writer: int) -> None:
            for number in range(each):
                name = f"{writer}-{number}"
                await store.commit(Change(records=[record(name)], desires_of=key(name), desires=[wanted(name)]))
                if number % 5 == 0:
                    results = await asyncio.gather(store.commit(Change(records=[record(name)])), return_exceptions=True)
                    assert isinstance(results[0], Exception)

        await asyncio.wait_for(asyncio.gather(follow(), *(write(w) for w in range(writers))), 120)
        assert [e.sequence for e in seen] == list(range(1, writers * each * 2 + 1)), "in order, none missing, none twice"
        names = [e.key for e in seen if e.what == "resource"]
        assert sorted(names) == sorted(key(f"{w}-{n}") for w in range(writers) for n in range(each))
        for writer in range(writers):
            mine = [n for n in names if f"/{writer}-" in n]
            assert mine == [key(f"{writer}-{n}") for n in range(each)], "one writer's changes in its own order"

    on(make, work)


def test_changed_wakes(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")]))
        await asyncio.wait_for(store.changed(0), 30)
        waiting = [asyncio.ensure_future(store.changed(store.position())) for _ in range(5)]
        await asyncio.sleep(0)
        assert not any(w.done() for w in waiting)
        waiting[0].cancel()
        await store.commit(Change(records=[record("b")]))
        await asyncio.wait_for(asyncio.gather(*waiting[1:]), 30)

    on(make, work)


def test_changed_of_a_domain_wakes_for_what_is_wanted_of_it_only(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")]))
        since = store.position()
        waiting = asyncio.ensure_future(store.changed(since, "network/main"))
        await store.commit(Change(desires_of=key("a"), desires=[Wanted("host/h01", "vm", "a", {})]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await store.commit(Change(desires_of=key("a"), desires=[Wanted("network/main", "nic", "a", {})]))
        await asyncio.wait_for(waiting, 30)
        await asyncio.wait_for(store.changed(since, "network/main"), 30)

    on(make, work)


def test_a_commit_whose_caller_went_away_wakes_too(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        waiting = asyncio.ensure_future(store.changed(0))
        await asyncio.sleep(0)
        caller = asyncio.ensure_future(store.commit(Change(records=[record("a")])))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait_for(waiting, 30)
        assert store.get(key("a")) is not None

    on(lambda: SqliteStore(tmp_path / "s.db"), work)


def test_trimming_keeps_the_newest(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        for number in range(10):
            await store.commit(Change(records=[record(f"r{number}")]))
        await store.trim(3, MOMENT, MOMENT)
        assert [e.sequence for e in store.feed(0)] == [8, 9, 10]
        await store.trim(0, MOMENT, MOMENT)
        assert [e.sequence for e in store.feed(0)] == [10] and store.position() == 10
        await store.commit(Change(records=[record("later")]))
        assert [e.sequence for e in store.feed(10)] == [11]
        assert len(store.list()) == 11

    on(make, work)


def test_trimming_forgets_old_operations_that_ended(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        old, new = MOMENT, MOMENT + timedelta(days=8)
        operations = [operation("old", ended=old, status="Succeeded"), operation("new", ended=new), operation("open")]
        await store.commit(Change(operations=operations))
        await store.trim(100, MOMENT + timedelta(days=1), MOMENT)
        assert [store.operation(o.id) for o in operations] == [None, operations[1], operations[2]]
        assert store.open_operations(key("a")) == [operations[2]]

    on(make, work)


def test_a_refused_commit_leaves_no_gap(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")]))
        await refused(store, Change(records=[record("b"), record("c"), record("a")]))
        await store.commit(Change(records=[record("d")]))
        assert [e.sequence for e in store.feed(0)] == [1, 2]

    on(make, work)


def test_waiting_commits_share_a_sync(tmp_path: Path) -> None:
    """Of 200 commits that wait together, far fewer transactions reach the disk than there are commits."""

    async def work(store: SqliteStore) -> None:
        statements: list[str] = []
        store._writer.set_trace_callback(statements.append)
        await asyncio.gather(*(store.commit(Change(records=[record(f"r{n}")])) for n in range(200)))
        store._writer.set_trace_callback(None)
        assert len(store.list()) == 200
        assert statements.count("COMMIT") <= 50, "each COMMIT is one sync"
        (mode,) = store._writer.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = store._writer.execute("PRAGMA synchronous").fetchone()
        assert (mode, synchronous) == ("wal", 2), "and each one does reach the disk"

    on(lambda: SqliteStore(tmp_path / "s.db"), work)


def test_opened_again_it_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    kept: list[object] = []

    async def write(store: SqliteStore) -> None:
        for number in range(5):
            name = f"r{number}"
            await store.commit(Change(records=[record(name)], desires_of=key(name), desires=[wanted(name)]))
        await store.commit(Change(removed=[(key("r0"), 1)], desires_of=key("r0")))
        kept.append(whole(store))

    async def read(store: SqliteStore) -> None:
        assert whole(store) == kept[0]
        await store.commit(Change(records=[record("later")]))
        assert [e.sequence for e in store.feed(0)] == list(range(1, 14)), "numbers go on where they stood"

    on(lambda: SqliteStore(path), write)
    on(lambda: SqliteStore(path), read)


def test_what_was_queued_is_written_before_it_closes(tmp_path: Path) -> None:
    path, names = tmp_path / "s.db", [f"r{n}" for n in range(50)]

    async def main() -> None:
        store = SqliteStore(path)
        waiting = [asyncio.ensure_future(store.commit(Change(records=[record(n)]))) for n in names]
        await asyncio.sleep(0)
        store.close()
        await asyncio.wait_for(asyncio.gather(*waiting), 30)

    asyncio.run(main())
    assert [r.id.name for r in snapshot(path)[0]] == sorted(names)


def test_the_auditor_reads_past_a_living_store(tmp_path: Path) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("b"), record("a")], desires_of=key("a"), desires=[wanted("x"), wanted("w")]))
        records, desires, orphans = snapshot(tmp_path / "s.db")
        assert [r.id.name for r in records] == ["a", "b"] and [d.wanted.key for d in desires] == ["w", "x"]
        assert orphans == []
        for pool, value in itertools.product(("p", "q"), "12"):
            store._writer.execute("INSERT INTO claims VALUES (?, ?, ?)", (pool, value, key("dead")))
        store._writer.execute("INSERT INTO refs VALUES (?, 'p', ?, 1)", (key("dead"), key("a")))
        _, _, orphans = snapshot(tmp_path / "s.db")
        found = {"p 1", "p 2", "q 1", "q 2", f"reference to {key('a')}"}
        assert set(orphans) == {(key("dead"), what) for what in found}

    on(lambda: SqliteStore(tmp_path / "s.db"), work)
