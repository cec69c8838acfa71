"""A small overlay of its own for tests: OVN central, hosts, an edge and an outside client, each in a network namespace.

The daemons come from the host image and run in private mount namespaces; everything is taken down by `close`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
_T = TypeVar("_T")
_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def host_image() -> Path | None:
    """The newest host image in the cache, None when there is none."""
    cache = Path(os.environ.get("LAZUR_CACHE", "/var/cache/lazur")) / "host-image"
    images = [p for p in cache.iterdir() if (p / "usr/bin/ovn-northd").exists()] if cache.is_dir() else []
    return max(images, key=lambda p: p.stat().st_mtime, default=None)


def why_not() -> str | None:
    """Why this machine cannot run the lab, None when it can."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    if host_image() is None:
        return "needs the host image (`./lazur up` builds it)"
    return None


def within(namespace: str, action: Callable[[], _T]) -> _T:
    """Run `action` in a thread inside a network namespace; sockets it makes stay there."""
    result: list[_T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            with Path(f"/run/netns/{namespace}").open() as handle:
                if _LIBC.setns(handle.fileno(), _NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {namespace}")
            result.append(action())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def eventually(check: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `check`, or its last one when the time is up."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)


class Lab:
    """Namespaces `<prefix>-…` with OVN in them.

    `central`: further words for the database servers, with PORT for the port of each. `files`: folders to find in /mnt.
    """

    def __init__(
        self,
        prefix: str,
        hosts: Sequence[str] = (),
        encapsulation: str = "geneve",
        central: Sequence[str] = (),
        files: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        image = host_image()
        assert image is not None
        self.image = image
        self.prefix = prefix
        self.hosts = list(hosts)
        self.database_options = list(central)
        self.work = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        for name, folder in files.items():
            shutil.copytree(folder, self.work / name)
        self._namespaces: list[str] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        try:
            self._central()
            if hosts:
                self._wires()
            for number, host in enumerate(hosts):
                self._host(host, f"10.239.0.{11 + number}", encapsulation)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave nothing behind."""
        for listener in self._listeners:
            # Closing alone leaves its thread waiting on a descriptor that the next lab's server may get.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        for listener in self._listeners:
            listener.close()
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        for namespace in reversed(self._namespaces):
            subprocess.run(["ip", "netns", "del", namespace], check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    # --- processes --------------------------------------------------------------------------------------------------

    def command(self, node: str, *words: str) -> list[str]:
        """A command that runs `words` from the host image in the namespace of `node`; /mnt is the work folder."""
        script = (
            f"mount --bind {self.work} {self.image}/mnt && mount --bind /proc {self.image}/proc"
            f" && mount --bind /dev {self.image}/dev && mount --bind /sys {self.image}/sys"
            f' && mount --bind {ROOT} {self.image}/srv && exec chroot {self.image} "$@"'
        )
        run = f"/mnt/{node}"
        names = [f"{kind}_{what}DIR={run}" for kind in ("OVS", "OVN") for what in ("RUN", "LOG", "DB", "SYSCONF")]
        environment = ["env", *names, "PYTHONPATH=/srv/src:/srv:/opt/lazur/lib", "PYTHONDONTWRITEBYTECODE=1"]
        enter = ["ip", "netns", "exec", self.namespace(node), "unshare", "--mount", "--propagation", "private"]
        return [*enter, "sh", "-ec", script, "sh", *environment, *words]

    def run(self, node: str, *words: str) -> str:
        """Output of a command from the host image."""
        done = subprocess.run(self.command(node, *words), capture_output=True, text=True)
        assert done.returncode == 0, f"{node}: {' '.join(words)}: {done.stderr}"
        return done.stdout

    def start(self, node: str, name: str, *words: str) -> None:
        """Run a daemon of the image until `stop` or the end."""
        with (self.work / node / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(self.command(node, *words), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._processes[f"{node}/{name}"] = process

    def stop(self, node: str, name: str) -> None:
        """Kill a daemon as a crash would."""
        process = self._processes.pop(f"{node}/{name}")
        process.kill()
        process.wait()

    def nb(self, *words: str) -> str:
        """ovn-nbctl."""
        return self.run("central", "ovn-nbctl", "--db=unix:/mnt/central/nb.sock", *words)

    def sb(self, *words: str) -> str:
        """ovn-sbctl."""
        return self.run("central", "ovn-sbctl", "--db=unix:/mnt/central/sb.sock", *words)

    def vs(self, host: str, *words: str) -> str:
        """ovs-vsctl on a host."""
        return self.run(host, "ovs-vsctl", f"--db=unix:/mnt/{host}/db.sock", *words)

    # --- namespaces -------------------------------------------------------------------------------------------------

    def namespace(self, node: str) -> str:
        """The namespace of a node."""
        return f"{self.prefix}-{node}"

    def add(self, node: str) -> str:
        """A new namespace with a loopback."""
        name = self.namespace(node)
        self.ip("netns", "add", name)
        self._namespaces.append(name)
        self.ip("-n", name, "link", "set", "lo", "up")
        (self.work / node).mkdir(exist_ok=True)
        return name

    def ip(self, *words: str) -> None:
        """The ip command of this machine."""
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    def wire(self, one: str, one_end: str, other: str, other_end: str, mtu: int = 1500, mac: str | None = None) -> None:
        """A veth pair with offloads off, for the userspace datapath computes no checksums of others."""
        here, there = self.namespace(one), self.namespace(other)
        address = ["address", mac] if mac else []
        self.ip(
            *["link", "add", one_end, "mtu", str(mtu), *address, "netns", here],
            *["type", "veth", "peer", "name", other_end, "mtu", str(mtu), "netns", there],
        )
        for namespace, end in ((here, one_end), (there, other_end)):
            off = ["ethtool", "-K", end, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]
            self.ip("netns", "exec", namespace, *off)
            self.ip("-n", namespace, "link", "set", end, "up")

    # --- parts ------------------------------------------------------------------------------------------------------

    def start_database(self, which: str) -> None:
        """The nb or sb database server."""
        path = f"/mnt/central/{which}"
        remotes = [f"--remote=punix:{path}.sock"]
        if which == "sb" and self.hosts:
            remotes.append("--remote=ptcp:6642:10.239.0.2")
        words = [option.replace("PORT", {"nb": "6641", "sb": "6642"}[which]) for option in self.database_options]
        words += [f"--unixctl={path}.ctl", "-vconsole:warn"]
        self.start("central", which, "ovsdb-server", f"{path}.db", *remotes, *words)

    def _central(self) -> None:
        self.add("central")
        if self.hosts:
            self.add("wires")
            for bridge in ("under", "transit"):
                self.ip("-n", self.namespace("wires"), "link", "add", bridge, "type", "bridge")
                self.ip("-n", self.namespace("wires"), "link", "set", bridge, "up")
            self._plug("central", "under", "eth0", 1700)
            self.ip("-n", self.namespace("central"), "addr", "add", "10.239.0.2/24", "dev", "eth0")
        for which in ("nb", "sb"):
            schema = f"/usr/share/ovn/ovn-{which}.ovsschema"
            self.run("central", "ovsdb-tool", "create", f"/mnt/central/{which}.db", schema)
            self.start_database(which)
        for which in ("nb", "sb"):
            assert eventually((self.work / "central" / f"{which}.sock").exists)
        self.start_northd()

    def start_northd(self) -> None:
        """The daemon between both databases."""
        databases = ["--ovnnb-db=unix:/mnt/central/nb.sock", "--ovnsb-db=unix:/mnt/central/sb.sock"]
        self.start("central", "northd", "ovn-northd", *databases, "-vconsole:warn")

    def _plug(self, node: str, segment: str, end: str, mtu: int) -> None:
        port = f"{segment[0]}-{node}"
        self.wire(node, end, "wires", port, mtu)
        self.ip("-n", self.namespace("wires"), "link", "set", port, "master", segment)

    def _wires(self) -> None:
        """The edge on the transit network with the public pool on-link, and a client behind it."""
        edge, out = self.add("edge"), self.add("out")
        self._plug("edge", "transit", "eth0", 1500)
        self.wire("edge", "eth1", "out", "eth0")
        self.ip("-n", edge, "addr", "add", "10.239.4.1/22", "dev", "eth0")
        self.ip("-n", edge, "route", "add", "203.0.113.0/24", "dev", "eth0")
        self.ip("-n", edge, "addr", "add", "198.51.100.1/24", "dev", "eth1")
        self.ip("-n", out, "addr", "add", "198.51.100.9/24", "dev", "eth0")
        self.ip("-n", out, "route", "add", "default", "via", "198.51.100.1")
        subprocess.run(["ip", "netns", "exec", edge, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)

    def _host(self, host: str, address: str, encapsulation: str) -> None:
        self.add(host)
        self._plug(host, "under", "eth0", 1700)
        self._plug(host, "transit", "eth1", 1500)
        database = f"/mnt/{host}/conf.db"
        self.run(host, "ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.start(host, "ovsdb", "ovsdb-server", database, f"--remote=punix:/mnt/{host}/db.sock", "-vconsole:warn")
        assert eventually((self.work / host / "db.sock").exists)
        ids = {
            "system-id": host,
            "hostname": host,
            "ovn-remote": "tcp:10.239.0.2:6642",
            "ovn-encap-type": encapsulation,
            "ovn-encap-ip": address,
            "ovn-bridge-datapath-type": "netdev",
            "ovn-bridge-mappings": "public:br-ext",
        }
        settings = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
        self.vs(host, "--no-wait", "init", "--", "set", "Open_vSwitch", ".", *settings)
        self.start_switch(host)
        for bridge, port in (("br-underlay", "eth0"), ("br-ext", "eth1")):
            netdev = ["--", "set", "Bridge", bridge, "datapath_type=netdev"]
            self.vs(host, "add-br", bridge, *netdev, "--", "add-port", bridge, port)
        self._tunnel_address(host)
        self.start_controller(host)

    def start_controller(self, host: str) -> None:
        """ovn-controller of a host."""
        self.start(host, "controller", "ovn-controller", f"unix:/mnt/{host}/db.sock", "-vconsole:warn")

    def start_switch(self, host: str) -> None:
        """ovs-vswitchd of a host."""
        self.start(host, "vswitchd", "ovs-vswitchd", f"unix:/mnt/{host}/db.sock", "-vconsole:warn")

    def revive_switch(self, host: str) -> None:
        """Start a killed ovs-vswitchd and give its bridge back the address that went with it."""
        self.start_switch(host)
        assert eventually(lambda: self._has_underlay(host))
        self._tunnel_address(host)

    def _has_underlay(self, host: str) -> bool:
        show = ["ip", "-n", self.namespace(host), "link", "show", "br-underlay"]
        return subprocess.run(show, capture_output=True, check=False).returncode == 0

    def _tunnel_address(self, host: str) -> None:
        address = f"10.239.0.{11 + self.hosts.index(host)}/24"
        self.ip("-n", self.namespace(host), "link", "set", "br-underlay", "mtu", "1700", "up")
        self.ip("-n", self.namespace(host), "addr", "replace", address, "dev", "br-underlay")

    # --- guests -----------------------------------------------------------------------------------------------------

    def guest(self, node: str, host: str, port: str, mac: str, address: str, gateway: str) -> str:
        """A machine with one card on `host`; a fixed address stands in for its DHCP client."""
        namespace = self.add(node)
        self.wire(node, "eth0", host, f"p-{node}", mac=mac)
        interface = ["--", "set", "Interface", f"p-{node}", f"external_ids:iface-id={port}"]
        self.vs(host, "add-port", "br-int", f"p-{node}", *interface)
        self.ip("-n", namespace, "addr", "add", address, "dev", "eth0")
        self.ip("-n", namespace, "route", "add", "default", "via", gateway)
        return namespace

    def serve(self, node: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        """Answer every connection (or datagram) with "<node> <address of the client>"."""
        listener = within(self.namespace(node), lambda: socket.socket(socket.AF_INET, kind))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        self._listeners.append(listener)

        def stream() -> None:
            listener.listen(64)
            while True:
                try:
                    connection, peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_answer, args=(connection, f"{node} {peer[0]}\n"), daemon=True).start()

        def datagram() -> None:
            while True:
                try:
                    _, peer = listener.recvfrom(2048)
                except OSError:
                    return
                if peer is None:
                    return
                listener.sendto(f"{node} {peer[0]}".encode(), peer)

        thread = threading.Thread(target=stream if kind == socket.SOCK_STREAM else datagram, daemon=True)
        self._threads.append(thread)
        thread.start()

    def ask(self, node: str, address: str, port: int, seconds: float = 4.0) -> str | None:
        """The answer a server gives `node` over TCP: "" when refused, None when there is none in time."""

        def connect() -> str | None:
            try:
                with socket.create_connection((address, port), timeout=seconds) as connection:
                    return connection.makefile().readline().strip()
            except ConnectionRefusedError:
                return ""
            except OSError:
                return None

        return within(self.namespace(node), connect)

    def ask_datagram(self, node: str, address: str, port: int, payload: bytes = b"?", seconds: float = 1.0) -> bytes | None:
        """The datagram that comes back for `payload`, None when there is none in time."""

        def exchange() -> bytes | None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
                channel.settimeout(seconds)
                try:
                    channel.sendto(payload, (address, port))
                    return channel.recv(4096)
                except OSError:
                    return None

        return within(self.namespace(node), exchange)


def _answer(connection: socket.socket, text: str) -> None:
    """Answer at once, then once more for every line the client sends."""
    with connection, connection.makefile("rw") as stream:
        try:
            stream.write(text)
            stream.flush()
            for _ in stream:
                stream.write(text)
                stream.flush()
        except OSError:
            return
