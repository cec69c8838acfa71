"""What every hypervisor promises, for the simulated one and for QEMU with a real guest alike."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lazur.drivers.hypervisor.interface import Disk, Hypervisor, Machine, Phase, Status
from lazur.drivers.hypervisor.qemu import QemuHypervisor, QemuSettings
from lazur.drivers.hypervisor.simulated import MachineRoom, SimulatedHypervisor
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from tests.drivers import tools

UID = "0f2f4a06-57b9-4bb6-9ac3-0d4a3d5a8f10"
RIVAL = "0f2f4a06-57b9-4bb6-9ac3-0d4a3d5a8f11"
DATA = "6a0f3b5e-2d7e-4d7b-9a55-9a0a4c1f7e02"
MIB = 1024 * 1024
Script = Callable[["Bench"], Awaitable[None]]


class Bench:
    """A way to make fresh driver objects over the same outside world, and to hurt it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.room = MachineRoom(start_seconds=0.01, powerdown_seconds=0.05)
        if kind == "qemu":
            self.settings = QemuSettings(
                run=folder / "run",
                state=folder / "state",
                images=folder / "none",
                verdict=folder / "verdict",
                command=tools.command("qemu-system-x86_64"),
                environment=tools.environment(),
            )
        self.driver = self.fresh()

    def fresh(self) -> Hypervisor:
        if self.kind == "simulated":
            return SimulatedHypervisor(self.room, SystemClock())
        return QemuHypervisor(self.settings, SystemClock())

    def machine(self, *, broken: bool = False) -> Machine:
        disk = self.folder / "os.qcow2"
        if self.kind == "qemu" and not disk.exists():
            self.make("-F", "qcow2", "-b", str(tools.tiny_image()), str(disk))
        if broken:
            self.room.fail_start[UID] = "Could not open the disk"
            disk = self.folder / "missing.qcow2"
        return Machine(UID, UID, "web0", 2, 192, Disk(UID, str(disk)))

    def data_disk(self) -> Disk:
        path = self.folder / "data.qcow2"
        self.room.shelf.disks[path.name] = 16 * MIB
        if self.kind == "qemu":
            self.make(str(path), "16M")
        return Disk(DATA, str(path), lun=5)

    def make(self, *arguments: str) -> None:
        command = [*tools.command("qemu-img"), "create", "-q", "-f", "qcow2", *arguments]
        subprocess.run(command, check=True, env=tools.environment())

    def crash(self, status: Status) -> None:
        if self.kind == "simulated":
            self.room.crash(UID)
        else:
            assert status.pid is not None
            os.kill(status.pid, signal.SIGKILL)

    async def until(self, condition: Callable[[], Awaitable[bool]], limit: float = 120.0) -> None:
        async with asyncio.timeout(limit):
            while not await condition():
                await SystemClock().sleep(0.1)

    async def phase(self) -> Phase:
        return (await self.driver.status(UID)).phase

    async def booted(self) -> None:
        """Until the guest's user space listens to the power button."""

        async def up() -> bool:
            tail = await self.driver.serial_tail(UID, 65536)
            return b"LAZUR-READY" in tail or b"login:" in tail

        if self.kind == "qemu":
            await self.until(up)

    def play(self, script: Script) -> None:
        async def main() -> None:
            try:
                await script(self)
            finally:
                await self.driver.forget(UID)

        asyncio.run(main())


@pytest.fixture(params=["simulated", "qemu"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # Socket paths are at most 107 bytes long, which pytest's own folders use up.
    folder = tmp_path_factory.mktemp("m")
    yield Bench(request.param, folder)


def test_unknown_machines_are_absent_and_taking_them_away_is_harmless(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        assert await b.phase() is Phase.ABSENT
        await b.driver.kill(UID)
        await b.driver.forget(UID)
        assert await b.driver.list() == []
        assert await b.driver.serial_tail(UID, 100) == b""

    bench.play(script)


def test_a_machine_is_started_once_and_adopted_by_the_next_driver_object(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        await b.driver.start(b.machine())
        first = await b.driver.status(UID)
        assert (first.phase, first.cores, first.memory_mib, first.disks) == (Phase.RUNNING, 2, 192, [UID])
        assert first.accelerator in ("simulated", "tcg", "kvm")
        await b.driver.start(b.machine())
        b.driver = b.fresh()
        await b.driver.start(b.machine())
        assert await b.driver.status(UID) == first
        assert await b.driver.list() == [UID]

    bench.play(script)


def test_the_power_button_switches_off_and_nobody_needs_to_watch(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        await b.driver.start(b.machine())
        await b.booted()
        await b.driver.powerdown(UID)
        b.driver = b.fresh()

        async def off() -> bool:
            return await b.phase() is Phase.OFF

        await b.until(off)
        await b.driver.start(b.machine())
        assert await b.phase() is Phase.RUNNING

    bench.play(script)


def test_a_killed_process_is_dead_until_started_again_and_the_watcher_hears_of_it(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        woken: list[str] = []
        watcher = asyncio.create_task(b.driver.watch(woken.append))
        await b.driver.start(b.machine())
        status = await b.driver.status(UID)

        async def heard() -> bool:
            return UID in woken

        await b.until(heard)
        woken.clear()
        b.crash(status)
        await b.until(heard)
        assert await b.phase() is Phase.DEAD
        await b.driver.start(b.machine())
        again = await b.driver.status(UID)
        assert again.phase is Phase.RUNNING
        assert again.pid != status.pid
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)

    bench.play(script)


def test_killing_leaves_the_serial_log_and_forgetting_leaves_nothing(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        await b.driver.start(b.machine())
        await b.booted()
        await b.driver.kill(UID)
        assert await b.phase() is Phase.ABSENT
        assert await b.driver.serial_tail(UID, 200) != b""
        assert len(await b.driver.serial_tail(UID, 10)) == 10
        await b.driver.forget(UID)
        assert await b.driver.serial_tail(UID, 200) == b""
        assert await b.driver.list() == []

    bench.play(script)


def test_a_machine_that_cannot_start_says_why_and_leaves_no_process(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        with pytest.raises(LazurError) as caught:
            await b.driver.start(b.machine(broken=True))
        assert caught.value.code == "MachineStartFailed"
        evidence = {item.type: item.info["text"] for item in caught.value.info}
        assert "Could not open" in evidence["QemuLog"]
        assert await b.phase() is Phase.ABSENT

    bench.play(script)


def test_data_disks_come_and_go_while_it_runs(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        await b.driver.start(b.machine())
        await b.booted()
        disk = b.data_disk()
        for _ in range(2):
            await b.driver.attach_disk(UID, disk)
            assert (await b.driver.status(UID)).disks == sorted([UID, DATA])
        for _ in range(2):
            await b.driver.detach_disk(UID, DATA)
            assert (await b.driver.status(UID)).disks == [UID]
        await b.driver.attach_disk(UID, disk)

    bench.play(script)


def test_an_attached_disk_grows_and_never_shrinks(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        await b.driver.start(b.machine())
        await b.driver.attach_disk(UID, b.data_disk())
        for asked, size in ((24, 24), (24, 24), (8, 24)):
            await b.driver.resize_disk(UID, DATA, asked * MIB)
            assert (await b.driver.status(UID)).sizes[DATA] == size * MIB

    bench.play(script)


def test_a_disk_is_open_in_one_machine_at_a_time(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        machine = b.machine()
        await b.driver.start(machine)
        rival = replace(machine, uid=RIVAL, vm_id=RIVAL)
        with pytest.raises(LazurError) as caught:
            await b.driver.start(rival)
        assert "lock" in caught.value.info[0].info["text"]
        await b.driver.forget(RIVAL)
        assert await b.phase() is Phase.RUNNING
        await b.driver.kill(UID)
        await b.driver.start(rival)
        await b.driver.forget(RIVAL)

    bench.play(script)


def test_the_screen_can_be_seen(bench: Bench) -> None:
    async def script(b: Bench) -> None:
        await b.driver.start(b.machine())
        assert (await b.driver.screenshot(UID)).startswith(b"\x89PNG")

    bench.play(script)
