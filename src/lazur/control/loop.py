"""The control loop: keys in, one committed plan out.

A key is a resource id, never an event: a change, a report, a timer and a restart all lead to the same reconciliation, which
reads everything again. At most one reconciliation of a key runs at a time. Must never hold state that matters: after a
crash, `run` starts from the store alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Canceled, Failed, Gone, Outcome, Plan, Ready, Waiting
from lazur.kernel.errors import Conflict, LazurError
from lazur.kernel.ids import derived
from lazur.kernel.log import logger
from lazur.model.documents import CANCELED, FAILED, SUCCEEDED, Change, Document, Entry, Event, Operation, Record, Reference
from lazur.model.events import event
from lazur.model.rights import Caller, right

log = logger("control")

Reconcile = Callable[[Context, Record], Awaitable[Plan]]

_RETRY = (0.2, 0.5, 1, 2, 5, 10, 30)
# Attempts before a fault of our own ends the customer's operation, or an entry of the feed is passed over.
_PATIENCE = 4
_SWEEP = 30.0
# Sweeps in which every resource is looked at once, and how many are looked at in one at least.
_PASS = 120
_SLICE = 50
# Pause after a failure of the store itself.
_PAUSE = 1.0
# Feed entries taken in before others have their turn.
_STRETCH = 200
_FEED_KEPT = 10_000
_OPERATIONS_KEPT = timedelta(days=7)
# As long as Azure keeps its activity log.
_EVENTS_KEPT = timedelta(days=90)


class Loop:
    """Reconciles every resource of the store until it is as wanted."""

    def __init__(self, context: Context, workers: int = 32) -> None:
        self.context = context
        self._workers = workers
        self._queue: deque[str] = deque()
        self._queued: set[str] = set()
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._unsettled: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        # As many as there are keys in the queue: each wakes one worker, not all of them.
        self._work = asyncio.Semaphore(0)
        self._behaviour: dict[str, Any] = {}
        # The version of a document that a plan's own commit makes: seeing it come by is no news.
        self._echoes: dict[str, int] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        position = self.context.store.position()
        keys = [record.key for record in self.context.store.list()]
        for key in keys:
            self.wake(key)
        tasks = [asyncio.create_task(self._worker()) for _ in range(self._workers)]
        tasks += [asyncio.create_task(self._follow(position)), asyncio.create_task(self._sweep(len(keys)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in [*tasks, *(t for _, t in self._timers.values())]:
                task.cancel()

    @property
    def idle(self) -> bool:
        """Nothing is queued or running (timers apart)."""
        return not self._queue and not self._active

    def wake(self, key: str) -> None:
        """Have `key` reconciled soon; many wakes are one."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._queue.append(key)
            self._work.release()

    # -- what wakes a key ---------------------------------------------------------------------------------------------

    async def _follow(self, position: int) -> None:
        store, attempts = self.context.store, 0
        while True:
            try:
                entries = store.feed(position, _STRETCH)
                if not entries:
                    await store.changed(position)
                    continue
                bad = self._wake_for(entries)
            except Exception:
                log.exception("cannot follow the feed", position=position)
                await self.context.clock.sleep(_PAUSE)
                continue
            attempts += 1
            if bad and attempts < _PATIENCE:
                # It may be the store that failed, and a signal is not given up for that.
                await self.context.clock.sleep(_PAUSE)
                continue
            for entry in bad:
                log.error("feed entry passed over", sequence=entry.sequence, what=entry.what, key=entry.key)
            position, attempts = entries[-1].sequence, 0
            # However much comes, everybody else has a turn in between.
            await self.context.clock.sleep(0)

    def _wake_for(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Wake whom `entries` concern; the entries that cannot be understood, when all others have been heard."""
        try:
            self._wake_together(entries)
        except Exception as error:
            if len(entries) > 1:
                return [bad for entry in entries for bad in self._wake_for([entry])]
            log.warning("feed entry not understood", sequence=entries[0].sequence, key=entries[0].key, exc_info=error)
            return entries
        return ()

    def _wake_together(self, entries: Sequence[Entry]) -> None:
        # What came together is asked for together: that costs little more than one alone.
        changed = list(dict.fromkeys(e.key for e in entries if e.what == "resource"))
        referrers = self.context.store.referrers_among(changed) if changed else {}
        references = self.context.store.references_among(changed) if changed else {}
        for key in changed:
            self._wake_around(key, referrers.get(key, ()), references.get(key, ()))
        for entry in entries:
            if entry.what == "reference":
                self._wake_document(entry.key)
            elif entry.what == "report":
                self.wake(entry.key)

    def _wake_around(self, key: str, referrers: Sequence[Reference], references: Sequence[Reference]) -> None:
        """A resource changed: itself, whoever refers to it, whatever it needs, and a group that goes.

        What it merely watches (a deployment its resources) has nothing to learn from it, nor has a resource from what its
        own plan has just written.
        """
        record = self.context.store.get(key)
        if record is None:
            self._echoes.pop(key, None)
        if record is None or not (self._echoes.get(key) == record.version or self._settled(record)):
            self.wake(key)
        for reference in referrers:
            self.wake(reference.source)
        for reference in references:
            if reference.blocking:
                self._wake_document(reference.target)
        parts = key.split("/")
        if len(parts) > 5 and parts[3] == "resourcegroups":
            group = self.context.store.get("/".join(parts[:5]))
            if group is not None and group.deleting:
                self.wake(group.key)

    def _wake_document(self, target: str) -> None:
        record = self.context.get(target)
        if record is not None:
            self.wake(record.key)

    async def _sweep(self, count: int) -> None:
        """The periodic path: nothing may depend on a signal alone. What is not settled is looked at every time, and all of
        the `count` resources in turn, for what they want or what was made of it may have changed unseen."""
        after, seen = "", 0
        while True:
            await self.context.clock.sleep(_SWEEP)
            try:
                for key in sorted(self._unsettled):
                    self.wake(key)
                size = max(_SLICE, -(-count // _PASS))
                records = self.context.store.list(after=after, limit=size)
                for record in records:
                    self.wake(record.key)
                seen += len(records)
                if len(records) == size:
                    after = records[-1].key
                else:
                    after, count, seen = "", seen, 0
                now = self.context.clock.now()
                await self.context.store.trim(_FEED_KEPT, now - _OPERATIONS_KEPT, now - _EVENTS_KEPT)
            except Exception:
                log.exception("sweep failed")

    def _later(self, key: str, seconds: float) -> None:
        due = self.context.clock.monotonic() + seconds
        known = self._timers.get(key)
        if known is not None and known[0] <= due and not known[1].done():
            return
        if known is not None:
            known[1].cancel()

        async def ring() -> None:
            await self.context.clock.sleep(seconds)
            self._timers.pop(key, None)
            self.wake(key)

        self._timers[key] = (due, asyncio.create_task(ring()))

    # -- one reconciliation -------------------------------------------------------------------------------------------

    async def _worker(self) -> None:
        while True:
            await self._work.acquire()
            key = self._queue.popleft()
            self._queued.discard(key)
            self._active.add(key)
            try:
                await self.turn(key)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.wake(key)

    async def turn(self, key: str) -> None:
        """Reconcile `key` once and commit the plan. Whatever fails is tried again, the store itself included."""
        record = None
        try:
            record = self.context.store.get(key)
            outcome = await self._reconciled(record) if record is not None else Gone()
        except Conflict:
            self.wake(key)
            return
        except Exception as error:
            failure = self._failure(key, record, error)
            self._back_off(key, error)
            if record is not None and failure is not None:
                await self._record_failure(record, failure)
            return
        self._failures.pop(key, None)
        if isinstance(outcome, Waiting):
            self._unsettled.add(key)
        else:
            self._unsettled.discard(key)
        if isinstance(outcome, Waiting | Ready) and outcome.after is not None:
            self._later(key, outcome.after)

    async def _reconciled(self, record: Record) -> Outcome:
        if self._settled(record):
            return Ready()
        plan = await self._plan(record)
        await self._commit(record, plan)
        for other in plan.wake:
            self.wake(other)
        return plan.outcome

    def _settled(self, record: Record) -> bool:
        """Nothing but a document, and done when it was committed."""
        return record.state == SUCCEEDED and record.observed == record.generation and self._module(record) is None

    def _failure(self, key: str, record: Record | None, error: Exception) -> LazurError | None:
        """What the customer is to be told of `error`, if anything. A fault of our own must not leave anybody waiting for
        ever: after some attempts the operation fails, while retries go on."""
        if isinstance(error, LazurError):
            return None if error.retryable else error
        log.error("reconciliation failed", key=key, exc_info=error)
        if record is None or self._failures.get(key, 0) < _PATIENCE:
            return None
        message = f"The cloud cannot bring '{record.id.name}' to its wanted state because of a fault of its own."
        return LazurError("InternalServerError", message, status=500, internal=repr(error))

    async def _record_failure(self, record: Record, failure: LazurError) -> None:
        try:
            await self._commit(record, Plan(Failed(failure)))
        except Conflict:
            pass
        except Exception:
            log.exception("failure not recorded", key=record.key, code=failure.code)

    def _back_off(self, key: str, error: Exception) -> None:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        log.warning("will retry", key=key, error=str(error), attempt=count + 1)
        self._later(key, _RETRY[min(count, len(_RETRY) - 1)])

    async def _plan(self, record: Record) -> Plan:
        module = self._module(record)
        if not record.deleting:
            return await module.reconcile(self.context, record) if module else Plan(Ready())
        dismantle: Reconcile | None = getattr(module, "dismantle", None)
        if dismantle is not None:
            return await dismantle(self.context, record)
        left = self.context.desires(record)
        return Plan(Waiting("removing") if left else Gone(), desires=())

    def _module(self, record: Record) -> Any:
        if record.type not in self._behaviour:
            declared = self.context.registry.type_of(record.id)
            self._behaviour[record.type] = self.context.registry.behaviour(declared, "controller")
        return self._behaviour[record.type]

    async def _commit(self, record: Record, plan: Plan) -> None:
        change = self.change(record, plan)
        if change is None:
            return
        settled = plan.allocated is None or plan.allocated == record.allocated
        if settled and any(r.key == record.key for r in change.records):
            # What was just allocated is news: a plan may have waited for it to be written.
            self._echoes[record.key] = record.version + 1
        try:
            await self.context.store.commit(change)
        except BaseException:
            self._echoes.pop(record.key, None)
            raise

    def change(self, record: Record, plan: Plan) -> Change | None:
        """The transaction that carries out `plan`, or None when nothing would change."""
        after = self._after(record, plan)
        operations = self._finished(record, plan)
        gone = isinstance(plan.outcome, Gone)
        marked = [self._marked(k) for k in plan.delete]
        rewire = {} if plan.references is None else {record.key: (plan.references, None)}
        unchanged = after == record and not gone and not operations and not any(marked) and not rewire
        if unchanged and (plan.desires is None or self._same_desires(record, plan)):
            return None
        records = [m for m in marked if m is not None]
        written = after != record and not gone
        if written:
            records.append(after.with_(version=record.version + 1))
        guard = [plan.guard] if plan.guard else []
        return Change(
            records=records,
            removed=[(r.key, r.version) for r in (record, *self._extensions(record))] if gone else (),
            unchanged=() if written or gone else [(record.key, record.version)],
            operations=operations,
            rewire=rewire,
            unreferenced=plan.delete,
            desires_of=record.key if plan.desires is not None else None,
            desires=plan.desires or (),
            documents=[Document(d.name, d.version + 1, d.content) for d in guard],
            abandoned=plan.abandoned,
            events=[self._ended(record, operation) for operation in operations],
        )

    def _ended(self, record: Record, operation: Operation) -> Event:
        """What the activity log says of an operation that came to its end."""
        verb = {"PUT": "write", "DELETE": "delete"}.get(operation.verb, f"{operation.verb}/action")
        method = operation.verb if verb in ("write", "delete") else "POST"
        caller = Caller.from_document(record.changed_by or record.created_by)
        code = 200 if operation.error is None else 409
        told = event(record, caller, right(record.id.type, verb), method, operation.status, self.context.clock.now(), code)
        # Two of a kind (a start asked for twice) end at the same moment and stay two.
        return replace(told, id=derived(operation.id, operation.status))

    def _extensions(self, record: Record) -> list[Record]:
        """What was put on `record` or on a child of it (locks, role assignments): it goes with it."""
        return [r for r in self.context.store.list(prefix=f"{record.key}/") if r.id.base is not None]

    def _after(self, record: Record, plan: Plan) -> Record:
        status = record.status if plan.status is None else plan.status
        allocated = record.allocated if plan.allocated is None else plan.allocated
        state, observed, error = record.state, record.observed, record.error
        if isinstance(plan.outcome, Ready):
            state, observed, error = SUCCEEDED, record.generation, None
        elif isinstance(plan.outcome, Failed):
            state, observed, error = FAILED, record.generation, plan.outcome.error.body()
        elif isinstance(plan.outcome, Canceled):
            state, observed, error = CANCELED, record.generation, plan.outcome.error.body()
        return record.with_(status=status, allocated=allocated, state=state, observed=observed, error=error)

    def _finished(self, record: Record, plan: Plan) -> list[Operation]:
        if isinstance(plan.outcome, Waiting):
            return []
        ended = []
        for operation in self.context.store.open_operations(record.key):
            if operation.generation > record.generation:
                continue
            error = plan.outcome.error.body() if isinstance(plan.outcome, Failed | Canceled) else None
            status = CANCELED if isinstance(plan.outcome, Canceled) else FAILED if error else SUCCEEDED
            if isinstance(plan.outcome, Gone) and operation.verb != "DELETE":
                message = f"'{record.id.name}' was deleted before '{operation.verb}' was done."
                status, error = CANCELED, LazurError("OperationPreempted", message, status=409).body()
            fields = {**vars(operation), "status": status, "error": error}
            ended.append(Operation(**{**fields, "ended": self.context.clock.now()}))
        return ended

    def _marked(self, key: str) -> Record | None:
        found = self.context.store.get(key)
        return None if found is None or found.deleting else found.going()

    def _same_desires(self, record: Record, plan: Plan) -> bool:
        stored = {(d.wanted.domain, d.wanted.kind, d.wanted.key): d for d in self.context.store.desires(record.key)}
        wanted = {(w.domain, w.kind, w.key): w for w in plan.desires or ()}
        if any(k not in stored or stored[k].removed or stored[k].wanted != w for k, w in wanted.items()):
            return False
        return all(d.removed for k, d in stored.items() if k not in wanted)
