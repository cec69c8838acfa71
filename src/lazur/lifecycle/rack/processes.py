"""Processes, control groups and mounts of the machine, found by where they are, never by what they are called.

Must never signal a process that is in no namespace, group or folder of the rack.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.rack.commands import run

_CGROUPS = Path("/sys/fs/cgroup")
_GUEST = "qemu-system"


@dataclass(frozen=True)
class Memory:
    """Bytes of proportional set size: shared pages are counted once over all who share them."""

    platform: int
    guests: int


def started(pid: int) -> int:
    """When process `pid` began, in clock ticks since boot; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def end(pid: int, patience: float) -> None:
    """SIGTERM to `pid`; SIGKILL when it is still there after `patience` seconds. Returns when it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], seconds)[0]:
                return
    finally:
        os.close(handle)


def members(group: str) -> set[int]:
    """Pids in the control group `group` and below, whichever hierarchies the machine has."""
    found: set[int] = set()
    for folder in _group_folders(group):
        for listing in [folder / "cgroup.procs", *folder.rglob("cgroup.procs")]:
            with suppress(OSError):
                found |= {int(pid) for pid in listing.read_text().split()}
    # A process about to vanish is listed as 0, which to kill(2) means the caller's own group.
    return found - {0}


def end_cgroup(group: str) -> None:
    """Kill all in the control group `group` and remove it from every hierarchy; absent is fine."""
    clock = SystemClock()
    deadline = clock.monotonic() + 10
    while pids := members(group):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if clock.monotonic() > deadline:
            break
        select.select([], [], [], 0.02)
    for folder in _group_folders(group):
        for inner in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            with suppress(OSError):
                inner.rmdir()
        with suppress(OSError):
            folder.rmdir()


def _group_folders(group: str) -> list[Path]:
    candidates = [_CGROUPS / group, *(_CGROUPS / each / group for each in _hierarchies())]
    return [folder for folder in candidates if folder.is_dir()]


def _hierarchies() -> list[str]:
    return [path.name for path in _CGROUPS.iterdir() if path.is_dir()] if _CGROUPS.is_dir() else []


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below `folder`, the deepest first, and overlays that write there though `folder` was renamed."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].replace("\\040", " "))
        if folder in (point, *point.parents) or f"upperdir={folder}/" in line:
            points.append(point)
    return sorted(points, key=lambda point: len(point.parts), reverse=True)


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below `folder`."""
    for point in mounts_below(folder):
        if run(["umount", point], check=False).returncode != 0:
            run(["umount", "--lazy", point])


def in_pid_namespace(first: int) -> Iterator[int]:
    """Pids of all processes that share the PID namespace of process `first`."""
    try:
        wanted = Path(f"/proc/{first}/ns/pid").stat().st_ino
    except OSError:
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "ns/pid").stat().st_ino == wanted:
                    yield int(entry.name)


def memory(first: int) -> Memory:
    """Memory of the container whose first process is `first`, guests apart."""
    platform = guests = 0
    for pid in in_pid_namespace(first):
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            size = 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
            if Path(f"/proc/{pid}/exe").readlink().name.startswith(_GUEST):
                guests += size
            else:
                platform += size
    return Memory(platform, guests)
