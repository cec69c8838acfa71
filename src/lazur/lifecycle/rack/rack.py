"""Bring-up and take-down of the rack in a box.

Each step looks at what is there and does only what is missing, so `up` may be repeated at any time: after a failure, a
kill, a reboot. Must never leave anything on the machine after `down` but the state folder, and not that with `purge`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazur.kernel.clock import Clock
from lazur.kernel.errors import Evidence, LazurError
from lazur.lifecycle.catalogue import publish
from lazur.lifecycle.checks import refuse, run_checks
from lazur.lifecycle.guest_image import ensure_tiny_image
from lazur.lifecycle.host_image import ensure_host_image, package_layer
from lazur.lifecycle.hosts_file import HostsFile
from lazur.lifecycle.inspect import public_names
from lazur.lifecycle.rack import certificates, layout, network, processes
from lazur.lifecycle.rack.commands import run
from lazur.lifecycle.rack.container import Container, Mount, Recipe
from lazur.lifecycle.rack.roles import role_config
from lazur.lifecycle.rack.services import edge_files, fabric, services
from lazur.lifecycle.site import Site

Report = Callable[[str], None]

READY_SECONDS = 90.0
_AT_ONCE = 4
# What a rack of a site nobody remembers may have called its containers.
_OWN_NAMESPACE = re.compile(r"lz-(edge|control|h\d\d)")


@dataclass(frozen=True)
class ContainerStatus:
    """One container: its first process as the machine numbers it (0: not running), services and memory."""

    name: str
    pid: int
    services: Mapping[str, Mapping[str, Any]]
    memory: processes.Memory


@dataclass(frozen=True)
class Status:
    """The rack as it is now. `outside` tells of packets towards outside addresses, all of them refused."""

    containers: tuple[ContainerStatus, ...]
    outside: network.Outside

    @property
    def platform_memory(self) -> int:
        """Bytes of every process that is no guest."""
        return sum(container.memory.platform for container in self.containers)


class Rack:
    """The rack of `site`, whose state lies under `state_dir` and whose images under `cache_dir`."""

    def __init__(
        self,
        site: Site,
        state_dir: Path,
        cache_dir: Path,
        clock: Clock,
        report: Report,
        *,
        hosts_file: HostsFile | None = None,
    ) -> None:
        self.site = site
        self.paths = layout.Paths(state_dir.resolve())
        self._cache = cache_dir
        self._clock = clock
        self._report = report
        self._images: tuple[Path, Path] | None = None
        self._hosts_file = hosts_file or HostsFile()

    @staticmethod
    def remembered(state_dir: Path) -> Site | None:
        """The site the rack under `state_dir` was last brought up with."""
        path = state_dir / "site.json"
        return Site.load(path) if path.exists() else None

    @property
    def names(self) -> list[str]:
        """The containers of the site, in the order they start."""
        return layout.containers(self.site)

    @property
    def credentials(self) -> Path:
        """What the control plane wrote for the operator: names, passwords, endpoints. For root only."""
        return self.paths.role_state(layout.CONTROL) / "credentials.json"

    def container(self, name: str) -> Container:
        """The container `name`; raises when the site has none of that name."""
        if name not in self.names:
            raise LazurError("NoSuchContainer", f"There is no {name}; the rack has {', '.join(self.names)}.", status=404)
        return Container(name, self.paths)

    # Up

    def up(self, accepted: Collection[str] = ()) -> None:
        """Bring up whatever is not up. `accepted` names pre-checks whose finding the operator accepts."""
        places = [self.paths.state, self._cache]
        own_links = [layout.MACHINE_LINK]
        refuse(run_checks(self.site, self.site.profile, accepted, places=places, own_links=own_links))
        with self._locked():
            begun = self._clock.monotonic()
            self._step("records", self._take_over)
            self._step("host image", self._layers)
            self._step("guest image", lambda: publish(ensure_tiny_image(self._cache, self._report), self.paths.images))
            self._step("certificates", lambda: certificates.provide(self.site, self.paths, self._clock))
            self._step("network", lambda: network.Network(self.site, self._layers()[-1]).up())
            self._step("containers", lambda: self._start(self._layers()))
            self._step("services", self._await_services)
            self._step("names", self._keep_names)
            self._step("control plane", self._await_control_plane)
            self._report(f"rack in a box: up after {self._clock.monotonic() - begun:.1f} s")

    def _step(self, title: str, work: Callable[[], object]) -> None:
        begun = self._clock.monotonic()
        try:
            work()
        except LazurError as error:
            self._report(f"{title}: failed after {self._clock.monotonic() - begun:.1f} s: {error.message}")
            raise
        self._report(f"{title}: {self._clock.monotonic() - begun:.1f} s")

    def _take_over(self) -> None:
        """See what an earlier run left, and note what this one will add to the machine."""
        record = self._read_record()
        self._refuse_another(record)
        before = Rack.remembered(self.paths.state)
        if before is not None:
            self._refuse_to_lose_hosts(before)
            if before.networks != self.site.networks and record:
                self._report("networks of the site changed: the rack is taken down first")
                self._take_down(record)
                record = {}
        for folder in (self.paths.state, self.paths.disks, self.paths.images, self.paths.runtime):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        mounted = layout.NETNS in processes.mounts_below(layout.NETNS)
        if "ownNetnsMount" not in record or not mounted:
            record["ownNetnsMount"] = not mounted
        record["state"] = str(self.paths.state)
        egress = self.site.egress_interface
        if egress and record.get("egress", {}).get("interface") != egress:
            record["egress"] = {"interface": egress, "forwarding": network.forwarding(egress).read_text().strip()}
        self.paths.record.write_text(json.dumps(record))
        (self.paths.state / "site.json").write_text(self.site.model_dump_json(by_alias=True, indent=1))

    def _refuse_another(self, record: Mapping[str, Any]) -> None:
        """A machine carries one rack; nobody's guests end because somebody else looked at another folder."""
        owner = record.get("state", str(self.paths.state))
        running = any(self._alive(name) for name in self._every_name())
        if owner != str(self.paths.state) and Path(owner).is_dir() and running:
            raise LazurError(
                "AnotherRackRuns",
                f"The rack whose state is under {owner} uses this machine's addresses; `LAZUR_STATE={owner} lazur down`"
                " ends it.",
                status=409,
            )

    def _refuse_to_lose_hosts(self, before: Site) -> None:
        mine = set(self.names)
        lost = [name for name in layout.containers(before) if name not in mine and Container(name, self.paths).pid()]
        if lost:
            raise LazurError(
                "HostsWouldBeLost",
                f"{', '.join(lost)} may run guests and the site no longer names them. `lazur down` first, or bring the"
                f" rack up with all {len(before.hosts)} hosts.",
                status=409,
            )

    def _layers(self) -> tuple[Path, Path]:
        """Layers of every container's root, topmost first; one rack object keeps to those it saw first."""
        if self._images is None:
            root = ensure_host_image(self._cache, self._report)
            self._images = package_layer(self._cache), root
        return self._images

    def _start(self, layers: tuple[Path, ...]) -> None:
        recipes = [self._recipe(name, layers) for name in self.names]
        stale = [recipe for recipe in recipes if not Container(recipe.name, self.paths).current(recipe)]
        # Control first: the hosts look for it, and wait longer with every miss.
        stale.sort(key=lambda recipe: recipe.name != layout.CONTROL)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda recipe: Container(recipe.name, self.paths).start(recipe), stale))

    def _recipe(self, name: str, layers: tuple[Path, ...]) -> Recipe:
        kind, paths = layout.kind_of(name), self.paths
        mounts = [
            Mount(paths.role_state(name), str(layout.INSIDE_STATE / kind)),
            Mount(paths.logs(name), str(layout.INSIDE_LOGS)),
            Mount(paths.run(name), str(layout.INSIDE_RUNTIME)),
            Mount(paths.pki / name, str(layout.INSIDE_PKI), writable=False),
        ]
        if kind != layout.EDGE:
            mounts += [
                Mount(paths.disks, str(layout.INSIDE_DISKS)),
                Mount(paths.images, str(layout.INSIDE_IMAGES), writable=False),
            ]
        local = "".join(f"{address} {full}\n" for full, address in self.site.endpoint_addresses.items())
        files = {
            str(layout.ROLE_FILE): role_config(self.site, name).dumps(),
            str(layout.SERVICES_FILE): json.dumps(services(self.site, name), indent=1),
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost {name}\n{local}",
            **(edge_files(self.site) if kind == layout.EDGE else {}),
        }
        # -S: no search for site packages, which would double the start of every container.
        argv = ("/usr/bin/python3", "-P", "-s", "-S", "-m", layout.SUPERVISOR, str(layout.SERVICES_FILE))
        return Recipe(name, layers, files, tuple(mounts), argv)

    def _await_services(self) -> None:
        """Wait until OVS, OVN and FRR run everywhere and every host is known to OVN."""
        deadline = self._clock.monotonic() + READY_SECONDS
        waiting = {name: fabric(name) for name in self.names}
        for name, wanted in waiting.items():
            self._await_container(name, wanted, deadline)
        control = self.container(layout.CONTROL)
        for name in self.names[2:]:
            left = max(1, round(deadline - self._clock.monotonic()))
            control.run(["ovn-sbctl", f"--timeout={left}", "wait-until", "Chassis", name, f"name={name}"], timeout=left + 10)

    def _await_container(self, name: str, wanted: list[str], deadline: float) -> None:
        container = Container(name, self.paths)
        while True:
            services_now = container.services()
            missing = [s for s in wanted if services_now.get(s, {}).get("state") != "ready"]
            if not missing:
                return
            if self._clock.monotonic() > deadline or not container.pid():
                raise LazurError(
                    "ServicesNotReady",
                    f"In {name} these services are not ready: {', '.join(missing)}.",
                    info=[
                        Evidence(f"{name}/{service}", [json.dumps(services_now.get(service, {})), *self._tail(name, service)])
                        for service in missing
                    ],
                    status=500,
                    retryable=True,
                )
            # A file is looked at, no process is disturbed: short pauses cost nothing.
            select.select([], [], [], 0.03)

    def _tail(self, name: str, service: str) -> list[str]:
        try:
            text = (self.paths.logs(name) / f"{service}.log").read_text(errors="replace")
        except OSError:
            return []
        return text.splitlines()[-15:]

    def _await_control_plane(self) -> None:
        """Wait until the ARM endpoint answers through the edge, as a client of it."""
        deadline = self._clock.monotonic() + READY_SECONDS
        while (refusal := self._control_plane_refuses()) is not None:
            if self._clock.monotonic() > deadline:
                raise LazurError(
                    "ControlPlaneNotReady",
                    f"{self.site.endpoint_names['management']} does not answer: {refusal}.",
                    info=[Evidence("control/control", self._tail(layout.CONTROL, "control"))],
                    status=500,
                    retryable=True,
                )
            select.select([], [], [], 0.1)

    def _control_plane_refuses(self) -> str | None:
        """Why the ARM endpoint does not answer just now; None when it does. Asks by address: names may come from elsewhere."""
        name = self.site.endpoint_names["management"]
        context = ssl.create_default_context(cafile=str(self.paths.pki / "ca.pem"))
        try:
            with (
                socket.create_connection((str(self.site.api_address), layout.API_PORT), timeout=3) as plain,
                context.wrap_socket(plain, server_hostname=name) as connection,
            ):
                request = (
                    f"GET /metadata/endpoints?api-version=2022-09-01 HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
                )
                connection.sendall(request.encode())
                status = connection.recv(4096).split(b"\r\n", 1)[0].decode(errors="replace")
        except OSError as error:
            return str(error)
        return None if " 200 " in f"{status} " else status or "it closed the connection"

    def _keep_names(self) -> None:
        names = {name: str(address) for name, address in self.site.endpoint_addresses.items()}
        self._hosts_file.keep({**names, **public_names(self.paths.role_state(layout.CONTROL) / "control.db")})

    # Down

    def down(self, *, purge: bool = False) -> None:
        """Take everything away; with `purge` the state, disks included, as well. Works on a damaged state too.

        Raises `NotClean` with whatever resisted.
        """
        if os.geteuid() != 0:
            raise LazurError("RootNeeded", "Taking a rack down takes root, as bringing it up did.")
        with self._locked():
            begun = self._clock.monotonic()
            record = self._read_record()
            self._refuse_another(record)
            self._hosts_file.remove()
            names = self._every_name()
            self._take_down(record)
            self._forget_damaged_site()
            if purge:
                # Never unmounted: an operator may keep the state on a disk of its own.
                shutil.rmtree(self.paths.state, ignore_errors=True)
            left = self._leftovers(names)
            if left:
                raise LazurError("NotClean", "Something of the rack is left.", info=[Evidence("Left", left)], status=500)
            self._report(f"rack in a box: down after {self._clock.monotonic() - begun:.1f} s")

    def _take_down(self, record: Mapping[str, Any]) -> None:
        names = self._every_name()
        hosts = [name for name in names if layout.kind_of(name) == "host"]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # Guests first, while what they need is still there.
            list(pool.map(lambda name: Container(name, self.paths).remove(), hosts))
            list(pool.map(lambda name: Container(name, self.paths).remove(), [n for n in names if n not in hosts]))
        processes.end_cgroup(layout.CGROUP)
        # Before its namespace, whose end would take it along at some later moment.
        run(["ip", "link", "delete", layout.MACHINE_LINK], check=False)
        for name in map(layout.netns, names):
            if name in network.live_namespaces():
                network.kill_in_namespace(name, signal.SIGKILL)
            network.remove_namespace(name)
        self._undo_egress(record)
        for paths in {self.paths, layout.Paths(Path(record.get("state", self.paths.state)))}:
            processes.unmount_below(paths.all_containers)
        if record.get("ownNetnsMount") and layout.NETNS.is_dir() and not any(layout.NETNS.iterdir()):
            processes.unmount_below(layout.NETNS)
            layout.NETNS.rmdir()
        shutil.rmtree(self.paths.runtime, ignore_errors=True)

    def _forget_damaged_site(self) -> None:
        """A remembered site that cannot be read would be in the way of the next `up`."""
        try:
            Rack.remembered(self.paths.state)
        except LazurError as error:
            self._report(f"forgetting the remembered site: {error.message}")
            (self.paths.state / "site.json").unlink()

    def _undo_egress(self, record: Mapping[str, Any]) -> None:
        egress = record.get("egress")
        if egress:
            run(["nft", "delete", "table", "inet", network.MACHINE_TABLE], check=False)
            switch = network.forwarding(egress["interface"])
            if switch.exists():
                switch.write_text(egress["forwarding"])

    def _every_name(self) -> list[str]:
        """Every container there may be anything of, whichever site made it."""
        names = {*self.names, layout.EDGE, layout.CONTROL}
        try:
            before = Rack.remembered(self.paths.state)
        except LazurError:
            # Damaged: the folders and namespaces below speak for themselves.
            before = None
        names |= set(layout.containers(before)) if before else set()
        for folder in (self.paths.all_containers, self.paths.oci, self.paths.runtime / "containers"):
            names |= {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
        if layout.NETNS.is_dir():
            found = [path.name for path in layout.NETNS.iterdir() if _OWN_NAMESPACE.fullmatch(path.name)]
            names |= {name.removeprefix("lz-") for name in found}
        return sorted(names)

    def _leftovers(self, names: list[str]) -> list[str]:
        left = [f"process {pid}" for pid in sorted(processes.members(layout.CGROUP))]
        left += [f"namespace {layout.netns(n)}" for n in names if layout.netns(n) in network.live_namespaces()]
        left += [f"mount {point}" for point in processes.mounts_below(self.paths.all_containers)]
        left += [f"interface {layout.MACHINE_LINK}"] if layout.MACHINE_LINK in network.links(None) else []
        left += [f"hosts file line {name}" for name in self._hosts_file.names()]
        return left

    # Looking at it

    def status(self) -> Status:
        """Containers, services, restarts and memory as they are now."""
        found = []
        for name in self.names:
            container = Container(name, self.paths)
            pid = container.pid()
            memory = processes.memory(pid) if pid else processes.Memory(0, 0)
            found.append(ContainerStatus(name, pid, container.services(), memory))
        return Status(tuple(found), self.outside())

    def outside(self) -> network.Outside:
        """Packets towards addresses outside the rack's networks, refused and counted since the rack came up."""
        live = network.live_namespaces()
        found = [network.outside(layout.netns(name)) for name in self.names if layout.netns(name) in live]
        return network.Outside(sum(one.packets for one in found), tuple(flow for one in found for flow in one.flows))

    def outside_packets(self) -> int:
        """How many packets `outside` counts."""
        return self.outside().packets

    def _alive(self, name: str) -> bool:
        return layout.netns(name) in network.live_namespaces() and bool(processes.members(f"{layout.CGROUP}/{name}"))

    def _read_record(self) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self.paths.record.read_text())
        except (OSError, ValueError):
            return {}
        return record

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time on a machine."""
        descriptor = os.open(self.paths.lock, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._report("waiting for another `lazur up` or `lazur down` to end")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
