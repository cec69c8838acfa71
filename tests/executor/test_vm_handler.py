"""A machine's life on a host, in virtual time: start, readiness, stops, restarts, deaths, leftovers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lazur.drivers.hypervisor.interface import Disk, Machine
from lazur.drivers.hypervisor.simulated import SimulatedHypervisor
from lazur.model.desire import State
from lazur.providers.compute.hosting.wish import tap_name
from tests.executor.harness import advance, settle
from tests.executor.vmworld import DATA, NIC, OS, UID, World, disk, payload


def play(script: Callable[[World], Awaitable[None]]) -> None:
    """Run a script beside a living executor; the script sees Ready at generation 1 first."""

    async def main() -> None:
        world = World()
        world.plane.want("vm", UID, 1, payload())
        await world.run(world.reported(1, State.READY))
        task = asyncio.create_task(world.executor().run())
        try:
            await advance(world.clock, lambda: task.done() or len(world.plane.log) > 1)
            await script(world)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


async def reach(world: World, generation: int, state: State = State.READY, limit: float = 900.0) -> None:
    await advance(world.clock, world.reported(generation, state), limit)


def starts(world: World) -> int:
    return world.host.room.starts.get(UID, 0)


def test_ready_only_after_the_guest_said_so() -> None:
    async def main() -> None:
        world = World()
        world.plane.want("vm", UID, 1, payload())
        await world.run(world.reported(1, State.PENDING))
        assert world.observed()["guest"] == "Unknown"
        await world.run(world.reported(1, State.READY))
        seen = world.observed()
        assert (seen["power"], seen["guest"], seen["accelerator"], seen["disks"]) == ("running", "Ready", "simulated", [OS])
        assert world.host.board.taps == {tap_name(NIC): f"nic-{NIC}"}
        assert b"p&lt;&amp;&gt;" in world.host.discs.documents[UID]
        assert starts(world) == 1

    asyncio.run(main())


def test_without_an_agent_traffic_is_the_sign_of_life() -> None:
    async def main() -> None:
        world = World()
        world.host.board.silent.add(tap_name(NIC))
        world.plane.want("vm", UID, 1, payload(image={"agent": False}))
        world.host.room.sick.add(UID)
        await world.run(world.reported(1, State.FAILED))
        world.host.board.silent.clear()
        await world.run(world.reported(1, State.READY))

    asyncio.run(main())


def test_a_guest_that_never_gets_ready_fails_with_evidence_and_may_still_recover() -> None:
    async def main() -> None:
        world = World()
        world.host.room.sick.add(UID)
        world.plane.want("vm", UID, 1, payload())
        await world.run(world.reported(1, State.FAILED))
        assert world.clock.monotonic() >= 600
        error = world.plane.reports["vm", UID].error
        assert error is not None and error["code"] == "OSProvisioningTimedOut"
        assert "provisioning failed" in error["message"]
        assert "simulated machine web0" in error["additionalInfo"][0]["info"]["text"]
        world.host.room.sick.clear()
        await world.run(world.reported(1, State.READY))

    asyncio.run(main())


def test_a_machine_that_cannot_start_fails_with_the_last_words() -> None:
    async def main() -> None:
        world = World()
        world.host.room.fail_start["web0"] = "no such disk"
        world.plane.want("vm", UID, 1, payload())
        await world.run(world.reported(1, State.FAILED))
        error = world.plane.reports["vm", UID].error
        assert error is not None and error["code"] == "MachineStartFailed"
        assert error["additionalInfo"][0]["info"]["text"] == "no such disk"
        world.host.room.fail_start.clear()
        await world.run(world.reported(1, State.READY))

    asyncio.run(main())


def test_stop_presses_the_button_and_then_pulls_the_plug() -> None:
    async def script(world: World) -> None:
        world.host.room.deaf.add(UID)
        begun = world.clock.monotonic()
        world.plane.want("vm", UID, 2, payload(power="stopped"))
        await reach(world, 2)
        assert 30 <= world.clock.monotonic() - begun <= 40
        assert world.host.room.machines == {}
        assert world.host.discs.documents == {}
        assert world.observed()["power"] == "stopped"
        world.plane.want("vm", UID, 3, payload())
        await reach(world, 3)
        assert starts(world) == 2

    play(script)


def test_a_hard_stop_does_not_wait() -> None:
    async def script(world: World) -> None:
        world.host.room.deaf.add(UID)
        begun = world.clock.monotonic()
        world.plane.want("vm", UID, 2, payload(power="stopped", hardStop=True))
        await reach(world, 2)
        assert world.clock.monotonic() - begun < 2

    play(script)


def test_a_restart_number_restarts_once() -> None:
    async def script(world: World) -> None:
        world.plane.want("vm", UID, 2, payload(restart=7))
        await advance(world.clock, lambda: starts(world) == 2)
        await reach(world, 2)
        await settle(world.clock, 300)
        assert starts(world) == 2

    play(script)


def test_a_new_size_restarts_with_it() -> None:
    async def script(world: World) -> None:
        world.plane.want("vm", UID, 2, payload(cores=4, memoryMiB=1024))
        await reach(world, 2)
        machine = world.host.room.machines[UID].machine
        assert (machine.cores, machine.memory_mib, starts(world)) == (4, 1024, 2)

    play(script)


def test_data_disks_are_plugged_while_it_runs() -> None:
    async def script(world: World) -> None:
        world.plane.want("vm", UID, 2, payload(disks=[disk(OS, None), disk(DATA, 3)]))
        await reach(world, 2)
        assert world.observed()["disks"] == sorted([OS, DATA])
        world.plane.want("vm", UID, 3, payload())
        await reach(world, 3)
        assert world.observed()["disks"] == [OS]
        assert starts(world) == 1

    play(script)


def test_a_guest_that_left_by_itself_stays_off_until_a_start_is_asked_for() -> None:
    async def script(world: World) -> None:
        world.host.room.power_off_inside(UID)
        await advance(world.clock, lambda: world.observed()["power"] == "stopped")
        await settle(world.clock, 600)
        assert starts(world) == 1
        assert world.host.room.machines == {}
        world.plane.want("vm", UID, 2, payload(imds={"tags": "a:b"}))
        await reach(world, 2)
        await settle(world.clock, 60)
        assert starts(world) == 1
        world.plane.want("vm", UID, 3, payload(starts=1))
        await reach(world, 3)
        assert starts(world) == 2

    play(script)


def test_a_killed_process_comes_back_and_five_quick_deaths_are_too_many() -> None:
    async def script(world: World) -> None:
        for death in range(1, 6):
            world.host.room.crash(UID)
            if death < 5:
                await advance(world.clock, lambda n=death: starts(world) == n + 1)  # type: ignore[misc]
        await reach(world, 1, State.FAILED)
        error = world.plane.reports["vm", UID].error
        assert error is not None and error["code"] == "MachineDied"
        assert "signal 9" in error["additionalInfo"][0]["info"]["text"]
        await settle(world.clock, 600)
        assert starts(world) == 5
        world.plane.want("vm", UID, 2, payload(restart=1))
        await reach(world, 2)

    play(script)


def test_deaths_far_apart_are_forgiven() -> None:
    async def script(world: World) -> None:
        for death in range(1, 9):
            await settle(world.clock, 300)
            world.host.room.crash(UID)
            await advance(world.clock, lambda n=death: starts(world) == n + 1)  # type: ignore[misc]
        await settle(world.clock, 60)
        assert world.observed()["power"] == "running"

    play(script)


def test_removal_takes_everything_but_the_disks() -> None:
    async def script(world: World) -> None:
        world.plane.want("vm", UID, 2, payload(), removed=True)
        await reach(world, 2, State.GONE)
        picture = await world.picture()
        assert picture == {"machines": {}, "taps": {}, "cds": [], "records": [], "sizes": {}, "ledger": 0}

    play(script)


def test_leftovers_are_swept_at_the_start() -> None:
    async def main() -> None:
        world = World()
        stray = "99999999-0000-4000-8000-000000000000"
        driver = SimulatedHypervisor(world.host.room, world.clock)
        starting = asyncio.create_task(driver.start(Machine(stray, stray, "stray", 1, 64, Disk("d", "/d"))))
        await advance(world.clock, starting.done)
        world.host.board.taps["t0000000000"] = "nic-stray"
        world.host.discs.documents[stray] = b""
        world.plane.want("vm", UID, 1, payload())
        await world.run(world.reported(1, State.READY))
        picture = await world.picture()
        assert list(picture["machines"]) == [UID]
        assert list(picture["taps"]) == [tap_name(NIC)]
        assert picture["cds"] == [UID]

    asyncio.run(main())


def test_captures_and_probes() -> None:
    async def script(world: World) -> None:
        world.plane.want("capture", UID, 1, {"vm": UID, "nonce": "n1"})
        await advance(world.clock, world.reported(1, State.READY, kind="capture"))
        assert world.plane.artifacts[f"{UID}/screenshot.png"].startswith(b"\x89PNG")
        assert b"simulated" in world.plane.artifacts[f"{UID}/serial.log"]
        target = {"nic": NIC, "vm": UID, "vnet": "v", "address": "10.0.0.4"}
        probe = {"uid": "p", "protocol": "Tcp", "port": 80, "path": None, "targets": [target]}
        world.plane.want("probes", "lb", 1, {"lb": "lb", "probes": [probe]})
        await advance(world.clock, world.reported(1, State.READY, key="lb", kind="probes"))
        assert world.plane.reports["probes", "lb"].observed == {"up": [f"p/{NIC}"], "down": []}
        world.plane.want("vm", UID, 2, payload(power="stopped"))
        await advance(world.clock, lambda: world.plane.reports["probes", "lb"].observed["down"] == [f"p/{NIC}"])

    play(script)
