"""Two tenants with the same addresses on a real rack, what the underlay carries, what leaves the rack, and its memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from lazur.lifecycle.rack import layout
from tests.rack.flows import Cloud, Example, page, until
from tests.rack.support import MIB

GROUP = "tenant"
# Tenant traffic in its tunnels, the hosts' way to OVN and to the control plane, and what finds neighbours.
_EXPECTED = "udp port 6081 or tcp port 6642 or tcp port 8443 or arp"


class Capture:
    """tcpdump on one interface of one container; ask it when the traffic is over."""

    def __init__(self, cloud: Cloud, container: str, interface: str, expression: str = "") -> None:
        # Not its PID namespace: nsenter would stay between, and signals end at it.
        enter = ["nsenter", "-t", str(cloud.rack.container(container).pid()), "-m", "-n"]
        argv = [*enter, "tcpdump", "-i", interface, "-e", "-n", "-l", "-U", *([expression] if expression else [])]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        while "listening" not in (line := self._process.stderr.readline()):
            assert line, f"tcpdump on {interface} of {container} did not start"

    def lines(self) -> list[str]:
        """End it; one line per frame."""
        self._process.terminate()
        out, _ = self._process.communicate(timeout=20)
        return [line for line in out.splitlines() if line]


@contextmanager
def capturing(cloud: Cloud, wanted: Sequence[tuple[str, str, str]]) -> Iterator[list[list[str]]]:
    """Frames seen during the block, one list per (container, interface, expression); filled when it ends."""
    captures = [Capture(cloud, *each) for each in wanted]
    seen: list[list[str]] = []
    try:
        yield seen
    finally:
        seen += [capture.lines() for capture in captures]


@pytest.fixture(scope="module")
def tenant(cloud: Cloud) -> Iterator[str]:
    """The public address of another tenant's machine, in a network with the example's own prefix and on both of its hosts."""
    cloud.group(GROUP)
    public, address = cloud.public_ip(GROUP, "ip")
    nsg, subnet = cloud.nsg(GROUP, "nsg", ["22", "80"]), cloud.vnet(GROUP)
    first = cloud.nic(GROUP, "nic", subnet, address="10.0.0.4", public=public, nsg=nsg)
    cloud.put(cloud.vm(GROUP, "stranger"), cloud.machine_body("stranger", first))
    until("the stranger serves", lambda: page(address, patience=2.0) == "stranger")
    yield address
    cloud.delete(f"{cloud.subscription}/resourceGroups/{GROUP}")


def plug(cloud: Cloud, vm: str) -> tuple[str, str, str]:
    """Host, tap and MAC of a machine."""
    host, payload = cloud.placed(vm)
    port = payload["nics"][0]["port"]
    taps = cloud.facts().hosts[host]["taps"]
    return host, next(name for name, value in taps.items() if value == port), payload["nics"][0]["mac"].lower()


def test_tenants_never_see_each_others_frames(cloud: Cloud, example: Example, tenant: str) -> None:
    stranger = plug(cloud, cloud.vm(GROUP, "stranger"))
    web1, web2 = (plug(cloud, example.vm(name)) for name in ("web1", "web2"))
    # An address both have in use, one that only one of them has, and one that nobody has, which all are asked for.
    noise = "for a in 4 5 77; do sudo ping -c 2 -W 1 10.0.0.$a; done; true"
    with capturing(cloud, [(*stranger[:2], ""), (*web2[:2], ""), (*web1[:2], "")]) as seen:
        example.ssh("web1", noise)
        cloud.ssh(tenant, noise)
    of_stranger, of_web2, of_web1 = seen
    assert any(web1[2] in line for line in of_web2), "the capture saw none of what it must see, so it proves nothing"
    assert any(stranger[2] in line for line in of_stranger)
    assert not [line for line in of_stranger if web1[2] in line or web2[2] in line]
    assert not [line for line in (*of_web1, *of_web2) if stranger[2] in line]


def test_the_underlay_carries_nothing_but_tunnels_and_control(cloud: Cloud, example: Example, tenant: str) -> None:
    wanted = [(layout.EDGE, "underlay", "udp port 6081"), (layout.EDGE, "underlay", f"not ({_EXPECTED})")]
    wanted += [(host, layout.UNDERLAY_PORT, f"not ({_EXPECTED})") for host in cloud.hosts]
    # The bridge itself sees only what is flooded or its own: its ports see all.
    wanted += [(layout.EDGE, f"u-{name}", f"not ({_EXPECTED})") for name in (layout.CONTROL, *cloud.hosts)]
    wanted += [(layout.EDGE, f"u-{cloud.hosts[0]}", "udp port 6081")]
    with capturing(cloud, wanted) as seen:
        example.served_by(*example.machines)
        example.ssh("web1", "timeout 10 wget -q -O - http://web2/")
        cloud.post(cloud.vm(GROUP, "stranger"), "restart")
        until("the stranger serves again", lambda: page(tenant, patience=2.0) == "stranger")
        cloud.clean()
    *others, tunnelled = seen[1:]
    assert tunnelled, "not one tunnelled packet was seen, so this proves nothing"
    assert [line for lines in others for line in lines] == []


def test_the_platform_is_small(cloud: Cloud, example: Example) -> None:
    status = cloud.rack.status()
    used = {c.name: c.memory.platform // MIB for c in status.containers}
    print(f"platform memory: {status.platform_memory // MIB} MiB, {used}")
    assert 0 < status.platform_memory <= 1024 * MIB, used


def test_nothing_left_the_rack(cloud: Cloud, example: Example) -> None:
    """That the counter counts is shown where the rack itself is tested."""
    assert cloud.rack.outside().packets == 0, cloud.rack.outside().flows
