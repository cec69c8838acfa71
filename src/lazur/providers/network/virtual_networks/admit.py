"""Admission of virtual networks: subnets keep the addresses that are in use, a gateway address is chosen. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Claim, Record
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import assignable, child_named, free_address, pool_of, subnet_prefixes, usable
from lazur.providers.network.virtual_networks.resource import Subnet, VirtualNetworkSpec

# The lowest addresses of the transit network belong to the rack itself.
_RESERVED = 16


def admit(spec: VirtualNetworkSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Choose the network's address on the transit network once and for ever."""
    key = facts.id.key
    if facts.old is not None:
        moved = {i: s for i, s in enumerate(spec.subnets) if _moves(s, facts.old)}
        settled = {pool: facts.pools.claims(pool) for pool in (pool_of(facts.old, s.name) for s in moved.values())}
        faults = [f for i, s in moved.items() for f in _keeps_addresses(s, i, settled[pool_of(facts.old, s.name)])]
        held = facts.old.allocated["transitAddress"]
        return Decision(faults, claims=[Claim("transit", held, key)], settled=settled)
    network = ipaddress.ip_network(facts.stamp.transit_prefix)
    address = free_address(facts.pools, "transit", [(str(network.network_address + _RESERVED), assignable(str(network))[1])])
    if address is None:
        message = f"No address is left in the transit network {facts.stamp.transit_prefix}; delete a virtual network."
        return Decision([LazurError("VirtualNetworkCountLimitReached", message, status=409)])
    return Decision(allocated={"transitAddress": address}, claims=[Claim("transit", address, key)])


def _moves(subnet: Subnet, old: Record) -> bool:
    """Whether the subnet was there with other ranges."""
    before = child_named(old.properties.get("subnets", []), subnet.name)
    return before is not None and sorted(subnet_prefixes(before)) != sorted(subnet.properties.prefixes())


def _keeps_addresses(subnet: Subnet, index: int, held: Mapping[str, str]) -> Iterator[LazurError]:
    """A fault naming everybody whose address the subnet's new ranges would not hold any more."""
    ranges = [(ipaddress.ip_network(p).version, usable(p)) for p in subnet.properties.prefixes()]
    lost = {a: owner for a, owner in held.items() if not _within(ipaddress.ip_address(a), ranges)}
    if lost:
        users = sorted(set(lost.values()))
        shown = ", ".join(f"{a} of {owner}" for a, owner in sorted(lost.items())[:5])
        message = (
            f"Subnet '{subnet.name}' is in use by {shown}{' and others' if len(lost) > 5 else ''}: its ranges "
            f"{', '.join(subnet.properties.prefixes())} must keep the addresses that are allocated."
        )
        details = [LazurError("InUseBy", f"'{u}' has an address of it.", target=u) for u in users]
        path = f"properties.subnets[{index}].properties.addressPrefix"
        yield LazurError("InUsePrefixCannotBeDeleted", message, target=path, details=details)


def _within(address: Any, ranges: Sequence[tuple[int, tuple[int, int]]]) -> bool:
    return any(address.version == version and first <= int(address) <= last for version, (first, last) in ranges)
