"""What is kept of records that were read is what the store holds, whatever is being written meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lazur.kernel.errors import Conflict
from lazur.model.documents import Change, Record
from lazur.store import known
from lazur.store.codec import record_from
from lazur.store.sqlite import SqliteStore
from tests.store.support import key, on, record

Make = Callable[[], SqliteStore]
_NAMES = "abcdef"


def _held(store: SqliteStore, name: str) -> Record | None:
    row = store._reader.execute("SELECT doc FROM resources WHERE key = ?", (key(name),)).fetchone()
    return record_from(row[0]) if row else None


def _all_agree(store: SqliteStore) -> None:
    """A look by key finds what the disk has, whether it is read or was kept."""
    for name in _NAMES:
        before, found, again, after = _held(store, name), store.get(key(name)), store.get(key(name)), _held(store, name)
        # A transaction may reach the disk between any two of these looks.
        assert found in (before, after)
        assert again in (found, after)


@pytest.mark.parametrize("seed", range(4))
def test_a_look_finds_what_is_committed_at_every_moment(make: Make, seed: int) -> None:
    dice = random.Random(seed)

    async def change(store: SqliteStore) -> None:
        for _ in range(40):
            names = dice.sample(_NAMES, 2)
            found = {name: store.get(key(name)) for name in names}
            gone = [(r.key, r.version) for r in found.values() if r is not None and dice.random() < 0.3]
            stays = [n for n, r in found.items() if r is None or (r.key, r.version) not in gone]
            records = [record(n, (r.version if (r := found[n]) else 0) + 1, etag=str(dice.random())) for n in stays]
            try:
                await store.commit(Change(records=records, removed=gone))
            except Conflict:
                continue

    async def work(store: SqliteStore) -> None:
        changes = [asyncio.create_task(change(store)) for _ in range(4)]
        while not all(c.done() for c in changes):
            _all_agree(store)
            await asyncio.sleep(0)
        await asyncio.gather(*changes)
        _all_agree(store)

    on(make, work)


def test_no_more_is_kept_than_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_KEPT", 2000)

    async def work(store: SqliteStore) -> None:
        await store.commit(Change(records=[record(n) for n in _NAMES]))
        for _ in range(2):
            _all_agree(store)
            assert 0 < store._known._size <= 2000
            assert store._known._size == sum(size for _, size in store._known._looks.values())

    on(lambda: SqliteStore(tmp_path / "s.db"), work)
