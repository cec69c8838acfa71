"""The executor's loop: take desires, ledger them, call handlers until each is true, report.

Works from the ledger when the control plane is dead and catches up when it is back. Must never act on a desire that is
not ledgered, never on an older generation, and never lose a report the control plane has not accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lazur.executor.handlers import DomainHandler, Handler, KeyedHandler
from lazur.executor.ledger import Ledger
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.kernel.log import logger
from lazur.model.desire import Batch, Desire, DesireSource, Report, State

_log = logger("executor")

Slot = tuple[str, str]
"""Kind and key of a desire."""


@dataclass(frozen=True)
class Pace:
    """Pauses in seconds. All are upper bounds: a change wakes the sleeper."""

    poll: float = 30.0
    """How long one question for changes may stay open at the control plane."""
    recheck_pending: float = 5.0
    recheck_ready: float = 30.0
    recheck_failed: float = 60.0
    domain: float = 60.0
    """Between two looks of a domain handler when nothing changes."""
    retry_first: float = 1.0
    retry_last: float = 30.0

    def retry(self, attempt: int) -> float:
        """The pause before attempt number `attempt` (1 is the first repetition): doubling up to `retry_last`."""
        return min(self.retry_last, self.retry_first * 2.0 ** min(attempt - 1, 16))

    def recheck(self, state: State) -> float:
        """The pause before a desire in this state is looked at again."""
        return {State.PENDING: self.recheck_pending, State.READY: self.recheck_ready}.get(state, self.recheck_failed)


@dataclass
class _Held:
    """A desire the executor holds and what wakes whoever serves it."""

    desire: Desire
    wake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Whole:
    """A domain handler, what wakes it, and whether it has seen to everything it was woken for."""

    handler: DomainHandler
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """There is something to see to."""
        self.idle.clear()
        self.woken.set()


class Executor:
    """Serves one domain with the given handlers until cancelled; `ready` is set once the ledger was adopted."""

    def __init__(
        self,
        domain: str,
        source: DesireSource,
        ledger: Ledger,
        handlers: Sequence[Handler],
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self._domain = domain
        self._source = source
        self._ledger = ledger
        self._clock = clock
        self._pace = pace or Pace()
        self._keyed: dict[str, KeyedHandler] = {}
        self._whole: dict[str, _Whole] = {}
        self._wholes: list[_Whole] = []
        for handler in handlers:
            if isinstance(handler, DomainHandler):
                self._wholes.append(_Whole(handler))
                self._whole.update(dict.fromkeys(handler.kinds, self._wholes[-1]))
            else:
                self._keyed[handler.kind] = handler
        self._held: dict[Slot, _Held] = {}
        self._outbox: dict[Slot, Report] = {}
        self._accepted: dict[Slot, Report] = {}
        self._outbox_wake = asyncio.Event()
        self.ready = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled. A failure of this loop itself ends it; handlers' and the source's failures do not."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            known = self._ledger.load()
            batch = None
            if not known or not self._ledger.current:
                # An empty ledger may be a lost one: what runs here must not be taken for leftovers before the control plane
                # has said so. One from before the machine was switched on may want what runs elsewhere by now.
                batch = await self._changes(0)
                self._take(batch)
                known = self._ledger.load()
            self._ledger.current = True
            await self._adopt(known)
            for desire in known:
                self._hold(desire)
            self.ready.set()
            for keyed in self._keyed.values():
                tasks.create_task(self._watch(keyed))
            for whole in self._wholes:
                tasks.create_task(self._serve_whole(whole))
            tasks.create_task(self._deliver())
            tasks.create_task(self._receive(batch.cursor if batch else 0))

    # Intake

    async def _receive(self, cursor: int) -> None:
        while True:
            batch = await self._changes(cursor)
            cursor = batch.cursor
            fresh = self._take(batch)
            if batch.full:
                # The control plane may have lost answers it once took (restored from a backup): say everything again.
                self._accepted.clear()
                for held in self._held.values():
                    held.wake.set()
                for whole in self._wholes:
                    whole.wake()
            for desire in fresh:
                self._hold(desire)
            if not self._keyed:
                # What is asked for meanwhile comes together in the next question, and in one piece of work.
                await asyncio.gather(*(whole.idle.wait() for whole in self._wholes))

    def _take(self, batch: Batch) -> list[Desire]:
        """Ledger a batch; returns what is new in it."""
        fresh = []
        for desire in (*batch.desires, *self._dropped(batch)):
            try:
                if self._ledger.accept(desire):
                    fresh.append(desire)
            except LazurError as error:
                _log.error("desire_refused", kind=desire.kind, key=desire.key, code=error.code, error=error.message)
        self._ledger.keep()
        return fresh

    def _dropped(self, batch: Batch) -> Iterable[Desire]:
        """Removals of what is held here and not in a full batch; what is precious is only complained about."""
        if not batch.full:
            return []
        named = {(d.kind, d.key) for d in batch.desires}
        unnamed = [d for d in self._ledger.load() if (d.kind, d.key) not in named and not d.removed]
        gone = [d for d in unnamed if d.kind not in self._keyed or not self._keyed[d.kind].precious]
        for desire in unnamed:
            if desire not in gone:
                _log.error("desire_vanished", kind=desire.kind, key=desire.key)
        return [Desire(d.domain, d.kind, d.key, d.generation + 1, d.payload, removed=True) for d in gone]

    async def _adopt(self, known: Sequence[Desire]) -> None:
        for handler in self._keyed.values():
            try:
                await handler.adopt([d for d in known if d.kind == handler.kind])
            except Exception as error:
                _log.error("adopt_failed", kind=handler.kind, error=repr(error), exc_info=True)

    def _hold(self, desire: Desire) -> None:
        slot = (desire.kind, desire.key)
        held = self._held.get(slot)
        if held is not None:
            held.desire = desire
            held.wake.set()
        else:
            held = self._held[slot] = _Held(desire)
            if desire.kind in self._keyed:
                self._spawn(self._serve(slot, held, self._keyed[desire.kind]))
            elif desire.kind not in self._whole:
                message = f"This executor serves no desires of kind '{desire.kind}'."
                error = LazurError("UnknownDesire", message, target=desire.key)
                self._publish(_failure(desire, error, State.FAILED))
        if desire.kind in self._whole:
            self._whole[desire.kind].wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(work)

    # Keyed handlers

    async def _serve(self, slot: Slot, held: _Held, handler: KeyedHandler) -> None:
        """Look after one key until it is gone."""
        attempt = 0
        while True:
            held.wake.clear()
            desire = held.desire
            try:
                report = await (handler.remove(desire) if desire.removed else handler.apply(desire))
                attempt = 0
                pause = self._pace.recheck(report.state)
            except Exception as error:
                attempt += 1
                pause = self._pace.retry(attempt)
                report = self._explain(desire, error)
            self._publish(report)
            if report.state is State.GONE and desire.removed and held.desire is desire:
                del self._held[slot]
                self._ledger.forget(*slot)
                return
            await self._rest(held.wake, pause)

    async def _watch(self, handler: KeyedHandler) -> None:
        def wake(key: str) -> None:
            held = self._held.get((handler.kind, key))
            if held is not None:
                held.wake.set()

        attempt = 0
        while True:
            try:
                await handler.watch(wake)
                return
            except Exception as error:
                attempt += 1
                _log.error("watch_failed", kind=handler.kind, error=repr(error), exc_info=True)
            await self._clock.sleep(self._pace.retry(attempt))

    # Domain handlers

    async def _serve_whole(self, whole: _Whole) -> None:
        handler, attempt = whole.handler, 0
        while True:
            whole.woken.clear()
            desires = [held.desire for held in self._held.values() if held.desire.kind in handler.kinds]
            try:
                for report in await handler.reconcile(desires):
                    self._settle_whole(report)
                attempt = 0
                pause = self._pace.domain
            except Exception as error:
                attempt += 1
                pause = self._pace.retry(attempt)
                for desire in desires:
                    last = self._last((desire.kind, desire.key))
                    # What was ready at this generation is no less so because the next look failed.
                    if last is None or last.generation != desire.generation or last.state is not State.READY:
                        self._publish(self._explain(desire, error, State.PENDING))
            if not whole.woken.is_set():
                whole.idle.set()
            await self._rest(whole.woken, pause)

    def _settle_whole(self, report: Report) -> None:
        slot = (report.kind, report.key)
        held = self._held.get(slot)
        self._publish(report)
        if report.state is not State.GONE or held is None or not held.desire.removed:
            return
        if held.desire.generation == report.generation:
            del self._held[slot]
            self._ledger.forget(*slot)

    # Reports

    def _publish(self, report: Report) -> None:
        slot = (report.kind, report.key)
        if self._last(slot) != report:
            self._outbox[slot] = report
            self._outbox_wake.set()

    def _last(self, slot: Slot) -> Report | None:
        """What was said last of a desire, accepted or still to be sent."""
        return self._outbox.get(slot) or self._accepted.get(slot)

    async def _deliver(self) -> None:
        attempt = 0
        while True:
            await self._outbox_wake.wait()
            self._outbox_wake.clear()
            sending = dict(self._outbox)
            if not sending:
                continue
            try:
                await self._send(list(sending.values()))
            except Unavailable as error:
                attempt += 1
                _log.info("reports_undelivered", domain=self._domain, internal=error.internal, attempt=attempt)
                self._outbox_wake.set()
                await self._clock.sleep(self._pace.retry(attempt))
                continue
            attempt = 0
            for slot, report in sending.items():
                if self._outbox.get(slot) is report:
                    del self._outbox[slot]
                if report.state is State.GONE:
                    self._accepted.pop(slot, None)
                else:
                    self._accepted[slot] = report
            if self._outbox:
                self._outbox_wake.set()

    async def _send(self, reports: list[Report]) -> None:
        """Deliver; a report the control plane refuses for good is logged and must not hold up the others."""
        try:
            await self._source.report(reports)
        except Unavailable:
            raise
        except LazurError as error:
            if len(reports) == 1:
                _log.error("report_refused", kind=reports[0].kind, key=reports[0].key, internal=error.internal)
                return
            for report in reports:
                await self._send([report])

    def _explain(self, desire: Desire, error: Exception, state: State | None = None) -> Report:
        """A handler's failure as a report, and as a log line with what the customer may not see."""
        if isinstance(error, LazurError):
            facts = {"code": error.code, "error": error.message, "internal": error.internal}
            _log.warning("step_failed", kind=desire.kind, key=desire.key, **facts)
            return _failure(desire, error, state or (State.PENDING if error.retryable else State.FAILED))
        _log.error("step_crashed", kind=desire.kind, key=desire.key, error=repr(error), exc_info=error)
        message = f"The executor of {self._domain} met an unexpected error ({type(error).__name__}); it tries again."
        shown = LazurError("InternalExecutionError", message)
        return _failure(desire, shown, state or State.PENDING)

    # Waiting

    async def _rest(self, event: asyncio.Event, seconds: float) -> None:
        """Until `event` is set or `seconds` have passed."""
        sleeper = asyncio.create_task(self._clock.sleep(seconds))
        sleeper.add_done_callback(lambda done: None if done.cancelled() else event.set())
        try:
            await event.wait()
        finally:
            sleeper.cancel()

    async def _changes(self, cursor: int) -> Batch:
        """The next batch, asked for with growing pauses until the control plane answers."""
        attempt = 0
        while True:
            try:
                return await self._source.changes(cursor, self._pace.poll)
            except LazurError as error:
                attempt += 1
                log = _log.info if isinstance(error, Unavailable) else _log.error
                log("desires_unreachable", domain=self._domain, code=error.code, internal=error.internal, attempt=attempt)
            await self._clock.sleep(self._pace.retry(attempt))


def _failure(desire: Desire, error: LazurError, state: State) -> Report:
    return Report(desire.kind, desire.key, desire.generation, state, error.body())
