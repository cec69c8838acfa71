"""Rows while they are being compiled, and the names rows go by. Must never depend on the order things were added in."""

from __future__ import annotations

import hashlib

from lazur.drivers.network.rows import Columns, Ref, Rows, Value, canonical


class Draft:
    """A growing set of rows: `put` makes one, `link` adds to one of its sets."""

    def __init__(self) -> None:
        self._rows: dict[Ref, Columns] = {}
        self._links: dict[Ref, dict[str, set[Ref]]] = {}

    def put(self, table: str, key: str, **columns: Value | None) -> Ref:
        """A new row; None leaves a column empty. Raises ValueError when the key is taken."""
        row = Ref(table, key)
        self.place(row, made(table, **columns))
        return row

    def place(self, row: Ref, columns: Columns) -> None:
        """A new row that is `made` already. Raises ValueError when the key is taken."""
        if row in self._rows:
            raise ValueError(f"{row.table} {row.key} is wanted twice")
        self._rows[row] = columns

    def link(self, row: Ref, column: str, target: Ref) -> None:
        """Add `target` to a set column of `row`, which may be put later."""
        self._links.setdefault(row, {}).setdefault(column, set()).add(target)

    def has(self, row: Ref) -> bool:
        """Whether `row` was put."""
        return row in self._rows

    def rows(self) -> Rows:
        """The finished rows."""
        linked = {
            row: {**self._rows[row], **{column: frozenset(targets) for column, targets in links.items()}}
            for row, links in self._links.items()
        }
        return {**self._rows, **linked}


def made(table: str, **columns: Value | None) -> Columns:
    """Columns of a row; None leaves one empty."""
    return canonical(table, {name: value for name, value in columns.items() if value is not None})


def router(vnet: str) -> Ref:
    """The router every subnet of a VNet hangs on."""
    return Ref("Logical_Router", f"lr-{vnet}")


def switch(subnet: str) -> Ref:
    """A subnet's switch."""
    return Ref("Logical_Switch", f"ls-{subnet}")


def external_port(vnet: str) -> str:
    """The name of a VNet router's port on the transit network."""
    return f"lrp-ext-{vnet}"


def group(*parts: str) -> str:
    """A name that matches may use (`@name`, `$name`): letters, digits and underscores only."""
    return "_".join(part.replace("-", "") for part in parts)


def mac(*parts: str) -> str:
    """A locally administered MAC address that depends on nothing but `parts`."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return ":".join(["02", *(f"{byte:02x}" for byte in digest[:5])])
