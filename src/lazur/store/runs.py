"""Which addresses of a claim pool are taken, kept in memory as runs without gaps, so that the lowest free one is found at
once however many are taken. Must never be the last word: the claims on disk refuse an address that is taken meanwhile.
"""

from __future__ import annotations

import ipaddress
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable


class Runs:
    """A set of numbers as the sorted bounds of its runs."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for number in sorted(numbers):
            self.add(number)

    def add(self, number: int) -> None:
        """Take `number`; nothing when it is taken."""
        at = bisect_right(self._firsts, number) - 1
        if at >= 0 and self._lasts[at] >= number:
            return
        first = last = number
        begin = end = at + 1
        if at >= 0 and self._lasts[at] == number - 1:
            first, begin = self._firsts[at], at
        if end < len(self._firsts) and self._firsts[end] == number + 1:
            last, end = self._lasts[end], end + 1
        self._firsts[begin:end], self._lasts[begin:end] = [first], [last]

    def discard(self, number: int) -> None:
        """Let go of `number`; nothing when it is free."""
        at = bisect_right(self._firsts, number) - 1
        if at < 0 or self._lasts[at] < number:
            return
        halves = [(self._firsts[at], number - 1), (number + 1, self._lasts[at])]
        left = [(first, last) for first, last in halves if first <= last]
        self._firsts[at : at + 1], self._lasts[at : at + 1] = [f for f, _ in left], [last for _, last in left]

    def free(self, first: int, last: int) -> int | None:
        """The lowest free number from `first` to `last`."""
        at = bisect_right(self._firsts, first) - 1
        found = first if at < 0 or self._lasts[at] < first else self._lasts[at] + 1
        return found if found <= last else None


class Addresses:
    """The taken addresses of pools, read when a pool is first asked for and kept up to date from then on.

    `load` reads the committed values of a pool. One thread asks, another tells what it committed: each does so whole.
    """

    def __init__(self, load: Callable[[str], Iterable[str]]) -> None:
        self._load = load
        self._pools: dict[str, dict[int, Runs]] = {}
        self._lock = threading.Lock()

    def free(self, pool: str, first: str, last: str) -> str | None:
        """The lowest free address from `first` to `last`, both of one version."""
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
        with self._lock:
            if pool not in self._pools:
                found = [ipaddress.ip_address(value) for value in self._load(pool)]
                self._pools[pool] = {v: Runs(int(a) for a in found if a.version == v) for v in (4, 6)}
            number = self._pools[pool][low.version].free(int(low), int(high))
        return None if number is None else str(type(low)(number))

    def changed(self, changes: Iterable[tuple[str, str, bool]]) -> None:
        """Pool, value and whether it is taken now, in the order of a commit that is done. What was read since is met twice."""
        with self._lock:
            for pool, value, taken in changes:
                if pool in self._pools:
                    address = ipaddress.ip_address(value)
                    runs = self._pools[pool][address.version]
                    (runs.add if taken else runs.discard)(int(address))
