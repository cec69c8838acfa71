"""QEMU processes, driven over QMP.

A machine's process is started detached, so that it belongs to the container's first process and outlives whoever uses
this driver. All that is known of it is on disk or in QEMU itself: a new driver object over the same folders knows as
much as the old one. Must never trust a process id without checking whose it is.

    <run>/<uid>/    machine.json (written before the process), pid, commands.sock, events.sock, console.sock
    <state>/<uid>/  serial.log, qemu.log: kept over starts until the machine is forgotten
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lazur.drivers.hypervisor.accelerator import Probe
from lazur.drivers.hypervisor.arguments import (
    Files,
    block_node,
    device_id,
    disk_device,
    node_name,
    qemu_arguments,
)
from lazur.drivers.hypervisor.interface import Disk, Machine, Phase, Status
from lazur.drivers.hypervisor.qmp import Qmp, QmpError
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Evidence, LazurError, Unavailable
from lazur.kernel.log import logger

LAST_WORDS = 4096
"""Bytes of QEMU's own log and of the serial console that go into an error."""

_START_SECONDS = 30.0
_QUIT_SECONDS = 5.0
_SCAN_SECONDS = 1.0
# A guest may write to its console for ever; the host's disk must not pay for it.
_SERIAL_LIMIT = 4 * 1024 * 1024
_SERIAL_KEPT = 1024 * 1024
_DEVICE = device_id("")

# QEMU quotes the offending argument in front of its complaint; the whole line is in the evidence.
_ARGUMENT = re.compile(r"^.*?qemu-system-\S+: (-\w+ \{.*\}: )?")

_log = logger("drivers.hypervisor.qemu")


@dataclass(frozen=True)
class QemuSettings:
    """Where and how QEMU runs. `command` may be a wrapper with arguments; `run` must be short (socket paths)."""

    run: Path = Path("/run/lazur/vm")
    state: Path = Path("/var/lib/lazur/vm")
    images: Path = Path("/var/lib/lazur/images")
    verdict: Path = Path("/run/lazur/accelerator")
    command: Sequence[str] = ("qemu-system-x86_64",)
    environment: Mapping[str, str] | None = None


class QemuHypervisor:
    """`Hypervisor` by QEMU."""

    def __init__(self, settings: QemuSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._probe = Probe(settings.command, settings.environment, settings.verdict, settings.images)
        self._probing = asyncio.Lock()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # Interface

    async def list(self) -> Sequence[str]:
        found = {uid for uid, _ in self._processes()}
        for base in (self._settings.run, self._settings.state):
            if base.is_dir():
                found |= {path.name for path in base.iterdir() if path.is_dir()}
        return sorted(found)

    async def accelerator(self) -> str:
        async with self._probing:
            return await self._probe.accelerator(self._clock)

    async def start(self, machine: Machine) -> None:
        uid = machine.uid
        accelerator = await self.accelerator()
        async with self._locks[uid]:
            status = await self._status(uid)
            if status.phase is Phase.RUNNING:
                return
            await self._end(uid)
            await self._spawn(machine, accelerator)

    async def status(self, uid: str) -> Status:
        async with self._locks[uid]:
            return await self._status(uid)

    async def powerdown(self, uid: str) -> None:
        async with self._locks[uid], Qmp(self._run(uid) / "commands.sock") as qmp:
            await qmp.call("system_powerdown")

    async def kill(self, uid: str) -> None:
        async with self._locks[uid]:
            await self._end(uid)

    async def forget(self, uid: str) -> None:
        async with self._locks[uid]:
            await self._end(uid)
            shutil.rmtree(self._state(uid), ignore_errors=True)
        self._locks.pop(uid, None)

    async def attach_disk(self, uid: str, disk: Disk) -> None:
        async with self._locks[uid], Qmp(self._run(uid) / "commands.sock") as qmp:
            if disk.uid in await _attached(qmp):
                return
            if node_name(disk.uid) in await _nodes(qmp):
                await qmp.call("blockdev-del", {"node-name": node_name(disk.uid)})
            await qmp.call("blockdev-add", block_node(disk))
            try:
                await qmp.call("device_add", disk_device(disk))
            except QmpError:
                await qmp.call("blockdev-del", {"node-name": node_name(disk.uid)})
                raise

    async def detach_disk(self, uid: str, disk_uid: str) -> None:
        async with self._locks[uid], Qmp(self._run(uid) / "commands.sock") as qmp:
            if disk_uid in await _attached(qmp):
                await qmp.call("device_del", {"id": device_id(disk_uid)})
            for _ in range(20):
                if disk_uid not in await _attached(qmp):
                    break
                await self._clock.sleep(0.1)
            if node_name(disk_uid) in await _nodes(qmp):
                await qmp.call("blockdev-del", {"node-name": node_name(disk_uid)})

    async def resize_disk(self, uid: str, disk_uid: str, size: int) -> None:
        async with self._locks[uid], Qmp(self._run(uid) / "commands.sock") as qmp:
            if (await _attached(qmp)).get(disk_uid, size) < size:
                await qmp.call("block_resize", {"node-name": node_name(disk_uid), "size": size})

    async def serial_tail(self, uid: str, limit: int) -> bytes:
        older = _tail(self._state(uid) / "serial.log.1", limit)
        return (older + _tail(self._state(uid) / "serial.log", limit))[-limit:]

    async def screenshot(self, uid: str) -> bytes:
        picture = self._run(uid) / "screen.png"
        async with self._locks[uid]:
            async with Qmp(self._run(uid) / "commands.sock") as qmp:
                await qmp.call("screendump", {"filename": str(picture), "format": "png"})
            content = picture.read_bytes()
            picture.unlink(missing_ok=True)
            return content

    async def watch(self, wake: Callable[[str], None]) -> None:
        alive: dict[str, bool] = {}
        listeners: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for uid in await self.list():
                    lives = self._pid(uid) is not None
                    if alive.get(uid) != lives:
                        alive[uid] = lives
                        wake(uid)
                    if lives and (uid not in listeners or listeners[uid].done()):
                        listeners[uid] = asyncio.create_task(self._listen(uid, wake))
                    self._trim_serial(uid)
                for uid in set(alive) - set(await self.list()):
                    del alive[uid]
                    listeners.pop(uid, None)
                await self._clock.sleep(_SCAN_SECONDS)
        finally:
            for task in listeners.values():
                task.cancel()

    # Processes

    def _run(self, uid: str) -> Path:
        return self._settings.run / uid

    def _state(self, uid: str) -> Path:
        return self._settings.state / uid

    def _files(self, uid: str) -> Files:
        run, state = self._run(uid), self._state(uid)
        return Files(
            pid=str(run / "pid"),
            commands=str(run / "commands.sock"),
            events=str(run / "events.sock"),
            console=str(run / "console.sock"),
            serial=str(state / "serial.log"),
        )

    def _processes(self) -> Iterator[tuple[str, int]]:
        """Uid and process id of every machine of these folders, read from the processes themselves."""
        prefix, suffix = f"{self._settings.run}/".encode(), b"/pid"
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            for argument in _command_line(int(path.name)):
                if argument.startswith(prefix) and argument.endswith(suffix):
                    yield argument[len(prefix) : -len(suffix)].decode(), int(path.name)

    def _pid(self, uid: str) -> int | None:
        """The process of a machine, checked to be just that."""
        file = self._files(uid).pid
        try:
            pid = int(Path(file).read_text())
        except (OSError, ValueError):
            # QEMU writes the file a moment after it started; without a record there is nothing to look for.
            if not (self._run(uid) / "machine.json").exists():
                return None
            return next((pid for found, pid in self._processes() if found == uid), None)
        return pid if file.encode() in _command_line(pid) else None

    async def _status(self, uid: str) -> Status:
        record = self._record(uid)
        pid = self._pid(uid)
        if pid is not None:
            try:
                return await self._ask(uid, pid, record)
            except Unavailable:
                if self._pid(uid) is not None:
                    raise
        if record is None:
            return Status(uid, Phase.ABSENT)
        return Status(uid, Phase.DEAD, last_words=self._last_words(uid))

    async def _ask(self, uid: str, pid: int, record: Mapping[str, Any] | None) -> Status:
        async with Qmp(self._run(uid) / "commands.sock") as qmp:
            state = (await qmp.call("query-status"))["status"]
            disks = await _attached(qmp)
        # "internal-error": the accelerator gave up; the guest will not run again in this process.
        phase = {"shutdown": Phase.OFF, "internal-error": Phase.DEAD}.get(state, Phase.RUNNING)
        facts = record or {}
        started = facts.get("startedAt")
        return Status(
            uid,
            phase,
            pid=pid,
            accelerator=facts.get("accelerator"),
            cores=facts.get("cores"),
            memory_mib=facts.get("memoryMiB"),
            started_at=datetime.fromisoformat(started) if started else None,
            disks=sorted(disks),
            sizes=disks,
            last_words=self._last_words(uid) if phase is Phase.DEAD else "",
        )

    def _record(self, uid: str) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self._run(uid) / "machine.json").read_bytes())
            return record
        except (OSError, ValueError):
            return None

    async def _spawn(self, machine: Machine, accelerator: str) -> None:
        uid = machine.uid
        for folder in (self._run(uid), self._state(uid)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = {
            "accelerator": accelerator,
            "cores": machine.cores,
            "memoryMiB": machine.memory_mib,
            "startedAt": self._clock.now().isoformat(),
        }
        temporary = self._run(uid) / "machine.json.new"
        temporary.write_text(json.dumps(record))
        temporary.rename(self._run(uid) / "machine.json")
        arguments = qemu_arguments(machine, self._files(uid), accelerator)
        # QEMU inherits the pipe's other end: reading its end means that the process is gone, whoever its parent is.
        life, held = os.pipe()
        os.set_blocking(life, False)
        try:
            with (self._state(uid) / "qemu.log").open("wb") as log:
                starter = await asyncio.create_subprocess_exec(
                    *("setsid", "--fork", *self._settings.command, *arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self._settings.environment) if self._settings.environment is not None else None,
                    pass_fds=(held,),
                )
            os.close(held)
            held = -1
            await starter.wait()
            if not await self._answers(uid, life):
                raise await self._start_failure(machine)
        finally:
            os.close(life)
            if held >= 0:
                os.close(held)

    async def _answers(self, uid: str, life: int) -> bool:
        """Wait until the new process answers on its command socket; False when it died or stays silent."""
        deadline = self._clock.monotonic() + _START_SECONDS
        socket = self._run(uid) / "commands.sock"
        while self._clock.monotonic() < deadline:
            if socket.exists():
                try:
                    async with Qmp(socket) as qmp:
                        await qmp.call("query-status")
                    return True
                except Unavailable:
                    pass
            try:
                if os.read(life, 1) == b"":
                    return False
            except BlockingIOError:
                pass
            await self._clock.sleep(0.05)
        return False

    async def _start_failure(self, machine: Machine) -> LazurError:
        words = self._last_words(machine.uid)
        serial = await self.serial_tail(machine.uid, LAST_WORDS)
        await self._end(machine.uid)
        last = _ARGUMENT.sub("", words.strip().rpartition("\n")[2])
        return LazurError(
            "MachineStartFailed",
            f"QEMU could not start machine '{machine.name}': {last or 'it gave no reason'}",
            info=[
                Evidence("QemuLog", {"text": words}),
                Evidence("SerialLog", {"text": serial.decode(errors="replace")}),
            ],
            status=500,
        )

    async def _end(self, uid: str) -> None:
        """No process and no run folder for this machine."""
        pid = self._pid(uid)
        if pid is not None:
            try:
                async with Qmp(self._run(uid) / "commands.sock") as qmp:
                    await qmp.call("quit")
            except LazurError as error:
                _log.info("quit_unanswered", uid=uid, error=error.internal or error.message)
            deadline = self._clock.monotonic() + _QUIT_SECONDS
            while self._pid(uid) == pid and self._clock.monotonic() < deadline:
                await self._clock.sleep(0.05)
            while self._pid(uid) == pid:
                os.kill(pid, signal.SIGKILL)
                await self._clock.sleep(0.1)
        shutil.rmtree(self._run(uid), ignore_errors=True)

    # Logs

    def _last_words(self, uid: str) -> str:
        return _tail(self._state(uid) / "qemu.log", LAST_WORDS).decode(errors="replace")

    def _trim_serial(self, uid: str) -> None:
        """Keep the serial log bounded. QEMU appends, so emptying the file under it is safe."""
        path = self._state(uid) / "serial.log"
        try:
            if path.stat().st_size > _SERIAL_LIMIT:
                path.with_name("serial.log.1").write_bytes(_tail(path, _SERIAL_KEPT))
                os.truncate(path, 0)
        except FileNotFoundError:
            pass

    async def _listen(self, uid: str, wake: Callable[[str], None]) -> None:
        """Wake for every event of a machine until its process ends."""
        try:
            async with Qmp(self._run(uid) / "events.sock") as qmp:
                async for name in qmp.events():
                    if name in ("SHUTDOWN", "STOP", "RESUME", "RESET", "DEVICE_DELETED", "BLOCK_IO_ERROR"):
                        wake(uid)
        except Unavailable:
            return
        wake(uid)


def _command_line(pid: int) -> list[bytes]:
    """The arguments of a live process; empty for one that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _tail(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            return file.read(limit)
    except FileNotFoundError:
        return b""


async def _attached(qmp: Qmp) -> dict[str, int]:
    """Uids of the disks whose devices are plugged in, and the bytes each shows its guest."""
    found = {}
    for entry in await qmp.call("query-block"):
        device, medium = str(entry.get("qdev", "")), entry.get("inserted")
        if device.startswith(_DEVICE):
            found[device.removeprefix(_DEVICE)] = int(medium["image"]["virtual-size"]) if medium else 0
    return found


async def _nodes(qmp: Qmp) -> set[str]:
    return {str(node["node-name"]) for node in await qmp.call("query-named-block-nodes", {"flat": True})}
