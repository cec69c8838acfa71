"""What the host half of Compute may ask of a hypervisor.

Small on purpose: decisions (restart or not, when to give up, in which order) belong to the caller. A driver must survive
the death of the process that uses it: machines go on, and a new driver object finds them again by their uid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    """Where a machine is, as far as the hypervisor knows."""

    ABSENT = "Absent"
    """Never started here, or forgotten."""
    RUNNING = "Running"
    OFF = "Off"
    """The guest switched itself off (ACPI power-off, asked for or of its own will). Its process waits to be killed, so
    that this is still known when nobody was there to see it."""
    DEAD = "Dead"
    """The process is gone and the guest had not switched itself off: a crash, a kill, a host restart."""


@dataclass(frozen=True)
class Disk:
    """A disk image as a device. `uid` names it inside the machine and is its serial number (first 20 characters)."""

    uid: str
    path: str
    """Absolute path of a qcow2 file; its backing chain is found through it."""
    lun: int | None = None
    """None: the OS disk. 0..63: a data disk at that LUN."""


@dataclass(frozen=True)
class Nic:
    """A virtual network card on an existing tap."""

    tap: str
    mac: str
    mtu: int = 1500


@dataclass(frozen=True)
class Machine:
    """Everything a start needs. Frozen: two equal specs give the same process arguments."""

    uid: str
    vm_id: str
    """The UUID the guest shall see as its vmId."""
    name: str
    cores: int
    memory_mib: int
    os_disk: Disk
    data_disks: Sequence[Disk] = ()
    nics: Sequence[Nic] = ()
    cd: str | None = None
    """Absolute path of an ISO image in the CD drive."""


@dataclass(frozen=True)
class Status:
    """What is known of a machine without asking the guest."""

    uid: str
    phase: Phase
    pid: int | None = None
    accelerator: str | None = None
    """"kvm", "tcg" or "simulated" while it runs."""
    cores: int | None = None
    memory_mib: int | None = None
    started_at: datetime | None = None
    disks: Sequence[str] = ()
    """Uids of the disks that are attached now."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each attached disk shows the guest."""
    last_words: str = ""
    """What the process last wrote to its log, at most 4 KiB; meaningful in `DEAD`."""


class Hypervisor(Protocol):
    """All methods are idempotent and raise `LazurError`; `Unavailable` when asking again later may help."""

    async def list(self) -> Sequence[str]:
        """Uids of all machines that have a process or a record here."""
        ...

    async def start(self, machine: Machine) -> None:
        """Have a process for this machine; return once it answers. Does nothing when one runs already, whatever its
        size. Raises `MachineStartFailed` with the process's last words as evidence."""
        ...

    async def status(self, uid: str) -> Status:
        """The state of one machine; `ABSENT` for an unknown uid."""
        ...

    async def powerdown(self, uid: str) -> None:
        """Press the power button; returns at once, the guest may take its time or ignore it."""
        ...

    async def kill(self, uid: str) -> None:
        """End the process now and forget how it ended; the phase is `ABSENT` afterwards. Serial log stays readable."""
        ...

    async def forget(self, uid: str) -> None:
        """`kill`, and take away every file kept for this machine."""
        ...

    async def attach_disk(self, uid: str, disk: Disk) -> None:
        """Hot-plug a data disk; the machine must run."""
        ...

    async def detach_disk(self, uid: str, disk_uid: str) -> None:
        """Hot-unplug a data disk and close its file."""
        ...

    async def resize_disk(self, uid: str, disk_uid: str, size: int) -> None:
        """Grow an attached disk to `size` bytes; the guest is told. The machine must run."""
        ...

    async def serial_tail(self, uid: str, limit: int) -> bytes:
        """The last `limit` bytes of the serial console, over all starts; empty when there is none."""
        ...

    async def screenshot(self, uid: str) -> bytes:
        """The screen as PNG; the machine must run."""
        ...

    async def watch(self, wake: Callable[[str], None]) -> None:
        """Run until cancelled, calling `wake(uid)` for every machine whose status may have changed by itself."""
        ...

    async def accelerator(self) -> str:
        """What the next start will use: "kvm" only after a guest was seen to boot with it; "tcg"; "simulated"."""
        ...
