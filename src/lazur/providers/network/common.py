"""Address arithmetic and small shapes that several network types share. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator

from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import Claim, Record
from lazur.model.resource import Facts, Pools

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
API_VERSIONS = ("2025-07-01", "2024-07-01", "2023-11-01", "2022-01-01", "2020-11-01", "2018-11-01", "2015-06-15")


def _prefix(text: str) -> str:
    network = ipaddress.ip_network(text, strict=False)
    if str(network) != text and str(ipaddress.ip_network(text.split("/")[0])) != str(network):
        raise ValueError(f"'{text}' has host bits set; did you mean '{network}'?")
    return text


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


Prefix = Annotated[str, AfterValidator(_prefix)]
"""A network in CIDR notation without host bits."""
Address = Annotated[str, AfterValidator(_address)]
"""An IPv4 or IPv6 address."""


def usable(prefix: str) -> tuple[int, int]:
    """First and last assignable address of a subnet: Azure keeps the first four and the last one."""
    network = ipaddress.ip_network(prefix)
    return int(network.network_address) + 4, int(network.broadcast_address) - 1


def assignable(prefix: str) -> tuple[str, str]:
    """`usable` as text."""
    network = ipaddress.ip_network(prefix)
    return str(network.network_address + 4), str(network.broadcast_address - 1)


def gateway(prefix: str) -> str:
    """The subnet's default gateway, always its first address after the network's."""
    return str(ipaddress.ip_network(prefix).network_address + 1)


def free_address(pools: Pools, pool: str, ranges: Iterable[tuple[str, str]], beside: Container[str] = ()) -> str | None:
    """The lowest address of the `ranges` (first and last each) that nobody holds in `pool` and that is not `beside`."""
    for first, last in ranges:
        found = pools.free(pool, first, last)
        while found is not None and found in beside:
            found = pools.free(pool, str(ipaddress.ip_address(found) + 1), last)
        if found is not None:
            return found
    return None


Settled = str | list[LazurError] | None
"""An address, or why there is none, or None where there is no subnet to have one in."""


def pool_of(vnet: Record, subnet: str) -> str:
    """Claim pool of a subnet's addresses."""
    return f"subnet/{vnet.uid}/{subnet.lower()}"


def subnet_prefixes(subnet: Mapping[str, Any]) -> list[str]:
    """A stored subnet's prefixes, whichever of the two properties holds them."""
    properties = subnet.get("properties", {})
    many: list[str] = list(properties.get("addressPrefixes") or [])
    return many or [properties["addressPrefix"]]


def child_named(items: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The embedded child of that name, compared without case."""
    return next((i for i in items if i["name"].lower() == name.lower()), None)


def subnet_of(related: Mapping[str, Record], id: str) -> tuple[Record, Mapping[str, Any]] | None:
    """The virtual network and the subnet that a subnet id names, when prefetched."""
    parsed = ArmId.parse(id)
    vnet = related.get(parsed.parent.key)
    found = child_named(vnet.properties.get("subnets", []), parsed.name) if vnet else None
    return (vnet, found) if vnet and found else None


def check_static(address: str, prefixes: Sequence[str], holder: str | None, path: str) -> Iterator[LazurError]:
    """Faults of a customer-chosen address: outside its subnet, reserved, or held by `holder`."""
    parsed = ipaddress.ip_address(address)
    home = next((p for p in prefixes if parsed in ipaddress.ip_network(p)), None)
    if home is None:
        message = f"Private static IP address {address} does not belong to the range of subnet prefix {', '.join(prefixes)}."
        yield LazurError("PrivateIPAddressNotInSubnet", message, target=path)
        return
    first, last = usable(home)
    if not first <= int(parsed) <= last:
        message = f"IP address {address} is reserved: Azure keeps the first four and the last address of {home}."
        yield LazurError("PrivateIPAddressInReservedRange", message, target=path)
    if holder is not None:
        message = f"IP address {address} is already allocated to resource {holder}."
        yield LazurError("PrivateIPAddressIsAllocated", message, target=path)


def subnet_uid(vnet: Record, name: str) -> str:
    """The lasting identity of a subnet, from which overlay names derive."""
    return derived(vnet.uid, "subnet", name.lower())


def settle_address(facts: Facts, claims: list[Claim], subnet: str, name: str, static: str | None, path: str) -> Settled:
    """The private address that the configuration `name` has in `subnet`: the customer's choice when it can be had, the one it
    has, or the lowest free one. It is added to `claims`; else the answer is why there is none, and None without a subnet."""
    found = subnet_of(facts.related, subnet)
    if found is None:
        return None
    pool, prefixes, key = pool_of(found[0], found[1]["name"]), subnet_prefixes(found[1]), facts.id.key
    # What another configuration of the same resource was just given is as taken as anybody else's.
    mine = {c.value for c in claims if c.pool == pool}
    if static is not None:
        holder = f"{key} (another configuration)" if static in mine else facts.pools.holder(pool, static)
        faults = list(check_static(static, prefixes, None if holder == key else holder, path))
        if faults:
            return faults
        address: str | None = static
    else:
        before = facts.old.allocated.get("addresses", {}).get(name) if facts.old else None
        kept = before is not None and before not in mine and facts.pools.holder(pool, before) == key
        address = before if kept else free_address(facts.pools, pool, map(assignable, prefixes), mine)
    if address is None:
        message = f"Subnet '{found[1]['name']}' with prefix {', '.join(prefixes)} has no free address."
        return [LazurError("SubnetIsFull", message, target=path, status=409)]
    claims.append(Claim(pool, address, key))
    return address
