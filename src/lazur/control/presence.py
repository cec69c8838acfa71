"""When each domain's executor last gave a sign of life. Kept in memory: after a restart of the control plane silence counts
from then. Must never be what a decision about anybody's machines rests on: a silent agent says nothing of its guests."""

from __future__ import annotations

from datetime import datetime

from lazur.kernel.clock import Clock


class Presence:
    """Signs of life: every question for desires and every report is one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()
        self._seen: dict[str, datetime] = {}

    def note(self, domain: str) -> None:
        """The executor of `domain` lives."""
        self._seen[domain] = self._clock.now()

    def seen(self, domain: str) -> datetime | None:
        """Its last sign of life since this control plane was started."""
        return self._seen.get(domain)

    def silent(self, domain: str) -> float:
        """Seconds for which nothing was heard of it."""
        return (self._clock.now() - self._seen.get(domain, self._began)).total_seconds()
