"""A hypervisor without machines, for tests and for `--simulated`: same promises, nothing runs.

What it says of itself ("simulated" as the accelerator, in the serial log) must make it impossible to take for a real one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lazur.drivers.block.simulated import Shelf
from lazur.drivers.hypervisor.interface import Disk, Machine, Phase, Status
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Evidence, LazurError, Unavailable

_TICK_SECONDS = 1.0


@dataclass
class _Simulated:
    """One machine of a simulated host."""

    machine: Machine
    pid: int
    started: float
    started_at: datetime
    disks: dict[str, Disk]
    phase: Phase = Phase.RUNNING
    off_at: float | None = None


@dataclass
class MachineRoom:
    """The outside world of one simulated host: outlives the driver objects, as real processes do.

    The fault fields may be set at any time: `fail_start` maps a machine's uid or name to QEMU's last words, `deaf` holds
    uids that ignore the power button, `sick` uids whose guest never gets ready. `shelf` is where the disks lie.
    """

    start_seconds: float = 0.5
    boot_seconds: float = 5.0
    powerdown_seconds: float = 2.0
    fail_start: dict[str, str] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    sick: set[str] = field(default_factory=set)
    machines: dict[str, _Simulated] = field(default_factory=dict)
    serial: dict[str, bytes] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    pids: int = 1000
    shelf: Shelf = field(default_factory=Shelf)

    def crash(self, uid: str) -> None:
        """Kill the machine's process as kill -9 would."""
        self.machines[uid].phase = Phase.DEAD
        self.shelf.close(uid)

    def switch_off(self) -> None:
        """Kill all of them and forget that they ran, as a power cut does."""
        for uid in self.machines:
            self.shelf.close(uid)
        self.machines.clear()

    def power_off_inside(self, uid: str) -> None:
        """Let the guest switch itself off."""
        self.machines[uid].phase = Phase.OFF


class SimulatedHypervisor:
    """`Hypervisor` over a `MachineRoom`."""

    def __init__(self, room: MachineRoom, clock: Clock) -> None:
        self._room = room
        self._clock = clock

    async def list(self) -> Sequence[str]:
        return sorted(self._room.machines.keys() | self._room.serial.keys())

    async def accelerator(self) -> str:
        return "simulated"

    async def start(self, machine: Machine) -> None:
        found = self._find(machine.uid)
        if found is not None and found.phase is Phase.RUNNING:
            return
        await self._clock.sleep(self._room.start_seconds)
        disks = {disk.uid: disk for disk in (machine.os_disk, *machine.data_disks)}
        words = self._room.fail_start.get(machine.uid) or self._room.fail_start.get(machine.name)
        if words is None and not all(self._room.shelf.open(_name(d), machine.uid) for d in disks.values()):
            words = 'Failed to get "write" lock'
        if words is not None:
            await self.kill(machine.uid)
            raise LazurError(
                "MachineStartFailed",
                f"The simulated hypervisor could not start machine '{machine.name}': {words}",
                info=[Evidence("QemuLog", {"text": words}), Evidence("SerialLog", {"text": ""})],
                status=500,
            )
        self._room.pids += 1
        self._room.machines[machine.uid] = _Simulated(
            machine,
            self._room.pids,
            self._clock.monotonic(),
            self._clock.now(),
            disks,
        )
        self._room.starts[machine.uid] = self._room.starts.get(machine.uid, 0) + 1
        line = f"simulated machine {machine.name}: {machine.cores} cores, {machine.memory_mib} MiB\r\n"
        self._room.serial[machine.uid] = self._room.serial.get(machine.uid, b"") + line.encode()

    async def status(self, uid: str) -> Status:
        found = self._find(uid)
        if found is None:
            return Status(uid, Phase.ABSENT)
        if found.phase is Phase.DEAD:
            return Status(uid, Phase.DEAD, last_words="simulated: terminated on signal 9")
        return Status(
            uid,
            found.phase,
            pid=found.pid,
            accelerator="simulated",
            cores=found.machine.cores,
            memory_mib=found.machine.memory_mib,
            started_at=found.started_at,
            disks=sorted(found.disks),
            sizes={uid: self._room.shelf.disks.get(_name(disk), 0) for uid, disk in found.disks.items()},
        )

    async def powerdown(self, uid: str) -> None:
        found = self._running(uid)
        if uid not in self._room.deaf and found.off_at is None:
            found.off_at = self._clock.monotonic() + self._room.powerdown_seconds

    async def kill(self, uid: str) -> None:
        self._room.machines.pop(uid, None)
        self._room.shelf.close(uid)

    async def forget(self, uid: str) -> None:
        await self.kill(uid)
        self._room.serial.pop(uid, None)

    async def attach_disk(self, uid: str, disk: Disk) -> None:
        found = self._running(uid)
        if not self._room.shelf.open(_name(disk), uid):
            raise LazurError("HypervisorRefused", 'The simulated hypervisor failed to get "write" lock', target=disk.uid)
        found.disks[disk.uid] = disk

    async def detach_disk(self, uid: str, disk_uid: str) -> None:
        disk = self._running(uid).disks.pop(disk_uid, None)
        if disk is not None:
            self._room.shelf.close(uid, _name(disk))

    async def resize_disk(self, uid: str, disk_uid: str, size: int) -> None:
        name = _name(self._running(uid).disks[disk_uid])
        self._room.shelf.disks[name] = max(size, self._room.shelf.disks.get(name, 0))

    async def serial_tail(self, uid: str, limit: int) -> bytes:
        return self._room.serial.get(uid, b"")[-limit:]

    async def screenshot(self, uid: str) -> bytes:
        self._running(uid)
        return _black_pixel()

    async def watch(self, wake: Callable[[str], None]) -> None:
        seen: dict[str, tuple[int, Phase]] = {}
        while True:
            now = {uid: (found.pid, found.phase) for uid in list(self._room.machines) if (found := self._find(uid))}
            for uid in sorted(now.keys() | seen.keys()):
                if now.get(uid) != seen.get(uid):
                    wake(uid)
            seen = now
            await self._clock.sleep(_TICK_SECONDS)

    def uptime(self, uid: str) -> float | None:
        """Seconds since the machine was started, None when it does not run."""
        found = self._find(uid)
        if found is None or found.phase is not Phase.RUNNING:
            return None
        return self._clock.monotonic() - found.started

    def _find(self, uid: str) -> _Simulated | None:
        found = self._room.machines.get(uid)
        if found is not None and found.off_at is not None and self._clock.monotonic() >= found.off_at:
            found.off_at = None
            if found.phase is Phase.RUNNING:
                found.phase = Phase.OFF
        return found

    def _running(self, uid: str) -> _Simulated:
        found = self._find(uid)
        if found is None or found.phase is not Phase.RUNNING:
            raise Unavailable("The machine does not run.", target=uid)
        return found


def _name(disk: Disk) -> str:
    return Path(disk.path).name


def _black_pixel() -> bytes:
    """A PNG of one black pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\0\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
