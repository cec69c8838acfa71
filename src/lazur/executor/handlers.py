"""What an executor calls: the two shapes of the code that makes desires true.

A `KeyedHandler` looks after things that do not depend on each other (machines, disks); a `DomainHandler` after things
that only make sense together (a network). Both are level-driven: they look at what is, do what is missing, and say how
far they came. They must never keep a decision only in memory, because the process may be killed at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from lazur.model.desire import Desire, Report

Wake = Callable[[str], None]
"""`wake(key)`: the outside state of `key` may have changed, look at it again soon. Unknown keys are ignored."""


@runtime_checkable
class KeyedHandler(Protocol):
    """Makes desires of one kind true, one key at a time.

    The executor calls `apply` and `remove` of different keys concurrently, of one key never at the same time, always
    with the newest generation. They should come back quickly: whoever has to wait (a boot, a shutdown) answers `PENDING`
    and is called again at the next wake or re-check. A raised `LazurError` becomes a report with its body and is tried
    again with growing pauses: `PENDING` when it is retryable, else `FAILED`. Any other exception becomes `PENDING`.
    """

    @property
    def kind(self) -> str:
        """The kind of desire this handler takes."""
        ...

    @property
    def precious(self) -> bool:
        """True: what no document names any more is left alone and merely forgotten, because taking it away cannot be
        undone (a customer's disk). False: it is removed like anything that is not wanted."""
        ...

    async def adopt(self, desires: Sequence[Desire]) -> None:
        """Called once before anything else, with every ledgered desire of this kind: find what an earlier process left,
        take down what no desire names. An exception is logged and does not keep the executor from starting."""
        ...

    async def apply(self, desire: Desire) -> Report:
        """Bring the thing nearer to `desire` and report. Called again at every wake and re-check, so also to find
        out that it is still true."""
        ...

    async def remove(self, desire: Desire) -> Report:
        """Take the thing away; `GONE` once nothing of it is left, else `PENDING`. Harmless when it never was."""
        ...

    async def watch(self, wake: Wake) -> None:
        """Run until cancelled, waking keys whose outside state changed by itself (a process died, a guest got ready).
        When it ends or fails it is started again after a pause; a handler without such changes just returns."""
        ...


@runtime_checkable
class DomainHandler(Protocol):
    """Makes all desires of some kinds true together.

    Called with the whole present picture whenever any of it changed (a burst gives one call) and every minute. Never
    called twice at the same time. An exception leaves every desire that was not yet ready `PENDING` with the cause and
    is tried again with growing pauses.
    """

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of desire this handler takes."""
        ...

    async def reconcile(self, desires: Sequence[Desire]) -> Sequence[Report]:
        """Make the outside world equal to `desires` and report on each. Desires with `removed` are those whose `GONE`
        was not reported yet; what is in no desire at all does not belong to the outside world either."""
        ...


Handler = KeyedHandler | DomainHandler
