"""An in-process cloud: the real control plane and real executors over simulated drivers, under virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lazur.drivers.network.simulated import SimulatedNetwork
from lazur.executor.core import Executor
from lazur.executor.ledger import MemoryLedger
from lazur.identity.endpoints import Endpoints
from lazur.identity.sealing import StampKey
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SeededIds
from lazur.lifecycle.control_plane import ControlPlane, Machine
from lazur.model.armid import ArmId
from lazur.model.documents import Operation, Record
from lazur.model.rights import Caller
from lazur.model.stamp import Image, Stamp
from lazur.providers.compute.host import SimulatedHost, SimulatedStorage, host_handlers, storage_handlers
from lazur.providers.network.host import NetworkHandler
from lazur.store.codec import dumps
from lazur.store.sqlite import SqliteStore

VERSION = "2024-11-01"
TINY = Image("Lazur", "TinyLinux", "1", "1.0.0", "tiny.qcow2", 256 << 20, alias="TinyLinux")


@dataclass
class World:
    """What survives every process: the store, the hosts, the pool, the overlay, the executors' ledgers."""

    store: SqliteStore = field(default_factory=lambda: SqliteStore(None))
    hosts: dict[str, SimulatedHost] = field(default_factory=dict)
    storage: SimulatedStorage = field(default_factory=SimulatedStorage)
    network: SimulatedNetwork = field(default_factory=SimulatedNetwork)
    network_ledger: MemoryLedger = field(default_factory=MemoryLedger)


class Cloud:
    """One running cloud over a `World`; may be stopped and started again over the same one."""

    def __init__(self, clock: Clock, *, seed: int = 1, world: World | None = None,
                 machines: Sequence[Machine] | None = None) -> None:  # fmt: skip
        self.clock = clock
        self.seed = seed
        self.world = world or World()
        self.machines = machines or (
            Machine("h01", 4, 8192, 0, driver="simulated"),
            Machine("h02", 4, 8192, 1, driver="simulated"),
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> Cloud:
        """Bring every process up."""
        ids = SeededIds(self.seed)
        stamp = Stamp(
            "local", "lazur.internal", "", "", "https://management.local.lazur.internal",
            "https://login.local.lazur.internal", ("203.0.113.0/24",), "10.239.4.0/22", "10.239.4.1", images=(TINY,),
            simulated=True,
        )  # fmt: skip
        key = StampKey(bytes(32), ids)
        endpoints = Endpoints.for_region("local", "lazur.internal")
        self.plane = await ControlPlane.open(self.world.store, stamp, endpoints, key, self.clock, ids, machines=self.machines)
        self.subscription = ArmId(self.plane.stamp.subscription)
        secrets = self.plane.secrets
        self.owner = Caller(secrets.tenant_id, secrets.client_object_id, "lazur-cli", "ServicePrincipal", secrets.client_id)
        self._spawn(self.plane.run())
        for machine in self.machines:
            self._start_host(machine.name)
        source = self.plane.desires("storage/main")
        handlers = storage_handlers(self.world.storage.pool())
        self._spawn(Executor("storage/main", source, self.world.storage.ledger, handlers, self.clock).run())
        self.world.network.hosts |= {m.name for m in self.machines}
        source = self.plane.desires("network/main")
        executor = Executor("network/main", source, self.world.network_ledger, [NetworkHandler(self.world.network)], self.clock)
        self._spawn(executor.run())
        return self

    def _start_host(self, name: str) -> None:
        host = self.world.hosts.setdefault(name, SimulatedHost())
        source = self.plane.desires(f"host/{name}")
        handlers = host_handlers(host.parts(self.clock), self.clock, source.artifact)
        self._spawn(Executor(f"host/{name}", source, host.ledger, handlers, self.clock).run())

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def stop(self) -> None:
        """kill -9 of everything: nothing is told, the world stays as it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    # -- what a customer does -----------------------------------------------------------------------------------------

    async def put(self, id: ArmId, body: Any, version: str = VERSION) -> Record:
        """PUT and wait for the end; raises the operation's error."""
        accepted = await self.plane.pipeline.put(self.owner, id, body, version)
        await self.ended(accepted.operation)
        found = self.world.store.get(self.plane.registry.document_of(id).key)
        assert found is not None
        return found

    async def delete(self, id: ArmId) -> None:
        """DELETE and wait until the resource is gone."""
        accepted = await self.plane.pipeline.delete(self.owner, id, VERSION)
        await self.ended(accepted.operation)

    async def act(self, id: ArmId, action: str, **query: str) -> Any:
        """POST an action and wait for its end."""
        accepted = await self.plane.pipeline.act(self.owner, id, action, {}, query)
        await self.ended(accepted.operation)
        return accepted.body

    async def ended(self, operation: Operation | None, seconds: float = 3600.0) -> None:
        """Wait for an operation; raise its error."""
        deadline = self.clock.monotonic() + seconds
        while operation is not None:
            now = self.world.store.operation(operation.id)
            assert now is not None
            if now.error is not None:
                raise LazurError.from_body(dict(now.error))
            if now.ended is not None:
                return
            if self.clock.monotonic() > deadline:
                raise TimeoutError(f"{operation.verb} {operation.key} did not end")
            await self.clock.sleep(0.5)

    def show(self, id: ArmId, expand: str = "") -> dict[str, Any]:
        """GET."""
        found = self.world.store.get(id.key)
        assert found is not None, f"{id} is not there"
        return self.plane.pipeline.presenter.show(found, expand)

    def group(self, name: str = "rg") -> ArmId:
        """The id of a resource group."""
        return ArmId(self.subscription.subscription, name)

    async def with_group(self, name: str = "rg") -> ArmId:
        """A resource group that exists."""
        await self.put(self.group(name), {"location": "local"})
        return self.group(name)

    # -- what is true -------------------------------------------------------------------------------------------------

    def outside(self) -> dict[str, Any]:
        """Everything of the outside world by kind; empty lists when nothing is there."""
        hosts = {
            name: {"machines": sorted(h.room.machines), "taps": sorted(h.board.taps)} for name, h in self.world.hosts.items()
        }
        return {"hosts": hosts, "disks": sorted(self.world.storage.shelf.disks)}

    def digest(self) -> str:
        """A hash of the whole durable state: resources, claims by owner, desires and the outside world."""
        records = [(r.key, r.state, r.body, r.allocated, r.status, r.generation) for r in self.world.store.list()]
        return hashlib.sha256(dumps([json.loads(json.dumps(records)), self.outside()]).encode()).hexdigest()
