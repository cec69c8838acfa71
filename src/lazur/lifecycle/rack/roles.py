"""From a site to what each container's roles are told. Must never read the machine: the site says it all."""

from __future__ import annotations

from dataclasses import dataclass

from lazur.lifecycle.rack import layout
from lazur.lifecycle.role_config import HostCapacity, NetworkFacts, RoleConfig
from lazur.lifecycle.site import FIRST_ROUTER_PLACE, Host, Profile, Site


@dataclass(frozen=True)
class Overcommit:
    """How many vCPUs are promised per core, and how many MiB per MiB."""

    vcpu: int
    memory: int


OVERCOMMIT: dict[Profile, Overcommit] = {
    # az's default size has 8 GiB: on a laptop two of them must be placeable, though their tiny guests use far less.
    "laptop": Overcommit(vcpu=8, memory=4),
    "lab": Overcommit(vcpu=8, memory=1),
    "rack": Overcommit(vcpu=4, memory=1),
}


def role_config(site: Site, container: str) -> RoleConfig:
    """The document of `container`. A host is told of itself only, so that a new neighbour does not restart it."""
    networks, kind = site.networks, layout.kind_of(container)
    told = {"control": site.hosts, "edge": ()}.get(kind, tuple(h for h in site.hosts if h.name == container))
    return RoleConfig(
        container=container,
        kind=kind,
        region=site.region,
        domain=site.domain,
        profile=site.profile,
        throttled=site.profile != "laptop" if site.throttling is None else site.throttling,
        names=site.endpoint_names,
        api_address=str(site.api_address),
        api_port=layout.API_PORT,
        admin_address=str(site.admin_address),
        federation=tuple(p.settings() for p in site.identity.federation) if kind == layout.CONTROL else (),
        control_address=str(site.control_address),
        desires_url=f"https://{site.control_address}:{layout.DESIRES_PORT}",
        northbound=f"unix:{layout.NORTHBOUND_SOCKET}",
        southbound=f"unix:{layout.SOUTHBOUND_SOCKET}",
        state=str(layout.INSIDE_STATE / kind),
        disks=str(layout.INSIDE_DISKS),
        images=str(layout.INSIDE_IMAGES),
        pki=str(layout.INSIDE_PKI),
        runtime=str(layout.INSIDE_RUNTIME),
        logs=str(layout.INSIDE_LOGS),
        network=NetworkFacts(
            underlay=str(networks.underlay.prefix),
            infrastructure=str(networks.infrastructure.prefix),
            link=str(networks.link.prefix),
            transit=str(networks.transit.prefix),
            transit_gateway=str(networks.transit.prefix[1]),
            first_router=str(networks.transit.prefix[FIRST_ROUTER_PLACE]),
            public=tuple(map(str, networks.public)),
            encapsulation=networks.underlay.encapsulation,
            guest_mtu=site.guest_mtu,
            physical_network=layout.PHYSICAL_NETWORK,
            external_bridge=layout.EXTERNAL_BRIDGE,
            template_servers=tuple(map(str, networks.template_servers)),
        ),
        hosts=tuple(capacity(site, host) for host in told),
    )


def capacity(site: Site, host: Host) -> HostCapacity:
    """What placement may promise on `host`."""
    ratio = OVERCOMMIT[site.profile]
    return HostCapacity(
        name=host.name,
        address=str(site.host_address(host.name)),
        cores=host.cores,
        memory_mib=host.memory_mib,
        vcpus=host.cores * ratio.vcpu,
        allocatable_mib=host.memory_mib * ratio.memory,
        fault_domain=host.fault_domain,
        rack=host.rack,
        driver=host.driver,
    )
