"""What a role has to know of its place in the stamp: `/etc/lazur/role.json` inside every container.

Plain data and the standard library only, since every process on every host reads it. Must never hold a secret: keys are
files under `pki`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROLE_FILE = Path("/etc/lazur/role.json")


@dataclass(frozen=True)
class HostCapacity:
    """One host as placement sees it. `vcpus` and `allocatable_mib` are what may be promised to guests: the machine's
    cores and MiB times what the site's profile overcommits."""

    name: str
    address: str
    cores: int
    memory_mib: int
    vcpus: int
    allocatable_mib: int
    fault_domain: int
    rack: str
    driver: str


@dataclass(frozen=True)
class NetworkFacts:
    """Prefixes are CIDR strings; `first_router` is the first transit address a VNet gateway may take."""

    underlay: str
    infrastructure: str
    link: str
    transit: str
    transit_gateway: str
    first_router: str
    public: tuple[str, ...]
    encapsulation: str
    guest_mtu: int
    physical_network: str
    external_bridge: str
    template_servers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RoleConfig:
    """The whole document. `kind` is edge, control or host; `names` maps each endpoint to its full name; `state` is the
    role's own folder; `hosts` is the fleet in `control` and just the host itself in a host."""

    container: str
    kind: str
    region: str
    domain: str
    profile: str
    throttled: bool
    names: Mapping[str, str]
    api_address: str
    api_port: int
    control_address: str
    desires_url: str
    northbound: str
    southbound: str
    state: str
    disks: str
    images: str
    pki: str
    runtime: str
    logs: str
    network: NetworkFacts
    hosts: tuple[HostCapacity, ...]
    admin_address: str = ""
    federation: tuple[Mapping[str, Any], ...] = ()

    def dumps(self) -> str:
        """As JSON, keys sorted, so that equal configurations are equal texts."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def load(cls, path: Path = ROLE_FILE) -> RoleConfig:
        """The configuration of the container this process runs in."""
        raw: dict[str, Any] = json.loads(path.read_text())
        network = {**raw.pop("network")}
        for name in ("public", "template_servers"):
            network[name] = tuple(network.get(name, ()))
        raw["federation"] = tuple(raw.get("federation", ()))
        hosts = tuple(HostCapacity(**host) for host in raw.pop("hosts"))
        return cls(network=NetworkFacts(**network), hosts=hosts, **raw)

    @property
    def host(self) -> HostCapacity:
        """The host this role runs on; only where `kind` is host."""
        return next(host for host in self.hosts if host.name == self.container)
