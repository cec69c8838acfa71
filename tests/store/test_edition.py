"""Editions: whatever is kept under one is known to be stale as soon as a commit touched what it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lazur.kernel.errors import Conflict
from lazur.model.documents import Change, Document
from lazur.store.sqlite import SqliteStore
from tests.store.support import DISKS, MACHINES, MOMENT, key, on, record

Make = Callable[[], SqliteStore]
NAMES = (DISKS.lower(), MACHINES.lower(), "directory", "subscriptions")


def _editions(store: SqliteStore) -> dict[str, int]:
    return {name: store.edition(name) for name in NAMES}


@pytest.mark.parametrize(
    "change, touched",
    [
        (Change(records=[record("b")]), {DISKS.lower()}),
        (Change(records=[record("a", 2)]), {DISKS.lower()}),
        (Change(removed=[(key("a"), 1)]), {DISKS.lower()}),
        (Change(records=[record("b"), record("m", type=MACHINES)]), {DISKS.lower(), MACHINES.lower()}),
        (Change(documents=[Document("directory", 2, {})]), {"directory"}),
        (Change(records=[record("m", type=MACHINES)], documents=[Document("subscriptions", 1, [])]),
         {MACHINES.lower(), "subscriptions"}),
        (Change(rewire={key("a"): ((), ())}, desires_of=key("a")), set()),
    ],
)  # fmt: skip
def test_a_commit_changes_the_editions_of_what_it_touches(make: Make, change: Change, touched: set[str]) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")], documents=[Document("directory", 1, {})]))
        before = _editions(store)
        await store.commit(change)
        assert {n for n, edition in _editions(store).items() if edition != before[n]} == touched
        assert all(edition >= before[n] for n, edition in _editions(store).items())

    on(make, work)


def test_a_refused_commit_changes_none(make: Make) -> None:
    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record("a")]))
        before = _editions(store)
        with pytest.raises(Conflict):
            await store.commit(Change(records=[record("m", type=MACHINES), record("a")]))
        await store.report("host/h01", [])
        await store.trim(1, MOMENT, MOMENT)
        assert _editions(store) == before

    on(make, work)


def test_an_edition_is_never_met_again_after_a_start(tmp_path: Path) -> None:
    seen: list[int] = []

    async def work(store: SqliteStore) -> None:
        seen.append(store.edition("directory"))
        version = store.document("directory").version
        for number in range(3):
            await store.commit(Change(documents=[Document("directory", version + number + 1, {})]))
            await store.trim(1, MOMENT, MOMENT)
            seen.append(store.edition("directory"))

    for _ in range(3):
        on(lambda: SqliteStore(tmp_path / "s.db"), work)
    # What was kept when the store was closed was made from what the next start finds.
    assert seen == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]
