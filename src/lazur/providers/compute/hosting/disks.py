"""The handler of `disk` desires of a pool. Must never shrink a disk, destroy one whose removal was not asked for, or make one
anew that was made before: its content would be gone and nobody told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lazur.drivers.block.interface import BlockPool, CopyOf, Empty, FromImage, Origin
from lazur.executor.handlers import Wake
from lazur.kernel.errors import LazurError
from lazur.model.desire import Desire, Report, State


class DiskHandler:
    """`KeyedHandler` of kind `disk`; the key is the disk's uid."""

    kind = "disk"
    precious = True

    def __init__(self, pool: BlockPool, marks: Path | None = None) -> None:
        """`marks` is a folder that remembers which disks were made; without one this object alone does."""
        self._pool = pool
        self._marks = marks
        self._made: set[str] = {p.name for p in marks.iterdir()} if marks is not None and marks.is_dir() else set()

    async def adopt(self, desires: Sequence[Desire]) -> None:
        """No disk is taken down: one without a desire may be the only copy of somebody's data; fsck names it."""
        await self._pool.tidy()

    async def apply(self, desire: Desire) -> Report:
        name, size = _field(desire, "path", str), _field(desire, "sizeBytes", int)
        if desire.key in self._made and name not in await self._pool.list():
            # Its content is lost, or the pool is not mounted: an empty one in its place would hide that, and destroy.
            message = f"The file '{name}' of disk '{desire.key}' is no longer in the pool."
            return Report(self.kind, desire.key, desire.generation, State.FAILED, LazurError("DiskLost", message).body())
        info = await self._pool.create(name, size, _origin(desire))
        self._remember(desire.key)
        if info.virtual_size < size:
            info = await self._pool.grow(name, size)
        observed = {"virtualSizeBytes": info.virtual_size, "allocatedBytes": info.allocated}
        return Report(self.kind, desire.key, desire.generation, State.READY, None, observed)

    async def remove(self, desire: Desire) -> Report:
        await self._pool.delete(_field(desire, "path", str))
        self._forget(desire.key)
        return Report(self.kind, desire.key, desire.generation, State.GONE)

    async def watch(self, wake: Wake) -> None:
        """Disks do not change by themselves."""

    def _remember(self, key: str) -> None:
        if key not in self._made:
            self._made.add(key)
            if self._marks is not None:
                self._marks.mkdir(parents=True, exist_ok=True)
                (self._marks / key).touch()

    def _forget(self, key: str) -> None:
        self._made.discard(key)
        if self._marks is not None:
            (self._marks / key).unlink(missing_ok=True)


def _field(desire: Desire, name: str, kind: type) -> Any:
    value = desire.payload.get(name)
    if not isinstance(value, kind):
        raise LazurError("InvalidDesire", f"The desire of disk '{desire.key}' has no usable '{name}'.", target=desire.key)
    return value


def _origin(desire: Desire) -> Origin:
    source: Mapping[str, Any] = _field(desire, "source", dict)
    match source:
        case {"kind": "empty"}:
            return Empty()
        case {"kind": "image", "file": str(file)}:
            return FromImage(file)
        case {"kind": "copy", "path": str(path)}:
            return CopyOf(path)
    raise LazurError("InvalidDesire", f"The desire of disk '{desire.key}' has no usable 'source'.", target=desire.key)
