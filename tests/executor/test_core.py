"""The executor's promises: newest generation, ledger first, reports until accepted, alive without a control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from lazur.executor.core import Executor
from lazur.executor.handlers import Handler, Wake
from lazur.executor.ledger import FileLedger, Ledger, MemoryLedger
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError, Unavailable
from lazur.model.desire import Desire, Report, State
from tests.executor.harness import DOMAIN, Plane, advance, settle


class Things:
    """A keyed handler whose world is a dictionary."""

    kind = "thing"
    precious = False

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.world: dict[str, int] = {}
        self.calls: list[tuple[str, int]] = []
        self.adopted: list[str] | None = None
        self.fault: Exception | None = None
        self.slow = 0.0
        self.running = 0
        self.most = 0
        self.wake: Wake | None = None

    async def adopt(self, desires: Sequence[Desire]) -> None:
        self.adopted = [d.key for d in desires]

    async def apply(self, desire: Desire) -> Report:
        self.calls.append((desire.key, desire.generation))
        self.running += 1
        self.most = max(self.most, self.running)
        await self.clock.sleep(self.slow)
        self.running -= 1
        if self.fault:
            raise self.fault
        self.world[desire.key] = desire.generation
        return Report("thing", desire.key, desire.generation, State.READY)

    async def remove(self, desire: Desire) -> Report:
        self.world.pop(desire.key, None)
        return Report("thing", desire.key, desire.generation, State.GONE)

    async def watch(self, wake: Wake) -> None:
        self.wake = wake


class Fabric:
    """A domain handler that notes what it was called with."""

    kinds = frozenset({"row"})

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.pictures: list[list[str]] = []
        self.fault: Exception | None = None

    async def reconcile(self, desires: Sequence[Desire]) -> Sequence[Report]:
        self.pictures.append([d.key for d in desires])
        await self.clock.sleep(0.5)
        if self.fault:
            raise self.fault
        return [Report("row", d.key, d.generation, State.GONE if d.removed else State.READY) for d in desires]


class Scene:
    def __init__(self, ledger: Ledger | None = None) -> None:
        self.clock = VirtualClock()
        self.plane = Plane(self.clock)
        self.things = Things(self.clock)
        self.fabric = Fabric(self.clock)
        self.ledger = ledger or MemoryLedger()

    def state(self, key: str, kind: str = "thing") -> State | None:
        report = self.plane.reports.get((kind, key))
        return report.state if report else None

    async def until(self, condition: Callable[[], bool]) -> None:
        await advance(self.clock, condition)


def play(scene: Scene, script: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        handlers: list[Handler] = [scene.things, scene.fabric]
        task = asyncio.create_task(Executor(DOMAIN, scene.plane, scene.ledger, handlers, scene.clock).run())
        try:
            await script(scene)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_applies_reports_and_removes() -> None:
    async def script(s: Scene) -> None:
        s.plane.want("thing", "a", 1)
        await s.until(lambda: s.state("a") is State.READY)
        s.plane.want("thing", "a", 2, removed=True)
        await s.until(lambda: s.state("a") is State.GONE)
        assert s.things.world == {}
        assert s.ledger.load() == []

    play(Scene(), script)


def test_newest_generation_wins_and_one_key_is_never_served_twice_at_once() -> None:
    async def script(s: Scene) -> None:
        s.things.slow = 10.0
        s.plane.want("thing", "a", 1)
        await s.until(lambda: len(s.things.calls) == 1)
        for generation in (2, 3, 4):
            s.plane.want("thing", "a", generation)
            await settle(s.clock, 0.5)
        await s.until(lambda: s.things.world.get("a") == 4)
        assert s.things.calls[:2] == [("a", 1), ("a", 4)]
        assert s.things.most == 1

    play(Scene(), script)


def test_keys_are_served_at_the_same_time() -> None:
    async def script(s: Scene) -> None:
        s.things.slow = 10.0
        for key in "abc":
            s.plane.want("thing", key, 1)
        await s.until(lambda: len(s.things.world) == 3)
        assert s.things.most == 3

    play(Scene(), script)


def test_older_and_contradicting_generations_are_refused() -> None:
    async def script(s: Scene) -> None:
        s.plane.want("thing", "a", 5, {"v": 1})
        await s.until(lambda: s.things.world == {"a": 5})
        s.plane.want("thing", "a", 4, {"v": 0})
        await settle(s.clock, 5)
        s.plane.want("thing", "a", 5, {"v": 2})
        await settle(s.clock, 5)
        assert s.things.world == {"a": 5}
        assert [d.payload for d in s.ledger.load()] == [{"v": 1}]

    play(Scene(), script)


def test_works_from_the_ledger_while_the_control_plane_is_dead_and_reports_when_it_is_back() -> None:
    scene = Scene()
    scene.ledger.accept(Desire(DOMAIN, "thing", "a", 3, {}))
    scene.plane.down = True

    async def script(s: Scene) -> None:
        await s.until(lambda: s.things.world == {"a": 3})
        assert s.things.adopted == ["a"]
        assert s.plane.log == []
        s.plane.want("thing", "a", 3)
        s.plane.down = False
        await s.until(lambda: s.state("a") is State.READY)

    play(scene, script)


def test_an_empty_ledger_waits_for_the_control_plane_before_anything_is_taken_for_a_leftover() -> None:
    scene = Scene()
    scene.plane.down = True

    async def script(s: Scene) -> None:
        await settle(s.clock, 60)
        assert s.things.adopted is None
        assert s.fabric.pictures == []
        s.plane.want("thing", "a", 1)
        s.plane.down = False
        await s.until(lambda: s.state("a") is State.READY)
        assert s.things.adopted == ["a"]

    play(scene, script)


def test_what_a_full_batch_does_not_name_is_taken_away() -> None:
    scene = Scene()
    scene.ledger.accept(Desire(DOMAIN, "thing", "a", 3, {}))
    scene.things.world["a"] = 3

    async def script(s: Scene) -> None:
        await s.until(lambda: s.things.world == {})
        assert s.ledger.load() == []

    play(scene, script)


def test_failures_become_reports_and_are_tried_again() -> None:
    async def script(s: Scene) -> None:
        s.things.fault = LazurError("NoRoom", "The host is full.")
        s.plane.want("thing", "a", 1)
        await s.until(lambda: s.state("a") is State.FAILED)
        error = s.plane.reports["thing", "a"].error
        assert error is not None and error["code"] == "NoRoom"
        s.things.fault = Unavailable("later")
        await s.until(lambda: s.state("a") is State.PENDING)
        s.things.fault = RuntimeError("secret detail")
        await s.until(lambda: "InternalExecutionError" in str(s.plane.reports["thing", "a"].error))
        assert "secret detail" not in str(s.plane.log)
        s.things.fault = None
        await s.until(lambda: s.state("a") is State.READY)

    play(Scene(), script)


def test_unchanged_reports_are_not_sent_again_and_a_wake_looks_at_once() -> None:
    async def script(s: Scene) -> None:
        s.plane.want("thing", "a", 1)
        await s.until(lambda: s.state("a") is State.READY)
        await settle(s.clock, 300)
        assert len(s.plane.log) == 1
        looked = len(s.things.calls)
        assert s.things.wake is not None
        s.things.wake("a")
        s.things.wake("unknown")
        await settle(s.clock, 0.1)
        assert len(s.things.calls) == looked + 1

    play(Scene(), script)


def test_a_refused_report_does_not_hold_up_the_others() -> None:
    async def script(s: Scene) -> None:
        s.plane.refuse = {"bad"}
        s.plane.want("thing", "bad", 1)
        s.plane.want("thing", "good", 1)
        await s.until(lambda: s.state("good") is State.READY)

    play(Scene(), script)


def test_a_kind_nobody_serves_fails_loudly() -> None:
    async def script(s: Scene) -> None:
        s.plane.want("mystery", "a", 1)
        await s.until(lambda: s.state("a", "mystery") is State.FAILED)

    play(Scene(), script)


def test_a_domain_handler_sees_everything_at_once_and_bursts_are_one_call() -> None:
    async def script(s: Scene) -> None:
        for number in range(20):
            s.plane.want("row", f"r{number:02d}", 1)
        await s.until(lambda: s.state("r19", "row") is State.READY)
        first = len(s.fabric.pictures)
        assert first <= 2
        assert len(s.fabric.pictures[-1]) == 20
        s.plane.want("row", "r00", 2, removed=True)
        await s.until(lambda: s.state("r00", "row") is State.GONE)
        await settle(s.clock, 61)
        assert len(s.fabric.pictures[-1]) == 19

    play(Scene(), script)


def test_a_failing_domain_handler_leaves_ready_desires_ready() -> None:
    async def script(s: Scene) -> None:
        s.plane.want("row", "old", 1)
        await s.until(lambda: s.state("old", "row") is State.READY)
        s.fabric.fault = Unavailable("database away")
        s.plane.want("row", "new", 1)
        await s.until(lambda: s.state("new", "row") is State.PENDING)
        assert s.state("old", "row") is State.READY
        s.fabric.fault = None
        await s.until(lambda: s.state("new", "row") is State.READY)

    play(Scene(), script)


def test_ledger_files_survive_and_keep_secrets_out_of_the_history(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path, DOMAIN)
    for generation in range(1, 9):
        ledger.accept(Desire(DOMAIN, "vm", "a", generation, {"n": generation, "secrets": {"adminPassword": "hush"}}))
        ledger.keep()
    assert (tmp_path / "vm" / "a.json").stat().st_mode & 0o777 == 0o600
    history = sorted((tmp_path / ".history" / "vm" / "a").glob("*.json"))
    assert len(history) == 5
    assert not any("hush" in path.read_text() for path in history)
    again = FileLedger(tmp_path, DOMAIN)
    assert [(d.generation, d.payload["secrets"]["adminPassword"]) for d in again.load()] == [(8, "hush")]
    again.accept(Desire(DOMAIN, "vm", "a", 9, {}, removed=True))
    again.keep()
    assert not (tmp_path / "vm" / "a.json").exists()
    assert [(d.generation, d.removed) for d in FileLedger(tmp_path, DOMAIN).load()] == [(9, True)]
    again.forget("vm", "a")
    assert FileLedger(tmp_path, DOMAIN).load() == []
    assert not list(tmp_path.rglob("*a*.json"))


def test_a_whole_batch_is_kept(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path, DOMAIN)
    batch = [Desire(DOMAIN, "vm", f"vm{n}", 1, {"n": n}) for n in range(40)]
    assert all(ledger.accept(desire) for desire in batch)
    assert FileLedger(tmp_path, DOMAIN).load() == []
    ledger.keep()
    assert sorted(d.payload["n"] for d in FileLedger(tmp_path, DOMAIN).load()) == list(range(40))


def test_a_crash_between_the_two_files_of_a_key_leaves_the_newer(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path, DOMAIN)
    ledger.accept(Desire(DOMAIN, "vm", "a", 1, {}))
    ledger.keep()
    old = (tmp_path / "vm" / "a.json").read_bytes()
    ledger.accept(Desire(DOMAIN, "vm", "a", 2, {}, removed=True))
    ledger.keep()
    (tmp_path / "vm" / "a.json").write_bytes(old)
    (tmp_path / "vm" / "torn.json").write_bytes(b'{"kind":')
    assert [(d.generation, d.removed) for d in FileLedger(tmp_path, DOMAIN).load()] == [(2, True)]
    assert not (tmp_path / "vm" / "a.json").exists()


def test_a_ledger_from_before_the_machine_was_switched_on_is_not_acted_upon_without_word(tmp_path: Path) -> None:
    mark = tmp_path / "served"
    scene = Scene(FileLedger(tmp_path / "ledger", DOMAIN, mark))

    async def first(s: Scene) -> None:
        s.plane.want("thing", "a", 1)
        s.plane.want("thing", "b", 1)
        await s.until(lambda: s.state("b") is State.READY)

    play(scene, first)
    assert mark.exists()
    scene.plane.down = True
    scene.things.calls.clear()

    async def agent_alone(s: Scene) -> None:
        await s.until(lambda: {"a", "b"} <= {key for key, _ in s.things.calls})

    play(scene, agent_alone)
    mark.unlink()
    scene.things.calls.clear()
    scene.plane.want("thing", "a", 2, removed=True)

    async def switched_on(s: Scene) -> None:
        await settle(s.clock, 600)
        assert s.things.calls == []
        s.plane.down = False
        await s.until(lambda: s.state("a") is State.GONE and ("b", 1) in s.things.calls)
        assert {key for key, _ in s.things.calls} == {"b"}

    play(scene, switched_on)
