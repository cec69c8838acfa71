"""When each domain's executor last gave a sign of life. Kept in memory: after a restart of the control plane silence counts
from then. Must never be what a decision about anybody's machines rests on: a silent agent says nothing of its guests."""

from __future__ import annotations

from datetime import datetime

from lazur.kernel.clock import Clock


class Presence:
    """Signs of life: every question for desires and every report is one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        # When, and at which date. How long ago it was is never told from the date: a clock that is set would make every
        # host look silent.
        self._seen: dict[str, tuple[float, datetime]] = {}

    def note(self, domain: str) -> None:
        """The executor of `domain` lives."""
        self._seen[domain] = self._clock.monotonic(), self._clock.now()

    def seen(self, domain: str) -> datetime | None:
        """Date of its last sign of life since this control plane was started, to be compared with dates that are kept."""
        found = self._seen.get(domain)
        return None if found is None else found[1]

    def silent(self, domain: str) -> float:
        """Seconds for which nothing was heard of it."""
        found = self._seen.get(domain)
        return self._clock.monotonic() - (self._began if found is None else found[0])
