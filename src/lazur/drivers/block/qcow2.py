"""Disks as qcow2 files in one folder, made by qemu-img.

A disk is built under a temporary name and renamed into place. Catalogue images are backing files opened read-only; the
format of a backing file is always said, because guessing it from its content lets a guest choose what the host reads.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazur.drivers.block.interface import CopyOf, DiskInfo, FromImage, Origin
from lazur.kernel.errors import LazurError, Unavailable

_TEMPORARY = ".new-"


@dataclass(frozen=True)
class Qcow2Settings:
    """Folders and the qemu-img to use; `command` may be a wrapper with arguments."""

    disks: Path = Path("/var/lib/lazur/disks")
    images: Path = Path("/var/lib/lazur/images")
    command: Sequence[str] = ("qemu-img",)
    environment: Mapping[str, str] | None = None
    parallel: int = 2
    """Tools at work at the same time; they are processor- and disk-bound."""


class Qcow2Pool:
    """`BlockPool` over qcow2 files."""

    def __init__(self, settings: Qcow2Settings) -> None:
        self._settings = settings
        self._turn = asyncio.Semaphore(settings.parallel)
        settings.disks.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def create(self, name: str, size: int, origin: Origin) -> DiskInfo:
        path = self._path(name)
        known = await self.info(name)
        if known is not None:
            return known
        temporary = path.with_name(f"{_TEMPORARY}{name}")
        temporary.unlink(missing_ok=True)
        try:
            match origin:
                case FromImage(file):
                    await self._overlay(temporary, self._image(file), size)
                case CopyOf(other):
                    await self._copy(temporary, other, size)
                case _:
                    await self._tool("create", "-q", "-f", "qcow2", str(temporary), str(size))
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                await asyncio.to_thread(os.fsync, descriptor)
            finally:
                os.close(descriptor)
            temporary.rename(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return await self._inspect(path)

    async def grow(self, name: str, size: int) -> DiskInfo:
        known = await self.info(name)
        if known is None:
            raise LazurError("DiskNotFound", f"There is no disk '{name}'.", target=name, status=404)
        if known.virtual_size >= size:
            return known
        await self._tool("resize", "-q", "-f", "qcow2", str(self._path(name)), str(size))
        return await self._inspect(self._path(name))

    async def delete(self, name: str) -> None:
        path = self._path(name)
        if not path.exists():
            return
        _refuse_open(path)
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)

    async def info(self, name: str) -> DiskInfo | None:
        path = self._path(name)
        return await self._inspect(path) if path.exists() else None

    async def tidy(self) -> None:
        for leftover in self._settings.disks.glob(f"{_TEMPORARY}*"):
            leftover.unlink(missing_ok=True)

    async def list(self) -> Sequence[str]:
        return sorted(p.name for p in self._settings.disks.iterdir() if p.is_file() and not p.name.startswith("."))

    async def _overlay(self, path: Path, image: Path, size: int) -> None:
        if not image.is_file():
            raise LazurError("DiskImageNotFound", f"The image '{image.name}' is not in the catalogue's folder.")
        needed = (await self._inspect(image)).virtual_size
        _must_fit(size, needed)
        await self._tool("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), str(path), str(size))

    async def _copy(self, path: Path, name: str, size: int) -> None:
        source = self._path(name)
        if not source.is_file():
            raise LazurError("DiskImageNotFound", f"The disk '{name}' to copy from does not exist.")
        found = await self._describe(source)
        _must_fit(size, int(found["virtual-size"]))
        backing = found.get("full-backing-filename")
        # A copy shares the catalogue image its source is based on, and nothing with the source itself.
        base = ["-B", str(backing), "-F", "qcow2"] if backing else []
        await self._tool("convert", "-q", "-U", "-f", "qcow2", "-O", "qcow2", *base, str(source), str(path))
        await self._tool("resize", "-q", "-f", "qcow2", str(path), str(size))

    async def _inspect(self, path: Path) -> DiskInfo:
        found = await self._describe(path)
        return DiskInfo(path.name, int(found["virtual-size"]), int(found.get("actual-size", 0)))

    async def _describe(self, path: Path) -> dict[str, Any]:
        # -U: reading the header is harmless while a machine has the disk open.
        found: dict[str, Any] = json.loads(await self._tool("info", "-U", "-f", "qcow2", "--output=json", str(path)))
        return found

    async def _tool(self, *arguments: str) -> bytes:
        """Run qemu-img; raises `Unavailable` when the disk is in use elsewhere, else `DiskOperationFailed`."""
        environment = dict(self._settings.environment) if self._settings.environment is not None else None
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                *self._settings.command,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
            )
            try:
                output, complaint = await process.communicate()
            except asyncio.CancelledError:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                raise
        if process.returncode == 0:
            return output
        words = complaint.decode(errors="replace").strip()
        if "lock" in words:
            raise Unavailable("The disk is in use by a running machine.", internal=words)
        raise LazurError("DiskOperationFailed", f"qemu-img {arguments[0]} failed: {words[-2000:]}", status=500)

    def _path(self, name: str) -> Path:
        if not name or "/" in name or name.startswith("."):
            raise LazurError("InvalidDiskName", f"'{name}' cannot name a disk.")
        return self._settings.disks / name

    def _image(self, file: str) -> Path:
        if not file or "/" in file or file.startswith("."):
            raise LazurError("InvalidDiskName", f"'{file}' cannot name an image.")
        return self._settings.images / file


def _refuse_open(path: Path) -> None:
    """Raise `Unavailable` while a QEMU of any host that shares this folder has the disk open."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        # QEMU holds shared locks on single bytes from 100 (permissions) and 200 (what it does not share).
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 100, 200, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError as error:
        raise Unavailable("The disk is in use by a running machine.") from error
    finally:
        os.close(descriptor)


def _must_fit(size: int, needed: int) -> None:
    if size < needed:
        raise LazurError(
            "DiskSizeTooSmall",
            f"A disk of {size} bytes cannot hold its source of {needed} bytes; ask for at least {needed} bytes.",
        )


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
