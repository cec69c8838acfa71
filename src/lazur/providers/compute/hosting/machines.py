"""The handler of `vm` desires: one look at desire, record and process, one step towards what is wanted, one report.

A machine's life here: taps, CD and process appear at a start; a stop is the power button and, thirty seconds later, the
plug; a guest that switches itself off stays off until a start or restart is asked for; a process that dies otherwise is
started again with growing pauses and given up after five quick deaths. Disks are never touched. Must never wait: whoever
has to wait answers PENDING and is woken by `watch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lazur.drivers.hypervisor.interface import Disk, Hypervisor, Machine, Nic, Phase, Status
from lazur.drivers.switch.interface import Plug, Switch
from lazur.executor.handlers import Wake
from lazur.kernel.clock import Clock, rfc3339
from lazur.kernel.errors import Evidence, LazurError
from lazur.kernel.log import logger
from lazur.model.desire import Desire, Report, State
from lazur.providers.compute.hosting.guests import Guests
from lazur.providers.compute.hosting.provisioning import Discs
from lazur.providers.compute.hosting.records import Record, Records
from lazur.providers.compute.hosting.wish import DiskWish, VmWish, tap_name, vm_wish

STOP_SECONDS = 30.0
"""What a guest gets to switch itself off after the power button; Azure gives about as much."""

QUICK_DEATH_SECONDS = 60.0
"""A process that dies sooner after its start than this counts towards giving up."""

DEATHS_LIMIT = 5
_LONGEST_PAUSE = 30.0
_POLL_SECONDS = 0.5
_TRAFFIC_POLL_SECONDS = 1.0
_EVIDENCE_BYTES = 4096

_log = logger("compute.machines")


@dataclass(frozen=True)
class HostParts:
    """The doors and memories of one host. `disks` is the folder of the pool."""

    hypervisor: Hypervisor
    switch: Switch
    discs: Discs
    records: Records
    guests: Guests
    disks: Path


class VmHandler:
    """`KeyedHandler` of kind `vm`; the key is the machine's uid."""

    kind = "vm"
    precious = False

    def __init__(self, parts: HostParts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._alarms: dict[str, float] = {}

    # What the executor calls

    async def adopt(self, desires: Sequence[Desire]) -> None:
        parts = self._parts
        wanted = {d.key for d in desires}
        for uid in set(await parts.hypervisor.list()) - wanted:
            _log.warning("leftover_machine", uid=uid)
            await parts.hypervisor.forget(uid)
        for uid in set(parts.discs.list()) - wanted:
            parts.discs.drop(uid)
        taps = {tap for d in desires for tap in _taps(d)}
        taps |= {tap for uid in parts.records.list() if uid in wanted for tap in parts.records.load(uid).taps}
        for tap in (await parts.switch.ports()).keys() - taps:
            _log.warning("leftover_tap", tap=tap)
            await parts.switch.unplug(tap)
        for uid in set(parts.records.list()) - wanted:
            parts.records.drop(uid)

    async def apply(self, desire: Desire) -> Report:
        wish = vm_wish(desire)
        record = self._parts.records.load(wish.uid)
        status = await self._parts.hypervisor.status(wish.uid)
        if record.restart is None:
            record = self._save(wish.uid, replace(record, restart=wish.restart))
        stopping = record.stop_asked is not None or not wish.running or _wrong(wish, record, status)
        if stopping:
            if not await self._stop(wish.uid, wish.hard_stop, record, status):
                return self._report(desire, State.PENDING, status)
            if (record := self._parts.records.load(wish.uid)).stop_asked is not None:
                record = self._save(wish.uid, replace(record, stop_asked=None))
            status = Status(wish.uid, Phase.ABSENT)
        if not wish.running:
            self._parts.discs.drop(wish.uid)
            return self._report(desire, State.READY, status)
        if status.phase is Phase.RUNNING:
            return await self._tend(desire, wish, record, status)
        return await self._bring_up(desire, wish, record, status)

    async def remove(self, desire: Desire) -> Report:
        uid, parts = desire.key, self._parts
        record = parts.records.load(uid)
        status = await parts.hypervisor.status(uid)
        hard = bool(desire.payload.get("hardStop", False))
        if not await self._stop(uid, hard, record, status):
            return self._report(desire, State.PENDING, status)
        for tap in sorted({*record.taps, *_taps(desire)}):
            await parts.switch.unplug(tap)
        parts.discs.drop(uid)
        await parts.hypervisor.forget(uid)
        parts.records.drop(uid)
        self._alarms.pop(uid, None)
        return Report(self.kind, uid, desire.generation, State.GONE)

    async def watch(self, wake: Wake) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._parts.hypervisor.watch(wake))
            tasks.create_task(self._poll(wake))
            # Finding out takes a while the first time; better before a customer waits for it.
            tasks.create_task(self._parts.hypervisor.accelerator())

    async def _poll(self, wake: Wake) -> None:
        """Wake for what guests reported and for times that came."""
        seen: Mapping[tuple[str, str], object] = {}
        while True:
            marks = {slot: mark for slot, mark in self._parts.guests.marks().items() if slot[0] == "vm"}
            for slot in sorted(marks.keys() | seen.keys()):
                if marks.get(slot) != seen.get(slot):
                    wake(slot[1])
            seen = marks
            now = self._clock.monotonic()
            for uid in [uid for uid, due in self._alarms.items() if due <= now]:
                del self._alarms[uid]
                wake(uid)
            await self._clock.sleep(_POLL_SECONDS)

    # Down

    async def _stop(self, uid: str, hard: bool, record: Record, status: Status) -> bool:
        """One step of a stop; True when there is no process any more."""
        if status.phase is Phase.RUNNING and not hard:
            now = self._now()
            asked = record.stop_asked
            if asked is None:
                asked = now
                self._save(uid, replace(record, stop_asked=now))
            left = STOP_SECONDS - (now - asked)
            if left > 0:
                # Pressed at every look: a guest that was still booting did not hear the first one.
                await self._parts.hypervisor.powerdown(uid)
                self._alarm(uid, left)
                return False
        if status.phase is not Phase.ABSENT:
            await self._parts.hypervisor.kill(uid)
        return True

    # Up

    async def _bring_up(self, desire: Desire, wish: VmWish, record: Record, status: Status) -> Report:
        """The machine is wanted and does not run: find out why, and start it unless that would be wrong."""
        if status.phase is Phase.OFF and record.run == wish.run:
            record = self._save(wish.uid, replace(record, self_stopped=wish.run))
        elif status.phase is Phase.DEAD:
            record = self._save(wish.uid, self._after_death(wish, record, status))
        if status.phase is not Phase.ABSENT:
            await self._parts.hypervisor.kill(wish.uid)
        off = Status(wish.uid, Phase.ABSENT)
        if record.self_stopped == wish.run:
            return await self._left_by_itself(desire, wish, record, off)
        if record.gave_up == wish.run:
            message = f"The process of machine '{wish.name}' died {record.deaths} times soon after its start."
            step = " Its last words are attached; a start of the machine tries again."
            error = LazurError("MachineDied", message + step, info=await self._evidence(wish.uid, record.evidence), status=500)
            return self._report(desire, State.FAILED, off, error)
        wait = record.not_before - self._now()
        if wait > 0:
            self._alarm(wish.uid, wait)
            return self._report(desire, State.PENDING, off)
        record = await self._start(wish, record)
        return await self._tend(desire, wish, record, await self._parts.hypervisor.status(wish.uid))

    def _after_death(self, wish: VmWish, record: Record, status: Status) -> Record:
        now = self._now()
        quick = record.started is not None and now - record.started < QUICK_DEATH_SECONDS
        deaths = record.deaths + 1 if quick else 1
        _log.warning("machine_died", uid=wish.uid, deaths=deaths, last_words=status.last_words[-500:])
        return replace(
            record,
            deaths=deaths,
            # The first death costs no pause: the guest's users wait.
            not_before=now + (0.0 if deaths == 1 else min(_LONGEST_PAUSE, 2.0 ** (deaths - 2))),
            gave_up=wish.run if deaths >= DEATHS_LIMIT else None,
            evidence=status.last_words,
        )

    async def _start(self, wish: VmWish, record: Record) -> Record:
        parts = self._parts
        taps = [nic.tap for nic in wish.nics]
        stale = sorted(set(record.taps) - set(taps))
        fresh = record.run != wish.run
        # Before the first effect: whatever happens next, the taps are known and this restart counts as done.
        record = self._save(
            wish.uid,
            replace(
                record,
                restart=wish.restart,
                run=wish.run,
                started=self._now(),
                deaths=0 if fresh else record.deaths,
                taps=(*stale, *taps),
            ),
        )
        for tap in stale:
            await parts.switch.unplug(tap)
        for nic in wish.nics:
            await parts.switch.plug(nic.port, nic.tap, nic.mtu)
        disc = parts.discs.put(wish.uid, wish.provisioning) if wish.provisioning else None
        await parts.hypervisor.start(self._machine(wish, disc))
        return record

    def _machine(self, wish: VmWish, disc: str | None) -> Machine:
        return Machine(
            uid=wish.uid,
            vm_id=wish.vm_id,
            name=wish.name,
            cores=wish.cores,
            memory_mib=wish.memory_mib,
            os_disk=self._disk(wish.os_disk),
            data_disks=[self._disk(disk) for disk in wish.data_disks],
            nics=[Nic(nic.tap, nic.mac, nic.mtu) for nic in wish.nics],
            cd=disc,
        )

    def _disk(self, disk: DiskWish) -> Disk:
        return Disk(disk.uid, str(self._parts.disks / disk.file), disk.lun)

    # Running

    async def _tend(self, desire: Desire, wish: VmWish, record: Record, status: Status) -> Report:
        """A running machine: its taps, its disks, and whether the guest is ready."""
        parts = self._parts
        plugs = await parts.switch.ports()
        for nic in wish.nics:
            plug = plugs.get(nic.tap)
            if plug is None or plug.port != nic.port:
                await parts.switch.plug(nic.port, nic.tap, nic.mtu)
        wanted = {disk.uid: disk for disk in wish.data_disks}
        for uid in sorted(set(status.disks) - wanted.keys() - {wish.os_disk.uid}):
            await parts.hypervisor.detach_disk(wish.uid, uid)
        for uid in sorted(wanted.keys() - set(status.disks)):
            await parts.hypervisor.attach_disk(wish.uid, self._disk(wanted[uid]))
        for disk in (wish.os_disk, *wish.data_disks):
            # The pool cannot grow what a machine has open.
            if status.sizes.get(disk.uid, disk.size) < disk.size:
                await parts.hypervisor.resize_disk(wish.uid, disk.uid, disk.size)
        status = replace(status, disks=sorted({wish.os_disk.uid, *wanted}))
        seen = replace(record, run=wish.run)
        if record.deaths and self._now() - (record.started or 0.0) > QUICK_DEATH_SECONDS:
            seen = replace(seen, deaths=0, evidence="")
        if not record.provisioned and self._ready(wish, plugs):
            seen = replace(seen, provisioned=True)
        if seen != record:
            self._save(wish.uid, seen)
        if seen.provisioned:
            return self._report(desire, State.READY, status)
        return await self._not_ready(desire, wish, seen, status)

    def _ready(self, wish: VmWish, plugs: Mapping[str, Plug]) -> bool:
        health = self._parts.guests.health(wish.uid)
        if health is not None and health.ready:
            return True
        if wish.expects_agent:
            return False
        return not wish.nics or any(plugs[nic.tap].sent > 0 for nic in wish.nics if nic.tap in plugs)

    async def _not_ready(self, desire: Desire, wish: VmWish, record: Record, status: Status) -> Report:
        left = (record.started or 0.0) + wish.ready_seconds - self._now()
        if left > 0:
            self._alarm(wish.uid, left if wish.expects_agent else min(left, _TRAFFIC_POLL_SECONDS))
            return self._report(desire, State.PENDING, status)
        health = self._parts.guests.health(wish.uid)
        said = f"The guest said: {health.message}" if health else "The guest said nothing."
        message = (
            f"The guest of machine '{wish.name}' was not ready {wish.ready_seconds:.0f} seconds after its start. {said} "
            "The machine still runs: look at the attached serial log, or restart it."
        )
        error = LazurError("OSProvisioningTimedOut", message, info=await self._evidence(wish.uid, ""), status=500)
        return self._report(desire, State.FAILED, status, error)

    async def _left_by_itself(self, desire: Desire, wish: VmWish, record: Record, status: Status) -> Report:
        if record.provisioned:
            return self._report(desire, State.READY, status)
        message = f"The guest of machine '{wish.name}' switched itself off before it was ready. Its serial log is attached."
        error = LazurError("OSProvisioningFailed", message, info=await self._evidence(wish.uid, ""), status=500)
        return self._report(desire, State.FAILED, status, error)

    # Small change

    async def _evidence(self, uid: str, last_words: str) -> list[Evidence]:
        serial = await self._parts.hypervisor.serial_tail(uid, _EVIDENCE_BYTES)
        found = [Evidence("SerialLog", {"text": serial.decode(errors="replace")})]
        return [Evidence("QemuLog", {"text": last_words}), *found] if last_words else found

    def _report(self, desire: Desire, state: State, status: Status, error: LazurError | None = None) -> Report:
        health = self._parts.guests.health(desire.key)
        running = status.phase is Phase.RUNNING
        observed: dict[str, Any] = {
            "power": "running" if running else "stopped",
            "guest": "Unknown" if health is None or not running else ("Ready" if health.ready else "NotReady"),
            "guestMessage": health.message if health else "",
            "disks": list(status.disks) if running else [],
        }
        if running:
            observed["accelerator"] = status.accelerator
            observed["pid"] = status.pid
            observed["startedAt"] = rfc3339(status.started_at) if status.started_at else None
        return Report(self.kind, desire.key, desire.generation, state, error.body() if error else None, observed)

    def _save(self, uid: str, record: Record) -> Record:
        self._parts.records.save(uid, record)
        return record

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _alarm(self, uid: str, seconds: float) -> None:
        self._alarms[uid] = self._clock.monotonic() + seconds


def _wrong(wish: VmWish, record: Record, status: Status) -> bool:
    """Whether the running process has to go for another one: a restart was asked for, or the size changed."""
    if status.phase is not Phase.RUNNING:
        return False
    return record.restart != wish.restart or status.cores != wish.cores or status.memory_mib != wish.memory_mib


def _taps(desire: Desire) -> list[str]:
    """Taps of a desire whose payload may be of any age."""
    return [tap_name(str(nic["uid"])) for nic in desire.payload.get("nics", ()) if "uid" in nic]
