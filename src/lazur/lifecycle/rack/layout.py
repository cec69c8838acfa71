"""Names, paths and ports of the rack in a box: the one place that both ends of every mount, link and socket agree on.

Must hold constants and names only; whatever acts on them lives beside.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lazur.lifecycle.site import Site

EDGE = "edge"
CONTROL = "control"

# On the machine.
MACHINE_LINK = "lz-edge0"
CGROUP = "lazur"
RUNTIME = Path("/run/lazur")
NETNS = Path("/run/netns")

# Inside every container.
INSIDE_STATE = PurePosixPath("/var/lib/lazur")
INSIDE_DISKS = INSIDE_STATE / "disks"
INSIDE_IMAGES = INSIDE_STATE / "images"
INSIDE_PKI = INSIDE_STATE / "pki"
INSIDE_RUNTIME = PurePosixPath("/run/lazur")
INSIDE_LOGS = PurePosixPath("/var/log/lazur")
INSIDE_CONFIG = PurePosixPath("/etc/lazur")
ROLE_FILE = INSIDE_CONFIG / "role.json"
SERVICES_FILE = INSIDE_CONFIG / "services.json"
SUPERVISOR = "lazur.lifecycle.supervisor"
PYTHONPATH = "/opt/lazur/lib:/opt/lazur/src"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OVS_SOCKET = "/run/openvswitch/db.sock"
NORTHBOUND_SOCKET = "/run/ovn/ovnnb_db.sock"
SOUTHBOUND_SOCKET = "/run/ovn/ovnsb_db.sock"

# Interfaces and bridges.
UNDERLAY_PORT = "eth0"
SECOND_PORT = "eth1"
"""Transit in a host, infrastructure in `control`."""
UNDERLAY_BRIDGE = "br-underlay"
EXTERNAL_BRIDGE = "br-ext"
PHYSICAL_NETWORK = "public"
"""The name OVN's localnet ports use for `br-ext`."""

NORTHBOUND_PORT = 6641
SOUTHBOUND_PORT = 6642
DESIRES_PORT = 8443
API_PORT = 443

STATUS_FILE = "supervisor.json"
HOLD_FILE = "hold"


def netns(container: str) -> str:
    """The network namespace of `container`."""
    return f"lz-{container}"


def state_root() -> Path:
    """Where everything lives that must survive: `$LAZUR_STATE`, else `/var/lib/lazur`."""
    return Path(os.environ.get("LAZUR_STATE", "/var/lib/lazur"))


def containers(site: Site) -> list[str]:
    """All containers of the rack, in the order they start."""
    return [EDGE, CONTROL, *(host.name for host in site.hosts if host.driver == "qemu")]


def kind_of(container: str) -> str:
    """`edge`, `control` or `host`; also the name of the container's state folder inside it."""
    return container if container in (EDGE, CONTROL) else "host"


@dataclass(frozen=True)
class Paths:
    """Where things are on the machine."""

    state: Path
    runtime: Path = RUNTIME

    @property
    def pki(self) -> Path:
        """The authority; below it one folder per container with that container's keys."""
        return self.state / "pki"

    @property
    def disks(self) -> Path:
        """The pool of disks, shared by `control` and all hosts."""
        return self.state / "disks"

    @property
    def images(self) -> Path:
        """Base images, read-only inside."""
        return self.state / "images"

    @property
    def all_containers(self) -> Path:
        """One folder per container."""
        return self.state / "containers"

    def container(self, name: str) -> Path:
        """State, logs, overlay and bundle of one container."""
        return self.all_containers / name

    def role_state(self, name: str) -> Path:
        """What the container sees as `/var/lib/lazur/<kind>`."""
        return self.container(name) / "state"

    def logs(self, name: str) -> Path:
        """What the container sees as `/var/log/lazur`."""
        return self.container(name) / "log"

    def run(self, name: str) -> Path:
        """What the container sees as `/run/lazur`."""
        return self.runtime / "containers" / name

    @property
    def oci(self) -> Path:
        """The OCI runtime's own records."""
        return self.runtime / "runc"

    @property
    def record(self) -> Path:
        """What this rack put on the machine beyond its containers, so that `down` can undo exactly that."""
        return self.runtime / "rack.json"

    @property
    def lock(self) -> Path:
        """Locked while a rack is being brought up or down: a folder that is there anyway, so nothing is left behind."""
        return self.runtime.parent
