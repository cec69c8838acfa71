"""What the network executor may ask of the overlay.

Small on purpose: a driver compares rows, writes the difference and says who has it. Must never interpret a row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from lazur.drivers.network.rows import Rows


@dataclass(frozen=True)
class Applied:
    """What came of an `apply`."""

    changes: int
    """Rows inserted, changed or deleted; 0 means that nothing was written."""
    behind: frozenset[str] = frozenset()
    """Hosts that had not installed this state when the time was up; empty means that it is in force everywhere."""


class NetworkDriver(Protocol):
    """The overlay's database and what the hosts have made of it.

    All methods raise `Unavailable` when the database cannot be reached in time. A driver survives restarts of the database.
    """

    async def apply(self, rows: Rows) -> Applied:
        """Make our rows of the database equal to `rows` in one transaction and wait until every host has them.

        Rows of others are left alone. Nothing is written when nothing differs. Raises `LazurError` (not retryable) when
        the database refuses the rows.
        """
        ...

    async def actual(self) -> Rows:
        """Our rows as they are now, including any somebody spoiled; for fsck."""
        ...

    async def strangers(self) -> frozenset[str]:
        """Rows of others in our tables, as "<table> <name>"; in a database of our own nobody should have any."""
        ...

    async def chassis(self) -> frozenset[str]:
        """Names of the hosts that take part in the overlay now."""
        ...

    async def dismiss(self, hosts: Collection[str]) -> None:
        """Forget that these hosts take part: nobody builds tunnels to them or waits for them any more.

        One that lives after all joins again by itself. One that takes no part is no error.
        """
        ...

    async def port_bindings(self) -> Mapping[str, str]:
        """Logical ports that are up, and the host each is up on."""
        ...

    async def close(self) -> None:
        """Give up the connection; the network stays as it is."""
        ...
