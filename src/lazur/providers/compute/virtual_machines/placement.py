"""Where a machine runs: a pure choice over hosts and what runs on them, and the explanation when there is no room.

Memory is never promised twice beyond the profile's factor; cores are shared by the profile's factor. Machines of an
availability set go to the fault domain that holds fewest of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from lazur.kernel.errors import Evidence, LazurError
from lazur.providers.compute.sizes import Size, sizes


class Host(NamedTuple):
    """A host as placement sees it; capacities already multiplied by the profile's factors."""

    name: str
    fault_domain: int
    cores: int
    memory_mib: int
    refuses: str = ""
    """Why it takes no new machines, if so."""


class Placed(NamedTuple):
    """A machine that holds a place."""

    host: str
    cores: int
    memory_mib: int
    availability_set: str | None = None


class Room(NamedTuple):
    """What is left on one host."""

    host: Host
    cores: int
    memory_mib: int


class Capacity:
    """What is left on every host, counted as hosts and machines come and go, so that a choice costs what the hosts cost."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self._placed: dict[str, Placed] = {}
        self._taken: dict[str, tuple[int, int]] = {}
        self._members: dict[str, dict[str, int]] = {}

    def host(self, name: str, host: Host | None) -> None:
        """Have the host `name` be just this; None: there is no such host."""
        if host is None:
            self._rooms.pop(name, None)
        else:
            cores, memory = self._taken.get(name, (0, 0))
            self._rooms[name] = Room(host, host.cores - cores, host.memory_mib - memory)

    def machine(self, key: str, placed: Placed | None) -> None:
        """Have machine `key` hold just this; None: nothing."""
        before = self._placed.pop(key, None)
        if before is not None:
            self._count(before, -1)
        if placed is not None:
            self._placed[key] = placed
            self._count(placed, 1)

    def _count(self, placed: Placed, sign: int) -> None:
        name = placed.host
        cores, memory = self._taken.pop(name, (0, 0))
        self._taken[name] = (cores + sign * placed.cores, memory + sign * placed.memory_mib)
        if name in self._rooms:
            self.host(name, self._rooms[name].host)
        if placed.availability_set is not None:
            members = self._members.setdefault(placed.availability_set, {})
            members[name] = members.get(name, 0) + sign

    def rooms(self, besides: str = "") -> Collection[Room]:
        """What is left on each host when machine `besides` is not counted."""
        mine = self._placed.get(besides)
        if mine is None or mine.host not in self._rooms:
            return self._rooms.values()
        room = self._rooms[mine.host]
        freed = Room(room.host, room.cores + mine.cores, room.memory_mib + mine.memory_mib)
        return {**self._rooms, mine.host: freed}.values()

    def members(self, availability_set: str | None, besides: str = "") -> Mapping[str, int]:
        """Machines of the set on each host, without `besides`."""
        found = self._members.get(availability_set or "", {})
        mine = self._placed.get(besides)
        if mine is None or availability_set is None or mine.availability_set != availability_set:
            return found
        return {**found, mine.host: found[mine.host] - 1}


def choose(size: Size, rooms: Collection[Room], members: Mapping[str, int], fault_domains: int) -> Host:
    """The host for a machine of `size`; raises `AllocationFailed` with the binding constraint of every host. `members` says
    how many machines of its availability set are on which host."""
    fitting = [r for r in rooms if r.memory_mib >= size.memory_mib and r.cores >= size.cores and not r.host.refuses]
    if not fitting:
        raise _no_room(size, sorted(rooms, key=lambda r: r.host.name))
    if not members:
        return min(fitting, key=lambda r: (-r.memory_mib, r.host.name)).host
    domains = max(fault_domains, 1)
    together: dict[int, int] = {}
    for room in rooms:
        domain = room.host.fault_domain % domains
        together[domain] = together.get(domain, 0) + members.get(room.host.name, 0)
    return min(fitting, key=lambda r: (together[r.host.fault_domain % domains], -r.memory_mib, r.host.name)).host


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
