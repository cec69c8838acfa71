"""Sign-ins that were ended before their time: all tokens that came of one authorization code, say.

Must never forget an ended sign-in while one of its refresh tokens could still be presented.
"""

from __future__ import annotations

import asyncio

from lazur.identity.codes import REFRESH_LIFE
from lazur.identity.kept import KeptDocument
from lazur.kernel.clock import Clock


class Grants:
    """The ended ones, in memory and in one small document; there are few, since it takes a theft to end one."""

    def __init__(self, store: KeptDocument, clock: Clock, ended: dict[str, int]) -> None:
        self._store = store
        self._clock = clock
        self._ended = ended
        self._saving = asyncio.Lock()
        self.edition = 0

    @classmethod
    async def open(cls, store: KeptDocument, clock: Clock) -> Grants:
        """The stored ones."""
        document = await store.load()
        return cls(store, clock, {str(grant): int(until) for grant, until in document.get("ended", {}).items()})

    def ended(self, grant: str) -> bool:
        """Whether what came of sign-in `grant` is void."""
        return grant in self._ended

    async def end(self, grant: str) -> None:
        """Void everything that came of sign-in `grant`: at once here, and after a restart too."""
        now = int(self._clock.now().timestamp())
        async with self._saving:
            kept = {name: until for name, until in self._ended.items() if until > now}
            self._ended = {**kept, grant: now + REFRESH_LIFE}
            self.edition += 1
            await self._store.save({"version": 1, "ended": self._ended})
