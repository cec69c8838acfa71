"""Documents of a network as the controllers write them, with little to say about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lazur.model.desire import Desire

DEFAULT_RULES: Sequence[Mapping[str, Any]] = tuple(
    {
        "name": name,
        "priority": priority,
        "direction": direction,
        "access": access,
        "protocol": "*",
        "sourcePrefixes": [source],
        "sourcePorts": ["*"],
        "destinationPrefixes": [destination],
        "destinationPorts": ["*"],
    }
    for name, priority, direction, access, source, destination in (
        ("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
        ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
        ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
        ("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
        ("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet"),
        ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
    )
)


def desire(kind: str, payload: Mapping[str, Any], *, removed: bool = False, generation: int = 1) -> Desire:
    """A desire of the network domain."""
    return Desire("network/main", kind, payload["uid"], generation, payload, removed)


def subnet(uid: str, prefix: str, nsg: str | None = None) -> dict[str, Any]:
    """A subnet of a VNet's payload."""
    return {"id": f"/s/{uid}", "uid": uid, "name": uid, "prefixes": [prefix], "nsg": nsg, "defaultOutboundAccess": True}


def vnet(uid: str, number: int, subnets: Sequence[Mapping[str, Any]], prefix: str = "10.0.0.0/16", **more: Any) -> Desire:
    """A VNet whose gateway is 10.239.4.<number>."""
    gateway = {"address": f"10.239.4.{number}", "prefixLength": 22, "nextHop": "10.239.4.1"}
    payload = {
        "id": f"/v/{uid}",
        "uid": uid,
        "name": uid,
        "addressPrefixes": [prefix],
        "gateway": gateway,
        "mtu": 1500,
        "dnsServers": [],
        "domainName": f"{uid}.internal.lazur.internal",
        "subnets": subnets,
    }
    return desire("vnet", {**payload, **more})


def rule(
    name: str,
    priority: int,
    *,
    direction: str = "Inbound",
    access: str = "Allow",
    protocol: str = "*",
    source: Iterable[str] = ("*",),
    destination: Iterable[str] = ("*",),
    ports: Iterable[str] = ("*",),
    source_ports: Iterable[str] = ("*",),
) -> dict[str, Any]:
    """A security rule of an NSG's payload."""
    return {
        "name": name,
        "priority": priority,
        "direction": direction,
        "access": access,
        "protocol": protocol,
        "sourcePrefixes": list(source),
        "sourcePorts": list(source_ports),
        "destinationPrefixes": list(destination),
        "destinationPorts": list(ports),
    }


def nsg(uid: str, *rules: Mapping[str, Any]) -> Desire:
    """A security group with the default rules."""
    return desire("nsg", {"id": f"/n/{uid}", "uid": uid, "name": uid, "rules": [*rules, *DEFAULT_RULES]})


def nic(
    uid: str, vnet: str, subnet: str, address: str, *, public: str | None = None, nsg: str | None = None, **more: Any
) -> Desire:
    """A card with one address and a MAC that follows from it."""
    tail = ":".join(f"{int(part):02x}" for part in address.split(".")[1:])
    configuration = {"name": "ipconfig1", "uid": f"{uid}-c", "vnet": vnet, "subnet": subnet, "address": address}
    payload = {
        "id": f"/c/{uid}",
        "uid": uid,
        "name": uid,
        "mac": f"00:0d:3a:{tail}",
        "port": f"nic-{uid}",
        "nsg": nsg,
        "ipForwarding": False,
        "dnsName": uid,
        "ipConfigurations": [{**configuration, "primary": True, "publicAddress": public}],
    }
    return desire("nic", {**payload, **more})


def lb(uid: str, frontends: Sequence[Mapping[str, Any]], pools: Mapping[str, Sequence[Desire]], **more: Any) -> Desire:
    """A load balancer; `pools` by uid with the cards that are members."""
    payload: dict[str, Any] = {
        "id": f"/l/{uid}",
        "uid": uid,
        "name": uid,
        "frontends": frontends,
        "pools": [{"uid": pool, "name": pool, "members": [member(card) for card in cards]} for pool, cards in pools.items()],
        "rules": [],
        "natRules": [],
        "outboundRules": [],
        "down": [],
    }
    return desire("lb", {**payload, **more})


def public(uid: str, address: str) -> dict[str, Any]:
    """A public frontend."""
    return {"uid": uid, "name": uid, "kind": "public", "address": address, "vnet": None, "subnet": None}


def internal(uid: str, address: str, vnet: str, subnet: str) -> dict[str, Any]:
    """An internal frontend."""
    return {"uid": uid, "name": uid, "kind": "internal", "address": address, "vnet": vnet, "subnet": subnet}


def member(card: Desire) -> dict[str, Any]:
    """A card as a pool member or as the target of a NAT rule."""
    configuration = card.payload["ipConfigurations"][0]
    return {"nic": card.key, "address": configuration["address"], "vnet": configuration["vnet"]}


def balance(name: str, frontend: str, port: int, backend: int, pool: str, protocol: str = "Tcp", **more: Any) -> dict[str, Any]:
    """A balancing rule."""
    return {
        "name": name,
        "frontend": frontend,
        "protocol": protocol,
        "frontendPort": port,
        "backendPort": backend,
        "pools": [pool],
        "probe": None,
        "distribution": "Default",
        "disableOutboundSnat": False,
        "idleTimeoutInMinutes": 4,
        "floatingIp": False,
        **more,
    }


def forward(name: str, frontend: str, port: int, backend: int, card: Desire, protocol: str = "Tcp") -> dict[str, Any]:
    """An inbound NAT rule."""
    ports = {"frontendPort": port, "backendPort": backend}
    return {"name": name, "frontend": frontend, "protocol": protocol, **ports, "target": member(card)}
