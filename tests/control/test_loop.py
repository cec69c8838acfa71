"""The control loop over a toy type: what wakes a key, what happens when a controller fails, and what survives."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from lazur.control.context import Context
from lazur.control.loop import Loop
from lazur.control.plan import Gone, Plan, Ready, Waiting
from lazur.control.presence import Presence
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.kernel.ids import SeededIds
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from lazur.model.desire import Report, State
from lazur.model.documents import Change, Entry, Operation, Record, Reference, Wanted
from lazur.model.fields import Model
from lazur.model.registry import AnyResource, Provider, Registry
from lazur.model.resource import Resource
from lazur.model.stamp import Stamp
from lazur.store.sqlite import SqliteStore

GROUP = ArmId("sub", "rg")
Reconcile = Callable[[Context, Record], Awaitable[Plan]]


class CarSpec(Model):
    """Nothing of interest."""


class Car(Resource[CarSpec]):
    """A toy."""

    type = "Contoso.Toys/cars"
    api_versions = ("2024-11-01",)
    example: ClassVar[Mapping[str, Any]] = {}


class _Toys(Registry):
    """A registry whose only controller is the test's own."""

    def __init__(self, reconcile: Reconcile) -> None:
        super().__init__([Provider("Contoso.Toys", [Car])])
        self._controller: Any = SimpleNamespace(reconcile=reconcile)

    def behaviour(self, type: AnyResource, module: str) -> Any:
        return self._controller


class Garage:
    """A store of toys and a loop over it."""

    def __init__(self, clock: VirtualClock, reconcile: Reconcile, store: SqliteStore | None = None, workers: int = 8) -> None:
        self.clock = clock
        self.store = store or SqliteStore(None)
        self.turns: list[tuple[str, float]] = []
        self._reconcile = reconcile
        stamp = Stamp("local", "d", "t", "sub", "m", "l")
        front: Any = None
        context = Context(
            self.store,
            _Toys(self._turn),
            stamp,
            clock,
            SeededIds(1),
            front,
            lambda b, c: "",
            lambda t, c: b"",
            Presence(clock),
        )
        self.loop = Loop(context, workers)

    async def _turn(self, context: Context, record: Record) -> Plan:
        self.turns.append((record.id.name, self.clock.monotonic()))
        return await self._reconcile(context, record)

    async def write(
        self, name: str, *, to: Sequence[str] | None = None, operations: Sequence[Operation] = (), **fields: Any
    ) -> None:
        """Create or change a toy; `to` names the toys it refers to."""
        old = self.get(name)
        now = self.clock.now()
        record = old or Record(car(name), f"uid-{name}", 0, 0, {}, "Updating", "e", "2024-11-01", now, now)
        record = record.with_(generation=record.generation + 1, version=record.version + 1, **fields)
        rewire: dict[str, Any] = {}
        if to is not None:
            rewire[record.key] = ([Reference(record.key, f"p[{t}]", car(t).key) for t in to], ())
        await self.store.commit(Change(records=[record], rewire=rewire, operations=operations))

    def get(self, name: str) -> Record | None:
        return self.store.get(car(name).key)

    def state(self, name: str) -> str:
        found = self.get(name)
        return found.state if found else "absent"

    async def woken(self, change: Awaitable[None], seconds: float = 5.0) -> set[str]:
        """The toys that are reconciled because of `change`."""
        await self.clock.sleep(5.0)
        before = len(self.turns)
        await change
        await self.clock.sleep(seconds)
        return {name for name, _ in self.turns[before:]}


def car(name: str) -> ArmId:
    return GROUP.resource("Contoso.Toys/cars", name)


def play(
    reconcile: Reconcile,
    story: Callable[[Garage], Awaitable[None]],
    *,
    store: SqliteStore | None = None,
    prepare: Callable[[Garage], Awaitable[None]] | None = None,
    workers: int = 8,
) -> None:
    """Tell `story` while the loop runs; the loop must still run at its end."""

    async def main(clock: VirtualClock) -> None:
        garage = Garage(clock, reconcile, store, workers)
        if prepare:
            await prepare(garage)
        running = asyncio.ensure_future(garage.loop.run())
        await story(garage)
        assert not running.done(), "the loop ended by itself"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    # Drawing the pictures of tracebacks would take longer than all the rest.
    with capture_logs():
        run_virtual(main)


async def ready(context: Context, record: Record) -> Plan:
    return Plan(Ready())


def test_a_change_wakes_both_ends_of_its_references() -> None:
    async def story(garage: Garage) -> None:
        for name in "target", "stranger":
            await garage.write(name)
        await garage.write("source", to=["target"])
        assert await garage.woken(garage.write("target")) == {"target", "source"}
        assert await garage.woken(garage.write("source")) == {"target", "source"}
        assert await garage.woken(garage.write("stranger")) == {"stranger"}
        assert await garage.woken(garage.write("source", to=["stranger"])) == {"source", "target", "stranger"}
        assert await garage.woken(garage.write("target")) == {"target"}

    play(ready, story)


def test_what_a_plan_has_just_written_is_no_news_to_itself() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        if record.status.get("seen") == record.generation:
            return Plan(Ready())
        if "place" not in record.allocated:
            return Plan(Waiting("for its place to be written"), allocated={"place": 1})
        return Plan(Ready(), status={"seen": record.generation})

    async def story(garage: Garage) -> None:
        await garage.write("watcher", to=["a"])
        await garage.clock.sleep(5)
        garage.turns.clear()
        await garage.write("a")
        await garage.clock.sleep(5)
        names = [name for name, _ in garage.turns]
        assert names.count("a") == 2, "once for the write and once for what was allocated"
        assert garage.state("a") == "Succeeded"
        assert "watcher" in names, "others learn of it"
        garage.turns.clear()
        await garage.write("a")
        await garage.clock.sleep(5)
        found = garage.get("a")
        assert found is not None and found.status == {"seen": 2}
        assert [name for name, _ in garage.turns].count("a") == 1

    play(reconcile, story)


def test_a_deleted_referrer_wakes_what_it_referred_to() -> None:
    async def story(garage: Garage) -> None:
        await garage.write("target")
        await garage.write("source", to=["target"])
        await garage.clock.sleep(5)
        found = garage.get("source")
        assert found is not None
        assert await garage.woken(garage.store.commit(Change(removed=[(found.key, found.version)]))) == {"target"}

    play(ready, story)


def test_an_answer_wakes_the_owner_of_the_desire() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        wanted = [Wanted("host/h01", "toy", record.uid, {})]
        done = any(d.ready for d in context.desires(record))
        return Plan(Ready() if done else Waiting("for the toy"), desires=wanted)

    async def story(garage: Garage) -> None:
        await garage.write("a")
        await garage.write("b")
        await garage.clock.sleep(1)
        assert garage.state("a") == "Updating"
        (desire,) = garage.store.desires(car("a").key)
        reports = [Report("toy", "uid-a", desire.generation, State.READY)]
        assert await garage.woken(garage.store.report("host/h01", reports)) == {"a"}
        assert (garage.state("a"), garage.state("b")) == ("Succeeded", "Updating")

    play(reconcile, story)


def test_one_reconciliation_of_a_key_at_a_time() -> None:
    active: dict[str, int] = {}
    most: dict[str, int] = {}
    together: list[int] = []

    async def reconcile(context: Context, record: Record) -> Plan:
        name = record.id.name
        active[name] = active.get(name, 0) + 1
        most[name] = max(most.get(name, 0), active[name])
        together.append(sum(active.values()))
        await context.clock.sleep(1)
        active[name] -= 1
        return Plan(Ready())

    async def story(garage: Garage) -> None:
        for number in range(12):
            await garage.write(f"c{number % 3}")
            await garage.clock.sleep(0.3)
        for _ in range(50):
            garage.loop.wake(car("c0").key)
        await garage.clock.sleep(30)
        assert all(garage.state(f"c{n}") == "Succeeded" for n in range(3)), "no change is missed"
        assert set(most.values()) == {1} and max(together) == 3, "keys run side by side, one key never twice"
        assert sum(1 for name, _ in garage.turns if name == "c0") < 15, "many wakes are one"

    play(reconcile, story)


def test_a_retryable_error_is_tried_again_ever_more_slowly() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        if context.clock.monotonic() < 30:
            raise Unavailable("Not yet.")
        return Plan(Ready())

    async def story(garage: Garage) -> None:
        await garage.write("a")
        await garage.clock.sleep(25)
        assert garage.state("a") == "Updating", "it did not fail"
        await garage.clock.sleep(60)
        assert garage.state("a") == "Succeeded"
        times = [t for _, t in garage.turns]
        pauses = [round(b - a, 6) for a, b in itertools.pairwise(times) if b - a > 0]
        assert pauses[:5] == sorted(pauses[:5]) and pauses[4] > 5 * pauses[0], pauses

    play(reconcile, story)


def test_an_error_for_good_fails_the_resource_and_its_operation() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        if record.generation == 1:
            raise LazurError("NoWheels", "It has no wheels.", target="wheels")
        return Plan(Ready())

    async def story(garage: Garage) -> None:
        def operation(generation: int) -> Operation:
            return Operation(f"op{generation}", car("a").key, "PUT", generation, "sub", "t", garage.clock.now())

        await garage.write("a", operations=[operation(1), operation(2)])
        await garage.clock.sleep(5)
        found, ended, later = garage.get("a"), garage.store.operation("op1"), garage.store.operation("op2")
        assert found is not None and found.error == {"code": "NoWheels", "message": "It has no wheels.", "target": "wheels"}
        assert ended is not None and ended.status == "Failed" and ended.error == found.error and ended.ended is not None
        assert later is not None and later.ended is None, "it is about a generation to come"
        await garage.write("a")
        await garage.clock.sleep(60)
        found, later = garage.get("a"), garage.store.operation("op2")
        assert found is not None and (found.state, found.error, found.observed) == ("Succeeded", None, 2)
        assert later is not None and later.status == "Succeeded"

    play(reconcile, story)


def test_a_programming_error_stops_nothing() -> None:
    broken = {"a", "b"}

    async def reconcile(context: Context, record: Record) -> Plan:
        if record.id.name in broken:
            raise ZeroDivisionError
        return Plan(Ready())

    async def story(garage: Garage) -> None:
        for name in "abcd":
            await garage.write(name)
        await garage.clock.sleep(2)
        assert [garage.state(n) for n in "abcd"] == ["Updating", "Updating", "Succeeded", "Succeeded"]
        await garage.clock.sleep(120)
        assert [garage.state(n) for n in "abcd"] == ["Failed", "Failed", "Succeeded", "Succeeded"], "nobody waits for ever"
        broken.clear()
        await garage.clock.sleep(120)
        assert [garage.state(n) for n in "ab"] == ["Succeeded", "Succeeded"]

    play(reconcile, story, workers=2)


def test_a_plan_made_of_something_stale_is_made_again() -> None:
    async def story(garage: Garage) -> None:
        await garage.write("a", body={"n": 1})
        await garage.clock.sleep(0.5)
        await garage.write("a", body={"n": 2})
        await garage.clock.sleep(10)
        found = garage.get("a")
        assert found is not None and found.status == {"seen": {"n": 2}} and found.observed == found.generation == 2
        assert found.version == 3, "the first plan was not written"

    async def reconcile(context: Context, record: Record) -> Plan:
        await context.clock.sleep(1)
        return Plan(Ready(), status={"seen": record.body})

    play(reconcile, story)


class _Deaf(SqliteStore):
    """A store whose every signal is lost."""

    def feed(self, since: int, limit: int = 1000) -> Sequence[Entry]:
        return []

    async def changed(self, since: int, name: str = "") -> None:
        await asyncio.Event().wait()


def test_the_sweep_makes_up_for_lost_signals() -> None:
    async def story(garage: Garage) -> None:
        await garage.write("a")
        await garage.clock.sleep(60)
        assert garage.state("a") == "Succeeded"

    play(ready, story, store=_Deaf(None))


def test_the_sweep_makes_up_for_lost_answers() -> None:
    open_for: list[str] = []

    async def reconcile(context: Context, record: Record) -> Plan:
        return Plan(Ready() if record.id.name in open_for else Waiting("for something to happen"))

    async def prepare(garage: Garage) -> None:
        for number in range(200):
            await garage.write(f"c{number:03}")

    async def story(garage: Garage) -> None:
        await garage.clock.sleep(5)
        open_for.extend(f"c{number:03}" for number in range(200))
        await garage.clock.sleep(31)
        assert {garage.state(f"c{n:03}") for n in range(200)} == {"Succeeded"}, "what waits is looked at in every sweep"

    play(reconcile, story, store=_Deaf(None), prepare=prepare)


def test_what_is_settled_is_looked_at_in_its_turn() -> None:
    """What a controller decides from may change without any signal: a bug mended, a file of the stamp, a lost entry."""
    number = [1]

    async def reconcile(context: Context, record: Record) -> Plan:
        return Plan(Ready(), status={"number": number[0]})

    async def prepare(garage: Garage) -> None:
        for name in range(170):
            await garage.write(f"c{name:03}")

    def seen(garage: Garage) -> list[int]:
        return sorted(r.status["number"] for r in garage.store.list())

    async def story(garage: Garage) -> None:
        await garage.clock.sleep(5)
        assert seen(garage) == [1] * 170
        number[0] = 2
        await garage.clock.sleep(30)
        assert seen(garage).count(2) == 50, "a few at a time"
        await garage.clock.sleep(90)
        assert seen(garage) == [2] * 170
        number[0] = 3
        await garage.clock.sleep(120)
        assert seen(garage) == [3] * 170, "and again"

    play(reconcile, story, store=_Deaf(None), prepare=prepare)


class _Failing(SqliteStore):
    """A store whose disk fails now and then: the methods named in `fails` raise, each once."""

    def __init__(self) -> None:
        super().__init__(None)
        self.fails: list[str] = []

    def _maybe(self, name: str) -> None:
        if name in self.fails:
            self.fails.remove(name)
            raise sqlite3.OperationalError("disk I/O error")

    async def commit(self, change: Change) -> None:
        self._maybe("commit")
        await super().commit(change)

    async def trim(self, entries: int, operations: datetime, events: datetime) -> None:
        self._maybe("trim")
        await super().trim(entries, operations, events)

    def get(self, key: str) -> Record | None:
        self._maybe("get")
        return super().get(key)

    def list(self, *, prefix: str = "", type: str = "", after: str = "", limit: int | None = None) -> Sequence[Record]:
        self._maybe("list")
        return super().list(prefix=prefix, type=type, after=after, limit=limit)

    def feed(self, since: int, limit: int = 1000) -> Sequence[Entry]:
        self._maybe("feed")
        return super().feed(since, limit)


@pytest.mark.parametrize("fails", ["commit", "trim", "get", "list", "feed"])
@pytest.mark.parametrize("fault", [None, LazurError("NoWheels", "It has no wheels."), ZeroDivisionError()])
def test_a_failing_disk_does_not_end_the_loop(fails: str, fault: Exception | None) -> None:
    store = _Failing()
    broken: list[Exception] = []

    async def reconcile(context: Context, record: Record) -> Plan:
        if broken:
            raise broken[0]
        return Plan(Ready(), status={"body": record.body})

    async def story(garage: Garage) -> None:
        await garage.write("a")
        await garage.clock.sleep(1)
        if fault is not None:
            broken.append(fault)
        await garage.write("a", body={"n": 1})
        # As often as it takes for the failure of what the failure led to.
        for _ in range(6):
            store.fails.append(fails)
            await garage.clock.sleep(40)
        broken.clear()
        store.fails.clear()
        await garage.clock.sleep(120)
        found = garage.get("a")
        assert found is not None and (found.state, found.status) == ("Succeeded", {"body": {"n": 1}})
        await garage.write("b")
        await garage.clock.sleep(40)
        assert garage.state("b") == "Succeeded"

    play(reconcile, story, store=store)


class _Poisoned(SqliteStore):
    """A store with one document that cannot be read alone."""

    def get(self, key: str) -> Record | None:
        if key == car("poison").key:
            raise ValueError("not a document")
        return super().get(key)


def test_a_bad_entry_does_not_keep_the_others_from_being_heard() -> None:
    async def story(garage: Garage) -> None:
        async def poison() -> None:
            now = garage.clock.now()
            record = Record(car("poison"), "uid", 1, 1, {}, "Updating", "e", "2024-11-01", now, now)
            await garage.store.commit(Change(records=[record]))
            await garage.write("a")
            await garage.write("source", to=["poison"])

        assert await garage.woken(poison(), 6) >= {"a", "source"}
        await garage.write("later")
        await garage.clock.sleep(6)
        assert garage.state("later") == "Succeeded", "the feed was followed further"

    play(ready, story, store=_Poisoned(None))


class _Endless(SqliteStore):
    """A store whose feed has something new at every question, a thousand times."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked = 0
        self.begun = asyncio.Event()

    def feed(self, since: int, limit: int = 1000) -> Sequence[Entry]:
        self.asked += 1
        self.begun.set()
        return [Entry(since + 1, "report", car("a").key, "host/h")] if self.asked < 1000 else super().feed(since, limit)


def test_a_feed_that_never_ends_lets_others_have_their_turn() -> None:
    store = _Endless()

    async def story(garage: Garage) -> None:
        await store.begun.wait()
        assert store.asked < 1000

    play(ready, story, store=store)


def test_a_plan_may_ask_to_be_made_again_later() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        return Plan(Ready() if context.clock.monotonic() >= 7 else Waiting("for time", after=7.0))

    async def story(garage: Garage) -> None:
        await garage.write("a")
        await garage.clock.sleep(7.5)
        assert garage.state("a") == "Succeeded"

    play(reconcile, story)


def test_after_a_restart_everything_is_looked_at_again() -> None:
    async def prepare(garage: Garage) -> None:
        await garage.write("a")
        await garage.write("b")

    async def story(garage: Garage) -> None:
        await garage.clock.sleep(1)
        assert (garage.state("a"), garage.state("b")) == ("Succeeded", "Succeeded")

    play(ready, story, prepare=prepare)


def test_what_is_deleted_goes_after_what_it_wanted() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        return Plan(Ready(), desires=[Wanted("host/h01", "toy", record.uid, {})])

    async def story(garage: Garage) -> None:
        await garage.write("a")
        await garage.clock.sleep(1)
        found = garage.get("a")
        assert found is not None
        await garage.store.commit(Change(records=[found.going()]))
        await garage.clock.sleep(100)
        assert garage.state("a") == "Deleting", "something of it is left outside"
        (desire,) = garage.store.desires(found.key)
        assert desire.removed
        await garage.store.report("host/h01", [Report("toy", "uid-a", desire.generation, State.GONE)])
        await garage.clock.sleep(1)
        assert garage.state("a") == "absent" and garage.store.desires(found.key) == []

    play(reconcile, story)


def test_a_plan_may_mark_others_together_with_itself() -> None:
    async def reconcile(context: Context, record: Record) -> Plan:
        if record.deleting:
            return Plan(Gone())
        return Plan(Ready(), delete=[car("b").key] if record.body.get("last") else ())

    async def story(garage: Garage) -> None:
        await garage.write("b")
        await garage.write("a")
        await garage.clock.sleep(1)
        await garage.write("a", body={"last": True})
        await garage.clock.sleep(60)
        assert (garage.state("a"), garage.state("b")) == ("Succeeded", "absent")

    play(reconcile, story)
