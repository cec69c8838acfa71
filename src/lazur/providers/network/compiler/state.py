"""The wanted network as frozen values, read from the payloads of the domain's desires.

A document that cannot be read is set aside with its fault; the others go on. Must never look at the outside world.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.desire import Desire

Name = tuple[str, str]
"""A desire within the domain: kind and key."""


@dataclass(frozen=True)
class Host:
    """A host that takes part in the overlay: only such a one is given gateways."""

    uid: str
    name: str


@dataclass(frozen=True)
class Subnet:
    """A subnet; `nsg` guards every card in it."""

    uid: str
    name: str
    prefixes: Sequence[IPv4Network]
    nsg: str | None


@dataclass(frozen=True)
class Gateway:
    """A VNet's own address on the rack's transit network, and the router there that everything else is sent to."""

    address: IPv4Address
    prefix_length: int
    next_hop: IPv4Address


@dataclass(frozen=True)
class Vnet:
    """A virtual network."""

    uid: str
    name: str
    prefixes: Sequence[IPv4Network]
    gateway: Gateway
    mtu: int
    dns_servers: Sequence[str]
    domain_name: str
    subnets: Sequence[Subnet]


@dataclass(frozen=True)
class Rule:
    """One security rule, Azure's words kept."""

    name: str
    priority: int
    inbound: bool
    allow: bool
    protocol: str
    source_prefixes: Sequence[str]
    source_ports: Sequence[str]
    destination_prefixes: Sequence[str]
    destination_ports: Sequence[str]


@dataclass(frozen=True)
class Nsg:
    """A security group with its default rules."""

    uid: str
    name: str
    rules: Sequence[Rule]


@dataclass(frozen=True)
class IpConfiguration:
    """An address of a card, with its own public address if it has one."""

    name: str
    vnet: str
    subnet: str
    address: IPv4Address
    primary: bool
    public_address: IPv4Address | None

    @cached_property
    def text(self) -> str:
        """The address in writing."""
        return str(self.address)


@dataclass(frozen=True)
class Nic:
    """A network card."""

    uid: str
    name: str
    mac: str
    port: str
    nsg: str | None
    ip_forwarding: bool
    dns_name: str | None
    configurations: Sequence[IpConfiguration]

    @cached_property
    def primary(self) -> IpConfiguration:
        """The configuration DHCP hands out."""
        return next((c for c in self.configurations if c.primary), self.configurations[0])


@dataclass(frozen=True)
class Frontend:
    """An address a load balancer listens on; an internal one lies in a subnet of `vnet`."""

    uid: str
    name: str
    public: bool
    address: IPv4Address
    vnet: str | None
    subnet: str | None


@dataclass(frozen=True)
class Target:
    """A card's address behind a load balancer."""

    nic: str
    address: IPv4Address
    vnet: str


@dataclass(frozen=True)
class BalancingRule:
    """From a frontend's port to a port of the members of pools."""

    name: str
    frontend: str
    protocol: str
    frontend_port: int
    backend_port: int
    pools: Sequence[str]
    probe: str | None
    distribution: str
    outbound: bool
    """Whether the rule also gives its members the frontend as their address towards the Internet."""


@dataclass(frozen=True)
class NatRule:
    """From a frontend's port to a port of one card."""

    name: str
    frontend: str
    protocol: str
    frontend_port: int
    backend_port: int
    target: Target | None


@dataclass(frozen=True)
class OutboundRule:
    """The frontends that members of `pool` use towards the Internet."""

    name: str
    frontends: Sequence[str]
    pool: str


@dataclass(frozen=True)
class LoadBalancer:
    """A load balancer; `down` holds `<probe>/<nic>` for members out of rotation."""

    uid: str
    name: str
    frontends: Mapping[str, Frontend]
    pools: Mapping[str, Sequence[Target]]
    rules: Sequence[BalancingRule]
    nat_rules: Sequence[NatRule]
    outbound_rules: Sequence[OutboundRule]
    down: frozenset[str]


@dataclass(frozen=True)
class PublicName:
    """The name of a public address under the region's domain."""

    uid: str
    name: str
    address: IPv4Address


@dataclass(frozen=True)
class NetworkState:
    """Everything wanted, by uid, and the faults of documents that could not be read."""

    hosts: dict[str, Host] = field(default_factory=dict)
    vnets: dict[str, Vnet] = field(default_factory=dict)
    nsgs: dict[str, Nsg] = field(default_factory=dict)
    nics: dict[str, Nic] = field(default_factory=dict)
    lbs: dict[str, LoadBalancer] = field(default_factory=dict)
    names: dict[str, PublicName] = field(default_factory=dict)
    faults: dict[Name, LazurError] = field(default_factory=dict)


Document = Host | Vnet | Nsg | Nic | LoadBalancer | PublicName

_UID = re.compile(r"[0-9A-Za-z-]{1,64}")
_DNS_NAME = re.compile(r"[0-9A-Za-z_.-]{1,253}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def read(desire: Desire) -> Document | LazurError:
    """What a desire asks for, or why that cannot be told."""
    try:
        if desire.payload["uid"] != desire.key:
            raise ValueError(f"uid {desire.payload['uid']!r} is not the desire's key")
        if desire.kind not in KINDS:
            raise ValueError(f"unknown kind {desire.kind!r}")
        return _READERS[desire.kind](desire.payload)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return _unreadable(desire, error)


def _unreadable(desire: Desire, error: Exception) -> LazurError:
    what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
    return LazurError(
        "NetworkDocumentInvalid",
        f"The network cannot carry this {desire.kind}: {what}.",
        target=str(desire.payload.get("id", desire.key)),
    )


def _uid(value: Any) -> str:
    if not isinstance(value, str) or not _UID.fullmatch(value):
        raise ValueError(f"{value!r} is not a uid")
    return value


def _maybe_uid(value: Any) -> str | None:
    return None if value is None else _uid(value)


def _prefix(value: str) -> IPv4Network:
    # Router advertisements, DHCPv6 and rules for IPv6 are not compiled yet; half a family would bypass security rules.
    if ":" in value:
        raise ValueError(f"IPv6 prefix {value} is not supported")
    return IPv4Network(value)


def _host(p: Mapping[str, Any]) -> Host:
    return Host(_uid(p["uid"]), p["name"])


def _vnet(p: Mapping[str, Any]) -> Vnet:
    gateway = p["gateway"]
    return Vnet(
        uid=_uid(p["uid"]),
        name=p["name"],
        prefixes=tuple(_prefix(x) for x in p["addressPrefixes"]),
        gateway=Gateway(IPv4Address(gateway["address"]), int(gateway["prefixLength"]), IPv4Address(gateway["nextHop"])),
        mtu=int(p["mtu"]),
        dns_servers=tuple(str(IPv4Address(x)) for x in p.get("dnsServers") or ()),
        domain_name=_dns_name(p["domainName"]) or "",
        subnets=tuple(sorted((_subnet(s) for s in p["subnets"]), key=lambda s: s.uid)),
    )


def _subnet(p: Mapping[str, Any]) -> Subnet:
    return Subnet(_uid(p["uid"]), p["name"], tuple(_prefix(x) for x in p["prefixes"]), _maybe_uid(p.get("nsg")))


def _nsg(p: Mapping[str, Any]) -> Nsg:
    return Nsg(_uid(p["uid"]), p["name"], tuple(_rule(r) for r in p["rules"]))


def _rule(p: Mapping[str, Any]) -> Rule:
    direction, access = p["direction"].lower(), p["access"].lower()
    if direction not in ("inbound", "outbound") or access not in ("allow", "deny"):
        raise ValueError(f"rule {p['name']!r} is {p['access']} {p['direction']}")
    return Rule(
        name=str(p["name"]),
        priority=int(p["priority"]),
        inbound=direction == "inbound",
        allow=access == "allow",
        protocol=p["protocol"].lower(),
        source_prefixes=tuple(p["sourcePrefixes"]),
        source_ports=tuple(str(x) for x in p["sourcePorts"]),
        destination_prefixes=tuple(p["destinationPrefixes"]),
        destination_ports=tuple(str(x) for x in p["destinationPorts"]),
    )


def _nic(p: Mapping[str, Any]) -> Nic:
    mac = p["mac"].lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ValueError(f"{p['mac']!r} is not a MAC address")
    configurations = tuple(_configuration(c) for c in p["ipConfigurations"])
    if not configurations:
        raise ValueError("a network interface needs an IP configuration")
    if len({(c.vnet, c.subnet) for c in configurations}) > 1:
        raise ValueError("all IP configurations of a network interface must be in the same subnet")
    return Nic(
        uid=_uid(p["uid"]),
        name=p["name"],
        mac=mac,
        port=_uid(p["port"]),
        nsg=_maybe_uid(p.get("nsg")),
        ip_forwarding=bool(p.get("ipForwarding", False)),
        dns_name=_dns_name(p.get("dnsName")),
        configurations=configurations,
    )


def _dns_name(value: Any) -> str | None:
    if value and not _DNS_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a host name")
    return value or None


def _configuration(p: Mapping[str, Any]) -> IpConfiguration:
    public = p.get("publicAddress")
    return IpConfiguration(
        name=str(p["name"]),
        vnet=_uid(p["vnet"]),
        subnet=_uid(p["subnet"]),
        address=IPv4Address(p["address"]),
        primary=bool(p.get("primary", False)),
        public_address=IPv4Address(public) if public else None,
    )


def _lb(p: Mapping[str, Any]) -> LoadBalancer:
    frontends = {f["uid"]: _frontend(f) for f in p["frontends"]}
    pools = {
        _uid(pool["uid"]): tuple(sorted((_target(m) for m in pool["members"]), key=lambda t: (t.nic, t.address)))
        for pool in p["pools"]
    }
    rules = tuple(_balancing_rule(r) for r in p["rules"])
    nat_rules = tuple(_nat_rule(r) for r in p["natRules"])
    outbound = tuple(OutboundRule(str(r["name"]), tuple(r["frontends"]), r["pool"]) for r in p.get("outboundRules") or ())
    named = [r.frontend for r in rules] + [r.frontend for r in nat_rules] + [f for r in outbound for f in r.frontends]
    for frontend in named:
        if frontend not in frontends:
            raise ValueError(f"frontend {frontend} does not exist")
    for pool in [uid for r in rules for uid in r.pools] + [r.pool for r in outbound]:
        if pool not in pools:
            raise ValueError(f"backend pool {pool} does not exist")
    down = frozenset(p.get("down") or ())
    return LoadBalancer(_uid(p["uid"]), p["name"], frontends, pools, rules, nat_rules, outbound, down)


def _frontend(p: Mapping[str, Any]) -> Frontend:
    public = {"public": True, "internal": False}[p["kind"]]
    vnet, subnet = _maybe_uid(p.get("vnet")), _maybe_uid(p.get("subnet"))
    if not public and (vnet is None or subnet is None):
        raise ValueError(f"internal frontend {p['name']!r} has no subnet")
    return Frontend(_uid(p["uid"]), p["name"], public, IPv4Address(p["address"]), vnet, subnet)


def _target(p: Mapping[str, Any]) -> Target:
    return Target(_uid(p["nic"]), IPv4Address(p["address"]), _uid(p["vnet"]))


def _protocol(value: str, allowed: Sequence[str]) -> str:
    if value.lower() not in allowed:
        raise ValueError(f"protocol {value!r} is none of {', '.join(allowed)}")
    return value.lower()


def _balancing_rule(p: Mapping[str, Any]) -> BalancingRule:
    if p.get("floatingIp"):
        raise ValueError(f"rule {p['name']!r} asks for a floating IP, which is not supported")
    return BalancingRule(
        name=str(p["name"]),
        frontend=p["frontend"],
        protocol=_protocol(p["protocol"], ("tcp", "udp", "all")),
        frontend_port=int(p["frontendPort"]),
        backend_port=int(p["backendPort"]),
        pools=tuple(p["pools"]),
        probe=p.get("probe"),
        distribution=p.get("distribution") or "Default",
        outbound=not p.get("disableOutboundSnat", False),
    )


def _nat_rule(p: Mapping[str, Any]) -> NatRule:
    target = p.get("target")
    return NatRule(
        name=str(p["name"]),
        frontend=p["frontend"],
        protocol=_protocol(p["protocol"], ("tcp", "udp", "all")),
        frontend_port=int(p["frontendPort"]),
        backend_port=int(p["backendPort"]),
        target=_target(target) if target else None,
    )


def _public_name(p: Mapping[str, Any]) -> PublicName:
    return PublicName(_uid(p["uid"]), (_dns_name(p["name"]) or "").lower(), IPv4Address(p["address"]))


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Document]] = {
    "host": _host, "vnet": _vnet, "nsg": _nsg, "nic": _nic, "lb": _lb, "name": _public_name,
}  # fmt: skip
KINDS = frozenset(_READERS)
"""The kinds of desire a network is made of."""
