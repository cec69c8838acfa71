"""What a cloud on a real rack survives: kills at any moment of a deployment, a dark control plane, dying host processes, a
power cut. Longer runs by LAZUR_CRASHES (moments), LAZUR_DARK (seconds) and LAZUR_SEED."""

from __future__ import annotations

import random
import time

import pytest

from lazur.lifecycle.rack import layout
from tests.rack.flows import CONTROL_SERVICES, Cloud, Example, Load, number, page, until
from tests.rack.support import CHECKS, kill

CRASHES = number("LAZUR_CRASHES", 5)
DARK_SECONDS = number("LAZUR_DARK", 60)
SEED = number("LAZUR_SEED", 1)
# What a deployment of the example takes on a fast day: all moments of it are drawn from.
_DEPLOYMENT_SECONDS = 8.0
_VICTIMS = (
    ("control", "control"),
    ("control", "executor-network"),
    ("control", "executor-storage"),
    ("h01", "executor-host"),
    ("h02", "executor-host"),
)


@pytest.mark.parametrize("moment", range(CRASHES))
def test_a_deployment_survives_a_kill_at_any_moment(cloud: Cloud, example: Example, moment: int) -> None:
    chance = random.Random(f"{SEED} {moment}")
    victims = [_VICTIMS[moment % len(_VICTIMS)], chance.choice(_VICTIMS)]
    before = cloud.guests()
    path, headers = cloud.start_example("crash")
    for container, service in victims:
        time.sleep(chance.uniform(0, _DEPLOYMENT_SECONDS / len(victims)))
        cloud.kill(container, service)
    cloud.finish(headers)
    made = cloud.deployed("crash", path)
    made.served_by(*made.machines)
    cloud.clean()
    after = cloud.guests()
    assert before.items() <= after.items() and len(after) == len(before) + 2
    names = [r["id"].lower() for r in cloud.facts().control["resources"] if "/resourcegroups/crash/" in r["id"].lower()]
    assert len(names) == len(set(names)) and sum("/disks/" in name for name in names) == 2, names
    cloud.delete(f"{cloud.subscription}/resourceGroups/crash")
    assert cloud.guests() == before


def test_with_every_control_process_dead_no_connection_fails(cloud: Cloud, example: Example) -> None:
    example.served_by(*example.machines)
    held = {layout.CONTROL: list(CONTROL_SERVICES)} | {host: ["executor-host"] for host in cloud.hosts}
    before = cloud.guests()
    try:
        for container, services in held.items():
            cloud.rack.container(container).hold(services)
            for service in services:
                cloud.kill(container, service)
        with Load.on(example.address) as load:
            time.sleep(DARK_SECONDS)
            for container, services in held.items():
                now = cloud.rack.container(container).services()
                alive = [service for service in services if now[service]["pid"]]
                assert not alive, f"{alive} in {container} did not stay dead, so this proves nothing"
    finally:
        for container in held:
            cloud.rack.container(container).hold([])
    print(f"dark: {load.answered} answered, {len(load.failed)} failed")
    assert load.failed == [] and load.answered >= DARK_SECONDS * 15
    with Load.on(example.address) as load:
        until("every service is back", cloud.all_ready)
        cloud.clean()
    assert load.failed == [], "the return of the control plane cut connections"
    assert cloud.guests() == before, "a guest was created again"
    example.served_by(*example.machines)


@pytest.mark.parametrize("service", ["executor-host", "guestservices", "ovn-controller", "ovs-vswitchd"])
def test_guests_outlive_the_processes_of_their_host(cloud: Cloud, example: Example, service: str) -> None:
    example.served_by(*example.machines)
    before = cloud.guests()
    for host in cloud.hosts:
        restarts = cloud.rack.container(host).services()[service]["restarts"]
        with Load.on(example.address, patience=2.0) as load:
            time.sleep(0.5)
            cloud.kill(host, service)
            until(f"{service} is back", lambda h=host, r=restarts: cloud.service_ready(h, service, r + 1))
            time.sleep(3.0)
        span = max(load.failed) - min(load.failed) if load.failed else 0.0
        print(f"{service} on {host}: {len(load.failed)} of {load.answered + len(load.failed)} failed, within {span:.1f} s")
        # A connection begun at the end of the gap may take its whole patience to fail.
        assert span < 5.0
        example.served_by(*example.machines)
    assert cloud.guests() == before


def test_everything_comes_back_after_a_power_cut(cloud: Cloud, example: Example) -> None:
    example.ssh("web1", "echo kept > keep; sync")
    resources = cloud.facts().control["resources"]
    for name in cloud.rack.names:
        kill(cloud.rack, name)
    assert cloud.guests() == {} and page(example.address, patience=1.0) == ""
    cloud.rack.up(CHECKS)
    example.served_by(*example.machines, seconds=120)
    assert until("ssh", lambda: example.ssh("web1", "cat keep", check=False)).strip() == "kept"
    cloud.clean()
    assert {r["uid"] for r in cloud.facts().control["resources"]} == {r["uid"] for r in resources}
