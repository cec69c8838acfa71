"""The rack in a box on this machine: it comes up, carries packets between hosts, survives kills, and leaves nothing."""

from __future__ import annotations

import copy
import json
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.hosts_file import HostsFile
from lazur.lifecycle.rack import Rack, layout, network, processes
from tests.rack.support import CHECKS, MIB, OUTSIDE, eventually, everyone, kill, obstacle, rack_in, scratch


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with scratch() as made:
        yield made


@pytest.fixture(scope="module")
def rack(folder: Path) -> Iterator[Rack]:
    if reason := obstacle():
        pytest.skip(reason)
    made = rack_in(folder)
    try:
        made.up(CHECKS)
        yield made
    finally:
        made.down(purge=True)


@pytest.fixture(scope="module")
def pair(rack: Rack) -> Callable[[], bool]:
    """Two ports of one overlay network on two hosts; says whether a full-size packet gets across and back just now."""
    control = rack.container(layout.CONTROL)
    control.run(["ovn-nbctl", "ls-add", "test"])
    for number, host in ((1, "h01"), (2, "h02")):
        port, mac, address = f"test{number}", f"02:00:00:00:01:0{number}", f"10.9.0.{number}"
        control.run(["ovn-nbctl", "lsp-add", "test", port, "--", "lsp-set-addresses", port, f"{mac} {address}"])
        script = f"""
        ip netns add test
        ip link add {port} type veth peer name inner address {mac} netns test
        ip link set {port} up
        ip -n test link set inner up
        ip -n test address add {address}/24 dev inner
        ethtool -K {port} tx off; ip netns exec test ethtool -K inner tx off
        ovs-vsctl add-port br-int {port} -- set Interface {port} external_ids:iface-id={port}
        """
        rack.container(host).run(["/bin/sh", "-es"], stdin=script)
    control.run(["ovn-nbctl", "--wait=hv", "sync"])

    def reachable() -> bool:
        ping = ["ip", "netns", "exec", "test", "ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1472", "10.9.0.2"]
        return rack.container("h01").run(ping, check=False).returncode == 0

    return reachable


def test_a_second_up_changes_nothing(rack: Rack) -> None:
    before = everyone(rack)
    counted = rack.outside_packets()
    rack.up(CHECKS)
    assert {name for name in before if before[name] == processes.started(name)} >= {
        rack.container(name).pid() for name in rack.names
    }
    assert rack.outside_packets() == counted


def test_names_are_in_the_hosts_file(rack: Rack, folder: Path) -> None:
    names = HostsFile(folder / "hosts").names()
    assert names["management.local.lazur.internal"] == "10.239.1.10" and len(names) == len(rack.site.endpoints)


def test_the_machine_reaches_the_infrastructure_through_the_edge(rack: Rack) -> None:
    control = rack.container(layout.CONTROL)
    server = "import socket; s=socket.create_server(('10.239.1.10',53)); c,a=s.accept(); c.sendall(a[0].encode())"
    with subprocess.Popen(
        ["nsenter", "-t", str(control.pid()), "-m", "-n", "-p", "/usr/bin/python3", "-c", server], stderr=subprocess.PIPE
    ) as listening:

        def answered() -> bool:
            try:
                with socket.create_connection(("10.239.1.10", 53), 5) as connection:
                    return connection.recv(100) == b"10.239.2.1"
            except OSError:
                return False

        try:
            eventually("an answer from 10.239.1.10", answered)
        finally:
            listening.kill()


def test_hosts_reach_each_other_by_tunnel_only(rack: Rack, pair: Callable[[], bool]) -> None:
    eventually("a packet through the tunnel", pair)
    edge = rack.container(layout.EDGE)
    script = """
    for name in tunnel inner; do
      case $name in tunnel) filter="udp port 6081";; inner) filter="net 10.9.0.0/24 or ether host 02:00:00:00:01:01";; esac
      timeout 6 tcpdump -i u-h02 -n -U -w /tmp/$name.pcap $filter 2>/tmp/$name.err &
    done
    until grep -q listening /tmp/tunnel.err && grep -q listening /tmp/inner.err; do sleep 0.1; done; echo ready > /tmp/go; wait
    for name in tunnel inner; do tcpdump -n -r /tmp/$name.pcap 2>/dev/null | wc -l; done
    """
    enter = ["nsenter", "-t", str(edge.pid()), "-m", "-n", "-p", "-u", "/bin/sh", "-s"]
    with subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as capture:
        assert capture.stdin is not None
        capture.stdin.write(script)
        capture.stdin.close()
        eventually("the capture", lambda: edge.run(["test", "-e", "/tmp/go"], check=False).returncode == 0)
        assert pair()
        assert capture.stdout is not None
        tunnelled, bare = map(int, capture.stdout.read().split())
    assert tunnelled >= 2, "the capture saw nothing at all, so it proves nothing"
    assert bare == 0


@pytest.mark.parametrize("service", ["ovs-vswitchd", "ovn-controller", "ovsdb-server"])
def test_traffic_is_back_after_a_kill(rack: Rack, pair: Callable[[], bool], service: str) -> None:
    host = rack.container("h01")
    eventually("traffic before the kill", pair)
    before = host.services()[service]
    assert host.kill(service)
    eventually(f"{service} ready again", lambda: host.services()[service]["restarts"] > before["restarts"])
    eventually(f"{service} ready again", lambda: host.services()[service]["state"] == "ready")
    eventually(f"traffic after {service} was killed", pair)


def test_traffic_goes_on_without_control(rack: Rack, pair: Callable[[], bool]) -> None:
    eventually("traffic before", pair)
    control = rack.container(layout.CONTROL)
    kill(rack, layout.CONTROL)
    assert pair(), "the data plane died with the control plane"
    rack.up(CHECKS)
    assert "test1" in control.run(["ovn-nbctl", "show"]).stdout, "the overlay's database forgot"
    eventually("traffic after", pair)


def test_every_service_of_the_edge_and_of_ovn_comes_back(rack: Rack) -> None:
    for name, service in (("edge", "zebra"), ("edge", "bgpd"), ("control", "ovn-nb"), ("control", "ovn-sb")):
        container = rack.container(name)
        restarts = container.services()[service]["restarts"]
        assert container.kill(service)
        eventually(f"{service} restarted", lambda c=container, s=service, r=restarts: c.services()[s]["restarts"] > r)  # type: ignore[misc]
        eventually(f"{service} ready", lambda c=container, s=service: c.services()[s]["state"] == "ready")  # type: ignore[misc]
    control = rack.container(layout.CONTROL)
    eventually("hosts are back", lambda: control.run(["ovn-sbctl", "show"]).stdout.count("Chassis") == 2)
    shown = rack.container(layout.EDGE).run(["vtysh", "-c", "show bgp summary json"])
    assert shown.returncode == 0


def test_orphans_are_adopted_and_outlive_their_starter(rack: Rack) -> None:
    """As a guest's QEMU must outlive the agent that started it."""
    host = rack.container("h01")
    started = host.run(["/bin/sh", "-c", "setsid sleep 4321 >/dev/null 2>&1 & echo $!"]).stdout.strip()
    assert host.run(["ps", "-o", "ppid=", "-p", started]).stdout.strip() == "1"
    host.run(["kill", "-9", started])
    eventually("the supervisor reaps it", lambda: host.run(["ps", "-p", started], check=False).returncode != 0)


def _frame(destination: str) -> bytes:
    """A UDP packet to `destination` in a frame for the edge."""
    payload = struct.pack("!HHHH", 40000, 9, 8, 0)
    source, target = socket.inet_aton("10.239.2.1"), socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, 17, 0, source, target)
    words = sum(struct.unpack("!10H", header))
    checksum = ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF
    header = header[:10] + struct.pack("!H", checksum) + header[12:]
    return bytes.fromhex("024c5a030002" + "024c5a030001" + "0800") + header + payload


def test_packets_to_the_outside_are_counted_and_refused(rack: Rack) -> None:
    assert rack.outside_packets() == 0, rack.outside().flows
    send = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{OUTSIDE}', 9))"
    for name in rack.names:
        done = rack.container(name).run(["python3", "-c", send], check=False)
        assert "not permitted" in done.stderr, f"{name} let it pass"
    assert rack.outside_packets() == len(rack.names)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((layout.MACHINE_LINK, 0))
        raw.send(_frame(OUTSIDE))
        raw.send(_frame("10.239.1.10"))
    eventually("the edge counts it", lambda: rack.outside_packets() == len(rack.names) + 1)
    assert ("10.239.2.1", OUTSIDE) in rack.outside().flows


def test_no_container_has_a_way_out(rack: Rack) -> None:
    for name in rack.names:
        routes = json.loads(rack.container(name).run(["ip", "-j", "route", "get", OUTSIDE], check=False).stdout or "[]")
        assert all(route["dev"] == "lo" for route in routes)


def test_a_container_sees_only_its_own_keys(rack: Rack) -> None:
    seen = {name: rack.container(name).run(["ls", "/var/lib/lazur/pki"]).stdout.split() for name in rack.names}
    assert seen["edge"] == ["ca.pem"]
    assert seen["h01"] == sorted(
        ["ca.pem", *(f"{n}.{e}" for n in ("h01", "executor-h01", "guestservices-h01") for e in ("key", "pem"))]
    )
    assert "api.key" in seen["control"] and not any("ca.key" in names for names in seen.values())
    refused = rack.container("h01").run(["touch", "/var/lib/lazur/pki/x", "/var/lib/lazur/images/x"], check=False)
    assert refused.stderr.count("Read-only file system") == 2


def test_a_host_may_only_write_its_own_chassis(rack: Rack) -> None:
    host = rack.container("h01")
    pki = "/var/lib/lazur/pki"
    tls = ["-p", f"{pki}/h01.key", "-c", f"{pki}/h01.pem", "-C", f"{pki}/ca.pem"]
    southbound = ["ovn-sbctl", "--timeout=10", "--db=ssl:10.239.0.2:6642"]
    assert "h02" in host.run([*southbound, *tls, "show"]).stdout
    host.run([*southbound, *tls, "set", "Chassis", "h01", "external_ids:test=1"])
    other = host.run([*southbound, *tls, "set", "Chassis", "h02", "external_ids:test=1"], check=False)
    assert other.returncode != 0 and "permission error" in other.stderr
    anonymous = host.run([*southbound, "-C", f"{pki}/ca.pem", "show"], check=False)
    assert anonymous.returncode != 0


def test_the_platform_is_small(rack: Rack) -> None:
    status = rack.status()
    assert 0 < status.platform_memory <= 1024 * MIB, {c.name: c.memory for c in status.containers}


def test_disks_and_state_outlive_containers(rack: Rack) -> None:
    host = rack.container("h01")
    host.run(["/bin/sh", "-c", "echo kept > /var/lib/lazur/disks/x && echo kept > /var/lib/lazur/host/x && echo gone > /x"])
    kill(rack, "h01")
    rack.up(CHECKS)
    seen = host.run(["cat", "/var/lib/lazur/disks/x", "/var/lib/lazur/host/x", "/x"], check=False)
    assert seen.stdout == "kept\nkept\n" and "/x: No such file" in seen.stderr
    assert rack.container("h02").run(["cat", "/var/lib/lazur/disks/x"]).stdout == "kept\n"


def test_up_repairs_what_a_power_loss_leaves(rack: Rack) -> None:
    """After a power loss folders and records are there, but no process, mount, namespace or interface."""
    for name in rack.names:
        kill(rack, name)
    processes.unmount_below(rack.paths.all_containers)
    for name in map(layout.netns, rack.names):
        subprocess.run(["umount", layout.NETNS / name], check=True)
    assert layout.netns("h01") not in network.live_namespaces() and (layout.NETNS / layout.netns("h01")).exists()
    eventually("the link is gone", lambda: layout.MACHINE_LINK not in network.links(None))
    rack.up(CHECKS)
    assert all(rack.container(name).pid() for name in rack.names)


def test_a_rack_of_another_state_is_refused_while_this_one_runs(rack: Rack) -> None:
    with scratch() as folder:
        other = rack_in(folder)
        attempts: tuple[Callable[[], None], ...] = (lambda: other.up(CHECKS), other.down)
        for attempt in attempts:
            with pytest.raises(LazurError) as caught:
                attempt()
            assert caught.value.code == "AnotherRackRuns"
    assert all(rack.container(name).pid() for name in rack.names)


def test_hosts_are_added_but_never_lost_by_up(rack: Rack) -> None:
    before = {name: rack.container(name).pid() for name in ("h01", "h02", "edge")}
    larger = copy.copy(rack)
    larger.site = rack.site.with_hosts(3)
    larger.up(CHECKS)
    assert larger.container("h03").pid() and before == {name: larger.container(name).pid() for name in before}
    with pytest.raises(LazurError) as caught:
        rack.up(CHECKS)
    assert caught.value.code == "HostsWouldBeLost"
    larger.down()
    rack.paths.state.joinpath("site.json").unlink()
    rack.up(CHECKS)
