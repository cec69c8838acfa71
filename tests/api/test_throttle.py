"""The throttle against a model that counts every token one by one, and at the front door."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.api.throttle import LIMITS, Throttle
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from tests.api.front import Door, at_the_door, world_of
from tests.cloud.cloud import Cloud

METHODS = {"GET": "reads", "HEAD": "reads", "PUT": "writes", "PATCH": "writes", "POST": "writes", "DELETE": "deletes"}


class Hand:
    """A clock that is moved by hand, in eighths of a second, which floating point holds exactly."""

    def __init__(self) -> None:
        self.eighths = 0

    def monotonic(self) -> float:
        return self.eighths / 8

    def now(self) -> datetime:
        raise AssertionError("the throttle knows no calendar")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the throttle waits for nothing")


class Model:
    """One bucket, exact."""

    def __init__(self, kind: str) -> None:
        self.limit, self.tokens, self.at = LIMITS[kind], Fraction(LIMITS[kind].size), 0

    def take(self, eighths: int) -> int | None:
        self.tokens = min(Fraction(self.limit.size), self.tokens + Fraction(eighths - self.at, 8) * self.limit.rate)
        self.at = eighths
        if self.tokens < 1:
            return None
        self.tokens -= 1
        return int(self.tokens)


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(sorted(METHODS)), st.integers(1, 120)), max_size=30))
def test_the_buckets_are_exact(steps: list[tuple[int, str, int]]) -> None:
    clock, models = Hand(), {kind: Model(kind) for kind in LIMITS}
    throttle = Throttle(clock, lambda subscription: "t")
    for pause, method, count in steps:
        clock.eighths += pause
        for _ in range(count):
            expected = models[METHODS[method]].take(clock.eighths)
            try:
                _, left = throttle.take(method, "t", "s", "ann")
                assert int(left) == expected
            except LazurError as error:
                assert expected is None and error.status == 429
                waited = Fraction(1) - models[METHODS[method]].tokens
                assert 0 <= error.retry_after - waited / LIMITS[METHODS[method]].rate < 1 or error.retry_after == 1


def test_a_subscription_has_fifteen_times_what_one_has() -> None:
    throttle, passed = Throttle(Hand(), lambda subscription: "t"), 0
    for principal in range(20):
        for _ in range(LIMITS["writes"].size):
            try:
                throttle.take("PUT", "t", "s", f"p{principal}")
                passed += 1
            except LazurError:
                break
    assert passed == 15 * LIMITS["writes"].size
    assert throttle.take("PUT", "t", "other", "p0") == ("x-ms-ratelimit-remaining-subscription-writes", "199")
    assert throttle.take("GET", "t", "", "p0") == ("x-ms-ratelimit-remaining-tenant-reads", "249")


def test_another_directorys_subscription_is_not_used_up_and_made_up_ones_give_nothing_more() -> None:
    throttle, passed = Throttle(Hand(), lambda subscription: "t" if subscription == "s" else ""), 0
    for n in range(2 * LIMITS["writes"].size):
        for subscription in ("s", f"made-up-{n}"):
            with contextlib.suppress(LazurError):
                throttle.take("PUT", "elsewhere", subscription, "bob")
                passed += 1
    assert passed == LIMITS["writes"].size
    assert throttle.take("PUT", "t", "s", "ann") == ("x-ms-ratelimit-remaining-subscription-writes", "199")


def test_who_is_refused_hears_of_it_late_and_one_by_one() -> None:
    async def main(clock: VirtualClock) -> list[float]:
        throttle, told = Throttle(clock, lambda subscription: "t"), []

        async def ask() -> None:
            with pytest.raises(LazurError):
                await throttle.admit("DELETE", "t", "s", "ann")
            told.append(round(clock.monotonic() - begun, 3))

        for _ in range(LIMITS["deletes"].size):
            await throttle.admit("DELETE", "t", "s", "ann")
        begun = clock.monotonic()
        await asyncio.gather(*(ask() for _ in range(4)))
        # Nobody else waits for it.
        await throttle.admit("DELETE", "t", "s", "bob")
        return told

    assert run_virtual(main) == [0.5, 0.51, 0.52, 0.53]


async def _group(cloud: Cloud) -> None:
    await cloud.with_group("rg")


@pytest.mark.parametrize("on", [True, False])
def test_at_the_front_door(on: bool) -> None:
    async def main(door: Door) -> None:
        path = f"/subscriptions/{door.plane.stamp.subscription}/resourceGroups/rg"
        door.plane.app.arm.throttle = Throttle(door.cloud.clock, door.plane.authority.directory_of) if on else None
        answers = [await door.ask("DELETE", path + "/providers/Microsoft.Authorization/locks/none") for _ in range(201)]
        assert {a.status for a in answers[:200]} == {204}
        if not on:
            assert answers[200].status == 204 and "x-ms-ratelimit-remaining-subscription-deletes" not in answers[0].headers
            return
        assert answers[0].headers["x-ms-ratelimit-remaining-subscription-deletes"] == "199"
        assert answers[200].status == 429 and answers[200].headers["retry-after"] == "1"
        assert answers[200].error["code"] == "SubscriptionRequestsThrottled"
        assert (await door.ask("GET", path)).status == 200

    at_the_door(world_of("a group", _group), main)
