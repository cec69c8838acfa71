"""A virtual switch without packets, for tests and for `--simulated`. Must keep every promise of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lazur.drivers.switch.interface import Plug


@dataclass
class Patchboard:
    """The outside world of a simulated switch: tap to logical port; outlives the driver objects.

    `silent` holds taps through which the guest never sends anything.
    """

    taps: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)


class SimulatedSwitch:
    """`Switch` over a `Patchboard`."""

    def __init__(self, board: Patchboard) -> None:
        self._board = board

    async def plug(self, port: str, tap: str, mtu: int) -> None:
        self._board.taps[tap] = port

    async def unplug(self, tap: str) -> None:
        self._board.taps.pop(tap, None)

    async def ports(self) -> Mapping[str, Plug]:
        silent = self._board.silent
        return {tap: Plug(tap, port, 0 if tap in silent else 1) for tap, port in self._board.taps.items()}
