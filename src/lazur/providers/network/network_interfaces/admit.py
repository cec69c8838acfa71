"""Admission of network interfaces: addresses are checked or chosen, kept for the interface's life. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import settle_addresses, subnet_of
from lazur.providers.network.network_interfaces.resource import NetworkInterfaceSpec

# The first three bytes of every hardware address: Microsoft's, which Azure guests know.
_OUI = "00:0d:3a"


def admit(spec: NetworkInterfaceSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Choose what the customer left open; refuse addresses that cannot be had."""
    settled = settle_addresses(facts, "ipConfigurations", ((c.name, c.properties) for c in spec.ip_configurations))
    faults = [*settled.faults, *_stays_in_its_network(spec, facts)]
    held = facts.old.allocated.get("mac") if facts.old else None
    mac = held or _mac(facts)
    allocated = {"mac": mac, "addresses": settled.addresses, "domainName": _domain(spec, facts)}
    return Decision(faults, allocated=allocated, claims=[*settled.claims, Claim("mac", mac, facts.id.key)])


def _domain(spec: NetworkInterfaceSpec, facts: Facts) -> str:
    """The zone in which guests of its virtual network find each other."""
    subnet = spec.ip_configurations[0].properties.subnet
    found = subnet_of(facts.related, subnet.id) if subnet else None
    return facts.stamp.internal_zone(found[0].uid) if found else ""


def _stays_in_its_network(spec: NetworkInterfaceSpec, facts: Facts) -> list[LazurError]:
    """An interface whose machine has it may change subnets, not virtual networks."""
    if facts.old is None or not facts.old.status.get("machine"):
        return []
    before = {_network(c["properties"]["subnet"]["id"]) for c in facts.old.properties["ipConfigurations"]}
    now = {_network(c.properties.subnet.id) for c in spec.ip_configurations if c.properties.subnet}
    if now <= before:
        return []
    machine = facts.old.status["machine"]
    message = f"Network interface '{facts.id.name}' is attached to '{machine}' and cannot change its virtual network."
    return [LazurError("VnetCannotBeChangedForNic", message, target="properties.ipConfigurations")]


def _network(subnet: str) -> str:
    return ArmId.parse(subnet).parent.key


def _mac(facts: Facts) -> str:
    for n in range(64):
        digits = (facts.uid if n == 0 else facts.fresh()).replace("-", "")[:6]
        mac = f"{_OUI}:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
        if facts.pools.holder("mac", mac) is None:
            return mac
    raise LazurError("MacAddressPoolExhausted", "No free hardware address was found.", status=409)
