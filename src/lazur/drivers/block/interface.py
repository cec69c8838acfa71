"""What the host half of Compute may ask of a pool of disk images.

A disk appears whole or not at all, and images it was made from are never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Empty:
    """A disk of zeroes."""


@dataclass(frozen=True)
class FromImage:
    """A disk that starts as the catalogue image in this file of the images folder and stores only what differs."""

    file: str


@dataclass(frozen=True)
class CopyOf:
    """A disk that starts with the content another disk of the pool has now."""

    name: str


Origin = Empty | FromImage | CopyOf


@dataclass(frozen=True)
class DiskInfo:
    """Facts of one disk: the size a guest sees and the bytes it takes in the pool."""

    name: str
    virtual_size: int
    allocated: int


class BlockPool(Protocol):
    """All methods are idempotent and raise `LazurError`; `Unavailable` when asking again later may help.

    `name` is a file name such as `<uid>.qcow2`; anything with a path separator is refused.
    """

    async def create(self, name: str, size: int, origin: Origin) -> DiskInfo:
        """Have a disk of at least `size` bytes. One that exists is kept, whatever it was made from, and never shrunk.
        Raises `DiskImageNotFound` for a missing origin and `DiskSizeTooSmall` when the origin is larger than `size`."""
        ...

    async def grow(self, name: str, size: int) -> DiskInfo:
        """Make the disk `size` bytes large if it is smaller. Raises `DiskNotFound`, or `Unavailable` while it is open
        in a running machine."""
        ...

    async def delete(self, name: str) -> None:
        """Have no such disk. Raises `Unavailable` while a running machine has it open."""
        ...

    async def info(self, name: str) -> DiskInfo | None:
        """Facts of a disk, None when there is none."""
        ...

    async def tidy(self) -> None:
        """Drop what an earlier process left half made. Only for the pool's own executor, before it makes anything."""
        ...

    async def list(self) -> Sequence[str]:
        """Names of all disks of the pool."""
        ...
