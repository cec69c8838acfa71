"""What the host half of Compute may ask of the host's virtual switch.

A tap is the host's end of a virtual network card; a port is the logical port of the overlay it stands for. What the
switch does with the frames is decided by whoever compiled the network, never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Plug:
    """One tap that is there now."""

    tap: str
    port: str | None
    """Logical port it is bound to; None: the tap exists but is on no switch."""
    sent: int
    """Frames the guest has sent through it since it was made."""


class Switch(Protocol):
    """All methods are idempotent and raise `LazurError`; `Unavailable` when asking again later may help."""

    async def plug(self, port: str, tap: str, mtu: int) -> None:
        """Have a tap of this name and MTU, up and bound to this logical port."""
        ...

    async def unplug(self, tap: str) -> None:
        """Have no such tap and nothing on the switch for it."""
        ...

    async def ports(self) -> Mapping[str, Plug]:
        """Every tap of a machine on this host, by name."""
        ...
