"""Disk formats in plain Python: the initramfs archive, a GPT with BIOS GRUB on it, the qcow2 container.

Needs neither loop devices nor privilege. Must never read a clock or an id generator: one input gives one output, byte
for byte.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SECTOR = 512
_NAMESPACE = uuid.UUID("6f0a6f5e-5a1c-4a57-9d3b-5a6c1f1d2e10")
_ENTRIES = 128
_ENTRY_SIZE = 128
_TABLE_SECTORS = _ENTRIES * _ENTRY_SIZE // SECTOR
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS


@dataclass(frozen=True)
class Entry:
    """One member of an initramfs: `mode` with its type bits, `device` as (major, minor)."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def newc(entries: Iterable[Entry]) -> bytes:
    """A cpio archive in the form the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    out = bytearray()
    for inode, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], start=1):
        name = entry.name.encode() + b"\0"
        fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        out += bytes(-len(out) % 4)
        out += entry.data
        out += bytes(-len(out) % 4)
    return bytes(out)


@dataclass(frozen=True)
class Partition:
    """A stretch of the disk: first and last sector, the type's GUID, and the name the guest finds it by."""

    name: str
    kind: uuid.UUID
    first: int
    last: int


LINUX_ROOT = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")


def write_gpt(disk: BinaryIO, sectors: int, partitions: Iterable[Partition]) -> None:
    """Both copies of the partition table and the protective MBR's entry, on a disk of `sectors` sectors."""
    table = bytearray(_ENTRIES * _ENTRY_SIZE)
    for index, part in enumerate(partitions):
        ident = uuid.uuid5(_NAMESPACE, part.name)
        struct.pack_into("<16s16sQQQ", table, index * _ENTRY_SIZE, part.kind.bytes_le, ident.bytes_le, part.first, part.last, 0)
        name = part.name.encode("utf-16-le")
        table[index * _ENTRY_SIZE + 56 : index * _ENTRY_SIZE + 56 + len(name)] = name

    def header(own: int, other: int, table_at: int) -> bytes:
        first, last = 2 + _TABLE_SECTORS, sectors - _TABLE_SECTORS - 2
        ident = uuid.uuid5(_NAMESPACE, "disk").bytes_le
        fields = (own, other, first, last, ident, table_at, _ENTRIES, _ENTRY_SIZE, zlib.crc32(table))
        body = struct.pack("<8sIIII4Q16sQIII", b"EFI PART", 0x10000, 92, 0, 0, *fields)
        checked = body[:16] + struct.pack("<I", zlib.crc32(body)) + body[20:]
        return checked.ljust(SECTOR, b"\0")

    protective = struct.pack("<8B2I", 0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0xFFFFFFFF)
    disk.seek(446)
    disk.write(protective + bytes(48) + b"\x55\xaa")
    disk.seek(SECTOR)
    disk.write(header(1, sectors - 1, 2) + table)
    disk.seek((sectors - _TABLE_SECTORS - 1) * SECTOR)
    disk.write(table + header(sectors - 1, 1, sectors - _TABLE_SECTORS - 1))


def install_grub(disk: BinaryIO, boot: bytes, core: bytes, at: int) -> None:
    """Put GRUB's first stage into the MBR and its core at sector `at`, joined by the two block numbers they carry.

    Offsets of GRUB 2 (include/grub/i386/pc/boot.h): the MBR names the core's first sector at 0x5c; the core's first
    sector names the rest in the block list that ends it.
    """
    first = bytearray(boot[:440])
    struct.pack_into("<Q", first, 0x5C, at)
    body = bytearray(core)
    struct.pack_into("<Q", body, 0x1F4, at + 1)
    disk.seek(0)
    disk.write(first)
    disk.seek(at * SECTOR)
    disk.write(body)


def raw_to_qcow2(raw: Path, target: Path) -> None:
    """Write `raw` as qcow2 version 3 (64 KiB clusters, 16 bit reference counts); empty clusters take no room."""
    size = raw.stat().st_size
    with raw.open("rb") as source:
        clusters = [index for index in _data_clusters(source, size) if any(_cluster(source, index))]
        tables = sorted({index // (_CLUSTER // 8) for index in clusters})
        l1_entries = -(-size // (_CLUSTER * (_CLUSTER // 8)))
        # Order in the file: header, reference table, reference blocks, L1, L2 tables, data.
        others = 3 + len(tables) + len(clusters)
        blocks = 1
        while blocks * (_CLUSTER // 2) < others + blocks:
            blocks += 1
        l1_at = 2 + blocks
        l2_at = {table: l1_at + 1 + order for order, table in enumerate(tables)}
        data_at = {index: l1_at + 1 + len(tables) + order for order, index in enumerate(clusters)}
        with target.open("wb") as out:
            head = struct.pack(
                ">4sIQIIQIIQQIIQ",
                b"QFI\xfb",
                3,
                0,
                0,
                _CLUSTER_BITS,
                size,
                0,
                l1_entries,
                l1_at * _CLUSTER,
                _CLUSTER,
                1,
                0,
                0,
            )
            out.write((head + struct.pack(">QQQII", 0, 0, 0, 4, 104)).ljust(_CLUSTER, b"\0"))
            out.write(b"".join(struct.pack(">Q", (2 + n) * _CLUSTER) for n in range(blocks)).ljust(_CLUSTER, b"\0"))
            out.write((b"\0\x01" * (others + blocks)).ljust(blocks * _CLUSTER, b"\0"))
            copied = 1 << 63
            l1 = [copied | l2_at[t] * _CLUSTER if t in l2_at else 0 for t in range(l1_entries)]
            out.write(struct.pack(f">{l1_entries}Q", *l1).ljust(_CLUSTER, b"\0"))
            for table in tables:
                first = table * (_CLUSTER // 8)
                row = [copied | data_at[i] * _CLUSTER if i in data_at else 0 for i in range(first, first + _CLUSTER // 8)]
                out.write(struct.pack(f">{len(row)}Q", *row))
            for index in clusters:
                out.write(_cluster(source, index))


def _data_clusters(source: BinaryIO, size: int) -> Iterable[int]:
    """Clusters that are not holes of the file, in order, each once."""
    position, last = 0, -1
    while position < size:
        try:
            start = os.lseek(source.fileno(), position, os.SEEK_DATA)
        except OSError:
            return
        position = os.lseek(source.fileno(), start, os.SEEK_HOLE)
        for index in range(max(start // _CLUSTER, last + 1), -(-position // _CLUSTER)):
            yield index
            last = index


def _cluster(source: BinaryIO, index: int) -> bytes:
    return os.pread(source.fileno(), _CLUSTER, index * _CLUSTER).ljust(_CLUSTER, b"\0")
