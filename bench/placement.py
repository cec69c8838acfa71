"""`placement`: the choice of a host, on 16 and on 1000 hosts half full, against one bare best-fit scan over the same hosts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from bench.ratios import percentile
from lazur.providers.compute.sizes import Size, sizes
from lazur.providers.compute.virtual_machines.placement import Capacity, Host, Placed, choose

_PER_HOST = 10
_CORES, _MEMORY = 64, 262_144
_SET = "set"


def _world(count: int) -> tuple[list[Host], list[Placed]]:
    draw = random.Random(count)
    hosts = [Host(f"h{n:04}", n % 3, _CORES, _MEMORY) for n in range(count)]
    placed = [
        Placed(host.name, draw.choice((1, 2, 4)), draw.choice((2048, 4096, 8192)), _SET if draw.random() < 0.1 else None)
        for host in hosts
        for _ in range(_PER_HOST)
    ]
    return hosts, placed


def _counted(hosts: list[Host], placed: list[Placed]) -> Capacity:
    """The same hosts and machines as the controller has them counted."""
    capacity = Capacity()
    for host in hosts:
        capacity.host(host.name, host)
    for number, one in enumerate(placed):
        capacity.machine(str(number), one)
    return capacity


def _table(hosts: list[Host], placed: list[Placed]) -> tuple[list[tuple[str, int, int, int]], list[int]]:
    """Name, free cores, free MiB and fault domain of every host, and the set's machines per fault domain."""
    free = {h.name: [h.cores, h.memory_mib, h.fault_domain] for h in hosts}
    members = [0, 0, 0]
    for one in placed:
        free[one.host][0] -= one.cores
        free[one.host][1] -= one.memory_mib
        members[free[one.host][2]] += one.availability_set == _SET
    return [(name, left[0], left[1], left[2]) for name, left in free.items()], members


def _timed(decide: Callable[[], str], expected: str, seconds: float) -> Block:
    """One decision over and over, each timed by this thread's own CPU clock."""
    taken: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(taken) < 3:
        begun = time.thread_time_ns()
        found = decide()
        taken.append((time.thread_time_ns() - begun) / 1e3)
        if found != expected:
            raise Wrong(f"{found} was chosen, {expected} expected")
    return Block({"cpu": sum(taken) / len(taken)}, {"p50us": percentile(taken, 0.5), "p99us": percentile(taken, 0.99)})


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures for both racks."""
    figures: list[Figure] = []
    rows: dict[str, Any] = {}
    for count, most in ((16, 100.0), (1000, 0.0)):
        found, blocks = await _of(count, most, effort, say)
        figures += found
        rows[str(count)] = blocks
    return figures, rows


async def _of(count: int, most: float, effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    hosts, placed = _world(count)
    size: Size = sizes()["standard_d2s_v3"]
    table, members = _table(hosts, placed)
    capacity = _counted(hosts, placed)

    def scan() -> str:
        fitting = (r for r in table if r[1] >= size.cores and r[2] >= size.memory_mib)
        return min(fitting, key=lambda r: (members[r[3]], -r[2], r[0]))[0]

    def ours() -> str:
        return choose(size, capacity.rooms(), capacity.members(_SET), 3).name

    expected, seconds = scan(), effort.seconds / 5

    async def floor() -> Block:
        return _timed(scan, expected, seconds)

    async def chosen() -> Block:
        return _timed(ours, expected, seconds)

    figures, rows = await compare((Metric("cpu", f"µs CPU per choice among {count}", None),), floor, floor, chosen, effort, say)
    worst = max(pair[1]["facts"]["p99us"] for pair in rows["pairs"])
    held = f"; goal at most {most:g} µs" if most else ""
    say(f"  {count} hosts with {len(placed)} machines: p99 of the worst block {worst:.0f} µs CPU{held}")
    return figures, rows


