"""parseCidr, cidrSubnet, cidrHost for IPv4 and IPv6."""

from __future__ import annotations

import ipaddress
from typing import Any

from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import fault, function, text, whole

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(name: str, value: Any) -> _Network:
    source = text(name, value)
    try:
        if "/" in source:
            return ipaddress.ip_network(source, strict=False)
    except ValueError:
        pass
    raise fault(name, "argument 1 is no IP address range in CIDR notation")


@function("parseCidr", 1, cost=15)
def parse(frame: Frame, args: list[Any]) -> Any:
    """What a range consists of; IPv6 has no broadcast address and all of its addresses are usable."""
    network = _network("parseCidr", args[0])
    first, last = _usable(network)
    out: dict[str, Any] = {"network": str(network.network_address), "netmask": str(network.netmask)}
    if network.version == 4:
        out["broadcast"] = str(network.broadcast_address)
    kind = ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address
    out["firstUsable"] = str(kind(first))
    out["lastUsable"] = str(kind(last))
    out["cidr"] = network.prefixlen
    return out


def _usable(network: _Network) -> tuple[int, int]:
    first, last = int(network.network_address), int(network.broadcast_address)
    return (first + 1, last - 1) if network.version == 4 and network.prefixlen < 31 else (first, last)


@function("cidrSubnet", 3, cost=15)
def subnet(frame: Frame, args: list[Any]) -> Any:
    """The `index`-th range of prefix length `newCIDR` within a range."""
    network = _network("cidrSubnet", args[0])
    length, index = whole("cidrSubnet", args[1], 2), whole("cidrSubnet", args[2], 3)
    if not network.prefixlen <= length <= network.max_prefixlen:
        raise fault(
            "cidrSubnet", f"the new prefix length '{length}' must be {network.prefixlen} to {network.max_prefixlen}"
        )
    if not 0 <= index < 2 ** (length - network.prefixlen):
        raise fault("cidrSubnet", f"the range '{network}' has no /{length} of index '{index}'")
    base = int(network.network_address) + (index << (network.max_prefixlen - length))
    address = ipaddress.IPv4Address(base) if network.version == 4 else ipaddress.IPv6Address(base)
    return f"{address}/{length}"


@function("cidrHost", 2, cost=15)
def host(frame: Frame, args: list[Any]) -> Any:
    """The `index`-th address for a host: index 0 is the one behind the network's own address."""
    network = _network("cidrHost", args[0])
    index = whole("cidrHost", args[1], 2)
    address = int(network.network_address) + 1 + index
    if network.version == 4 and network.prefixlen >= 31:
        address -= 1
    if index < 0 or address > _usable(network)[1]:
        raise fault("cidrHost", f"the range '{network}' has no host of index '{index}'")
    return str(ipaddress.IPv4Address(address) if network.version == 4 else ipaddress.IPv6Address(address))
