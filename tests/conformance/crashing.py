"""Plays a story in a cloud that is killed as a whole before or after its n-th effect, and brought up again.

An effect is a commit, an executor's report, a ledger entry, or any call of a driver that changes the outside world. The
customer of the story does what customers do: what was not answered is asked again, what was answered is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.model.documents import Operation
from tests.cloud.cloud import Cloud, World
from tests.executor.vmworld import Fuse, Killed

Step = Callable[[Cloud], Awaitable[Operation | None]]
"""One request; returns the operation to wait for."""


@dataclass(frozen=True)
class Told:
    """What came of a story."""

    edges: int
    shapes: Sequence[Any]
    """The state after each step."""
    starts: int
    made: int
    lost: Sequence[str]
    leaked: Sequence[str]


def tell(world: World, story: Sequence[Step], edge: int | None, watched: Sequence[int] | None = None) -> Told:
    """Play `story` over a copy of `world`, killed at `edge` (None: never)."""
    return run_virtual(lambda clock: _Teller(clock, world.copy(), edge).tell(story, watched), world.clock())


class _Teller:
    def __init__(self, clock: VirtualClock, world: World, edge: int | None) -> None:
        self.clock = clock
        self.world = world
        self.fuse = Fuse(edge)
        self.cloud = Cloud(clock, world=world, fuse=self.fuse)
        self.before = (_starts(world), len(world.made))
        self.lost: list[str] = []

    async def tell(self, story: Sequence[Step], watched: Sequence[int] | None) -> Told:
        await self._until(lambda: self.cloud.start())
        shapes = []
        for number, step in enumerate(story):
            await self._step(step)
            if watched is None or number in watched:
                await self._until(lambda: self.cloud.settled())
                shapes.append(self.cloud.shape())
        await self._until(lambda: self.cloud.settled())
        leaked = self.cloud.leaked()
        await self.cloud.stop()
        starts, made = _starts(self.world) - self.before[0], len(self.world.made) - self.before[1]
        return Told(self.fuse.count, shapes, starts, made, self.lost, leaked)

    async def _step(self, step: Step) -> None:
        answered: list[Operation | None] = []

        async def ask() -> None:
            if not answered:
                answered.append(await step(self.cloud))
            operation = answered[0]
            if operation is None:
                return
            if self.world.store.operation(operation.id) is None:
                self.lost.append(f"{operation.verb} {operation.key} was answered and is forgotten")
                return
            await self.cloud.ended(operation)

        await self._until(ask)

    async def _until(self, work: Callable[[], Awaitable[Any]]) -> None:
        """`work` to its end; when the cloud is killed meanwhile, a new one over the same world, and `work` again."""
        while True:
            task = asyncio.ensure_future(work())
            burning = asyncio.ensure_future(self._burning())
            await asyncio.wait({task, burning}, return_when=asyncio.FIRST_COMPLETED)
            if not burning.done() and not self._burnt():
                burning.cancel()
                task.result()
                return
            for one in (task, burning):
                one.cancel()
            await asyncio.gather(task, burning, return_exceptions=True)
            await self.cloud.stop()
            self.fuse = Fuse(None)
            self.cloud = await Cloud(self.clock, world=self.world, fuse=self.fuse).start()

    async def _burning(self) -> None:
        while not self._burnt():
            await self.clock.sleep(0.25)

    def _burnt(self) -> bool:
        return self.fuse.limit is not None and self.fuse.count >= self.fuse.limit


def _starts(world: World) -> int:
    return sum(sum(h.room.starts.values()) for h in world.hosts.values())


def put(id: Any, body: Any) -> Step:
    """A PUT that is repeated until it was answered; one that is refused because it already runs is waited for."""

    async def step(cloud: Cloud) -> Operation | None:
        try:
            return (await cloud.plane.pipeline.put(cloud.owner, id, body, "2024-11-01")).operation
        except LazurError as error:
            running = [o for o in cloud.world.store.open_operations(id.key) if o.verb == "PUT"]
            if error.status != 409 or not running:
                raise
            return running[0]

    return step


def delete(id: Any) -> Step:
    """A DELETE; gone already is as good."""

    async def step(cloud: Cloud) -> Operation | None:
        try:
            return (await cloud.plane.pipeline.delete(cloud.owner, id, "2024-11-01")).operation
        except LazurError as error:
            if error.status == 404:
                return None
            raise

    return step


def act(id: Any, action: str) -> Step:
    """An action; a refusal is an answer too."""

    async def step(cloud: Cloud) -> Operation | None:
        try:
            return (await cloud.plane.pipeline.act(cloud.owner, id, action, {})).operation
        except LazurError as error:
            if error.status == 409:
                return None
            raise

    return step


__all__ = ["Killed", "Told", "act", "delete", "put", "tell"]
