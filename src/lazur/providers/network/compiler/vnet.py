"""A VNet as rows: its router, a switch per subnet with DHCP, the guest-services switch, and its door to the transit network.

Must never let a VNet's private addresses out: what has no public address to leave with is dropped at the VNet's own router.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from lazur.drivers.network.rows import Ref, Rows
from lazur.providers.network.compiler.draft import Draft, external_port, group, mac, router, switch
from lazur.providers.network.compiler.state import Subnet, Vnet

PLATFORM = IPv4Address("168.63.129.16")
"""Azure's address of the wire server, DNS and health probes."""
METADATA = IPv4Address("169.254.169.254")
"""The instance metadata service."""
PUBLIC_NETWORK = "public"
"""The bridge mapping every host has for the transit network."""

_TRANSIT = Ref("Logical_Switch", "ls-transit")
_INFINITE = "4294967295"
_LOCALPORT_MAC = "12:34:56:78:9a:bc"
_GUEST_SERVICES_NETWORKS = frozenset({"168.63.129.1/24", "169.254.169.253/30"})
# OVN elects among the first few; more candidates only cost every host more BFD sessions.
_GATEWAY_CANDIDATES = 5
# Who hears no other candidate takes itself to be the one cut off and serves nothing (`ha_chassis_group_is_active` in OVN's
# ha-chassis.c). Of two, neither can take over from the other, and every lost heartbeat ends the service of both.
_FEWEST_VOTERS = 3


def gateway_of(prefix: IPv4Network) -> IPv4Address:
    """The subnet's own router: its first usable address."""
    return prefix.network_address + 1


def compile_vnet(
    draft: Draft,
    vnet: Vnet,
    chassis: Sequence[str],
    leaving: frozenset[IPv4Address],
    proxied: Mapping[str, Iterable[str]],
) -> None:
    """Rows of one VNet without its cards.

    `leaving`: the private addresses that may send packets to the outside. `proxied`: addresses that belong to no card and
    that a subnet's router answers ARP for, by subnet.
    """
    draft.put(
        "Logical_Router",
        router(vnet.uid).key,
        name=f"lr-{vnet.uid}",
        # Hundreds of routers share the transit network: neighbours are learnt when needed, never all by all.
        options={"dynamic_neigh_routers": "true", "always_learn_from_arp_request": "false"},
    )
    for subnet in vnet.subnets:
        _subnet(draft, vnet, subnet, proxied.get(subnet.uid, ()))
    _guest_services(draft, vnet)
    _outside(draft, vnet, chassis, leaving)


def compile_transit(vnets: Iterable[str]) -> Rows:
    """The one switch on which the routers of all `vnets` meet the edge."""
    draft = Draft()
    for uid in vnets:
        if not draft.has(_TRANSIT):
            _transit(draft)
        draft.link(_TRANSIT, "ports", Ref("Logical_Switch_Port", _external_peer(uid)))
    return draft.rows()


def _transit(draft: Draft) -> None:
    draft.put("Logical_Switch", _TRANSIT.key, name=_TRANSIT.key)
    port = draft.put(
        "Logical_Switch_Port",
        "transit-net",
        name="transit-net",
        type="localnet",
        addresses=frozenset({"unknown"}),
        options={"network_name": PUBLIC_NETWORK},
    )
    draft.link(_TRANSIT, "ports", port)


def _external_peer(vnet: str) -> str:
    """The transit switch's port towards a VNet's router."""
    return f"lsp-ext-{vnet}"


def dhcp_options(subnet: str, prefix: IPv4Network) -> Ref:
    """The DHCP answer for cards of `subnet` whose address lies in `prefix`."""
    return Ref("DHCP_Options", f"dhcp-{subnet}-{prefix}")


def _subnet(draft: Draft, vnet: Vnet, subnet: Subnet, proxied: Iterable[str]) -> None:
    draft.put("Logical_Switch", switch(subnet.uid).key, name=f"ls-{subnet.uid}")
    networks = frozenset(f"{gateway_of(p)}/{p.prefixlen}" for p in subnet.prefixes)
    _join(draft, vnet.uid, switch(subnet.uid), f"lrp-{subnet.uid}", mac("subnet", subnet.uid), networks, proxied)
    for prefix in subnet.prefixes:
        gateway = gateway_of(prefix)
        servers = vnet.dns_servers or (str(PLATFORM),)
        # A client that is sent classless routes ignores the plain router, so the default route is among them.
        routes = f"{PLATFORM}/32,{gateway}, {METADATA}/32,{gateway}, 0.0.0.0/0,{gateway}"
        draft.put(
            "DHCP_Options",
            dhcp_options(subnet.uid, prefix).key,
            cidr=str(prefix),
            options={
                "lease_time": _INFINITE,
                "router": str(gateway),
                "server_id": str(PLATFORM),
                "server_mac": _LOCALPORT_MAC,
                "dns_server": "{" + ", ".join(servers) + "}",
                "mtu": str(vnet.mtu),
                "domain_name": f'"{vnet.domain_name}"',
                "classless_static_route": "{" + routes + "}",
            },
        )


def _join(
    draft: Draft, vnet: str, to: Ref, name: str, address: str, networks: frozenset[str], proxied: Iterable[str] = ()
) -> None:
    """A router port and its peer on switch `to`."""
    options = {"router-port": name}
    if proxied:
        options["arp_proxy"] = " ".join(sorted(proxied))
    draft.link(
        router(vnet),
        "ports",
        draft.put("Logical_Router_Port", name, name=name, mac=address, networks=networks),
    )
    peer = f"lsp-{name.removeprefix('lrp-')}"
    draft.link(
        to,
        "ports",
        draft.put(
            "Logical_Switch_Port",
            peer,
            name=peer,
            type="router",
            addresses=frozenset({"router"}),
            options=options,
        ),
    )


def _guest_services(draft: Draft, vnet: Vnet) -> None:
    """The switch with the localport behind which each host answers 168.63.129.16 and 169.254.169.254 for its own VMs."""
    services = draft.put("Logical_Switch", f"ls-gs-{vnet.uid}", name=f"ls-gs-{vnet.uid}")
    _join(draft, vnet.uid, services, f"lrp-gs-{vnet.uid}", mac("gs", vnet.uid), _GUEST_SERVICES_NETWORKS)
    port = draft.put(
        "Logical_Switch_Port",
        f"gs-{vnet.uid}",
        name=f"gs-{vnet.uid}",
        type="localport",
        addresses=frozenset({f"{_LOCALPORT_MAC} {PLATFORM} {METADATA}"}),
    )
    draft.link(services, "ports", port)


def _outside(draft: Draft, vnet: Vnet, chassis: Sequence[str], leaving: frozenset[IPv4Address]) -> None:
    gateway = vnet.gateway
    name = external_port(vnet.uid)
    candidates = draft.put("HA_Chassis_Group", f"hcg-{vnet.uid}", name=f"hcg-{vnet.uid}")
    ranked = sorted(chassis, key=lambda host: hashlib.sha256(f"{vnet.uid}/{host}".encode()).digest())
    elected = _GATEWAY_CANDIDATES if len(ranked) >= _FEWEST_VOTERS else 1
    for rank, host in enumerate(ranked[:elected]):
        key = f"hc-{vnet.uid}-{host}"
        draft.link(
            candidates,
            "ha_chassis",
            draft.put("HA_Chassis", key, chassis_name=host, priority=_GATEWAY_CANDIDATES - rank),
        )
    port = draft.put(
        "Logical_Router_Port",
        name,
        name=name,
        mac=mac("ext", vnet.uid),
        networks=frozenset({f"{gateway.address}/{gateway.prefix_length}"}),
        ha_chassis_group=candidates,
    )
    draft.link(router(vnet.uid), "ports", port)
    draft.put(
        "Logical_Switch_Port",
        _external_peer(vnet.uid),
        name=_external_peer(vnet.uid),
        type="router",
        addresses=frozenset({"router"}),
        options={"router-port": name, "nat-addresses": "router"},
    )
    route = draft.put(
        "Logical_Router_Static_Route",
        f"route-{vnet.uid}-default",
        ip_prefix="0.0.0.0/0",
        nexthop=str(gateway.next_hop),
        output_port=name,
    )
    draft.link(router(vnet.uid), "static_routes", route)
    _border(draft, vnet, leaving)


def _border(draft: Draft, vnet: Vnet, leaving: frozenset[IPv4Address]) -> None:
    """Keep guests off the transit network itself, and those without a public address off everything behind it."""
    inside = ", ".join(f'"lrp-{uid}"' for uid in sorted([f"gs-{vnet.uid}", *(s.uid for s in vnet.subnets)]))
    out = f'inport == {{{inside}}} && outport == "{external_port(vnet.uid)}"'
    transit = IPv4Network(f"{vnet.gateway.address}/{vnet.gateway.prefix_length}", strict=False)
    allowed = group("as", "out", vnet.uid)
    draft.put("Address_Set", allowed, name=allowed, addresses=frozenset(map(str, leaving)))
    for key, priority, match, action in (
        ("transit", 300, f"{out} && ip4.dst == {transit}", "drop"),
        ("leave", 200, f"{out} && ip4.src == ${allowed}", "allow"),
        ("stay", 100, f"{out} && ip4", "drop"),
    ):
        policy = draft.put("Logical_Router_Policy", f"policy-{vnet.uid}-{key}", priority=priority, match=match, action=action)
        draft.link(router(vnet.uid), "policies", policy)
