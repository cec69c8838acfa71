"""Requests to change something that were refused, for the activity log.

They are gathered and written together, apart from the answers, and so many of each caller and each subscription as no flood
can fill the store with; what is beyond that is only counted. Must never hold up a refusal, nor keep what a body said.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids
from lazur.kernel.log import logger
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Event
from lazur.model.events import refused
from lazur.model.rights import Caller
from lazur.store.interface import Store

log = logger("refusals")

OF_CALLER = 10
"""Refusals of one caller in one subscription that are kept, each minute."""
OF_SUBSCRIPTION = 100
"""Refusals in one subscription that are kept, each hour."""
_GATHERED = 1.0
"""Seconds between what is written."""


class Refusals:
    """The refusals of one stamp that are still to be written. A crash forgets those of the last second."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._waiting: list[Event] = []
        self._some = asyncio.Event()
        self._callers: Counter[tuple[str, str]] = Counter()
        self._subscriptions: Counter[str] = Counter()
        self._minute = self._hour = -1
        self._left_out = 0

    @contextmanager
    def noting(self, caller: Caller, id: ArmId, action: str, method: str) -> Iterator[None]:
        """Note when what is done inside is refused for good."""
        try:
            yield
        except LazurError as error:
            if error.status < 500 and not error.retryable and id.subscription and self._counts(caller, id.subscription):
                now = self._clock.now()
                self._waiting.append(refused(id, caller, action, method, error, now, self._ids.uuid()))
                self._some.set()
            raise

    def _counts(self, caller: Caller, subscription: str) -> bool:
        """Whether this one is within what is kept."""
        minute = int(self._clock.now().timestamp()) // 60
        if minute != self._minute:
            self._minute, self._callers = minute, Counter()
        if minute // 60 != self._hour:
            self._hour, self._subscriptions = minute // 60, Counter()
        place = subscription.lower()
        if self._callers[caller.object_id, place] >= OF_CALLER or self._subscriptions[place] >= OF_SUBSCRIPTION:
            self._left_out += 1
            return False
        self._callers[caller.object_id, place] += 1
        self._subscriptions[place] += 1
        return True

    async def run(self) -> None:
        """Write what was noted, until cancelled."""
        while True:
            await self._some.wait()
            await self._clock.sleep(_GATHERED)
            waiting, self._waiting = self._waiting, []
            self._some.clear()
            if self._left_out:
                log.info("refusals left out of the activity log", number=self._left_out)
                self._left_out = 0
            try:
                await self._store.commit(Change(events=waiting))
            except LazurError as error:
                log.warning("refusals not written to the activity log", number=len(waiting), code=error.code)
