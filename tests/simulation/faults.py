"""The example deployment under seeded faults: one seed is one story, and the same story every time.

Crashes of the control plane and of every executor, lost and late messages, machines that do not start at first, machines
that die, and customers who interfere. Whatever happens, the deployment ends as asked and nothing is left when it is gone.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lazur.api.pipeline import Accepted
from lazur.executor.ledger import MemoryLedger
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from lazur.model.documents import Operation
from tests.cloud.cloud import CONTROL, NETWORK, STORAGE, VERSION, Cloud, Trouble, new_world

TEMPLATE = json.loads((Path(__file__).parents[2] / "examples" / "load-balanced-web" / "azuredeploy.json").read_text())
WORDS = "qemu-system-x86_64: simulated refusal"
T = TypeVar("T")


Ask = Callable[[Cloud], Awaitable[Accepted]]


def _put(id: ArmId, body: Any) -> Ask:
    return lambda cloud: cloud.plane.pipeline.put(cloud.owner, id, body, VERSION)


def _patch(id: ArmId, body: Any) -> Ask:
    return lambda cloud: cloud.plane.pipeline.patch(cloud.owner, id, body, VERSION)


def _delete(id: ArmId) -> Ask:
    return lambda cloud: cloud.plane.pipeline.delete(cloud.owner, id, VERSION)


class Storm(Trouble):
    """Loses and delays messages while it lasts."""

    def __init__(self, clock: VirtualClock, draw: random.Random, rate: float) -> None:
        self._clock = clock
        self._draw = draw
        self.rate = rate

    async def ask(self, domain: str) -> None:
        await self._happen()

    async def told(self, domain: str) -> None:
        await self._happen()

    async def report(self, domain: str) -> None:
        await self._happen()

    async def taken(self, domain: str) -> None:
        await self._happen()

    async def disk(self) -> None:
        if self._draw.random() < 0.3:
            await self._clock.sleep(self._draw.choice([0.0, 0.001, 0.02, 0.3]))

    async def _happen(self) -> None:
        found = self._draw.random()
        if found < self.rate:
            raise Unavailable("simulated: the message was lost")
        if found < 2 * self.rate:
            await self._clock.sleep(self._draw.uniform(0.01, 8.0))


@dataclass
class Outcome:
    """What a seed came to."""

    seed: int
    digest: str
    seconds: float
    """Virtual time from the first request to the last."""
    runs: int
    """How often the customer had to send the template."""
    faults: list[str] = field(default_factory=list)
    """Every invariant that did not hold."""
    events: list[str] = field(default_factory=list)


class Simulation:
    """One seed."""

    def __init__(self, clock: VirtualClock, seed: int) -> None:
        self.clock = clock
        self.seed = seed
        self.draw = random.Random(seed)
        self.storm = Storm(clock, random.Random(seed + 1), self.draw.choice([0.0, 0.05, 0.2]))
        self.world = new_world()
        self.cloud = Cloud(clock, seed=seed, world=self.world, trouble=self.storm)
        self.events: list[str] = []
        self.faults: list[str] = []
        self.over = False

    async def play(self) -> Outcome:
        await self.cloud.start()
        group = self.cloud.group()
        await self.ask(_put(group, {"location": "local"}))
        chaos = [asyncio.create_task(work) for work in self._chaos(group)]
        runs = await self._deploy(group.resource("Microsoft.Resources/deployments", "web"))
        self.over = True
        await asyncio.gather(*chaos)
        await self._calm()
        self._check(group)
        await self._tear_down(group)
        seconds = self.clock.monotonic() - self.world.elapsed
        digest = self.cloud.digest()
        await self.cloud.stop()
        return Outcome(self.seed, digest, seconds, runs, self.faults, self.events)

    # -- the customer -------------------------------------------------------------------------------------------------

    async def ask(self, request: Callable[[Cloud], Awaitable[T]]) -> T:
        """A request as a client library sends it: again and again while nobody answers, or the answer was lost."""
        while True:
            try:
                self.cloud.living()
                answer = await request(self.cloud)
                if self.draw.random() < self.storm.rate:
                    raise Unavailable("simulated: the answer was lost")
                return answer
            except LazurError as error:
                if not error.retryable:
                    raise
                await self.clock.sleep(self.draw.uniform(0.2, 2.0))

    async def _deploy(self, id: ArmId) -> int:
        """Send the template until it went well; only machines that would not start may make that necessary."""
        parameters = {"sshPublicKey": {"value": "ssh-ed25519 AAAAC3 test"}}
        body = {"properties": {"mode": "Incremental", "template": TEMPLATE, "parameters": parameters}}
        for run in range(1, 20):
            error = await self._finished(id, _put(id, body))
            if error is None:
                return run
            causes = {d.code for d in error.details}
            if not causes <= {"MachineStartFailed", "MachineDied", "OSProvisioningTimedOut"}:
                self.faults.append(f"the deployment failed without a cause that was planted: {error.body()}")
                return run
            await self.clock.sleep(30.0)
        self.faults.append("the deployment never ended well")
        return 20

    async def _finished(self, id: ArmId, request: Callable[[Cloud], Awaitable[Any]]) -> LazurError | None:
        operation: Operation | None
        try:
            operation = (await self.ask(request)).operation
        except LazurError as error:
            running = self.world.store.open_operations(id.key)
            if error.code != "DeploymentActive" or not running:
                if error.code == "DeploymentActive":
                    return LazurError("DeploymentFailed", "It ended just now.")
                return error
            operation = running[0]
        try:
            await self.cloud.ended(operation, 7200.0)
        except LazurError as error:
            return error
        return None

    async def _tear_down(self, group: ArmId) -> None:
        self.storm.rate = 0.1
        chaos = [asyncio.create_task(work) for work in (self._killer(40.0, 4), self._blackout())]
        error = await self._finished(group, _delete(group))
        if error is not None and error.status != 404:
            self.faults.append(f"the group could not be deleted: {error.body()}")
        await asyncio.gather(*chaos)
        await self._calm()
        self.faults += [f"left behind: {thing}" for thing in self.cloud.leaked()]

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def _chaos(self, group: ArmId) -> list[Any]:
        rooms = [h.room for h in self.world.hosts.values()]
        if self.draw.random() < 0.3:
            for room in rooms:
                room.fail_start[self.draw.choice(["web1", "web2"])] = WORDS
        return [
            self._killer(self.draw.uniform(5.0, 60.0), self.draw.randrange(6)),
            self._blackout(),
            self._healer(),
            self._reaper(),
            self._meddler(group),
            self._rival(group),
            self._racer(group),
        ]

    async def _killer(self, span: float, times: int) -> None:
        """Kill processes at random moments and bring each back a little later."""
        for _ in range(times):
            await self.clock.sleep(self.draw.uniform(0.0, span / max(times, 1)))
            name = self.draw.choice(self.cloud.processes)
            self.events.append(f"{self.clock.monotonic():.2f} kill {name}")
            await self.cloud.kill(name)
            if self.draw.random() < 0.1:
                self._lose_ledger(name)
            await self.clock.sleep(self.draw.choice([0.0, 0.5, 5.0]))
            await self.cloud.revive(name)

    def _lose_ledger(self, name: str) -> None:
        """A new system disk in a host: what runs there still runs, and nobody there knows why."""
        self.events.append(f"{self.clock.monotonic():.2f} ledger lost {name}")
        if name == STORAGE:
            self.world.storage.ledger = MemoryLedger()
        elif name == NETWORK:
            self.world.network_ledger = MemoryLedger()
        elif name != CONTROL:
            self.world.hosts[name.partition("/")[2]].ledger = MemoryLedger()

    async def _blackout(self) -> None:
        """A host's agent is down for a while."""
        if self.draw.random() < 0.3:
            await self.clock.sleep(self.draw.uniform(0.0, 15.0))
            name = self.draw.choice(self.cloud.processes[1:])
            self.events.append(f"{self.clock.monotonic():.2f} blackout {name}")
            await self.cloud.kill(name)
            await self.clock.sleep(self.draw.uniform(20.0, 120.0))
            await self.cloud.revive(name)

    async def _healer(self) -> None:
        await self.clock.sleep(self.draw.uniform(1.0, 90.0))
        for host in self.world.hosts.values():
            host.room.fail_start.clear()

    async def _reaper(self) -> None:
        """A machine's process dies."""
        for _ in range(self.draw.randrange(3)):
            await self.clock.sleep(self.draw.uniform(1.0, 20.0))
            rooms = [h.room for h in self.world.hosts.values() if h.room.machines]
            if rooms:
                room = self.draw.choice(rooms)
                uid = self.draw.choice(sorted(room.machines))
                self.events.append(f"{self.clock.monotonic():.2f} kill machine")
                room.crash(uid)

    async def _meddler(self, group: ArmId) -> None:
        """Requests that have nothing to do with the deployment, at the same time."""
        network, count = "Microsoft.Network", 0
        while not self.over and count < 12:
            count += 1
            await self.clock.sleep(self.draw.uniform(0.1, 6.0))
            target = group.resource(*self.draw.choice([
                (f"{network}/virtualNetworks", "web-vnet"), (f"{network}/networkSecurityGroups", "web-nsg"),
                (f"{network}/publicIPAddresses", "web-ip"), (f"{network}/networkInterfaces", "web1-nic"),
            ]))  # fmt: skip
            if self.draw.random() < 0.7:
                tags = {"tags": {"count": str(count)}}
                refusal = await self._refused(_patch(target, tags))
            elif self._in_use(target):
                refusal = await self._refused(_delete(target))
                if refusal is None:
                    self.faults.append(f"{target.name} was deleted while it was in use")
            else:
                continue
            if refusal is not None and refusal.status not in (400, 404, 409, 503):
                self.faults.append(f"a request on {target.name} ended with {refusal.status} {refusal.code}")

    async def _rival(self, group: ArmId) -> None:
        """Somebody else deploys the same template under another name at the same time."""
        if self.draw.random() < 0.25:
            await self.clock.sleep(self.draw.uniform(0.0, 10.0))
            await self._deploy(group.resource("Microsoft.Resources/deployments", "rival"))

    async def _racer(self, group: ArmId) -> None:
        """Something is deleted at the very moment at which something else begins to refer to it."""
        for round in range(self.draw.randrange(4)):
            await self.clock.sleep(self.draw.uniform(0.1, 10.0))
            guard = group.resource("Microsoft.Network/networkSecurityGroups", f"race{round}")
            network = group.resource("Microsoft.Network/virtualNetworks", f"race{round}")
            subnet = {"name": "a", "properties": {"addressPrefix": "10.9.0.0/24", "networkSecurityGroup": {"id": str(guard)}}}
            space = {"addressPrefixes": ["10.9.0.0/16"]}
            body = {"location": "local", "properties": {"addressSpace": space, "subnets": [subnet]}}
            plain = {"location": "local", "properties": {}}
            await self._refused(_put(guard, plain))
            await self.clock.sleep(self.draw.uniform(0.0, 2.0))
            await asyncio.gather(
                self._refused(_put(network, body)),
                self._refused(_delete(guard)),
                self._refused(_put(network, body)),
            )

    def _in_use(self, id: ArmId) -> bool:
        return any(r.blocking and r.source != id.key for r in self.world.store.referrers(id.key))

    async def _refused(self, request: Callable[[Cloud], Awaitable[Any]]) -> LazurError | None:
        try:
            self.cloud.living()
            await request(self.cloud)
        except LazurError as error:
            return error
        return None

    async def _calm(self) -> None:
        """No more trouble; everything runs and settles."""
        self.storm.rate = 0.0
        for host in self.world.hosts.values():
            host.room.fail_start.clear()
        for name in self.cloud.processes:
            await self.cloud.revive(name)
        # Machines that died last start again and boot, and their probes find them.
        await self.clock.sleep(90.0)
        try:
            await self.cloud.settled()
        except TimeoutError as error:
            self.faults.append(str(error))

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _check(self, group: ArmId) -> None:
        self.faults += self.cloud.audit()
        for record in self.world.store.list(prefix=group.key + "/"):
            if record.state != "Succeeded":
                self.faults.append(f"{record.key} is {record.state}: {record.error}")
        hosts = {h for h, host in self.world.hosts.items() if host.room.machines}
        if hosts != set(self.world.hosts):
            self.faults.append(f"the machines of the set are not apart: {hosts}")
        if len(self.world.made) != 2:
            self.faults.append(f"{len(self.world.made)} disks were made for two machines")
        balancer = self.world.store.desires(group.resource("Microsoft.Network/loadBalancers", "web-lb").key)
        down = [d.wanted.payload["down"] for d in balancer if d.wanted.kind == "lb"]
        if down != [[]]:
            self.faults.append(f"out of rotation: {down}")


def simulate(seed: int) -> Outcome:
    """Play one seed to its end."""
    clock = new_world().clock()
    return run_virtual(lambda c: Simulation(c, seed).play(), clock)
