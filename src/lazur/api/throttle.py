"""Resource Manager's throttle: token buckets for each principal in a subscription, and for a subscription as a whole.

Sizes and rates are those Azure publishes (https://learn.microsoft.com/azure/azure-resource-manager/management/
request-limits-and-throttling): a bucket that is full lets a burst through, then what it is refilled with each second. Must
never cost a look into the store: a flood is refused for less than it takes to answer it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
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
_TOGETHER = 15
"""A subscription has this many times what one principal has in it."""
_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
_KEPT = 10_000


class Bucket:
    """Tokens, counted when they are asked for."""

    __slots__ = ("_at", "_limit", "_tokens")

    def __init__(self, limit: Limit, now: float) -> None:
        self._limit, self._tokens, self._at = limit, float(limit.size), now

    def fill(self, now: float) -> float:
        """The tokens there are now."""
        self._tokens = min(float(self._limit.size), self._tokens + (now - self._at) * self._limit.rate)
        self._at = now
        return self._tokens

    def take(self) -> int:
        """Take one of the tokens `fill` found; how many whole ones are left."""
        self._tokens -= 1.0
        return int(self._tokens)

    def wait(self) -> int:
        """Whole seconds until there is a token again."""
        return max(1, math.ceil((1.0 - self._tokens) / self._limit.rate))


class Throttle:
    """The buckets of one front door. They are in memory: a restart forgives."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str, str], Bucket] = OrderedDict()

    def take(self, method: str, tenant: str, subscription: str, principal: str) -> tuple[str, str]:
        """Let one request through: the header that tells what is left. Raises 429 with the seconds to wait.

        Without a `subscription` it counts against the principal in its directory.
        """
        kind, now = _KINDS.get(method, "writes"), self._clock.monotonic()
        own, place = LIMITS[kind], subscription or tenant
        buckets = [self._bucket((kind, place, principal), own, now)]
        if subscription:
            whole = Limit(own.size * _TOGETHER, own.rate * _TOGETHER)
            buckets.append(self._bucket((kind, place, ""), whole, now))
        for bucket in buckets:
            if bucket.fill(now) < 1.0:
                raise _throttled(kind, subscription, tenant, principal, bucket.wait())
        left, *_ = [bucket.take() for bucket in buckets]
        return f"x-ms-ratelimit-remaining-{'subscription' if subscription else 'tenant'}-{kind}", str(left)

    def _bucket(self, key: tuple[str, str, str], limit: Limit, now: float) -> Bucket:
        found = self._buckets.get(key)
        if found is None:
            found = self._buckets[key] = Bucket(limit, now)
            if len(self._buckets) > _KEPT:
                # The one that was asked for least lately has long been full again, or belongs to a flood of names.
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return found


def _throttled(kind: str, subscription: str, tenant: str, principal: str, seconds: int) -> LazurError:
    place = f"subscription '{subscription}'" if subscription else f"tenant '{tenant}'"
    message = (
        f"Number of '{kind.removesuffix('s')}' requests for {place} actor '{principal}' exceeded. Please try again after "
        f"'{seconds}' seconds after additional tokens are available."
    )
    code = "SubscriptionRequestsThrottled" if subscription else "TenantRequestsThrottled"
    return LazurError(code, message, status=429, retryable=True, retry_after=seconds)
