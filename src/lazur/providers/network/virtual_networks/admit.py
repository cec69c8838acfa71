"""Admission of virtual networks: subnets in use keep their addresses, a gateway address is chosen. Pure."""

from __future__ import annotations

import ipaddress
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import free_address
from lazur.providers.network.virtual_networks.resource import VirtualNetworkSpec

# The lowest addresses of the transit network belong to the rack itself.
_RESERVED = 16


def admit(spec: VirtualNetworkSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Choose the network's address on the transit network once and for ever."""
    key = facts.id.key
    if facts.old is not None:
        held = facts.old.allocated["transitAddress"]
        return Decision(claims=[Claim("transit", held, key)])
    taken = set(facts.claims.get("transit", {}))
    network = ipaddress.ip_network(facts.stamp.transit_prefix)
    taken |= {str(network.network_address + n) for n in range(_RESERVED)}
    address = free_address([facts.stamp.transit_prefix], taken)
    if address is None:
        message = f"No address is left in the transit network {facts.stamp.transit_prefix}; delete a virtual network."
        return Decision([LazurError("VirtualNetworkCountLimitReached", message, status=409)])
    return Decision(allocated={"transitAddress": address}, claims=[Claim("transit", address, key)])
