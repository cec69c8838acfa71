"""What the machine says while a benchmark runs: CPU time of process trees, load, pressure, versions.

Must never change anything on the machine but the CPU affinity of processes of the run.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lazur.lifecycle.project import ROOT

_PACKAGES = ("uvicorn", "httptools", "uvloop", "starlette", "pydantic", "joserfc", "aiohttp")


def cpu_seconds(pid: int) -> float:
    """User and system time of process `pid` and its living children, of all threads, ended ones included."""
    return sum(_own_cpu(each) for each in _tree(pid))


def _own_cpu(pid: int) -> float:
    # The kernel's name for the CPU clock of another process: nanoseconds, where /proc/PID/stat has hundredths of a second.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in listing.read_text().split():
                yield from _tree(int(child))


def group_seconds(group: str) -> float | None:
    """CPU time of everything that ever ran in control group `group`; None when the machine does not count it."""
    base = Path("/sys/fs/cgroup")
    for usage in (base / "cpuacct" / group / "cpuacct.usage", base / "cpu,cpuacct" / group / "cpuacct.usage"):
        with suppress(OSError, ValueError):
            return int(usage.read_text()) / 1e9
    for root in (base, base / "unified"):
        with suppress(OSError, ValueError, IndexError):
            return int((root / group / "cpu.stat").read_text().split()[1]) / 1e6
    return None


def stalled() -> float:
    """Seconds during which some task of the machine waited for a CPU, since boot; 0 where that is not counted."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0]) / 1e6
    return 0.0


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


def state() -> dict[str, Any]:
    """Load, pressure and stolen time now."""
    steal = 0
    with suppress(OSError, ValueError, IndexError):
        steal = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    pressure = ""
    with suppress(OSError):
        pressure = Path("/proc/pressure/cpu").read_text().splitlines()[0]
    return {"load": [round(one, 2) for one in os.getloadavg()], "pressure": pressure, "steal": steal}


def environment() -> dict[str, Any]:
    """What the figures depend on: source, kernel, processor, versions."""
    model = next((x.partition(":")[2].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "unknown")
    memory = next((x.split()[1] for x in _lines("/proc/meminfo") if x.startswith("MemTotal")), "0")
    return {
        "git": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "src", "bench")),
        "kernel": platform.release(),
        "processor": model,
        "cores": os.cpu_count(),
        "memoryMiB": int(memory) // 1024,
        "python": sys.version.split()[0],
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
