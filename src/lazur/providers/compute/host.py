"""The host half of Compute, put together: handlers for a host's executor and for a pool's, real and simulated.

Must never decide anything a controller should decide; see `hosting` for what each handler does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazur.drivers.block.interface import BlockPool
from lazur.drivers.block.qcow2 import Qcow2Pool, Qcow2Settings
from lazur.drivers.block.simulated import Shelf, SimulatedPool
from lazur.drivers.hypervisor.qemu import QemuHypervisor, QemuSettings
from lazur.drivers.hypervisor.simulated import MachineRoom, SimulatedHypervisor
from lazur.drivers.switch.ovs import OvsSettings, OvsSwitch
from lazur.drivers.switch.simulated import Patchboard, SimulatedSwitch
from lazur.executor.handlers import KeyedHandler
from lazur.executor.ledger import MemoryLedger
from lazur.kernel.clock import Clock
from lazur.providers.compute.hosting.disks import DiskHandler
from lazur.providers.compute.hosting.guests import FileGuests, SimulatedGuests
from lazur.providers.compute.hosting.looking import CaptureHandler, ProbesHandler
from lazur.providers.compute.hosting.machines import HostParts, VmHandler
from lazur.providers.compute.hosting.provisioning import FileDiscs, MemoryDiscs
from lazur.providers.compute.hosting.records import FileRecords, MemoryRecords

Upload = Callable[[str, bytes], Awaitable[None]]


def host_handlers(parts: HostParts, clock: Clock, upload: Upload) -> list[KeyedHandler]:
    """The handlers of domain `host/<name>`; `upload` is `DesireSource.artifact`."""
    return [
        VmHandler(parts, clock),
        CaptureHandler(parts.hypervisor, upload),
        ProbesHandler(parts.guests, clock),
    ]


def storage_handlers(pool: BlockPool, marks: Path | None = None) -> list[KeyedHandler]:
    """The handlers of domain `storage/<pool>`; see `DiskHandler` for `marks`."""
    return [DiskHandler(pool, marks)]


def real_host(state: Path, pool: Path, runtime: Path, clock: Clock) -> HostParts:
    """The doors of this machine: QEMU, Open vSwitch, the host's own files below `state` and `runtime`, the disks and
    images of `pool`."""
    qemu = QemuSettings(run=runtime / "vm", state=state / "vm", images=pool / "images", verdict=runtime / "accelerator")
    return HostParts(
        hypervisor=QemuHypervisor(qemu, clock),
        switch=OvsSwitch(OvsSettings()),
        discs=FileDiscs(runtime / "cd"),
        records=FileRecords(state / "machines"),
        guests=FileGuests(runtime / "guest"),
        disks=pool / "disks",
    )


def real_pool(pool: Path) -> BlockPool:
    """The pool of qcow2 files below `pool`, over its images."""
    return Qcow2Pool(Qcow2Settings(disks=pool / "disks", images=pool / "images"))


@dataclass
class SimulatedHost:
    """Everything of a simulated host that outlives its executor, as processes and disks do on a real one."""

    room: MachineRoom = field(default_factory=MachineRoom)
    board: Patchboard = field(default_factory=Patchboard)
    discs: MemoryDiscs = field(default_factory=MemoryDiscs)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)

    @classmethod
    def beside(cls, storage: SimulatedStorage) -> SimulatedHost:
        """A host whose machines' disks lie in that pool."""
        return cls(MachineRoom(shelf=storage.shelf))

    def lose_power(self) -> None:
        """Whatever runs is gone; files stay. Its executor must be dead already."""
        self.room.switch_off()
        self.board.taps.clear()
        self.ledger.current = False

    def parts(self, clock: Clock) -> HostParts:
        """Fresh drivers over this host."""
        hypervisor = SimulatedHypervisor(self.room, clock)
        return HostParts(
            hypervisor=hypervisor,
            switch=SimulatedSwitch(self.board),
            discs=self.discs,
            records=self.records,
            guests=SimulatedGuests(self.room, hypervisor),
            disks=Path("/simulated/disks"),
        )


@dataclass
class SimulatedStorage:
    """Everything of a simulated pool that outlives its executor."""

    shelf: Shelf = field(default_factory=Shelf)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)

    def pool(self) -> BlockPool:
        """A fresh driver over this pool."""
        return SimulatedPool(self.shelf)


async def inventory(parts: HostParts) -> Mapping[str, Any]:
    """What the host really has of machines, for fsck: uids and names to compare with what is wanted."""
    hypervisor = parts.hypervisor
    uids, plugs = await asyncio.gather(hypervisor.list(), parts.switch.ports())
    statuses = [await hypervisor.status(uid) for uid in uids]
    return {
        "machines": {s.uid: {"phase": s.phase.value, "pid": s.pid, "disks": list(s.disks)} for s in statuses},
        "taps": {name: plug.port for name, plug in plugs.items()},
        "cds": list(parts.discs.list()),
        "records": list(parts.records.list()),
    }


async def disk_inventory(pool: BlockPool) -> Sequence[str]:
    """Names of the disks a pool really has, for fsck."""
    return await pool.list()
