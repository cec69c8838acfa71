"""The kernel, its modules and the initramfs made of them, each trimmed for a quick start under emulation.

Must never change what the kernel does once it runs, only how it is loaded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from lazur.lifecycle.guest_image.disk import Entry, newc

_PCI_HOLE = 0xE0000000
_SIGNATURE_MARK = b"~Module signature appended~\n"

INITRAMFS_LISTS: Mapping[str, Sequence[str]] = {
    "virtio": ("virtio_pci",),
    "blk": ("virtio_blk",),
    "scsi": ("virtio_scsi", "sd_mod"),
}
"""What finds the OS disk: loaded always, for virtio-blk, for virtio-scsi."""

ROOT_LISTS: Mapping[str, Sequence[str]] = {
    "boot": ("virtio_net",),
    "scsi": ("virtio_scsi",),
    "ide": ("ata_piix",),
    "cd": ("sr_mod", "isofs"),
    "late": ("button", "evdev", "virtio_scsi", "sd_mod", "virtio_blk"),
}
"""What the running machine loads from its root: before the network, for the provisioning CD and the controller it may
be on, and once it serves (the power button, disks plugged later)."""


class Modules:
    """The modules of one kernel package, found by name, with what each needs."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}

    def closure(self, names: Sequence[str], loaded: Sequence[str] = ()) -> list[str]:
        """`names` and all they need, in loading order, without those in `loaded`."""
        order: list[str] = []

        def visit(name: str) -> None:
            name = name.replace("-", "_")
            if name in order or name in loaded:
                return
            found = re.search(rb"\0depends=([^\0]*)\0", self._files[name].read_bytes())
            for needed in found[1].decode().split(",") if found else ():
                if needed:
                    visit(needed)
            order.append(name)

        for name in names:
            visit(name)
        return order

    def content(self, name: str) -> bytes:
        """The module's object file without its signature.

        Checking an RSA signature for each module is a visible part of an emulated boot, and the kernel takes modules
        unsigned unless told otherwise.
        """
        data = self._files[name].read_bytes()
        if not data.endswith(_SIGNATURE_MARK):
            return data
        end = len(data) - len(_SIGNATURE_MARK)
        # The 12 bytes before the mark close with the signature's length (include/linux/module_signature.h).
        (length,) = struct.unpack(">I", data[end - 4 : end])
        return data[: end - 12 - length]


def loadable_in_place(kernel: bytes) -> bytes:
    """The kernel with a preferred address no machine has memory at.

    GRUB reads a kernel that prefers 16 MiB to another place and then moves all 52 MiB it will unpack to, byte by byte:
    two seconds under emulation. Where the preference cannot be met it reads the kernel to its final place at once.
    The field is `pref_address` of the boot protocol (Documentation/arch/x86/boot.rst); the kernel itself ignores it.
    """
    if kernel[0x202:0x206] != b"HdrS" or not kernel[0x234]:
        raise ValueError("not a relocatable bzImage")
    patched = bytearray(kernel)
    struct.pack_into("<Q", patched, 0x258, _PCI_HOLE)
    return bytes(patched)


def initramfs(modules: Modules, busybox: bytes, init: bytes) -> bytes:
    """An uncompressed initramfs that runs `init` (a busybox script) with the modules of `INITRAMFS_LISTS`."""
    folders = ("dev", "sys", "root", "bin", "modules")
    entries = [Entry(name, 0o40755) for name in folders]
    entries.append(Entry("dev/console", 0o20600, device=(5, 1)))
    entries.append(Entry("bin/busybox", 0o100755, busybox))
    entries.append(Entry("bin/sh", 0o120777, b"busybox"))
    entries.append(Entry("init", 0o100755, init))
    kept: dict[str, bytes] = {}
    loaded = modules.closure(INITRAMFS_LISTS["virtio"])
    for title, names in INITRAMFS_LISTS.items():
        order = loaded if title == "virtio" else modules.closure(names, loaded)
        entries.append(Entry(f"modules/{title}.list", 0o100644, "".join(f"{name}\n" for name in order).encode()))
        kept |= {name: modules.content(name) for name in order}
    entries += [Entry(f"modules/{name}.ko", 0o100644, data) for name, data in kept.items()]
    return newc(entries)
