"""Resource Manager's throttle: token buckets for each principal in a subscription, and for a subscription as a whole.

Sizes and rates are those Azure publishes (https://learn.microsoft.com/azure/azure-resource-manager/management/
request-limits-and-throttling): a bucket that is full lets a burst through, then what it is refilled with each second. Must
never cost a look into the store: a flood is refused for less than it takes to answer it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError


@dataclass(frozen=True)
class Limit:
    """A bucket of `size` tokens, refilled with `rate` tokens each second."""

    size: int
    rate: int


LIMITS = {"reads": Limit(250, 25), "writes": Limit(200, 10), "deletes": Limit(200, 10)}
"""For each principal in a subscription, and in a directory for what lies in none."""
_TOGETHER = {kind: Limit(limit.size * 15, limit.rate * 15) for kind, limit in LIMITS.items()}
"""A subscription has this for everybody together."""
_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
_IN_SUBSCRIPTION, _IN_TENANT = (
    {kind: f"x-ms-ratelimit-remaining-{place}-{kind}" for kind in LIMITS} for place in ("subscription", "tenant")
)
_KEPT = 10_000
_PAUSE, _APART, _LONGEST = 0.5, 0.01, 10.0
"""Seconds for which a refusal is kept back, those between two of the same principal, and the longest there are. Whoever
asks again at once, without the wait it was told, keeps the front door busy a hundred times a second, and never in a crowd."""


class Throttled(LazurError):
    """ARM's 429; to be answered `held` seconds from now."""

    held: float = 0.0


class Bucket:
    """Tokens, counted when they are asked for."""

    __slots__ = ("_at", "_rate", "_size", "_told", "tokens")

    def __init__(self, limit: Limit, now: float) -> None:
        self._size, self._rate = float(limit.size), limit.rate
        self.tokens, self._at, self._told = self._size, now, now

    def fill(self, now: float) -> bool:
        """Bring `tokens` to what there is now; whether one can be taken."""
        tokens = self.tokens + (now - self._at) * self._rate
        self.tokens = tokens = tokens if tokens < self._size else self._size
        self._at = now
        return tokens >= 1.0

    def wait(self) -> int:
        """Whole seconds until there is a token again."""
        return max(1, math.ceil((1.0 - self.tokens) / self._rate))

    def hold(self) -> float:
        """Seconds for which a refusal is kept back."""
        self._told = min(max(self._at + _PAUSE, self._told + _APART), self._at + _LONGEST)
        return self._told - self._at


class Throttle:
    """The buckets of one front door. They are in memory: a restart forgives."""

    def __init__(self, clock: Clock, directory_of: Callable[[str], str]) -> None:
        """`directory_of` says whose a subscription is."""
        self._clock = clock
        self._directory_of = directory_of
        self._buckets: OrderedDict[tuple[str, str, str], Bucket] = OrderedDict()

    async def admit(self, method: str, tenant: str, subscription: str, principal: str) -> tuple[str, str]:
        """`take`; whoever is refused hears of it late."""
        try:
            return self.take(method, tenant, subscription, principal)
        except Throttled as refused:
            await self._clock.sleep(refused.held)
            raise

    def take(self, method: str, tenant: str, subscription: str, principal: str) -> tuple[str, str]:
        """Let one request through: the header that tells what is left. Raises 429 with the seconds to wait.

        Without a `subscription` it counts against the principal in its directory. So it does with one that is not of that
        directory: nobody uses up another's, and names that are made up give no more requests.
        """
        if subscription and self._directory_of(subscription) != tenant:
            subscription = ""
        kind, now = _KINDS.get(method, "writes"), self._clock.monotonic()
        own = self._bucket((kind, subscription or tenant, principal), LIMITS, now)
        if not own.fill(now):
            raise _throttled(kind, subscription, tenant, principal, own.wait(), own.hold())
        if subscription:
            whole = self._bucket((kind, subscription, ""), _TOGETHER, now)
            if not whole.fill(now):
                raise _throttled(kind, subscription, tenant, principal, whole.wait(), own.hold())
            whole.tokens -= 1.0
        own.tokens -= 1.0
        return (_IN_SUBSCRIPTION if subscription else _IN_TENANT)[kind], str(int(own.tokens))

    def _bucket(self, key: tuple[str, str, str], limits: Mapping[str, Limit], now: float) -> Bucket:
        found = self._buckets.get(key)
        if found is None:
            found = self._buckets[key] = Bucket(limits[key[0]], now)
            if len(self._buckets) > _KEPT:
                # The one that was asked for least lately has long been full again, or belongs to a flood of names.
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return found


def _throttled(kind: str, subscription: str, tenant: str, principal: str, seconds: int, held: float) -> Throttled:
    place = f"subscription '{subscription}'" if subscription else f"tenant '{tenant}'"
    message = (
        f"Number of '{kind.removesuffix('s')}' requests for {place} actor '{principal}' exceeded. Please try again after "
        f"'{seconds}' seconds after additional tokens are available."
    )
    code = "SubscriptionRequestsThrottled" if subscription else "TenantRequestsThrottled"
    refused = Throttled(code, message, status=429, retryable=True, retry_after=seconds)
    refused.held = held
    return refused
