"""The guest services in real namespaces: each guest its own identity, probes from the fabric's address, kill -9 adopted.

Once over Linux bridges, which every machine has, and once over Open vSwitch from the host image, as on a real host.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree

import dns.message
import dns.query
import pytest

from lazur.guestservices.netns import entered
from lazur.kernel.ids import short
from lazur.lifecycle.host_image import ensure_host_image
from lazur.lifecycle.project import ROOT, cache_root
from tests.guestservices.cloud import ledger_write, probes, vm

_LACKS = "needs root" if os.geteuid() else "needs iproute2" if shutil.which("bridge") is None else ""
pytestmark = pytest.mark.skipif(bool(_LACKS), reason=f"guest services in namespaces: {_LACKS}")

_PROGRAMS = ("usr/lib/openvswitch-switch", "usr/sbin", "usr/bin")

_RUN = """
import asyncio, json, ssl, sys
from pathlib import Path
from lazur.guestservices import GuestServicesSettings, HttpTokens, run
from lazur.kernel.clock import SystemClock
root, prefix, vsctl, db = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
asyncio.run(run(GuestServicesSettings(ledger=root / "ledger", runtime=root / "run", certificates=root / "certificates",
    ovs_vsctl=tuple(vsctl), ovs_db=db, prefix=prefix, poll_seconds=0.1), SystemClock(),
    HttpTokens("https://127.0.0.1:9", ssl.create_default_context())))
"""


def tool(*argv: str, check: bool = True) -> str:
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def eventually(what: str, condition: Callable[[], object]) -> None:
    """Wait until something is so; an operating system error means not yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"never came true: {what}")


class Rig:
    """A host namespace, its guests' namespaces, and the guest-service process in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = f"lg{os.getpid() % 100:02}"
        self.prefix = f"{self.mark}-"
        self.host = f"{self.mark}h"
        self.process: subprocess.Popen[bytes] | None = None
        self.argv: list[str] = []

    def inside(self, *argv: str) -> list[str]:
        # Not `ip netns exec`: its mount namespace would hide what the process mounts, and end with it.
        return ["nsenter", f"--net=/run/netns/{self.host}", *argv]

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        log = (self.root / "log").open("ab")
        self.process = subprocess.Popen(self.inside(sys.executable, *self.argv), env=environment, cwd=ROOT, stderr=log)
        log.close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def memory(self) -> int:
        """Resident memory of the process in KiB."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])

    def guest(self, vnet: str, plug: Callable[[str], object]) -> Guest:
        """A namespace that stands for a guest with 10.0.0.4 and, for want of a router, has the router's address too."""
        name, outer = f"{self.mark}{vnet[0]}", f"{self.mark}{vnet[0]}o"
        tool("ip", "netns", "add", name)
        tool("ip", "-n", self.host, "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
        tool("ip", "-n", self.host, "link", "set", outer, "up")
        for words in (
            "link set lo up", "link set eth0 up", "address add 10.0.0.4/24 dev eth0", "address add 10.0.0.5/24 dev eth0",
            "address add 168.63.129.1/24 dev eth0", "address add 169.254.169.253/30 dev eth0",
        ):  # fmt: skip
            tool("ip", "-n", name, *words.split())
        tool(*self.inside("ethtool", "-K", outer, "tx", "off"))
        with entered(Path("/run/netns") / name):
            tool("ethtool", "-K", "eth0", "tx", "off")
        plug(outer)
        return Guest(name)

    def identity(self, vnet: str) -> tuple[int, int]:
        """What tells a namespace from another of the same name."""
        facts = (Path("/run/netns") / f"{self.prefix}{short(vnet)}").stat()
        return facts.st_dev, facts.st_ino

    def attached(self) -> set[str]:
        return {path.name for path in Path("/run/netns").glob(f"{self.prefix}*")}

    def clear(self) -> None:
        self.kill()
        for path in Path("/run/netns").glob(f"{self.mark}*"):
            tool("ip", "netns", "delete", path.name, check=False)


class Guest:
    """Requests from inside a guest's namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = Path("/run/netns") / namespace

    def socket(self, source: str, kind: socket.SocketKind = socket.SOCK_STREAM, port: int = 0) -> socket.socket:
        with entered(self.namespace):
            sock = socket.socket(socket.AF_INET, kind)
        try:
            sock.settimeout(5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source, port))
        except OSError:
            sock.close()
            raise
        return sock

    def get(self, address: str, path: str, source: str = "10.0.0.4", port: int = 80) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        connection.sock = sock = self.socket(source)
        try:
            sock.connect((address, port))
            connection.request("GET", path, headers={"Metadata": "true", "x-ms-version": "2012-11-30"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
            sock.close()

    def container(self) -> str:
        status, body = self.get("168.63.129.16", "/machine/?comp=goalstate")
        assert status == 200
        return ElementTree.fromstring(body).findtext("Container/ContainerId") or ""

    def resolve(self, name: str, tcp: bool) -> str:
        query = dns.message.make_query(name, "A")
        with self.socket("10.0.0.4", socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
            if tcp:
                sock.connect(("168.63.129.16", 53))
                sock.setblocking(False)
                answer = dns.query.tcp(query, "168.63.129.16", timeout=5, sock=sock)
            else:
                sock.setblocking(False)
                answer = dns.query.udp(query, "168.63.129.16", timeout=5, sock=sock)
        return str(answer.answer[0][0].to_text())

    @contextmanager
    def web(self, status: list[int], sources: list[str]) -> Iterator[None]:
        """A server at 10.0.0.4:8080 that answers the first of `status` and notes who asked."""

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sources.append(self.client_address[0])
                self.send_response(status[0])
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        server = HTTPServer(("10.0.0.4", 8080), Page, bind_and_activate=False)
        server.socket.close()
        server.socket = self.socket("10.0.0.4", port=8080)
        server.socket.settimeout(None)
        server.server_activate()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.clear()
    tool("ip", "netns", "add", rig.host)
    try:
        yield rig
        if rig.process is not None:
            print((tmp_path / "log").read_text())
    finally:
        rig.clear()
    assert not list(Path("/run/netns").glob(f"{rig.mark}*"))


def bridged(rig: Rig) -> dict[str, Guest]:
    """A guest with the same address in each of two networks, which are bridges; the process is ready to be started."""
    guests = {}
    for uid, vnet in (("v1", "red"), ("v2", "blue")):
        bridge = f"br-{vnet}"
        tool("ip", "-n", rig.host, "link", "add", bridge, "type", "bridge")
        tool("ip", "-n", rig.host, "link", "set", bridge, "up")
        master = ("ip", "-n", rig.host, "link", "set")
        guests[vnet] = rig.guest(vnet, lambda outer, m=master, b=bridge: tool(*m, outer, "master", b))  # type: ignore[misc]
        ledger_write(rig.root / "ledger", "vm", uid, vm(uid, vnet, "10.0.0.4"))
    rig.argv = ["-m", "tests.guestservices.bridged_host", str(rig.root), rig.prefix]
    return guests


def test_kill_9_at_any_moment_of_coming_and_going(rig: Rig) -> None:
    guests = bridged(rig)
    wanted = {f"{rig.prefix}{short(vnet)}" for vnet in guests}
    for moment in range(12):
        # Blue goes in every second round, so that both making and taking away are cut short.
        path = rig.root / "ledger" / "vm" / "v2.json"
        if moment % 2:
            path.unlink(missing_ok=True)
        else:
            ledger_write(rig.root / "ledger", "vm", "v2", vm("v2", "blue", "10.0.0.4"))
        rig.start()
        time.sleep(0.3 + 0.07 * moment)
        rig.kill()
    ledger_write(rig.root / "ledger", "vm", "v2", vm("v2", "blue", "10.0.0.4"))
    rig.start()
    eventually("both guests served", lambda: all(g.get("168.63.129.16", "/?comp=versions")[0] == 200 for g in guests.values()))
    assert rig.attached() == wanted
    for uid in ("v1", "v2"):
        (rig.root / "ledger" / "vm" / f"{uid}.json").unlink()
    eventually("nothing left", lambda: not rig.attached())
    links = tool("ip", "-n", rig.host, "-brief", "link")
    assert rig.prefix not in links, links


def test_two_networks_with_equal_addresses_over_bridges(rig: Rig) -> None:
    guests = bridged(rig)
    tool("ip", "netns", "add", f"{rig.prefix}{short('stale')}")
    rig.start()
    red, blue = guests["red"], guests["blue"]
    eventually("both guests served", lambda: all(g.get("168.63.129.16", "/?comp=versions")[0] == 200 for g in guests.values()))
    eventually("the leftover swept", lambda: rig.attached() == {f"{rig.prefix}{short(v)}" for v in guests})
    assert red.container() != blue.container()
    for guest, name in ((red, b"vm-v1"), (blue, b"vm-v2")):
        path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
        assert guest.get("169.254.169.254", path) == (200, name)
    assert red.get("168.63.129.16", "/machine/?comp=goalstate", source="10.0.0.5")[0] == 403
    print("resident KiB with two networks:", rig.memory())
    assert rig.memory() < 60 * 1024
    (rig.root / "ledger" / "vm" / "v2.json").unlink()
    eventually("blue's namespace gone", lambda: rig.attached() == {f"{rig.prefix}{short('red')}"})
    assert red.container()


@contextmanager
def open_vswitch(rig: Rig, image: Path) -> Iterator[Callable[..., str]]:
    """Open vSwitch of the host image in the rig's host namespace, nothing of it written to the image; yields ovs-vsctl."""
    libraries = ":".join(str(image / "usr/lib" / part) for part in ("x86_64-linux-gnu", "x86_64-linux-gnu/openvswitch"))
    loader = [str(image / "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries]
    folder = rig.root / "ovs"
    folder.mkdir()
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
    environment = os.environ | dict.fromkeys(names, str(folder))
    db = f"unix:{folder / 'db.sock'}"

    def program(name: str, *argv: str) -> list[str]:
        found = next(image / part / name for part in _PROGRAMS if (image / part / name).exists())
        return [*loader, str(found), *argv]

    schema = str(image / "usr/share/openvswitch/vswitch.ovsschema")
    subprocess.run(program("ovsdb-tool", "create", str(folder / "conf.db"), schema), env=environment, check=True)
    with ExitStack() as stack, (folder / "log").open("wb") as log:
        for argv in (
            program("ovsdb-server", str(folder / "conf.db"), f"--remote=p{db}", f"--unixctl={folder / 'db.ctl'}"),
            program("ovs-vswitchd", db, f"--unixctl={folder / 'switch.ctl'}", "--disable-system"),
        ):
            daemon = subprocess.Popen(rig.inside(*argv), env=environment, stdout=log, stderr=log)
            stack.callback(daemon.wait)
            stack.callback(daemon.kill)
            eventually("a daemon's socket", lambda: (folder / "db.sock").exists())
        vsctl = program("ovs-vsctl")

        def call(*argv: str) -> str:
            done = subprocess.run([*vsctl, f"--db={db}", "--timeout=20", *argv], capture_output=True, text=True, check=True)
            return done.stdout.strip()

        rig.argv = ["-c", _RUN, str(rig.root), rig.prefix, json.dumps(vsctl), db]
        yield call


def test_kill_9_is_adopted_over_open_vswitch(rig: Rig) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("guest services over Open vSwitch: needs mmdebstrap for the host image")
    image = ensure_host_image(cache_root(), lambda line: print(line, file=sys.stderr))
    with open_vswitch(rig, image) as vsctl:
        vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")
        guest = rig.guest("red", lambda outer: vsctl("add-port", "br-int", outer))
        ledger_write(rig.root / "ledger", "vm", "v1", vm("v1", "red", "10.0.0.4"))
        ledger_write(rig.root / "ledger", "probes", "lb", probes("lb", "red", "10.0.0.4", 8080, "/", intervalSeconds=1))
        status, sources = [200], []  # type: tuple[list[int], list[str]]
        with guest.web(status, sources):
            rig.start()
            _serves_and_survives(rig, guest, vsctl)
            assert set(sources) == {"168.63.129.16"}
            status[0] = 500
            eventually("a backend answering 500 down", lambda: _found(rig)["lb"]["down"] == ["p1/n1"])
        (rig.root / "ledger" / "vm" / "v1.json").unlink()
        eventually("the namespace gone", lambda: not rig.attached())
        eventually("the port gone", lambda: vsctl("list-ports", "br-int").split() == [f"{rig.mark}ro"])
        rig.kill()


def _found(rig: Rig) -> dict[str, dict[str, list[str]]]:
    document = json.loads((rig.root / "run" / "probes.json").read_text())
    assert isinstance(document, dict)
    return document


def _serves_and_survives(rig: Rig, guest: Guest, vsctl: Callable[..., str]) -> None:
    name = "host-v1.0123456789ab.internal.lazur.internal."
    eventually("the guest served", lambda: guest.get("168.63.129.16", "/?comp=versions")[0] == 200)
    assert vsctl("get", "interface", f"{rig.prefix}{short('red')}", "external_ids:iface-id").strip('"') == "gs-red"
    assert (guest.resolve(name, tcp=False), guest.resolve(name, tcp=True)) == ("10.0.0.4", "10.0.0.4")
    assert guest.get("168.63.129.16", "/versions", port=32526) == (200, b'["2015-09-01"]')
    eventually("the backend up", lambda: _found(rig)["lb"]["up"] == ["p1/n1"])
    container, identity = guest.container(), rig.identity("red")
    ports = vsctl("--columns=_uuid", "find", "Interface", 'type=""')
    rig.kill()
    assert _found(rig)["lb"]["up"] == ["p1/n1"]
    rig.start()
    eventually("the guest served again", lambda: guest.get("168.63.129.16", "/?comp=versions")[0] == 200)
    assert (guest.container(), rig.identity("red")) == (container, identity), "made anew instead of adopted"
    assert vsctl("--columns=_uuid", "find", "Interface", 'type=""') == ports
    assert _found(rig)["lb"]["up"] == ["p1/n1"], "a restart took a backend out of rotation"
    # A port somebody removed is put back by the next audit.
    vsctl("del-port", "br-int", f"{rig.prefix}{short('red')}")
    eventually("the port plugged again", lambda: len(vsctl("list-ports", "br-int").split()) == 2)
    eventually("the guest served again", lambda: guest.container() == container)
