"""A real machine on one real host: QEMU, Open vSwitch, qcow2 files, under the real executor; only the control plane is
in memory."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lazur.drivers.hypervisor.interface import Phase
from lazur.executor.core import Executor
from lazur.executor.ledger import FileLedger
from lazur.kernel.clock import SystemClock
from lazur.model.desire import State
from lazur.providers.compute.host import host_handlers, inventory, storage_handlers
from lazur.providers.compute.hosting.wish import tap_name
from tests.executor.harness import DOMAIN, Plane
from tests.executor.vmworld import DATA, NIC, OS, UID, disk, payload
from tests.host.vmlab import VmLab

MIB = 1024 * 1024
STOPPED = payload(power="stopped")


@pytest.fixture
def lab() -> Iterator[VmLab]:
    host = VmLab()
    yield host
    host.close()


class Agent:
    """The executors of the host's and the pool's domain in one task, as often as it is started."""

    def __init__(self, lab: VmLab) -> None:
        self.lab = lab
        self.clock = SystemClock()
        self.plane = Plane(self.clock)
        self.task: asyncio.Task[None] | None = None
        self.generation = 1

    def start(self) -> None:
        handlers = host_handlers(self.lab.parts(self.clock), self.clock, self.plane.artifact)
        handlers += storage_handlers(self.lab.pool())
        ledger = FileLedger(self.lab.folder / "ledger", DOMAIN)
        self.task = asyncio.create_task(Executor(DOMAIN, self.plane, ledger, handlers, self.clock).run())

    async def kill(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool], limit: float = 180.0) -> None:
        async with asyncio.timeout(limit):
            while not condition():
                assert self.task is not None and not self.task.done(), self.task
                await self.clock.sleep(0.1)

    async def want(self, kind: str, key: str, document: dict[str, Any], *, removed: bool = False) -> None:
        """Ask for something new and wait until it is so."""
        self.generation += 1
        generation = self.generation
        self.plane.want(kind, key, generation, document, removed)
        goal = State.GONE if removed else State.READY

        def reached() -> bool:
            report = self.plane.reports.get((kind, key))
            if report is None or report.generation != generation:
                return False
            assert report.state is not State.FAILED, report.error
            return report.state is goal

        await self.until(reached)

    def seen(self) -> dict[str, Any]:
        return dict(self.plane.reports["vm", UID].observed)


def vm(**changes: Any) -> dict[str, Any]:
    return payload(cores=1, memoryMiB=192, image={"agent": False}, **changes)


async def make_disks(agent: Agent) -> None:
    image = {"kind": "image", "file": "tiny-test.qcow2"}
    size = 2048 * MIB
    await agent.want("disk", OS, {"uid": OS, "path": f"{OS}.qcow2", "sizeBytes": size, "source": image})
    await agent.want("disk", DATA, {"uid": DATA, "path": f"{DATA}.qcow2", "sizeBytes": 16 * MIB, "source": {"kind": "empty"}})


async def booted(agent: Agent) -> None:
    """Until the guest's console asks who is there; by then it hears the power button."""
    hypervisor = agent.lab.parts(agent.clock).hypervisor
    async with asyncio.timeout(120):
        while b"login:" not in await hypervisor.serial_tail(UID, 65536):
            await agent.clock.sleep(0.2)


def test_a_machines_life_under_an_agent_that_dies(lab: VmLab) -> None:
    async def main() -> None:
        agent = Agent(lab)
        agent.start()
        await make_disks(agent)
        await agent.want("vm", UID, vm())
        first = agent.seen()
        assert (first["power"], first["disks"]) == ("running", [OS])
        assert lab.processes() == [first["pid"]]

        await agent.kill()
        agent.start()
        await agent.want("vm", UID, vm(disks=[disk(OS, None), disk(DATA, 5)]))
        assert agent.seen()["pid"] == first["pid"]
        assert agent.seen()["disks"] == sorted([OS, DATA])

        await booted(agent)
        await agent.want("capture", UID, {"vm": UID, "nonce": "1"})
        assert b"login:" in agent.plane.artifacts[f"{UID}/serial.log"]
        assert agent.plane.artifacts[f"{UID}/screenshot.png"].startswith(b"\x89PNG")

        os.kill(first["pid"], signal.SIGKILL)
        await agent.until(lambda: agent.seen().get("pid") not in (None, first["pid"]))
        assert len(lab.processes()) == 1

        await agent.want("vm", UID, vm(power="stopped", disks=[disk(OS, None), disk(DATA, 5)]))
        assert lab.processes() == []
        await agent.want("vm", UID, vm(restart=1))
        assert agent.seen()["disks"] == [OS]

        await agent.want("vm", UID, vm(), removed=True)
        left = await inventory(lab.parts(agent.clock))
        assert left == {"machines": {}, "taps": {}, "cds": [], "records": []}
        assert lab.processes() == []
        assert sorted(await lab.pool().list()) == sorted([f"{OS}.qcow2", f"{DATA}.qcow2"])
        for uid in (OS, DATA):
            await agent.want("disk", uid, {"uid": uid, "path": f"{uid}.qcow2"}, removed=True)
        assert await lab.pool().list() == []
        await agent.kill()

    asyncio.run(main())


def test_a_guest_that_switched_itself_off_while_nobody_watched_is_not_started_again(lab: VmLab) -> None:
    async def main() -> None:
        agent = Agent(lab)
        agent.start()
        await make_disks(agent)
        await agent.want("vm", UID, vm())
        hypervisor = lab.parts(agent.clock).hypervisor
        await booted(agent)
        await agent.kill()
        async with asyncio.timeout(120):
            while (await hypervisor.status(UID)).phase is Phase.RUNNING:
                await hypervisor.powerdown(UID)
                await agent.clock.sleep(0.5)
        assert (await hypervisor.status(UID)).phase is Phase.OFF
        agent.start()
        await agent.until(lambda: agent.seen()["power"] == "stopped")
        assert lab.processes() == []
        await agent.want("vm", UID, vm(), removed=True)
        await agent.kill()

    asyncio.run(main())


def test_a_disk_that_is_missing_fails_with_qemus_own_words(lab: VmLab) -> None:
    async def main() -> None:
        agent = Agent(lab)
        agent.start()
        agent.plane.want("vm", UID, 1, vm())

        def failed() -> bool:
            report = agent.plane.reports.get(("vm", UID))
            return report is not None and report.state is State.FAILED

        await agent.until(failed)
        error = agent.plane.reports["vm", UID].error
        assert error is not None and error["code"] == "MachineStartFailed"
        assert "No such file" in error["message"]
        agent.generation = 1
        await agent.want("vm", UID, vm(), removed=True)
        assert (await inventory(lab.parts(agent.clock)))["taps"] == {}
        await agent.kill()

    asyncio.run(main())


def test_taps_are_plugged_once_counted_and_taken_away(lab: VmLab) -> None:
    async def main() -> None:
        switch, tap = lab.switch(), tap_name(NIC)
        for _ in range(2):
            await switch.plug("nic-a", tap, 1500)
            assert {name: plug.port for name, plug in (await switch.ports()).items()} == {tap: "nic-a"}
        await switch.plug("nic-b", tap, 1400)
        assert (await switch.ports())[tap].port == "nic-b"
        for _ in range(2):
            await switch.unplug(tap)
            assert await switch.ports() == {}

    asyncio.run(main())
