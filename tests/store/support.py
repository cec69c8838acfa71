"""Documents to write, and the stores every promise is tried on."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lazur.kernel.errors import Conflict, LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Operation, Record, Wanted
from lazur.store.sqlite import SqliteStore

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = ArmId("sub", "rg")
DISKS, MACHINES = "Microsoft.Compute/disks", "Microsoft.Compute/virtualMachines"
_files = itertools.count()


def record(name: str, version: int = 1, type: str = DISKS, **fields: Any) -> Record:
    """A small resource of the group."""
    known: dict[str, Any] = {
        "uid": f"uid-{name}", "generation": 1, "body": {"properties": {"name": name}}, "state": "Succeeded",
        "etag": "e", "api_version": "2024-11-01", "created": MOMENT, "changed": MOMENT,
    }  # fmt: skip
    return Record(id=GROUP.resource(type, name), version=version, **{**known, **fields})


def key(name: str, type: str = DISKS) -> str:
    """The key of such a resource."""
    return GROUP.resource(type, name).key


def wanted(name: str, domain: str = "host/h01", **payload: Any) -> Wanted:
    """A small desire."""
    return Wanted(domain, "vm", name, {"size": 1, **payload})


def operation(id: str, of: str = "a", **fields: Any) -> Operation:
    """An operation on a resource."""
    return Operation(id, key(of), "PUT", 1, "sub", "tenant", MOMENT, **fields)


def on(make: Callable[[], SqliteStore], work: Callable[[SqliteStore], Awaitable[None]]) -> None:
    """Run `work` on a store of its own."""

    async def main() -> None:
        store = make()
        try:
            await work(store)
        finally:
            store.close()

    asyncio.run(main())


async def refused(store: SqliteStore, change: Change) -> LazurError:
    """The conflict a commit ends with; what is stored must be the same before and after."""
    before = whole(store)
    with pytest.raises(Conflict) as caught:
        await store.commit(change)
    assert whole(store) == before, "a refused commit wrote something"
    return caught.value


def whole(store: SqliteStore) -> Any:
    """Everything in the store."""
    tables = ("resources", "operations", "refs", "claims", "desires", "feed", "documents", "events")
    return {t: store._reader.execute(f"SELECT * FROM {t}").fetchall() for t in tables}


@pytest.fixture(params=["file", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SqliteStore]]:
    """Makes a fresh store of each kind."""
    yield lambda: SqliteStore(tmp_path / f"{next(_files)}.db" if request.param == "file" else None)
    gc.collect()
