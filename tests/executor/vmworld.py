"""A simulated host under an executor, and a way to kill that executor before and after every effect."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lazur.executor.core import Executor
from lazur.executor.ledger import MemoryLedger
from lazur.kernel.clock import VirtualClock
from lazur.model.desire import State
from lazur.providers.compute.host import SimulatedHost, host_handlers, inventory
from tests.executor.harness import DOMAIN, Plane, advance

UID = "5f2e1d7c-7f5d-4f0a-8a43-0b5f6f1f0001"
NIC = "5f2e1d7c-7f5d-4f0a-8a43-0b5f6f1f00aa"
OS = "5f2e1d7c-7f5d-4f0a-8a43-0b5f6f1f00d0"
DATA = "5f2e1d7c-7f5d-4f0a-8a43-0b5f6f1f00d1"


def disk(uid: str, lun: int | None) -> dict[str, Any]:
    return {"uid": uid, "role": "os" if lun is None else "data", "lun": lun, "path": f"{uid}.qcow2", "sizeBytes": 1 << 30}


def payload(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/web0",
        "uid": UID,
        "vmId": UID,
        "name": "web0",
        "computerName": "web0",
        "power": "running",
        "restart": 0,
        "hardStop": False,
        "cores": 2,
        "memoryMiB": 512,
        "disks": [disk(OS, None)],
        "nics": [{"uid": NIC, "port": f"nic-{NIC}", "mac": "00:0d:3a:00:00:01", "mtu": 1500}],
        "provisioning": {"hostName": "web0", "userName": "azureuser", "sshKeys": []},
        "secrets": {"adminPassword": "p<&>"},
        "image": {"agent": True},
        "readyDeadlineSeconds": 600,
    }
    return base | changes


class Killed(BaseException):
    """The process is gone, as after kill -9."""


class Fuse:
    """Counts the edges of effects and burns through at one of them."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.count = 0

    def edge(self) -> None:
        if self.limit is not None and self.count >= self.limit:
            raise Killed
        self.count += 1
        if self.count == self.limit:
            raise Killed


class Fused:
    """Any object whose named methods are effects of the outside world."""

    def __init__(self, inner: Any, fuse: Fuse, effects: Sequence[str]) -> None:
        self._inner = inner
        self._fuse = fuse
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._effects:
            return found
        if inspect.iscoroutinefunction(found):

            async def later(*args: Any, **kwargs: Any) -> Any:
                self._fuse.edge()
                result = await found(*args, **kwargs)
                self._fuse.edge()
                return result

            return later

        def now(*args: Any, **kwargs: Any) -> Any:
            self._fuse.edge()
            result = found(*args, **kwargs)
            self._fuse.edge()
            return result

        return now


class World:
    """A host, its control plane, and one executor at a time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.plane = Plane(self.clock)
        self.host = SimulatedHost()
        self.ledger = MemoryLedger()

    def executor(self, fuse: Fuse | None = None) -> Executor:
        parts, ledger, plane = self.host.parts(self.clock), self.ledger, self.plane
        if fuse is None:
            return Executor(DOMAIN, plane, ledger, host_handlers(parts, self.clock, plane.artifact), self.clock)
        machine = ("start", "powerdown", "kill", "forget", "attach_disk", "detach_disk", "resize_disk")
        # The simulated hypervisor's own uptime is read through the guests, so those keep the unfused one.
        fused: Any = replace(
            parts,
            hypervisor=Fused(parts.hypervisor, fuse, machine),
            switch=Fused(parts.switch, fuse, ("plug", "unplug")),
            discs=Fused(parts.discs, fuse, ("put", "drop")),
            records=Fused(parts.records, fuse, ("save", "drop")),
        )
        source: Any = Fused(plane, fuse, ("report", "artifact"))
        book: Any = Fused(ledger, fuse, ("accept", "forget"))
        return Executor(DOMAIN, source, book, host_handlers(fused, self.clock, source.artifact), self.clock)

    async def run(self, until: Callable[[], bool], fuse: Fuse | None = None, limit: float = 3600.0) -> bool:
        """Serve until the condition holds; False when the executor was killed on the way."""
        task = asyncio.create_task(self.executor(fuse).run())
        try:
            await advance(self.clock, lambda: task.done() or until(), limit)
        finally:
            alive = not task.done()
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
        if not alive and not _killed(results[0]):
            raise AssertionError(f"the executor ended by itself: {results[0]!r}")
        return alive

    def reported(self, generation: int, state: State, key: str = UID, kind: str = "vm") -> Callable[[], bool]:
        def found() -> bool:
            report = self.plane.reports.get((kind, key))
            return report is not None and report.generation == generation and report.state is state

        return found

    def observed(self) -> dict[str, Any]:
        return dict(self.plane.reports["vm", UID].observed)

    async def picture(self) -> dict[str, Any]:
        """The outside world without what may differ between equal outcomes."""
        seen = dict(await inventory(self.host.parts(self.clock)))
        machines = {uid: (m["phase"], tuple(m["disks"])) for uid, m in seen["machines"].items()}
        sizes = {uid: (m.machine.cores, m.machine.memory_mib) for uid, m in self.host.room.machines.items()}
        return seen | {"machines": machines, "sizes": sizes, "ledger": len(self.ledger.load())}


def _killed(error: object) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_killed(inner) for inner in error.exceptions)
    return isinstance(error, Killed)
