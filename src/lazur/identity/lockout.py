"""Slows password guessing down: counts failures by account and place, by account and by place, and locks with back-off.

Must never treat a name that exists differently from one that does not: its answers are the same bytes for both.
"""

from __future__ import annotations

from dataclasses import dataclass

from lazur.identity.oauth import OAuthError
from lazur.kernel.clock import Clock

# A person who mistypes from one place; a name guessed from many places; one place that tries many names.
ATTEMPTS = 10
ATTEMPTS_ON_ACCOUNT = 100
ATTEMPTS_FROM_SOURCE = 100
LOCKED_FOR = 60.0
LOCKED_AT_MOST = 3600.0
_TRACKED = 30_000

Key = tuple[str, ...]


@dataclass
class _Failures:
    count: int = 0
    locked_until: float = 0.0
    last: float = 0.0


class Lockout:
    """After ten failures for a name from one address that pair is locked for a minute, then for twice as long each time.

    A stranger elsewhere does not lock a person out before a hundred failures. Kept in memory: a restart forgives.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[Key, _Failures] = {}

    def check(self, name: str, source: str) -> None:
        """Raise AADSTS50053 while `name`, `source` or the two together are locked."""
        now = self._clock.monotonic()
        for key, _ in _counted(name, source):
            failures = self._failures.get(key)
            if failures and failures.locked_until > now:
                raise OAuthError(
                    "invalid_grant",
                    50053,
                    "The account is locked because it was tried too many times with a wrong password. Try again later.",
                )

    def failed(self, name: str, source: str) -> bool:
        """Count a failure; whether it locked something."""
        now = self._clock.monotonic()
        locked = [self._count(key, attempts, now) for key, attempts in _counted(name, source)]
        while len(self._failures) > _TRACKED:
            # Oldest first: a lock that is being attacked was touched last and stays.
            del self._failures[next(iter(self._failures))]
        return any(locked)

    def succeeded(self, name: str, source: str) -> None:
        """Forget the failures of `name` from `source`; what others tried elsewhere still counts."""
        self._failures.pop((name, source), None)

    def _count(self, key: Key, attempts: int, now: float) -> bool:
        failures = self._failures.pop(key, _Failures())
        if now - failures.last > LOCKED_AT_MOST:
            failures = _Failures()
        failures.count += 1
        failures.last = now
        beyond = failures.count - attempts
        if beyond >= 0:
            failures.locked_until = now + min(LOCKED_FOR * 2.0 ** min(beyond, 10), LOCKED_AT_MOST)
        self._failures[key] = failures
        return beyond >= 0


def _counted(name: str, source: str) -> tuple[tuple[Key, int], ...]:
    return (
        ((name, source), ATTEMPTS),
        (("account", name, ""), ATTEMPTS_ON_ACCOUNT),
        (("source", "", source), ATTEMPTS_FROM_SOURCE),
    )
