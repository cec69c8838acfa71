"""What has to change so that the rows there are become the rows wanted. Pure: no I/O, same input, same list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lazur.drivers.network.rows import TABLES, Columns, Ref, Rows, Value, empty


@dataclass(frozen=True)
class Insert:
    """A row that is missing."""

    row: Ref
    columns: Columns


@dataclass(frozen=True)
class Update:
    """Columns of a row that differ; None empties an optional column."""

    row: Ref
    columns: dict[str, Value | None]


@dataclass(frozen=True)
class Delete:
    """A row nobody wants."""

    row: Ref


Op = Insert | Update | Delete


def diff(wanted: Rows, actual: Rows) -> list[Op]:
    """The changes from `actual` to `wanted`: inserts, then updates, then deletes, each in order of table and key."""
    inserts: list[Op] = [Insert(row, wanted[row]) for row in sorted(wanted.keys() - actual.keys())]
    deletes: list[Op] = [Delete(row) for row in sorted(actual.keys() - wanted.keys())]
    updates: list[Op] = []
    # Most rows are the very same objects as last time: only the others are looked into, and put in order.
    differ = [r for r, want in wanted.items() if (have := actual.get(r, want)) is not want and have != want]
    for row in sorted(differ):
        want, have = wanted[row], actual[row]
        kinds = TABLES[row.table].columns
        names = sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))
        updates.append(Update(row, {name: want.get(name, empty(kinds[name])) for name in names}))
    return inserts + updates + deletes


def apply_ops(actual: Rows, ops: Iterable[Op]) -> Rows:
    """`actual` after `ops`, as a database without rules of its own would hold it."""
    rows = dict(actual)
    for op in ops:
        match op:
            case Insert(row, columns):
                rows[row] = columns
            case Update(row, changed):
                kinds = TABLES[row.table].columns
                merged = {**rows[row], **changed}
                rows[row] = {k: v for k, v in merged.items() if v is not None and v != empty(kinds[k])}
            case Delete(row):
                del rows[row]
    return rows
