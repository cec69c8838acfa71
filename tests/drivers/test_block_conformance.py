"""What every pool of disks promises, for the simulated one and for qcow2 files alike."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from lazur.drivers.block.interface import BlockPool, CopyOf, DiskInfo, Empty, FromImage
from lazur.drivers.block.qcow2 import Qcow2Pool, Qcow2Settings
from lazur.drivers.block.simulated import Shelf, SimulatedPool
from lazur.kernel.errors import LazurError
from tests.drivers import tools

MIB = 1024 * 1024
Script = Callable[[BlockPool], Awaitable[None]]


class Bench:
    """A way to make a fresh driver object over the same outside world."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.shelf = Shelf(images={"base.qcow2": 8 * MIB})
        if kind == "qcow2":
            self.settings = Qcow2Settings(folder / "disks", folder / "images", tools.command("qemu-img"), tools.environment())
            (folder / "images").mkdir()
            self.image("create", "-q", "-f", "qcow2", str(folder / "images" / "base.qcow2"), str(8 * MIB))

    def pool(self) -> BlockPool:
        return SimulatedPool(self.shelf) if self.kind == "simulated" else Qcow2Pool(self.settings)

    def image(self, *arguments: str) -> None:
        subprocess.run([*self.settings.command, *arguments], env=self.settings.environment, check=True)

    def play(self, script: Script) -> None:
        async def main() -> None:
            await script(self.pool())

        asyncio.run(main())


@pytest.fixture(params=["simulated", "qcow2"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(request.param, tmp_path)


def test_a_disk_is_made_once_found_grown_and_taken_away(bench: Bench) -> None:
    async def script(pool: BlockPool) -> None:
        assert await pool.info("a.qcow2") is None
        assert (await pool.create("a.qcow2", 4 * MIB, Empty())).virtual_size == 4 * MIB
        assert (await pool.create("a.qcow2", 9 * MIB, Empty())).virtual_size == 4 * MIB
        assert (await pool.grow("a.qcow2", 6 * MIB)).virtual_size == 6 * MIB
        assert (await pool.grow("a.qcow2", 2 * MIB)).virtual_size == 6 * MIB
        assert await pool.list() == ["a.qcow2"]
        again = await bench.pool().info("a.qcow2")
        assert isinstance(again, DiskInfo) and again.virtual_size == 6 * MIB
        await pool.delete("a.qcow2")
        await pool.delete("a.qcow2")
        assert await pool.list() == []

    bench.play(script)


def test_disks_from_images_and_from_disks(bench: Bench) -> None:
    async def script(pool: BlockPool) -> None:
        assert (await pool.create("os.qcow2", 16 * MIB, FromImage("base.qcow2"))).virtual_size == 16 * MIB
        assert (await pool.create("copy.qcow2", 20 * MIB, CopyOf("os.qcow2"))).virtual_size == 20 * MIB
        await pool.delete("os.qcow2")
        assert (await pool.info("copy.qcow2")) is not None

    bench.play(script)


@pytest.mark.parametrize(
    ("size", "origin", "code"),
    [
        (4 * MIB, FromImage("base.qcow2"), "DiskSizeTooSmall"),
        (16 * MIB, FromImage("missing.qcow2"), "DiskImageNotFound"),
        (16 * MIB, CopyOf("missing.qcow2"), "DiskImageNotFound"),
    ],
)
def test_impossible_disks_say_why_and_leave_nothing(bench: Bench, size: int, origin: FromImage | CopyOf, code: str) -> None:
    async def script(pool: BlockPool) -> None:
        with pytest.raises(LazurError) as caught:
            await pool.create("a.qcow2", size, origin)
        assert caught.value.code == code
        assert await pool.list() == []

    bench.play(script)


@pytest.mark.parametrize("name", ["", "../a", ".hidden", "a/b"])
def test_names_stay_in_the_pool(bench: Bench, name: str) -> None:
    async def script(pool: BlockPool) -> None:
        with pytest.raises(LazurError):
            await pool.create(name, MIB, Empty())
        with pytest.raises(LazurError):
            await pool.delete(name)

    bench.play(script)


def test_growing_what_is_not_there_says_so(bench: Bench) -> None:
    async def script(pool: BlockPool) -> None:
        with pytest.raises(LazurError) as caught:
            await pool.grow("a.qcow2", MIB)
        assert caught.value.code == "DiskNotFound"

    bench.play(script)


def test_half_made_disks_are_swept(tmp_path: Path) -> None:
    bench = Bench("qcow2", tmp_path)
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / ".new-a.qcow2").write_bytes(b"half")

    async def script(pool: BlockPool) -> None:
        assert await pool.list() == []
        assert list((tmp_path / "disks").iterdir()), "looking at a pool must not disturb who works in it"
        await pool.tidy()
        assert not list((tmp_path / "disks").iterdir())

    bench.play(script)


def test_images_are_not_written_and_disks_in_use_are_left_alone(tmp_path: Path) -> None:
    bench = Bench("qcow2", tmp_path)
    image = tmp_path / "images" / "base.qcow2"
    before = image.read_bytes()

    async def script(pool: BlockPool) -> None:
        await pool.create("os.qcow2", 16 * MIB, FromImage("base.qcow2"))
        # A QEMU tool holds the disk open as a machine would.
        node = f"driver=qcow2,node-name=d,file.driver=file,file.filename={tmp_path}/disks/os.qcow2"
        holder = await asyncio.create_subprocess_exec(
            *(*tools.command("qemu-system-x86_64"), "-machine", "q35", "-display", "none", "-nodefaults"),
            *("-blockdev", node, "-device", "virtio-blk-pci,drive=d", "-S", "-monitor", "stdio"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(tools.environment()),
        )
        assert holder.stdout is not None
        await holder.stdout.readuntil(b"(qemu)")
        for attempt in (pool.delete("os.qcow2"), pool.grow("os.qcow2", 32 * MIB)):
            with pytest.raises(LazurError) as caught:
                await attempt
            assert caught.value.retryable
        assert await pool.info("os.qcow2") is not None
        await holder.communicate(b"quit\n")
        await pool.delete("os.qcow2")

    bench.play(script)
    assert image.read_bytes() == before
