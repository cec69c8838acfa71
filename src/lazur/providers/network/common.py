"""Address arithmetic and small shapes that several network types share. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import Claim, Record
from lazur.model.fields import Caseless, Model, Ref, SubResource
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
NETWORK = "Microsoft.Network"


class Addressed(Model):
    """What has a private address of a subnet, or a public one: a configuration of an interface, a frontend of a balancer."""

    blank: ClassVar[frozenset[str]] = frozenset({"privateIPAddress"})
    public_ip_address: Annotated[
        SubResource | None, Field(alias="publicIPAddress"), Ref(f"{NETWORK}/publicIPAddresses", exclusive=True)
    ] = None
    subnet: Annotated[SubResource | None, Ref(f"{NETWORK}/virtualNetworks/subnets")] = None
    private_ip_address: Annotated[Address | None, Field(alias="privateIPAddress")] = None
    """The address; chosen by the cloud unless the allocation is static."""
    private_ip_allocation_method: Annotated[
        Literal["Static", "Dynamic"], Caseless(), Field(alias="privateIPAllocationMethod")
    ] = "Dynamic"


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


@dataclass(frozen=True)
class Settled:
    """Private addresses by the name of what has them, the claims that hold them, and why some cannot be had."""

    addresses: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    faults: list[LazurError] = field(default_factory=list)


def settle_addresses(facts: Facts, list_name: str, configurations: Iterable[tuple[str, Addressed]]) -> Settled:
    """The private address that each of the named configurations of `properties.<list_name>` has in its subnet: the customer's
    choice when it can be had, the one it has, or the lowest free one."""
    settled = Settled()
    for index, (name, said) in enumerate(configurations):
        found = subnet_of(facts.related, said.subnet.id) if said.subnet else None
        if found is None:
            continue
        static = said.private_ip_address if said.private_ip_allocation_method == "Static" else None
        path = f"properties.{list_name}[{index}].properties.privateIPAddress"
        settled.faults.extend(_settle(facts, settled, found, name, static, path))
    return settled


def _settle(
    facts: Facts, settled: Settled, found: tuple[Record, Mapping[str, Any]], name: str, static: str | None, path: str
) -> list[LazurError]:
    """Settle one more, in the subnet that was `found`; why it cannot be."""
    vnet, subnet = found
    pool, prefixes, key = pool_of(vnet, subnet["name"]), subnet_prefixes(subnet), facts.id.key
    # What another configuration of the same resource was just given is as taken as anybody else's.
    mine = {c.value for c in settled.claims if c.pool == pool}
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
        message = f"Subnet '{subnet['name']}' with prefix {', '.join(prefixes)} has no free address."
        return [LazurError("SubnetIsFull", message, target=path, status=409)]
    settled.addresses[name] = address
    settled.claims.append(Claim(pool, address, key))
    return []
