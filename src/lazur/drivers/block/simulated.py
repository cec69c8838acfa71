"""A pool of disks that are numbers only, for tests and for `--simulated`. Must keep every promise of the interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lazur.drivers.block.interface import CopyOf, DiskInfo, FromImage, Origin
from lazur.kernel.errors import LazurError, Unavailable


@dataclass
class Shelf:
    """The outside world of a simulated pool; outlives the driver objects. `opened` maps each disk that a machine has open to
    that machine, as the locks that QEMU takes on a file do.

    `images` maps a catalogue file to its size; None accepts every file as empty.
    """

    disks: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] | None = None
    opened: dict[str, str] = field(default_factory=dict)

    def open(self, name: str, machine: str) -> bool:
        """Have `machine` open the disk; False while another one has it."""
        return self.opened.setdefault(name, machine) == machine

    def close(self, machine: str, name: str | None = None) -> None:
        """Have `machine` close one disk, or all of its."""
        self.opened = {n: m for n, m in self.opened.items() if m != machine or name not in (None, n)}


class SimulatedPool:
    """`BlockPool` over a `Shelf`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def create(self, name: str, size: int, origin: Origin) -> DiskInfo:
        _check(name)
        if name not in self._shelf.disks:
            needed = self._needed(origin)
            if needed is None:
                raise LazurError("DiskImageNotFound", "The source of the disk does not exist.")
            if size < needed:
                raise LazurError("DiskSizeTooSmall", f"A disk of {size} bytes cannot hold its source of {needed} bytes.")
            self._shelf.disks[name] = size
        return self._describe(name)

    async def grow(self, name: str, size: int) -> DiskInfo:
        if name not in self._shelf.disks:
            raise LazurError("DiskNotFound", f"There is no disk '{name}'.", target=name, status=404)
        if self._shelf.disks[name] < size:
            self._refuse_busy(name)
            self._shelf.disks[name] = size
        return self._describe(name)

    async def delete(self, name: str) -> None:
        _check(name)
        self._refuse_busy(name)
        self._shelf.disks.pop(name, None)

    async def info(self, name: str) -> DiskInfo | None:
        _check(name)
        return self._describe(name) if name in self._shelf.disks else None

    async def tidy(self) -> None:
        """A simulated disk is never half made."""

    async def list(self) -> Sequence[str]:
        return sorted(self._shelf.disks)

    def _needed(self, origin: Origin) -> int | None:
        """Bytes the origin holds, None when it does not exist."""
        match origin:
            case FromImage(file):
                return 0 if self._shelf.images is None else self._shelf.images.get(file)
            case CopyOf(name):
                return self._shelf.disks.get(name)
            case _:
                return 0

    def _describe(self, name: str) -> DiskInfo:
        return DiskInfo(name, self._shelf.disks[name], 0)

    def _refuse_busy(self, name: str) -> None:
        if name in self._shelf.opened:
            raise Unavailable("The disk is in use by a running machine.")


def _check(name: str) -> None:
    if not name or "/" in name or name.startswith("."):
        raise LazurError("InvalidDiskName", f"'{name}' cannot name a disk.")
