"""The auditor finds one planted leak of each kind on a real rack, and is silent once it is repaired."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from lazur.lifecycle.rack import layout
from tests.rack.flows import Cloud, Example, until

Leak = Callable[[Cloud, Example], AbstractContextManager[tuple[str, str]]]

_NBCTL = ["ovn-nbctl", f"--db=unix:{layout.NORTHBOUND_SOCKET}"]


@contextmanager
def process(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A QEMU nobody asked for."""
    host = cloud.rack.container("h01")
    script = "setsid qemu-system-x86_64 -M none -display none -nodefaults -S >/dev/null 2>&1 & echo $!"
    pid = host.run(["/bin/sh", "-c", script]).stdout.strip()
    yield "process", pid
    host.run(["kill", "-9", pid])


@contextmanager
def tap(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A port of the integration bridge that is no guest's."""
    host = cloud.rack.container("h02")
    host.run(["ip", "tuntap", "add", "leaked0", "mode", "tap"])
    host.run(["ovs-vsctl", "add-port", "br-int", "leaked0"])
    yield "port", "leaked0"
    host.run(["ovs-vsctl", "del-port", "br-int", "leaked0"])
    host.run(["ip", "link", "delete", "leaked0"])


@contextmanager
def old_tap(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A machine's tap that outlived its machine."""
    host = cloud.rack.container("h02")
    host.run(["ip", "tuntap", "add", "t0123456789", "mode", "tap"])
    words = ["set", "Interface", "t0123456789", "external_ids:iface-id=nic-gone"]
    host.run(["ovs-vsctl", "add-port", "br-int", "t0123456789", "--", *words])
    yield "tap", "t0123456789"
    host.run(["ovs-vsctl", "del-port", "br-int", "t0123456789"])
    host.run(["ip", "link", "delete", "t0123456789"])


@contextmanager
def disk(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A file in the pool that is no disk's."""
    some = next(path for path in cloud.rack.paths.disks.iterdir() if path.is_file())
    leaked = some.with_name("leaked" + some.suffix)
    shutil.copy(some, leaked)
    yield "disk", leaked.stem
    leaked.unlink()


@contextmanager
def lost_disk(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A disk's file that is gone."""
    some = next(path for path in cloud.rack.paths.disks.iterdir() if path.is_file())
    aside = cloud.rack.paths.state / some.name

    def looked_at(state: str) -> None:
        """The executor starts anew and looks at every disk."""
        cloud.kill(layout.CONTROL, "executor-storage")
        until(f"the disk is {state}", lambda: _disk_state(cloud, some.name) == state)

    some.rename(aside)
    try:
        looked_at("Failed")
        yield "disk", some.name
        assert not some.exists(), "an empty disk took the place of the lost one"
    finally:
        aside.rename(some)
        looked_at("Ready")


def _disk_state(cloud: Cloud, path: str) -> str:
    desires = cloud.facts().control["desires"]
    return str(next(d["state"] for d in desires if d["kind"] == "disk" and d["payload"]["path"] == path))


@contextmanager
def row(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A row with the platform's mark that nothing wants."""
    control = cloud.rack.container(layout.CONTROL)
    marks = control.run([*_NBCTL, "--bare", "--columns=external_ids", "list", "Logical_Switch"]).stdout.split("\n")[0].split()
    control.run([*_NBCTL, "ls-add", "leaked", "--", "set", "Logical_Switch", "leaked", *(f"external_ids:{m}" for m in marks)])
    yield "row", "is unwanted"
    control.run([*_NBCTL, "--if-exists", "ls-del", "leaked"])


@contextmanager
def lost_row(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A row that is wanted and gone, with the one who would make it again kept dead."""
    with held(cloud, layout.CONTROL, "executor-network"):
        control = cloud.rack.container(layout.CONTROL)
        name = control.run([*_NBCTL, "--bare", "--columns=name", "list", "Load_Balancer"]).stdout.split()[0]
        control.run([*_NBCTL, "lb-del", name])
        yield "row", "is missing"
    # Restarted, the executor compares everything and puts it back.


@contextmanager
def namespace(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """Guest services for a network nobody has."""
    host = cloud.rack.container("h01")
    # The daemon whose namespaces these are would take it away by itself.
    with held(cloud, "h01", "guestservices"):
        host.run(["ip", "netns", "add", "gs-leaked"])
        yield "namespace", "gs-leaked"
        host.run(["ip", "netns", "delete", "gs-leaked"], check=False)


@contextmanager
def dead_machine(cloud: Cloud, example: Example) -> Iterator[tuple[str, str]]:
    """A machine that should run and does not, with the agent that would start it kept dead."""
    home, payload = cloud.placed(example.vm("web2"))
    host = cloud.rack.container(home)
    with held(cloud, home, "executor-host"):
        pid = cloud.facts().hosts[home]["machines"][payload["uid"]]["pid"]
        host.run(["kill", "-9", str(pid)])
        until("the guest is dead", lambda: host.run(["kill", "-0", str(pid)], check=False).returncode != 0)
        yield "machine", payload["name"]
    example.served_by(*example.machines, seconds=90)


@contextmanager
def held(cloud: Cloud, container: str, service: str) -> Iterator[None]:
    """A service that is dead for the length of the block."""
    place = cloud.rack.container(container)
    place.hold([service])
    cloud.kill(container, service)
    until(f"{service} is dead", lambda: not place.services()[service]["pid"])
    try:
        yield
    finally:
        place.hold([])
        until(f"{service} is back", lambda: cloud.service_ready(container, service))


@pytest.mark.parametrize("leak", [process, tap, old_tap, disk, lost_disk, row, lost_row, namespace, dead_machine])
def test_a_planted_leak_is_found(cloud: Cloud, example: Example, leak: Leak) -> None:
    with leak(cloud, example) as (kind, name):
        found = cloud.findings()
    assert any(f.kind == kind and name in str(f) for f in found), f"{kind} {name} is not in {[*map(str, found)]}"
    # What every test ends with shows that nothing is found once it is repaired.
