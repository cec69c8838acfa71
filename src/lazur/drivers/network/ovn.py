"""The real overlay: OVN's northbound database for what is wanted, its southbound one for what the hosts have made of it.

The only module that imports `ovs`. One thread of its own speaks with both databases over one connection each; jobs are
handed to it and looked at again whenever something arrived. Must never write before a whole copy of the database was
read, and never touch a row without our mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import ovs.db.idl
import ovs.poller
import ovs.stream

from lazur.drivers.network.diff import Delete, Insert, Op, Update, diff
from lazur.drivers.network.interface import Applied
from lazur.drivers.network.rows import OWNER, TABLES, Columns, Kind, Ref, Rows, Value, canonical
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError, Unavailable

_SOUTHBOUND = {
    "Chassis": ["name"],
    "Chassis_Private": ["name", "nb_cfg"],
    "Port_Binding": ["logical_port", "chassis", "up"],
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class OvnSettings:
    """Where the databases are and how to be believed there.

    `northbound` and `southbound` are OVSDB remotes (`unix:/run/ovn/ovnnb_db.sock`, `ssl:10.239.0.2:6641`); the three files
    are needed for `ssl:`. `schemas` is the folder of OVN's schema files. `answer` is how long the database may take to
    answer, `spread` how long the hosts may take to follow, both in seconds.
    """

    northbound: str
    southbound: str
    private_key: Path | None = None
    certificate: Path | None = None
    ca: Path | None = None
    schemas: Path = Path("/usr/share/ovn")
    answer: float = 15.0
    spread: float = 10.0


class _NotYet(Exception):
    """A job has to be looked at again when more has arrived."""


class _Job(Generic[_T]):
    """A step that is repeated until it stops raising `_NotYet` or its time is up."""

    def __init__(self, step: Callable[[], _T], late: Callable[[], _T], deadline: float) -> None:
        self.step = step
        self.late = late
        self.deadline = deadline
        self.future: Future[_T] = Future()

    def attempt(self, now: float) -> bool:
        """Try once; whether the job is done with."""
        if self.future.cancelled():
            return True
        try:
            self.future.set_result(self.step() if now < self.deadline else self.late())
        except _NotYet:
            return False
        except Exception as error:  # the waiting coroutine shall see whatever went wrong
            self.future.set_exception(error)
        return True


class OvnNetwork:
    """`NetworkDriver` on OVN."""

    def __init__(self, settings: OvnSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        if settings.private_key and settings.certificate and settings.ca:
            ovs.stream.Stream.ssl_set_private_key_file(str(settings.private_key))
            ovs.stream.Stream.ssl_set_certificate_file(str(settings.certificate))
            ovs.stream.Stream.ssl_set_ca_cert_file(str(settings.ca))
        self._north = self._idl(settings.northbound, "ovn-nb.ovsschema", _northbound_columns())
        self._south = self._idl(settings.southbound, "ovn-sb.ovsschema", _SOUTHBOUND)
        self._mirror = _Mirror(self._north)
        self._writing = asyncio.Lock()
        self._absent: frozenset[str] = frozenset()
        self._incoming: deque[_Job[Any]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="ovn", daemon=True)
        self._thread.start()

    async def apply(self, rows: Rows) -> Applied:
        """See `NetworkDriver.apply`. A host that was late once is not waited for again until it has caught up."""
        async with self._writing:
            changes, version = await self._ask(_Writer(self._north, self._mirror, rows).step)
            behind = await self._ask(
                lambda: self._spread(version, self._absent), self._settings.spread, lambda: self._spread(version, None)
            )
            self._absent = behind
        return Applied(changes, behind)

    async def actual(self) -> Rows:
        """See `NetworkDriver.actual`."""

        def read() -> Rows:
            # Not what the mirror thinks: whoever asks looks for mistakes.
            mirror = _Mirror(self._north)
            mirror.read_all()
            return mirror.rows

        return await self._ask(read)

    async def strangers(self) -> frozenset[str]:
        """See `NetworkDriver.strangers`."""

        def read() -> frozenset[str]:
            _ready(self._north)
            return frozenset(
                f"{table} {getattr(row, 'name', row.uuid)}"
                for table, what in TABLES.items()
                if what.root
                for row in self._north.tables[table].rows.values()
                if OWNER not in row.external_ids
            )

        return await self._ask(read)

    async def chassis(self) -> frozenset[str]:
        """See `NetworkDriver.chassis`."""

        def read() -> frozenset[str]:
            _ready(self._south)
            return frozenset(row.name for row in self._south.tables["Chassis"].rows.values())

        return await self._ask(read)

    async def dismiss(self, hosts: Collection[str]) -> None:
        """See `NetworkDriver.dismiss`."""
        if hosts:
            async with self._writing:
                await self._ask(_Dismissal(self._south, hosts).step)

    async def port_bindings(self) -> Mapping[str, str]:
        """See `NetworkDriver.port_bindings`."""

        def read() -> dict[str, str]:
            _ready(self._south)
            rows = self._south.tables["Port_Binding"].rows.values()
            return {row.logical_port: row.chassis[0].name for row in rows if row.chassis and row.up == [True]}

        return await self._ask(read)

    async def close(self) -> None:
        """See `NetworkDriver.close`."""
        self._closing = True
        self._wake()
        await asyncio.to_thread(self._thread.join)
        os.close(self._wake_read)
        os.close(self._wake_write)

    # --- called from the event loop ---------------------------------------------------------------------------------

    async def _ask(self, step: Callable[[], _T], seconds: float | None = None, late: Callable[[], _T] | None = None) -> _T:
        """Have the thread repeat `step`; after `seconds`, `late` decides, which by default means unreachable."""
        wait = self._settings.answer if seconds is None else seconds
        job = _Job(step, late or self._unreachable, self._clock.monotonic() + wait)
        self._incoming.append(job)
        self._wake()
        return await asyncio.wrap_future(job.future)

    def _wake(self) -> None:
        # A full pipe wakes the thread as well.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    # --- called from the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        waiting: list[_Job[Any]] = []
        while not self._closing:
            self._north.run()
            self._south.run()
            while self._incoming:
                waiting.append(self._incoming.popleft())
            waiting = [job for job in waiting if not job.attempt(self._clock.monotonic())]
            self._wait(waiting)
        for job in [*waiting, *self._incoming]:
            job.future.cancel()
        self._north.close()
        self._south.close()

    def _wait(self, waiting: list[_Job[Any]]) -> None:
        poller = ovs.poller.Poller()
        self._north.wait(poller)
        self._south.wait(poller)
        poller.fd_wait(self._wake_read, select.POLLIN)
        if waiting:
            soonest = min(job.deadline for job in waiting) - self._clock.monotonic()
            poller.timer_wait(max(0, int(soonest * 1000) + 1))
        poller.block()
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 65536)

    def _idl(self, remote: str, schema: str, tables: Mapping[str, list[str]]) -> Any:
        helper = ovs.db.idl.SchemaHelper(str(self._settings.schemas / schema))
        for table, columns in tables.items():
            helper.register_columns(table, columns)
        return _Idl(remote, helper)

    def _unreachable(self) -> Any:
        raise Unavailable("The overlay's database does not answer.", internal=self._settings.northbound)

    def _spread(self, version: int, ignored: frozenset[str] | None) -> frozenset[str]:
        """Hosts behind `version`, once those are all among the `ignored`; with None, time is up and all are."""
        try:
            _ready(self._north)
            _ready(self._south)
            if _global(self._north).sb_cfg < version:
                raise _NotYet
        except _NotYet:
            if ignored is None:
                raise Unavailable("The overlay does not follow its database: northd or a database is down.") from None
            raise
        behind = self._lagging(version)
        if ignored is not None and behind - ignored:
            raise _NotYet
        return behind

    def _lagging(self, version: int) -> frozenset[str]:
        members = {row.name for row in self._south.tables["Chassis"].rows.values()}
        rows = self._south.tables["Chassis_Private"].rows.values()
        current = {row.name for row in rows if row.nb_cfg >= version}
        return frozenset(members - current)


class _Idl(ovs.db.idl.Idl):  # type: ignore[misc]  # the library has no types
    """A copy of a database that remembers what changed in it since somebody asked."""

    def __init__(self, remote: str, helper: Any) -> None:
        self._touched: dict[tuple[str, Any], bool] | None = None
        super().__init__(remote, helper)

    def restart_fsm(self) -> None:
        """A new connection: the whole copy may be another one."""
        self._touched = None
        super().restart_fsm()

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """A row came, changed or went."""
        if self._touched is not None:
            name = row._table.name, row.uuid
            self._touched[name] = event == ovs.db.idl.ROW_CREATE or self._touched.get(name, False)

    def touched(self) -> Mapping[tuple[str, Any], bool] | None:
        """Table and UUID of rows that changed since the last call, and whether they are new; None when any may have."""
        found, self._touched = self._touched, {}
        return found


class _Mirror:
    """Our rows of the northbound database as values, and the database rows behind them.

    Reading a row as values costs more than comparing it, so only those that changed are read again. Where that would take
    thought (a row that gets or loses our mark, two rows with one key), all are.
    """

    def __init__(self, north: Any) -> None:
        self._north = north
        self._names: dict[Any, Ref] = {}
        self._twins = False
        self.rows: dict[Ref, Columns] = {}
        self.handles: dict[Ref, Any] = {}
        self.expected: Rows = {}
        """What the rows will be if all goes well: an equal row is kept as this very object, which is quick to compare."""

    def refresh(self) -> None:
        """Take over what has changed. Raises `_NotYet` without a whole copy of the database."""
        _ready(self._north)
        touched = self._north.touched()
        if touched is None or self._twins or not self._follow(touched):
            self.read_all()

    def read_all(self) -> None:
        """Read every row. Raises `_NotYet` without a whole copy of the database."""
        _ready(self._north)
        self._names, self._twins, self.rows, self.handles = {}, False, {}, {}
        for table in TABLES:
            for uuid, row in self._north.tables[table].rows.items():
                key = row.external_ids.get(OWNER)
                if key is None:
                    continue
                ref = Ref(table, key)
                if ref in self.handles:
                    # A second row under one key is a leak: a key nobody wants makes it go.
                    ref, self._twins = Ref(table, f"{key}#{uuid}"), True
                self.handles[ref] = row
                self._names[uuid] = ref
        for ref in self.handles:
            self._read(ref)

    def _follow(self, touched: Mapping[tuple[str, Any], bool]) -> bool:
        """Read again what was touched; False when that does not do."""
        changed: list[Ref] = []
        for (table, uuid), new in touched.items():
            if table not in TABLES:
                continue
            row = self._north.tables[table].rows.get(uuid)
            key = row.external_ids.get(OWNER) if row is not None else None
            known = self._names.get(uuid)
            if key is None and (known is None or row is None):
                self._drop(uuid)
                continue
            ref = Ref(table, key or "")
            if known is None and new and ref not in self.handles:
                self._names[uuid], self.handles[ref] = ref, row
            elif known != ref:
                return False
            changed.append(ref)
        for ref in changed:
            self._read(ref)
        return True

    def _drop(self, uuid: Any) -> None:
        ref = self._names.pop(uuid, None)
        if ref is not None:
            del self.rows[ref], self.handles[ref]

    def _read(self, ref: Ref) -> None:
        columns, expected = _columns(ref.table, self.handles[ref], self._names), self.expected.get(ref)
        self.rows[ref] = expected if expected is not None and expected == columns else columns


class _Writer:
    """One change of the northbound database: read, compare, commit; from the start again if somebody came in between."""

    def __init__(self, north: Any, mirror: _Mirror, wanted: Rows) -> None:
        self._north = north
        self._mirror = mirror
        self._wanted = wanted
        self._sent: Any = None
        self._changes = 0

    def step(self) -> tuple[int, int]:
        """Number of changes, and the version that has them."""
        if self._sent is None:
            self._mirror.expected = self._wanted
            self._mirror.refresh()
            ops = diff(self._wanted, self._mirror.rows)
            if not ops:
                return 0, _global(self._north).nb_cfg
            self._changes = len(ops)
            self._sent = ovs.db.idl.Transaction(self._north)
            _compose(self._sent, self._north, ops, self._mirror.handles)
            _global(self._north).increment("nb_cfg")
        if not _committed(self._sent):
            self._sent = None
            raise _NotYet
        return self._changes, self._sent.get_increment_new_value()


class _Dismissal:
    """Hosts taken out of the southbound database; from the start again if somebody came in between."""

    def __init__(self, south: Any, hosts: Collection[str]) -> None:
        self._south = south
        self._hosts = hosts
        self._sent: Any = None

    def step(self) -> None:
        """Delete what names them; what belongs to those rows goes with them."""
        if self._sent is None:
            _ready(self._south)
            self._sent = ovs.db.idl.Transaction(self._south)
            for table in ("Chassis", "Chassis_Private"):
                for row in [r for r in self._south.tables[table].rows.values() if r.name in self._hosts]:
                    row.delete()
        if not _committed(self._sent):
            self._sent = None
            raise _NotYet


def _committed(sent: Any) -> bool:
    """Whether a transaction took effect; if not, somebody came in between. Raises `_NotYet` while it is under way."""
    match sent.commit():
        case ovs.db.idl.Transaction.SUCCESS | ovs.db.idl.Transaction.UNCHANGED:
            return True
        case ovs.db.idl.Transaction.TRY_AGAIN:
            return False
        case ovs.db.idl.Transaction.INCOMPLETE:
            raise _NotYet
    raise LazurError(
        "NetworkRowsRefused", f"The overlay's database refuses the wanted rows: {sent.get_error()}.", status=500
    )


def _northbound_columns() -> Mapping[str, list[str]]:
    tables = {name: [*table.columns, "external_ids"] for name, table in TABLES.items()}
    return {**tables, "NB_Global": ["nb_cfg", "sb_cfg"]}


def _ready(idl: Any) -> None:
    """Go on only with a whole copy of a database that is connected.

    The state alone does not tell: it stays as it was when the connection is lost, over a copy that goes stale.
    """
    if idl.state != ovs.db.idl.Idl.IDL_S_MONITORING or not idl._session.is_connected():
        raise _NotYet


def _global(idl: Any) -> Any:
    """The one row with the versions; northd makes it."""
    for row in idl.tables["NB_Global"].rows.values():
        return row
    raise _NotYet


def _columns(table: str, row: Any, names: Mapping[Any, Ref]) -> dict[str, Value]:
    """Our columns of a database row as values."""
    values: dict[str, Value] = {}
    for column, kind in TABLES[table].columns.items():
        datum = row._data[column]
        match kind:
            case Kind.TEXT | Kind.NUMBER:
                value: Value = datum.as_scalar() if datum.values else ""
            case Kind.MAYBE_TEXT | Kind.REF:
                atoms = [atom.value for atom in datum.values]
                if not atoms:
                    continue
                value = atoms[0] if kind is Kind.MAYBE_TEXT else _name(table, column, atoms[0], names)
            case Kind.TEXTS:
                value = frozenset(atom.value for atom in datum.values)
            case Kind.REFS:
                value = frozenset(_name(table, column, atom.value, names) for atom in datum.values)
            case Kind.MAP:
                value = {key.value: atom.value for key, atom in datum.values.items()}
        values[column] = value
    return canonical(table, values)


def _name(table: str, column: str, uuid: Any, names: Mapping[Any, Ref]) -> Ref:
    """Our name of a row; a row that is not ours gets one that nobody wants."""
    return names.get(uuid) or Ref("?", f"{table}.{column}:{uuid}")


def _compose(txn: Any, north: Any, ops: list[Op], existing: Mapping[Ref, Any]) -> None:
    """Write `ops` into an open transaction. All rows are made before any column that may refer to them is set."""
    handles = dict(existing)
    for op in ops:
        if isinstance(op, Insert):
            row = txn.insert(north.tables[op.row.table])
            row.external_ids = {OWNER: op.row.key}
            handles[op.row] = row
    for op in ops:
        if isinstance(op, Insert):
            for column, value in op.columns.items():
                setattr(handles[op.row], column, _python(value, handles))
        elif isinstance(op, Update):
            for column, changed in op.columns.items():
                _change(handles[op.row], column, TABLES[op.row.table].columns[column], changed, handles)
    for op in ops:
        if isinstance(op, Delete):
            _delete(handles[op.row], op.row.table)


def _delete(row: Any, table: str) -> None:
    if TABLES[table].root:
        row.delete()
        return
    # The database collects such a row once nobody refers to it, but only after it has checked that rows deleted outright
    # are not referred to: so this one lets go first.
    for column, kind in TABLES[table].columns.items():
        if kind is Kind.REF:
            setattr(row, column, [])


def _change(row: Any, column: str, kind: Kind, value: Value | None, handles: Mapping[Ref, Any]) -> None:
    if kind is not Kind.REFS:
        setattr(row, column, _python(value, handles))
        return
    # Only the difference is sent: a port group or switch may have a thousand ports.
    assert isinstance(value, frozenset)
    wanted = {handles[ref].uuid for ref in value if isinstance(ref, Ref)}
    there = {atom.value for atom in row._data[column].values}
    for uuid in wanted - there:
        row.addvalue(column, uuid)
    for uuid in there - wanted:
        row.delvalue(column, uuid)


def _python(value: Value | None, handles: Mapping[Ref, Any]) -> Any:
    """A value in the form `ovs.db.idl` takes."""
    if value is None:
        return []
    if isinstance(value, Ref):
        return [handles[value]]
    if isinstance(value, frozenset):
        return [handles[item] if isinstance(item, Ref) else item for item in value]
    return dict(value) if isinstance(value, Mapping) else value
