"""Works templates out without keeping everybody else waiting: a little at once, whatever takes longer in a thread apart.

What a template may cost is bounded by its `Budget`, whoever wrote it; here no more than a moment of that is spent where
requests are answered. There is one such thread, so that many such templates hold up each other and nobody else. Must never
let two threads work with the same values: what is asked of the cloud on the way is asked at home, on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from lazur.kernel.apart import LARGE, apart
from lazur.providers.resources.deployments.resource import Placed
from lazur.providers.resources.template import Budget, TakesLong

T = TypeVar("T")
R = TypeVar("R")

BRIEF = 6_000
"""Steps that are taken at once: some milliseconds."""
_PATIENCE = 30.0
"""Seconds until a thread stops waiting for a loop that is no more."""
_ITEMS = 2_000
"""Values in a template that is worked out at once."""


class Home(Protocol):
    """Asks what only the loop's own thread may ask."""

    def __call__(self, ask: Callable[[], R], /) -> R:
        """What `ask` answers."""
        ...


async def worked_out(budget: Budget, work: Callable[[Home], T], *, large: bool = False) -> T:
    """What `work` comes to. It is begun a second time when it takes long, so it must change nothing; what is `large` is not
    begun at once at all."""
    if not large:
        budget.brief(BRIEF)
        try:
            return work(lambda ask: ask())
        except TakesLong:
            budget.brief(None)
    loop = asyncio.get_running_loop()

    def home(ask: Callable[[], Any]) -> Any:
        answer: Future[Any] = Future()

        def at_home() -> None:
            try:
                answer.set_result(ask())
            except BaseException as error:
                answer.set_exception(error)

        loop.call_soon_threadsafe(at_home)
        return answer.result(_PATIENCE)

    return await apart(lambda: work(home))


def is_large(template: Any) -> bool:
    """Whether it takes long only to walk through a template, or to find a place in the text it came in."""
    if isinstance(template, Placed) and template.size > LARGE:
        return True
    left, waiting = _ITEMS, [template]
    while waiting and left > 0:
        item = waiting.pop()
        inside = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else ()
        left -= 1 + len(inside)
        waiting.extend(inside)
    return left <= 0
