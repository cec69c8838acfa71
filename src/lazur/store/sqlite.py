"""The embedded store: SQLite in WAL mode with synchronous=FULL.

Whatever commits are waiting are run in one transaction, each in its own savepoint, and synced once for all of them (group
commit), so an acknowledged write has always reached the disk. All SQL runs in the caller's thread, but for the COMMIT: it
alone waits for the disk, in a thread of its own. Sequence numbers are given by this single writer inside its transaction; a
reader can therefore never skip a late committer (decision 1). The only module that imports sqlite3.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lazur.kernel.errors import Conflict
from lazur.model.desire import Report, State
from lazur.model.documents import Change, Claim, DesireRecord, Document, Entry, Event, Operation, Record, Reference, Wanted
from lazur.store.codec import (
    dumps,
    event_from,
    event_text,
    moment_text,
    operation_from,
    operation_text,
    record_from,
    record_text,
)
from lazur.store.known import Known
from lazur.store.runs import Addresses

_SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
_BATCH = 200


@dataclass(frozen=True)
class _Touched:
    """What a write touched: types and platform documents by name, resources by key, and claims as (pool, value, whether it
    is held now)."""

    names: Collection[str] = ()
    keys: Collection[str] = ()
    claims: Sequence[tuple[str, str, bool]] = ()


Write = Callable[[sqlite3.Connection], _Touched]
_Job = tuple[Write, "asyncio.Future[None]"]


@dataclass
class _Batch:
    """Writes that share a transaction: who waits for each, what it came to, and what they touched."""

    done: list[tuple[asyncio.Future[None], Exception | None]] = field(default_factory=list)
    touched: list[_Touched] = field(default_factory=list)
    position: int = 0


class SqliteStore:
    """`Store` in one file; `path` None keeps everything in memory and commits in the caller's turn (for simulation)."""

    def __init__(self, path: Path | None) -> None:
        self._inline = path is None
        where = str(path) if path else ":memory:"
        self._writer = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
        self._writer.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000;")
        self._writer.executescript(_SCHEMA)
        self._reader = self._writer
        if not self._inline:
            self._reader = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
            self._reader.execute("PRAGMA query_only=ON")
        self._queue: deque[_Job] = deque()
        self._disk = ThreadPoolExecutor(1, "store-sync")
        # The transaction the disk has now, and the loop that is told of its end.
        self._syncing: tuple[_Batch, Future[Exception | None]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # What was touched last at which feed position. Everything counts as touched when the store is opened.
        self._opened = self.position()
        self._editions: dict[str, int] = {}
        self._addresses = Addresses(self.claims)
        self._known = Known()
        # In order of arrival, so that a simulation wakes them the same way every time; with what each waits for.
        self._waiters: dict[asyncio.Future[None], tuple[int, str]] = {}

    def close(self) -> None:
        """Finish what is queued and let go of the file."""
        self._finish()
        while self._queue:
            batch = self._begin()
            self._settle(batch, self._commit())
        self._disk.shutdown()
        self._writer.close()
        if not self._inline:
            self._reader.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    async def commit(self, change: Change) -> None:
        await self._write(lambda db: _apply(db, change))

    async def report(self, domain: str, reports: Sequence[Report]) -> None:
        await self._write(lambda db: _report(db, domain, reports))

    async def trim(self, entries: int, operations: datetime, events: datetime) -> None:
        await self._write(lambda db: _trim(db, entries, operations.isoformat(), moment_text(events)))

    async def _write(self, write: Write) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.append((write, future))
        if self._inline:
            batch = self._begin()
            self._settle(batch, self._commit())
        else:
            if self._loop is not loop:
                # Nobody is told any more what the former loop waited for.
                self._finish()
                self._loop = loop
            if self._syncing is None and len(self._queue) == 1:
                loop.call_soon(self._flush, loop)
        await future

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand what is waiting to the disk, unless it is busy: then its answer leads here again."""
        if self._syncing is not None or not self._queue:
            return
        batch = self._begin()
        sync = self._disk.submit(self._commit)
        self._syncing = batch, sync

        def synced(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # The loop has ended; whoever comes next finishes.
                loop.call_soon_threadsafe(self._synced, loop, sync)

        sync.add_done_callback(synced)

    def _synced(self, loop: asyncio.AbstractEventLoop, sync: Future[Exception | None]) -> None:
        if self._syncing is not None and self._syncing[1] is sync:
            self._finish()
            # After everybody who waits for nothing had a turn, so that as many as possible share the next sync.
            loop.call_soon(self._flush, loop)

    def _finish(self) -> None:
        """Wait for the disk, if it has anything, and tell what came of it."""
        if self._syncing is not None:
            batch, sync = self._syncing
            outcome = sync.result()
            self._syncing = None
            self._settle(batch, outcome)

    def _begin(self) -> _Batch:
        """Run what is queued in one transaction that is still to be committed; a write that fails undoes only itself."""
        jobs = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
        batch = _Batch()
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for write, future in jobs:
                batch.done.append((future, self._run(write, batch)))
            batch.position = _position(self._writer)
        except sqlite3.Error as error:
            # The disk, not one of the jobs: SQLite may have given up the transaction by itself.
            self._roll_back()
            batch = _Batch([(future, error) for _, future in jobs])
        self._known.writing(key for one in batch.touched for key in one.keys)
        return batch

    def _run(self, write: Write, batch: _Batch) -> Exception | None:
        """One write in a savepoint of its own; why it was refused, if it was."""
        db = self._writer
        db.execute("SAVEPOINT job")
        failure: Exception | None = None
        try:
            batch.touched.append(write(db))
        except Exception as error:
            # Whatever is wrong with one job (text that SQLite cannot hold) must not stop the writer.
            db.execute("ROLLBACK TO job")
            failure = error
        db.execute("RELEASE job")
        return failure

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _commit(self) -> Exception | None:
        """The only step that waits for the disk; what went wrong, if anything."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return error
        return None

    def _settle(self, batch: _Batch, failure: Exception | None) -> None:
        """Tell every caller, and whoever follows the feed."""
        self._known.written()
        # Only now: whoever reads under a new edition must find what it stands for.
        for one in batch.touched if failure is None else ():
            self._editions.update(dict.fromkeys(one.names, batch.position))
            self._addresses.changed(one.claims)
        for future, outcome in batch.done:
            error = failure or outcome
            # A caller whose loop has ended cannot be told any more; the others must be.
            with contextlib.suppress(RuntimeError):
                if future.done():
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        for waiter, (since, name) in list(self._waiters.items()):
            if name and self.edition(name) <= since:
                continue
            del self._waiters[waiter]
            with contextlib.suppress(RuntimeError):
                if not waiter.done():
                    waiter.set_result(None)

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Record | None:
        known = self._known.get(key)
        if known is not None:
            return known[0]
        row = self._reader.execute("SELECT doc FROM resources WHERE key = ?", (key,)).fetchone()
        found = record_from(row[0]) if row else None
        self._known.keep(key, found, len(row[0] if row else key))
        return found

    def list(self, *, prefix: str = "", type: str = "", after: str = "", limit: int | None = None) -> Sequence[Record]:
        begin = "key >= ?" if prefix > after else "key > ?"
        values: list[str | int] = [max(prefix, after), prefix + "\U0010ffff"]
        sql = f"SELECT doc FROM resources WHERE {begin} AND key < ?"
        if type:
            sql, values = sql + " AND type = ?", [*values, type.lower()]
        rows = self._reader.execute(sql + " ORDER BY key LIMIT ?", [*values, -1 if limit is None else limit])
        return [record_from(r[0]) for r in rows]

    def referrers(self, target: str) -> Sequence[Reference]:
        rows = self._reader.execute(f"{_REFERRERS} ORDER BY source, path", (target, target + "/", target + "0"))
        return [Reference(r[0], r[1], r[2], bool(r[3])) for r in rows]

    def referrers_among(self, targets: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
        return self._among(_TO, targets)

    def references(self, source: str) -> Sequence[Reference]:
        sql = "SELECT source, path, target, blocking FROM refs WHERE source = ? ORDER BY path"
        return [Reference(r[0], r[1], r[2], bool(r[3])) for r in self._reader.execute(sql, (source,))]

    def references_among(self, sources: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
        return self._among(_FROM, sources)

    def _among(self, sql: str, keys: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
        found: dict[str, list[Reference]] = {}
        for asked, *row in self._reader.execute(sql, (json.dumps(keys),)):
            found.setdefault(asked, []).append(Reference(row[0], row[1], row[2], bool(row[3])))
        for references in found.values():
            references.sort(key=lambda r: (r.source, r.path))
        return found

    def claims(self, pool: str) -> dict[str, str]:
        return dict(self._reader.execute("SELECT value, owner FROM claims WHERE pool = ?", (pool,)).fetchall())

    def held(self, owner: str) -> Sequence[Claim]:
        rows = self._reader.execute("SELECT pool, value FROM claims WHERE owner = ? ORDER BY pool, value", (owner,))
        return [Claim(pool, value, owner) for pool, value in rows]

    def holder(self, pool: str, value: str) -> str | None:
        row = self._reader.execute("SELECT owner FROM claims WHERE pool = ? AND value = ?", (pool, value)).fetchone()
        return row[0] if row else None

    def free(self, pool: str, first: str, last: str) -> str | None:
        return self._addresses.free(pool, first, last)

    def desires(self, owner: str) -> Sequence[DesireRecord]:
        rows = self._reader.execute(f"{_DESIRES} WHERE owner = ? ORDER BY domain, kind, key", (owner,))
        return [_desire(r) for r in rows]

    def wanted(self, domain: str, key: str) -> str | None:
        sql = "SELECT owner FROM desires WHERE domain = ? AND key = ? AND removed = 0 LIMIT 1"
        row = self._reader.execute(sql, (domain, key)).fetchone()
        return row[0] if row else None

    def domain(self, domain: str, since: int) -> tuple[int, Sequence[DesireRecord]]:
        # One snapshot: a desire that is written again between two reads would seem to be gone.
        self._reader.execute("BEGIN")
        try:
            position = self.position()
            rows = self._reader.execute(f"{_DESIRES} WHERE domain = ? AND sequence > ? ORDER BY sequence", (domain, since))
            return position, [_desire(r) for r in rows]
        finally:
            self._reader.execute("ROLLBACK")

    def operation(self, id: str) -> Operation | None:
        row = self._reader.execute("SELECT doc FROM operations WHERE id = ?", (id,)).fetchone()
        return operation_from(row[0]) if row else None

    def open_operations(self, key: str) -> Sequence[Operation]:
        rows = self._reader.execute("SELECT doc FROM operations WHERE key = ? AND open = 1 ORDER BY id", (key,))
        return [operation_from(r[0]) for r in rows]

    def events(
        self, subscription: str, since: datetime, until: datetime, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[Event]:
        # The greatest character stands for any id of the last moment.
        before = (moment_text(after[0]), after[1]) if after else (moment_text(until), "\U0010ffff")
        sql = "SELECT doc FROM events WHERE subscription = ? AND time >= ? AND time <= ? AND (time, id) < (?, ?)"
        values = (subscription.lower(), moment_text(since), moment_text(until), *before, limit)
        return [event_from(r[0]) for r in self._reader.execute(f"{sql} ORDER BY time DESC, id DESC LIMIT ?", values)]

    def edition(self, name: str) -> int:
        return self._editions.get(name, self._opened)

    def document(self, name: str) -> Document:
        row = self._reader.execute("SELECT version, content FROM documents WHERE name = ?", (name,)).fetchone()
        return Document(name, row[0], json.loads(row[1])) if row else Document(name, 0, None)

    def documents(self, prefix: str) -> Sequence[Document]:
        sql = "SELECT name, version, content FROM documents WHERE name >= ? AND name < ? ORDER BY name"
        rows = self._reader.execute(sql, (prefix, prefix + "\U0010ffff"))
        return [Document(name, version, json.loads(content)) for name, version, content in rows]

    def feed(self, since: int, limit: int = 1000) -> Sequence[Entry]:
        sql = "SELECT sequence, what, key, domain FROM feed WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return [Entry(*r) for r in self._reader.execute(sql, (since, limit))]

    def position(self) -> int:
        return _position(self._reader)

    async def changed(self, since: int, name: str = "") -> None:
        if (self.edition(name) if name else self.position()) > since:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = since, name
        try:
            await waiter
        finally:
            self._waiters.pop(waiter, None)


_REFERRERS = "SELECT source, path, target, blocking FROM refs WHERE (target = ? OR (target > ? AND target < ?))"
# The range holds what only begins alike as well (`disk-1` for `disk`); the last condition drops it.
_TO = """SELECT value, source, refs.path, target, blocking FROM json_each(?) CROSS JOIN refs
    ON target >= value AND target < value || '0' AND (target = value OR target >= value || '/')"""
_FROM = "SELECT value, source, refs.path, target, blocking FROM json_each(?) CROSS JOIN refs ON source = value"
_DESIRES = "SELECT domain, kind, key, payload, secrets, owner, generation, removed, reported, state, answer FROM desires"
# One step through the index per subscription, where DISTINCT would read every event.
_SUBSCRIPTIONS = """WITH RECURSIVE known (name) AS (
    SELECT MIN(subscription) FROM events UNION ALL
    SELECT (SELECT MIN(subscription) FROM events WHERE subscription > name) FROM known WHERE name IS NOT NULL)"""


def snapshot(path: Path) -> tuple[Sequence[Record], Sequence[DesireRecord], Sequence[tuple[str, str]]]:
    """All resources, all desires, and what claims or refers for an owner that is gone; read past the control process,
    which may be dead. For the auditor only."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        records = [record_from(r[0]) for r in db.execute("SELECT doc FROM resources ORDER BY key")]
        desires = [_desire(r) for r in db.execute(f"{_DESIRES} ORDER BY domain, kind, key")]
        orphans = db.execute(
            "SELECT owner, pool || ' ' || value FROM claims WHERE owner NOT IN (SELECT key FROM resources)"
            " UNION SELECT source, 'reference to ' || target FROM refs WHERE source NOT IN (SELECT key FROM resources)"
        ).fetchall()
    finally:
        db.close()
    return records, desires, orphans


def _desire(row: Sequence[object]) -> DesireRecord:
    domain, kind, key, payload, secrets, owner, generation, removed, reported, state, answer = row
    said = json.loads(str(answer))
    wanted = Wanted(str(domain), str(kind), str(key), json.loads(str(payload)), json.loads(str(secrets)))
    return DesireRecord(
        wanted, str(owner), int(str(generation)), bool(removed), int(str(reported)), str(state),
        said.get("error"), said.get("observed", {}),
    )  # fmt: skip


def _position(db: sqlite3.Connection) -> int:
    (newest,) = db.execute("SELECT MAX(sequence) FROM feed").fetchone()
    return newest or 0


def _log(db: sqlite3.Connection, what: str, key: str, domain: str = "") -> int:
    cursor = db.execute("INSERT INTO feed (what, key, domain) VALUES (?, ?, ?)", (what, key, domain))
    return int(cursor.lastrowid or 0)


def _apply(db: sqlite3.Connection, change: Change) -> _Touched:
    _check(db, change)
    names = {r.type for r in change.records} | {d.name for d in change.documents}
    keys = {r.key for r in change.records} | {key for key, _ in change.removed}
    claims: list[tuple[str, str, bool]] = []
    for record in change.records:
        _put(db, record)
    for key, version in change.removed:
        sql = "DELETE FROM resources WHERE key = ? AND version = ? RETURNING type"
        found = db.execute(sql, (key, version)).fetchall()
        if not found:
            raise Conflict("The resource changed while it was being removed.", target=key)
        names.add(found[0][0])
        _refer(db, key, ())
        claims += _hold(db, key, ())
        _log(db, "resource", key)
    _check_unreferenced(db, change.unreferenced)
    for operation in change.operations:
        text, is_open = operation_text(operation), operation.ended is None
        db.execute("INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?)", (operation.id, operation.key, is_open, text))
        _log(db, "operation", operation.key)
    for source, (references, held) in change.rewire.items():
        _refer(db, source, references)
        claims += [] if held is None else _hold(db, source, held)
    if change.desires_of is not None:
        names |= _want(db, change.desires_of, change.desires)
    for former, key in change.moved.items():
        db.execute("UPDATE desires SET owner = ? WHERE owner = ?", (key, former))
    if change.abandoned is not None:
        db.execute("DELETE FROM desires WHERE domain = ?", (change.abandoned,))
    for document in change.documents:
        _document(db, document)
    for event in change.events:
        row = (event.subscription, moment_text(event.time), event.id, event_text(event))
        db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
    return _Touched(names, keys, claims)


def _check(db: sqlite3.Connection, change: Change) -> None:
    for key, version in change.unchanged:
        row = db.execute("SELECT version FROM resources WHERE key = ?", (key,)).fetchone()
        if row is None or row[0] != version:
            raise Conflict("The resource was changed by another request.", target=key)
    for key in change.requires:
        row = db.execute("SELECT doc ->> '$.deleting' FROM resources WHERE key = ?", (key,)).fetchone()
        if row is None or row[0]:
            raise Conflict("A referenced resource is being deleted.", target=key)
    for pool, seen in change.settled.items():
        if dict(db.execute("SELECT value, owner FROM claims WHERE pool = ?", (pool,)).fetchall()) != seen:
            raise Conflict(f"The claims of '{pool}' changed meanwhile.")


def _check_unreferenced(db: sqlite3.Connection, keys: Sequence[str]) -> None:
    """Refuse when somebody that stays refers to one of `keys`; whoever goes in the same change is gone already."""
    for key in keys:
        below = (key, key + "/", key + "0")
        sql = f"{_REFERRERS} AND blocking = 1 AND NOT (source = ? OR (source > ? AND source < ?)) LIMIT 1"
        row = db.execute(sql, (*below, *below)).fetchone()
        if row is not None:
            raise Conflict(f"The resource came into use by '{row[0]}'.", target=key)


def _refer(db: sqlite3.Connection, source: str, references: Sequence[Reference]) -> None:
    """Replace what `source` refers to; what is no more referred to and what is newly so are told through the feed."""
    rows = db.execute("SELECT path, target, blocking FROM refs WHERE source = ?", (source,)).fetchall()
    former, now = set(rows), [(r.path, r.target, int(r.blocking)) for r in references]
    gone = [(source, row[0]) for row in sorted(former.difference(now))]
    new = [(source, *row) for row in now if row not in former]
    if gone:
        db.executemany("DELETE FROM refs WHERE source = ? AND path = ?", gone)
    if new:
        db.executemany("INSERT INTO refs VALUES (?, ?, ?, ?)", new)
    # Who is merely watched has nothing to do about it.
    for target in sorted({r[1] for r in former if r[2]} ^ {r[1] for r in now if r[2]}):
        _log(db, "reference", target)


def _hold(db: sqlite3.Connection, owner: str, claims: Sequence[Claim]) -> list[tuple[str, str, bool]]:
    """Replace what `owner` holds; what changed by that, released first."""
    former = set(db.execute("SELECT pool, value FROM claims WHERE owner = ?", (owner,)).fetchall())
    now = dict.fromkeys((c.pool, c.value) for c in claims)
    gone, new = sorted(former - now.keys()), [c for c in now if c not in former]
    if gone:
        db.executemany("DELETE FROM claims WHERE pool = ? AND value = ?", gone)
    for pool, value in new:
        try:
            db.execute("INSERT INTO claims VALUES (?, ?, ?)", (pool, value, owner))
        except sqlite3.IntegrityError as error:
            raise Conflict(f"'{value}' of '{pool}' was taken by another request.", target=owner) from error
    return [(*c, False) for c in gone] + [(*c, True) for c in new]


def _put(db: sqlite3.Connection, record: Record) -> None:
    values = (record.version, record_text(record), record.key)
    if record.version == 1:
        try:
            db.execute("INSERT INTO resources (version, doc, key, type) VALUES (?, ?, ?, ?)", (*values, record.type))
        except sqlite3.IntegrityError as error:
            raise Conflict("The resource was created by another request.", target=str(record.id)) from error
    else:
        sql = "UPDATE resources SET version = ?, doc = ? WHERE key = ? AND version = ?"
        if not db.execute(sql, (*values, record.version - 1)).rowcount:
            raise Conflict("The resource was changed by another request.", target=str(record.id))
    _log(db, "resource", record.key)


def _want(db: sqlite3.Connection, owner: str, desires: Sequence[Wanted]) -> set[str]:
    """Make `desires` the complete wanted set of `owner`: unchanged ones keep their generation, missing ones are removed.
    Answers the domains that have to know."""
    domains: set[str] = set()
    rows = db.execute("SELECT domain, kind, key, payload, secrets, removed FROM desires WHERE owner = ?", (owner,))
    stored = {(r[0], r[1], r[2]): (r[3], r[4], bool(r[5])) for r in rows}
    for wanted in desires:
        name = (wanted.domain, wanted.kind, wanted.key)
        text, secrets = dumps(wanted.payload), dumps(wanted.secrets)
        if stored.pop(name, None) == (text, secrets, False):
            continue
        _write_desire(db, name, owner, text, secrets, removed=False)
        domains.add(wanted.domain)
    for name, (text, secrets, removed) in stored.items():
        if not removed:
            _write_desire(db, name, owner, text, secrets, removed=True)
            domains.add(name[0])
    return domains


def _write_desire(
    db: sqlite3.Connection, name: tuple[str, str, str], owner: str, payload: str, secrets: str, *, removed: bool
) -> None:
    # The position is the generation too: it never repeats for a name, even after the desire was gone and is wanted again.
    sequence = _log(db, "desire", owner, name[0])
    db.execute(
        "INSERT INTO desires (domain, kind, key, owner, sequence, generation, removed, payload, secrets)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET owner = excluded.owner,"
        " sequence = excluded.sequence, generation = excluded.generation, removed = excluded.removed,"
        " payload = excluded.payload, secrets = excluded.secrets",
        (*name, owner, sequence, sequence, removed, payload, secrets),
    )


def _report(db: sqlite3.Connection, domain: str, reports: Sequence[Report]) -> _Touched:
    for report in reports:
        name = (domain, report.kind, report.key)
        where = "WHERE domain = ? AND kind = ? AND key = ?"
        row = db.execute(f"SELECT generation, removed, owner FROM desires {where}", name).fetchone()
        if row is None or report.generation != row[0]:
            continue
        if report.state is State.GONE:
            if row[1]:
                db.execute(f"DELETE FROM desires {where}", name)
        else:
            answer = dumps({"error": report.error, "observed": report.observed})
            values = (report.generation, str(report.state), answer, *name)
            db.execute(f"UPDATE desires SET reported = ?, state = ?, answer = ? {where}", values)
        _log(db, "report", row[2], domain)
    return _Touched()


def _trim(db: sqlite3.Connection, entries: int, operations: str, events: str) -> _Touched:
    # The sequence itself never goes back, for the newest entry always stays.
    db.execute("DELETE FROM feed WHERE sequence <= (SELECT MAX(sequence) FROM feed) - ?", (max(entries, 1),))
    db.execute("DELETE FROM operations WHERE open = 0 AND doc ->> '$.ended' < ?", (operations,))
    db.execute(f"{_SUBSCRIPTIONS} DELETE FROM events WHERE subscription IN (SELECT name FROM known) AND time < ?", (events,))
    return _Touched()


def _document(db: sqlite3.Connection, document: Document) -> None:
    row = db.execute("SELECT version FROM documents WHERE name = ?", (document.name,)).fetchone()
    if (row[0] if row else 0) != document.version - 1:
        raise Conflict(f"The platform document '{document.name}' was changed by another request.")
    if document.content is None:
        db.execute("DELETE FROM documents WHERE name = ?", (document.name,))
    else:
        values = (document.name, document.version, dumps(document.content))
        db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", values)
    _log(db, "document", document.name)
