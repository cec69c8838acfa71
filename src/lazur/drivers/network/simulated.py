"""A simulated overlay: the rules of the real database, in memory, with hosts that take over every change at once.

Must keep every promise of the interface, so that what is compiled for it also fits the real one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from lazur.drivers.network.diff import apply_ops, diff
from lazur.drivers.network.interface import Applied
from lazur.drivers.network.rows import TABLES, Ref, Rows, Value, canonical, is_strong, references
from lazur.kernel.errors import LazurError, Unavailable


class SimulatedNetwork:
    """The overlay of a simulated rack. `reachable = False` makes its database unreachable, `foreign` are rows of others,
    `alive` the hosts that are switched on: dismissed, they are members again at once."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self.hosts = set(hosts)
        self.alive = set(self.hosts)
        self.reachable = True
        self.foreign: set[str] = set()
        self._rows: Rows = {}
        self._bindings: dict[str, str] = {}

    async def apply(self, rows: Rows) -> Applied:
        """See `NetworkDriver.apply`."""
        self._check()
        ops = diff(rows, self._rows)
        if ops:
            self._rows = _checked(apply_ops(self._rows, ops))
        return Applied(len(ops))

    async def actual(self) -> Rows:
        """See `NetworkDriver.actual`."""
        self._check()
        return dict(self._rows)

    async def strangers(self) -> frozenset[str]:
        """See `NetworkDriver.strangers`."""
        self._check()
        return frozenset(self.foreign)

    async def chassis(self) -> frozenset[str]:
        """See `NetworkDriver.chassis`."""
        self._check()
        return frozenset(self.hosts)

    async def dismiss(self, hosts: Collection[str]) -> None:
        """See `NetworkDriver.dismiss`."""
        self._check()
        self.hosts -= set(hosts) - self.alive

    async def port_bindings(self) -> Mapping[str, str]:
        """See `NetworkDriver.port_bindings`."""
        self._check()
        there = {columns["name"] for row, columns in self._rows.items() if row.table == "Logical_Switch_Port"}
        return {port: host for port, host in self._bindings.items() if port in there and host in self.hosts}

    async def close(self) -> None:
        """See `NetworkDriver.close`."""

    def bind(self, port: str, host: str | None) -> None:
        """What a host does when a card appears on its switch, or (None) disappears from it."""
        if host is None:
            self._bindings.pop(port, None)
        else:
            self._bindings[port] = host

    def spoil(self, row: Ref, columns: Mapping[str, Value] | None) -> None:
        """What a careless operator does: overwrite a row, or (None) delete it, behind everybody's back."""
        rows = dict(self._rows)
        if columns is None:
            rows.pop(row, None)
        else:
            rows[row] = canonical(row.table, columns)
        self._rows = rows

    def _check(self) -> None:
        if not self.reachable:
            raise Unavailable("The overlay's database cannot be reached.")


def _checked(rows: Rows) -> Rows:
    """`rows` as the real database would keep them. Raises `LazurError` where it would refuse them."""
    names: set[tuple[str, Value]] = set()
    for row, columns in rows.items():
        unique = TABLES[row.table].unique
        if unique is not None:
            name = row.table, columns.get(unique, "")
            if name in names:
                raise _refused(f"{row.table} {name[1]!r} exists twice")
            names.add(name)
        for target in references(columns):
            if target not in rows:
                raise _refused(f"{row.table} {row.key} refers to missing {target.table} {target.key}")
    return _held(rows)


def _held(rows: Rows) -> Rows:
    """Those rows that are roots or that something kept holds on to."""
    while True:
        held = {
            target
            for row, columns in rows.items()
            for column, value in columns.items()
            if is_strong(row.table, column)
            for target in references({column: value})
        }
        kept = {row: columns for row, columns in rows.items() if TABLES[row.table].root or row in held}
        if len(kept) == len(rows):
            return kept
        rows = kept


def _refused(why: str) -> LazurError:
    return LazurError("NetworkRowsRefused", f"The overlay's database refuses the wanted rows: {why}.", status=500)
