"""Addresses that were chosen and are on their way to the disk, so that many requests can be on that way together.

Must never be the last word: the claims on disk refuse an address that is taken meanwhile, and the request chooses again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

from lazur.model.documents import Claim
from lazur.model.resource import Pools


class Underway:
    """The committed pools, but for what `free` gives: no address twice, even before the first one is committed."""

    def __init__(self, committed: Pools) -> None:
        self._committed = committed
        self._coming: dict[tuple[str, str], int] = {}

    def holder(self, pool: str, value: str) -> str | None:
        """See `Pools.holder`: what is not committed may still fail, and is nobody's yet."""
        return self._committed.holder(pool, value)

    def free(self, pool: str, first: str, last: str) -> str | None:
        """See `Pools.free`."""
        found = self._committed.free(pool, first, last)
        while found is not None and (pool, found) in self._coming:
            following = ip_address(found) + 1
            found = self._committed.free(pool, str(following), last) if int(following) <= int(ip_address(last)) else None
        return found

    def claims(self, pool: str) -> Mapping[str, str]:
        """See `Pools.claims`."""
        return self._committed.claims(pool)

    @contextmanager
    def committing(self, claims: Sequence[Claim]) -> Iterator[None]:
        """While this lasts, `claims` are about to be held."""
        names = [(c.pool, c.value) for c in claims]
        for name in names:
            self._coming[name] = self._coming.get(name, 0) + 1
        try:
            yield
        finally:
            for name in names:
                self._coming[name] -= 1
                if not self._coming[name]:
                    del self._coming[name]
