"""From a machine to QEMU's arguments: pure, so that one glance at a test shows what a guest gets.

What the guest must see of a Hyper-V host (asset tag, product, identity) is what cloud-init and the Azure agent look for.
Must never touch the outside world, and equal machines must give equal arguments.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lazur.drivers.hypervisor.interface import Disk, Machine, Nic
from lazur.kernel.ids import short

AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""The chassis asset tag by which cloud-init recognises Azure."""

# The first virtio-scsi controller holds the OS disk and the CD, the second the data disks, so that a LUN is Azure's LUN.
_SYSTEM_BUS = "scsi0"
_DATA_BUS = "scsi1"
_FIRST_NIC_SLOT = 0x8


@dataclass(frozen=True)
class Files:
    """Where one machine's sockets and logs are; absolute paths, sockets at most 107 bytes long."""

    pid: str
    commands: str
    events: str
    console: str
    serial: str


def process_name(uid: str) -> str:
    """The `-name` by which a machine's process is found again."""
    return f"lazur-{uid}"


def device_id(disk_uid: str) -> str:
    """QEMU's id of a disk device."""
    return f"disk-{disk_uid}"


def node_name(disk_uid: str) -> str:
    """QEMU's block node behind a disk device; node names hold 31 characters only."""
    return f"node-{short(disk_uid, length=20)}"


def smbios_uuid(vm_id: str) -> str:
    """The system UUID under which a BIOS guest derives `vm_id`: its first three fields read in the other byte order."""
    return str(uuid.UUID(bytes=uuid.UUID(vm_id).bytes_le))


def block_node(disk: Disk) -> dict[str, Any]:
    """The block graph of a disk, for `-blockdev` and `blockdev-add`."""
    return {
        "driver": "qcow2",
        "node-name": node_name(disk.uid),
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "file": {"driver": "file", "filename": disk.path, "aio": "threads", "discard": "unmap"},
    }


def disk_device(disk: Disk) -> dict[str, Any]:
    """The SCSI device of a disk, for `-device` and `device_add`."""
    device: dict[str, Any] = {
        "driver": "scsi-hd",
        "id": device_id(disk.uid),
        "bus": f"{_SYSTEM_BUS if disk.lun is None else _DATA_BUS}.0",
        "scsi-id": 0,
        "lun": disk.lun or 0,
        "drive": node_name(disk.uid),
        "serial": disk.uid.replace("-", "")[:20],
        "rotation_rate": 1,
    }
    if disk.lun is None:
        device["bootindex"] = 0
    return device


def qemu_arguments(machine: Machine, files: Files, accelerator: str) -> list[str]:
    """Everything after the program's name. `accelerator` is "kvm" or "tcg"."""
    return [
        *_process(machine, files, accelerator),
        *_identity(machine),
        *_channels(files),
        *_storage(machine),
        *(argument for index, nic in enumerate(machine.nics) for argument in _nic(index, nic)),
    ]


def _process(machine: Machine, files: Files, accelerator: str) -> Sequence[str]:
    kvm = accelerator == "kvm"
    # tcg-cpuid=off hides TCG's own signature, so that the guest believes the Hyper-V product name below.
    processor = "host,hv-relaxed=on,hv-vapic=on,hv-spinlocks=0x1fff,hv-time=on" if kvm else "max,tcg-cpuid=off"
    return [
        *("-name", f"guest={process_name(machine.uid)}"),
        *("-accel", "kvm" if kvm else "tcg,thread=multi,tb-size=32"),
        *("-machine", "q35,usb=off,vmport=off,smm=off"),
        *("-cpu", processor),
        *("-smp", f"cpus={machine.cores},sockets=1,cores={machine.cores},threads=1"),
        *("-m", f"{machine.memory_mib}M"),
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        *("-vga", "std"),
        *("-rtc", "base=utc"),
        *("-boot", "strict=on"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        # A guest that switches itself off leaves its process behind, paused: the only witness an agent that was dead
        # at that moment can ask.
        *("-action", "shutdown=pause"),
        *("-pidfile", files.pid),
    ]


def _identity(machine: Machine) -> Sequence[str]:
    system = (
        f"type=1,manufacturer=Microsoft Corporation,product=Virtual Machine,version=Hyper-V UEFI Release v4.1,"
        f"serial={machine.vm_id},uuid={smbios_uuid(machine.vm_id)}"
    )
    chassis = f"type=3,manufacturer=Microsoft Corporation,version=Hyper-V UEFI Release v4.1,asset={AZURE_ASSET_TAG}"
    return ["-uuid", smbios_uuid(machine.vm_id), "-smbios", system, "-smbios", chassis]


def _channels(files: Files) -> Sequence[str]:
    arguments = [
        "-chardev",
        f"socket,id=serial0,path={files.console},server=on,wait=off,logfile={files.serial},logappend=on",
        *("-serial", "chardev:serial0"),
    ]
    for name, path in (("commands", files.commands), ("events", files.events)):
        arguments += ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]
        arguments += ["-mon", f"chardev={name},mode=control"]
    return arguments


def _storage(machine: Machine) -> Sequence[str]:
    arguments = [
        *("-device", f"virtio-scsi-pci,id={_SYSTEM_BUS},addr=0x2"),
        *("-device", f"virtio-scsi-pci,id={_DATA_BUS},addr=0x3"),
        *("-object", "rng-random,id=rng0,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=rng0,addr=0x4"),
    ]
    for disk in (machine.os_disk, *sorted(machine.data_disks, key=lambda d: d.lun or 0)):
        arguments += ["-blockdev", _json(block_node(disk)), "-device", _json(disk_device(disk))]
    if machine.cd is not None:
        file = {"driver": "file", "filename": machine.cd, "read-only": True}
        node = {"driver": "raw", "node-name": "node-cd", "read-only": True, "file": file}
        device = {"driver": "scsi-cd", "id": "cd", "bus": f"{_SYSTEM_BUS}.0", "scsi-id": 0, "lun": 1, "drive": "node-cd"}
        arguments += ["-blockdev", _json(node), "-device", _json(device)]
    return arguments


def _nic(index: int, nic: Nic) -> Sequence[str]:
    # vnet_hdr=off: the userspace datapath would pass on frames with unfinished checksums.
    return [
        "-netdev",
        f"tap,id=net{index},ifname={nic.tap},script=no,downscript=no,vnet_hdr=off",
        "-device",
        f"virtio-net-pci,id=nic{index},netdev=net{index},mac={nic.mac},addr={_FIRST_NIC_SLOT + index:#x},romfile=",
    ]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
