"""Where a machine runs: a pure choice over hosts and what runs on them, and the explanation when there is no room.

Memory is never promised twice beyond the profile's factor; cores are shared by the profile's factor. Machines of an
availability set go to the fault domain that holds fewest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lazur.kernel.errors import Evidence, LazurError
from lazur.providers.compute.sizes import Size, sizes


@dataclass(frozen=True)
class Host:
    """A host as placement sees it; capacities already multiplied by the profile's factors."""

    name: str
    fault_domain: int
    cores: int
    memory_mib: int
    refuses: str = ""
    """Why it takes no new machines, if so."""


@dataclass(frozen=True)
class Placed:
    """A machine that holds a place."""

    host: str
    cores: int
    memory_mib: int
    availability_set: str | None = None


@dataclass(frozen=True)
class Room:
    """What is left on one host."""

    host: Host
    cores: int
    memory_mib: int


def choose(
    size: Size, hosts: Sequence[Host], placed: Sequence[Placed], availability_set: str | None, fault_domains: int
) -> Host:
    """The host for a machine of `size`; raises `AllocationFailed` with the binding constraint of every host."""
    rooms = _rooms(hosts, placed)
    fitting = [r for r in rooms if not _lacks(r, size)]
    if not fitting:
        raise _no_room(size, rooms)
    together = _members(placed, hosts, availability_set, fault_domains)
    return min(fitting, key=lambda r: (together.get(_domain(r.host, fault_domains), 0), -r.memory_mib, r.host.name)).host


def _rooms(hosts: Sequence[Host], placed: Sequence[Placed]) -> list[Room]:
    """What is left on every host, in one pass over the machines."""
    taken = {h.name: [0, 0] for h in hosts}
    for machine in placed:
        held = taken.get(machine.host)
        if held is not None:
            held[0] += machine.cores
            held[1] += machine.memory_mib
    return [Room(h, h.cores - taken[h.name][0], h.memory_mib - taken[h.name][1]) for h in hosts]


def _domain(host: Host, fault_domains: int) -> int:
    return host.fault_domain % max(fault_domains, 1)


def _members(
    placed: Sequence[Placed], hosts: Sequence[Host], availability_set: str | None, fault_domains: int
) -> Mapping[int, int]:
    """Machines of the set per fault domain."""
    if availability_set is None:
        return {}
    by_name = {h.name: h for h in hosts}
    counts: dict[int, int] = {}
    for machine in placed:
        if machine.availability_set == availability_set and machine.host in by_name:
            domain = _domain(by_name[machine.host], fault_domains)
            counts[domain] = counts.get(domain, 0) + 1
    return counts


def _lacks(room: Room, size: Size) -> list[str]:
    """Every reason why `size` does not fit, empty when it does."""
    lacks = []
    if room.host.refuses:
        lacks.append(room.host.refuses)
    if room.memory_mib < size.memory_mib:
        lacks.append(f"memory: {size.memory_mib} MiB needed, {room.memory_mib} of {room.host.memory_mib} MiB free")
    if room.cores < size.cores:
        lacks.append(f"cores: {size.cores} needed, {room.cores} of {room.host.cores} free")
    return lacks


def _no_room(size: Size, rooms: Sequence[Room]) -> LazurError:
    details = [LazurError("HostConstraint", f"{r.host.name}: {'; '.join(_lacks(r, size))}.", target=r.host.name) for r in rooms]
    remedy = _remedy(size, rooms)
    message = (
        f"Allocation failed. No host has room for a machine of size {size.name} ({size.cores} cores, {size.memory_mib} MiB). "
        f"{remedy}"
    )
    facts = [{"host": r.host.name, "freeCores": r.cores, "freeMemoryMiB": r.memory_mib} for r in rooms]
    return LazurError(
        "AllocationFailed", message, target="properties.hardwareProfile.vmSize", details=details,
        info=[Evidence("Capacity", {"hosts": facts, "smallestChange": remedy})], status=409,
    )  # fmt: skip


def _remedy(size: Size, rooms: Sequence[Room]) -> str:
    """The smallest change that would let the machine fit."""
    open_rooms = [r for r in rooms if not r.host.refuses]
    if not open_rooms:
        return "Make a host available again, or add one."
    best = min(open_rooms, key=lambda r: (max(0, size.memory_mib - r.memory_mib), max(0, size.cores - r.cores)))
    parts = []
    if best.memory_mib < size.memory_mib:
        parts.append(f"{size.memory_mib - best.memory_mib} MiB")
    if best.cores < size.cores:
        parts.append(f"{size.cores - best.cores} cores")
    change = f"The smallest change that would fit: free {' and '.join(parts)} on {best.host.name}"
    lesser = (s for s in sizes().values() if s.cores <= size.cores and s.memory_mib <= size.memory_mib)
    smaller = [s for s in lesser if any(not _lacks(r, s) for r in open_rooms)]
    if not smaller:
        return f"{change}; no smaller size fits either."
    largest = max(smaller, key=lambda s: (s.memory_mib, s.cores))
    return f"{change}, or choose a smaller size: {largest.name} ({largest.memory_mib} MiB) fits now."
