"""An in-process cloud: the real control plane and real executors over simulated drivers, under virtual time.

A `World` is what outlives every process; a `Cloud` is a set of processes over it, any of which may be killed and started
again. With a `Fuse` the cloud dies before or after the n-th effect; with `Trouble` its messages get lost and late.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lazur.drivers.network.simulated import SimulatedNetwork
from lazur.drivers.web.simulated import SimulatedTransport
from lazur.executor.core import Executor
from lazur.executor.handlers import Handler
from lazur.executor.ledger import MemoryLedger
from lazur.identity.endpoints import Endpoints
from lazur.identity.sealing import StampKey
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.kernel.ids import SeededIds
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.control_plane import SYSTEM, ControlPlane, Machine
from lazur.model.armid import ArmId
from lazur.model.desire import Batch, Report
from lazur.model.documents import Operation, Record
from lazur.model.rights import OWNER, ROOT, Assignment, Caller, Role
from lazur.model.stamp import Image, Stamp
from lazur.providers.compute.host import SimulatedHost, SimulatedStorage, host_handlers, storage_handlers
from lazur.providers.compute.virtual_machines.fleet import Fleet, fleet_now
from lazur.providers.network.host import NetworkHandler
from lazur.store.codec import dumps
from lazur.store.sqlite import SqliteStore
from tests.executor.vmworld import Fuse, Fused

VERSION = "2024-11-01"
TINY = Image("Lazur", "TinyLinux", "1", "1.0.0", "tiny.qcow2", 256 << 20, alias="TinyLinux")
MACHINES = (Machine("h01", 4, 8192, 0, driver="simulated"), Machine("h02", 4, 8192, 1, driver="simulated"))
CONTROL, STORAGE, NETWORK = "control", "storage/main", "network/main"

_EFFECTS = {
    "hypervisor": ("start", "powerdown", "kill", "forget", "attach_disk", "detach_disk", "resize_disk"),
    "switch": ("plug", "unplug"),
    "discs": ("put", "drop"),
    "records": ("save", "drop"),
}
_HEX = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.I)
_MAC = re.compile(r"00:0d:3a(:[0-9a-f]{2}){3}")
_TAP = re.compile(r"\bt[0-9a-f]{10}\b")
# Which host serves a network's gateway is drawn from the network's uid.
_GATEWAY = re.compile(r"(HA_Chassis/hc-<[^>]*>)-\w+")
_ZONE = re.compile(r"\b[0-9a-f]{12}(?=\.internal\.)")


@dataclass
class World:
    """What survives every process: the store, the hosts, the pool, the overlay, the executors' ledgers."""

    store: SqliteStore = field(default_factory=lambda: SqliteStore(None))
    hosts: dict[str, SimulatedHost] = field(default_factory=dict)
    storage: SimulatedStorage = field(default_factory=SimulatedStorage)
    network: SimulatedNetwork = field(default_factory=SimulatedNetwork)
    network_ledger: MemoryLedger = field(default_factory=MemoryLedger)
    starts: int = 0
    """How often a control plane was started over it: no two of them draw the same ids."""
    elapsed: float = 0.0
    """Seconds of virtual time that have passed in it."""
    made: list[str] = field(default_factory=list)
    """Every disk that was ever made, in order."""

    def copy(self) -> World:
        """An equal world with a life of its own."""
        store = SqliteStore(None)
        store._writer.deserialize(self.store._writer.serialize())
        return copy.deepcopy(self, {id(self.store): store})

    def clock(self) -> VirtualClock:
        """A clock that goes on where this world's time stands."""
        clock = VirtualClock()
        clock.advance(self.elapsed)
        return clock


class Trouble:
    """What may happen to a message between an executor and the control plane. This one lets everything through."""

    async def ask(self, domain: str) -> None:
        """Before a question for changes; raise `Unavailable` to lose it."""

    async def told(self, domain: str) -> None:
        """Before its answer arrives; raise `Unavailable` to lose that."""

    async def report(self, domain: str) -> None:
        """Before reports are taken; raise `Unavailable` to lose them."""

    async def taken(self, domain: str) -> None:
        """After reports were taken; raise `Unavailable` to lose the answer."""

    async def disk(self) -> None:
        """Before the store writes: what takes time here lets others go between a decision and its commit."""


class SlowDisk(Trouble):
    """A disk that takes its time each time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    async def disk(self) -> None:
        await self._clock.sleep(0.1)


class _SlowStore:
    """A store whose disk takes its time, as real ones do."""

    def __init__(self, store: Any, trouble: Trouble) -> None:
        self._store = store
        self._trouble = trouble

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: Any) -> None:
        await self._trouble.disk()
        await self._store.commit(change)

    async def report(self, domain: str, reports: Sequence[Report]) -> None:
        await self._trouble.disk()
        await self._store.report(domain, reports)


class Wire:
    """An executor's way to whichever control plane lives."""

    def __init__(self, cloud: Cloud, domain: str) -> None:
        self._cloud = cloud
        self._domain = domain

    async def changes(self, since: int, wait: float) -> Batch:
        trouble, plane = self._cloud.trouble, self._cloud.living()
        await trouble.ask(self._domain)
        batch = await plane.desires(self._domain).changes(since, wait)
        await trouble.told(self._domain)
        if self._cloud.living() is not plane:
            raise Unavailable("The control plane was started again.")
        return batch

    async def report(self, reports: Sequence[Report]) -> None:
        await self._cloud.trouble.report(self._domain)
        await self._cloud.living().desires(self._domain).report(reports)
        await self._cloud.trouble.taken(self._domain)

    async def artifact(self, name: str, content: bytes) -> None:
        await self._cloud.living().desires(self._domain).artifact(name, content)


class Cloud:
    """One running cloud over a `World`; may be stopped and started again over the same one."""

    def __init__(self, clock: VirtualClock, *, seed: int = 1, world: World | None = None,
                 machines: Sequence[Machine] = MACHINES, fuse: Fuse | None = None,
                 trouble: Trouble | None = None) -> None:  # fmt: skip
        self.clock = clock
        self.seed = seed
        self.world = world or World()
        self.machines = machines
        self.fuse = fuse
        self.trouble = trouble or Trouble()
        self.web = SimulatedTransport()
        self.plane: ControlPlane
        self._alive: ControlPlane | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # -- processes ----------------------------------------------------------------------------------------------------

    async def start(self) -> Cloud:
        """Bring every process up."""
        for name in self.processes:
            await self.revive(name)
        return self

    @property
    def processes(self) -> list[str]:
        """Names of everything that can be killed, in the order it is brought up."""
        return [CONTROL, *(f"host/{m.name}" for m in self.machines), STORAGE, NETWORK]

    async def revive(self, name: str) -> None:
        """Start a process that does not run."""
        if name not in self._tasks:
            run = await self._control() if name == CONTROL else self._executor(name).run()
            self._tasks[name] = asyncio.create_task(run)

    async def kill(self, name: str) -> None:
        """kill -9: nothing is told, the world stays as it is."""
        if name == CONTROL:
            self._alive = None
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """kill -9 of everything at the same moment."""
        self._alive = None
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.world.elapsed = self.clock.monotonic()

    def living(self) -> ControlPlane:
        """The control plane, when it runs."""
        if self._alive is None:
            raise Unavailable("The control plane does not run.")
        return self._alive

    def _fused(self, inner: Any, *effects: str) -> Any:
        return Fused(inner, self.fuse, effects) if self.fuse is not None else inner

    async def _control(self) -> Any:
        self.world.starts += 1
        ids = SeededIds(self.seed * 1000 + self.world.starts)
        stamp = Stamp(
            "local", "lazur.internal", "", "", "https://management.local.lazur.internal",
            "https://login.local.lazur.internal", ("203.0.113.0/24",), "10.239.4.0/22", "10.239.4.1", images=(TINY,),
            simulated=True,
        )  # fmt: skip
        key = StampKey(bytes(32), ids)
        endpoints = Endpoints.for_region("local", "lazur.internal")
        store: Any = _SlowStore(self._fused(self.world.store, "commit", "report"), self.trouble)
        self.plane = await ControlPlane.open(
            store, stamp, endpoints, key, self.clock, ids, machines=self.machines, web=self.web
        )
        self.subscription = ArmId(self.plane.stamp.subscription)
        secrets = self.plane.secrets
        kind = "ServicePrincipal"
        self.owner = Caller(
            secrets.tenant_id, secrets.client_object_id, "lazur-cli", kind, secrets.client_id, operator=True
        )
        self.plane.authority.assign(*self.standing)
        self._alive = self.plane
        return self.plane.run()

    def _executor(self, domain: str) -> Executor:
        wire: Any = Wire(self, domain)
        handlers: Sequence[Handler]
        if domain == STORAGE:
            pool = _Remembering(self.world.storage.pool(), self.world.made)
            ledger, handlers = self.world.storage.ledger, storage_handlers(self._fused(pool, "create", "grow", "delete"))
        elif domain == NETWORK:
            ledger, handlers = self.world.network_ledger, [NetworkHandler(self._fused(self.world.network, "apply", "dismiss"))]
        else:
            name = domain.partition("/")[2]
            self.world.network.hosts.add(name)
            self.world.network.alive.add(name)
            host = self.world.hosts.setdefault(name, SimulatedHost.beside(self.world.storage))
            ledger, parts = host.ledger, host.parts(self.clock)
            fused = {name: self._fused(getattr(parts, name), *effects) for name, effects in _EFFECTS.items()}
            handlers = host_handlers(replace(parts, **fused), self.clock, wire.artifact)
        return Executor(domain, wire, self._fused(ledger, "accept", "forget"), handlers, self.clock)

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

    async def settled(self, seconds: float = 3600.0) -> None:
        """Wait until every resource is as wanted and every desire was answered."""
        deadline = self.clock.monotonic() + seconds
        while left := self.unsettled():
            if self.clock.monotonic() > deadline:
                raise TimeoutError(f"not settled: {left[:5]}")
            await self.clock.sleep(1.0)

    def unsettled(self) -> list[str]:
        """Resources and desires on which work goes on."""
        store, left = self.world.store, []
        for record in store.list():
            if record.deleting or record.observed < record.generation:
                left.append(f"{record.key} is {record.state}")
        fence = store.document("lost-domains").content or {}
        for domain, kind, owner, reported, generation, state, removed in store._writer.execute(
            "SELECT domain, kind, owner, reported, generation, state, removed FROM desires ORDER BY 1, 2, 3"
        ).fetchall():
            answered = reported == generation and state in ("Ready", "Failed") and not removed
            if not answered and domain not in fence:
                left.append(f"{kind} of {owner}")
        return left

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
            name: {
                "machines": sorted(h.room.machines),
                "logs": sorted(h.room.serial),
                "taps": sorted(h.board.taps),
                "cds": list(h.discs.list()),
                "records": list(h.records.list()),
                "ledger": sorted(f"{d.kind}/{d.key}" for d in h.ledger.load()),
            }
            for name, h in sorted(self.world.hosts.items())
        }
        rows = sorted(f"{row.table}/{row.key}" for row in self.world.network._rows)
        ledgers = [*self.world.storage.ledger.load(), *self.world.network_ledger.load()]
        return {
            "hosts": hosts,
            "disks": sorted(self.world.storage.shelf.disks),
            "rows": rows,
            "ledgers": sorted(f"{d.kind}/{d.key}" for d in ledgers),
        }

    @property
    def standing(self) -> tuple[Assignment, ...]:
        """What holds without being stored: the stamp's own right, and the owner's over management groups."""
        keeper = Role("keeper", "Keeper of groups", ("Microsoft.Management/*",))
        over = ArmId(tenant=self.owner.tenant).key
        return Assignment(SYSTEM.object_id, OWNER, ROOT), Assignment(self.owner.object_id, keeper, over)

    def leaked(self) -> list[str]:
        """Whatever of the outside world is left although no resource but the stamp's own exists."""
        seen, left = self.outside(), []
        for host, things in seen.pop("hosts").items():
            left += [f"{host}: {kind} {thing}" for kind, found in things.items() for thing in found]
        # The stamp's hosts have their part in the overlay as long as it has them.
        hosts = {r.key: f"host/{r.uid}" for r in self.world.store.list(type="microsoft.fabric.admin/hosts")}
        left += [f"{kind} {thing}" for kind, found in seen.items() for thing in found if thing not in hosts.values()]
        rows = self.world.store._writer.execute("SELECT pool, value, owner FROM claims").fetchall()
        left += [f"claim {row}" for row in rows if self.world.store.get(row[2]) is None]
        wanted = self.world.store._writer.execute("SELECT domain, kind, owner FROM desires").fetchall()
        left += [f"desire {row}" for row in wanted if row[2] not in hosts]
        left += [f"reference {row}" for row in self.world.store._writer.execute("SELECT source, target FROM refs")]
        return left

    def audit(self) -> list[str]:
        """Differences between what the resources say and what is really there; empty when the cloud is settled and well."""
        faults = [f"unsettled: {u}" for u in self.unsettled()]
        machines, taps, disks = set(), set(), set()
        for record in self.world.store.list():
            if record.type == "microsoft.compute/disks":
                disks.add(f"{record.uid}.qcow2")
            if record.type == "microsoft.compute/virtualmachines" and record.status.get("power") == "running":
                machines.add((record.allocated["host"], record.uid))
                named = record.properties["networkProfile"]["networkInterfaces"]
                cards = (self.world.store.get(c["id"].lower()) for c in named)
                taps |= {(record.allocated["host"], f"nic-{c.uid}") for c in cards if c}
        hosts = self.world.hosts.items()
        faults += _differences("machines", machines, {(n, uid) for n, h in hosts for uid in h.room.machines})
        faults += _differences("ports", taps, {(n, port) for n, h in hosts for port in h.board.taps.values()})
        faults += [f"{r} leads nowhere" for r in self._dangling()]
        faults += self._miscounted()
        return faults + _differences("disks", disks, set(self.world.storage.shelf.disks))

    def _miscounted(self) -> list[str]:
        """How the fleet that followed every change differs from one that is counted anew."""
        context = self.plane.loop.context
        followed, fresh = fleet_now(context), Fleet(context)
        pairs = [
            (sorted(f.capacity.rooms()), sorted(f._holders.items()), sorted(f._holds)) for f in (followed, fresh)
        ]
        return [] if pairs[0] == pairs[1] else [f"the fleet is out of step: {pairs[0]} instead of {pairs[1]}"]

    def _dangling(self) -> list[str]:
        """Blocking references to what is not there."""
        registry, found = self.plane.registry, []
        for source, path, target in self.world.store._writer.execute(
            "SELECT source, path, target FROM refs WHERE blocking = 1 ORDER BY 1, 2"
        ).fetchall():
            id = registry.canonical(ArmId.parse(target))
            record, embedded = self.world.store.get(registry.document_of(id).key), registry.embedded(id)
            items = record.properties.get(embedded[1].list, ()) if record and embedded else ()
            children = {c["name"].lower() for c in items}
            if record is None or (embedded is not None and id.name.lower() not in children):
                found.append(f"{path} of {source}")
        return found

    def digest(self) -> str:
        """A hash of the whole durable state, to the last version number; but for the keys, which no seed may choose."""
        db = self.world.store._writer
        tables = ("resources", "operations", "refs", "claims", "desires", "feed")
        rows = [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
        return hashlib.sha256(dumps([rows, self.outside()]).encode()).hexdigest()

    def shape(self) -> Any:
        """The state without what may differ between two histories with the same outcome: ids, times, counters."""
        store = self.world.store
        names = {r.uid: f"<{r.type}/{_HEX.sub('#', r.id.name)}>" for r in store.list()}
        records = [
            {"id": r.key, "state": r.state, "body": r.body, "allocated": r.allocated, "status": r.status, "error": r.error}
            for r in store.list()
        ]
        claims = sorted(store._writer.execute("SELECT pool, value, owner FROM claims").fetchall())
        desires = store._writer.execute("SELECT domain, kind, owner, removed, state FROM desires ORDER BY 1, 2, 3").fetchall()
        text = dumps({"records": records, "claims": claims, "desires": desires, "outside": self.outside()})
        text = _HEX.sub(lambda found: names.get(found.group(), "#"), text)
        text = _GATEWAY.sub(r"\1", _ZONE.sub("zone", _TAP.sub("tap", _MAC.sub("mac", text))))
        return _sorted(json.loads(text))


class _Remembering:
    """A pool that remembers what it ever made."""

    def __init__(self, pool: Any, made: list[str]) -> None:
        self._pool = pool
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    async def create(self, name: str, size: int, origin: Any) -> Any:
        known = name in await self._pool.list()
        info = await self._pool.create(name, size, origin)
        if not known:
            self._made.append(name)
        return info


def _differences(what: str, wanted: set[Any], actual: set[Any]) -> list[str]:
    return [f"{what}: missing {x}" for x in sorted(wanted - actual)] + [f"{what}: leaked {x}" for x in sorted(actual - wanted)]


def _volatile(name: str) -> bool:
    return name in {"startedAt", "pid", "timestamp", "duration", "started", "ended", "run", "values", "operationId"}


def first_difference(one: Any, other: Any, path: str = "") -> str:
    """Where two shapes differ first; empty when they do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            found = first_difference(one.get(key, "absent"), other.get(key, "absent"), f"{path}.{key}")
            if found:
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((d for i, (a, b) in pairs if (d := first_difference(a, b, f"{path}[{i}]"))), "")
    return "" if one == other else f"{path}: {str(one)[:400]} instead of {str(other)[:400]}"


def _sorted(value: Any) -> Any:
    """`value` with lists of texts in order and without times."""
    if isinstance(value, dict):
        return {k: _sorted(v) for k, v in value.items() if not _volatile(k)}
    if isinstance(value, list):
        return sorted((_sorted(v) for v in value), key=dumps)
    return value


_first: list[World] = []


def new_world() -> World:
    """A world in which a stamp was set up just now. The slow parts (keys, password hashes) are made once and copied."""
    if not _first:
        world = World()

        async def set_up(clock: VirtualClock) -> None:
            cloud = await Cloud(clock, world=world).start()
            await cloud.settled()
            await cloud.stop()

        run_virtual(set_up)
        _first.append(world)
    return _first[0].copy()
