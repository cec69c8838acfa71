"""Admission of network interfaces: addresses are checked or chosen, kept for the interface's life. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import check_static, free_address, pool_of, subnet_of, subnet_prefixes
from lazur.providers.network.network_interfaces.resource import IPConfiguration, NetworkInterfaceSpec

# The first three bytes of every hardware address: Microsoft's, which Azure guests know.
_OUI = "00:0d:3a"


def admit(spec: NetworkInterfaceSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Choose what the customer left open; refuse addresses that cannot be had."""
    faults: list[LazurError] = []
    claims: list[Claim] = []
    addresses: dict[str, str] = {}
    for index, configuration in enumerate(spec.ip_configurations):
        path = f"properties.ipConfigurations[{index}].properties.privateIPAddress"
        found = _address(configuration, facts, path, claims)
        if isinstance(found, str):
            addresses[configuration.name] = found
        else:
            faults += found
    faults += _stays_in_its_network(spec, facts)
    held = facts.old.allocated.get("mac") if facts.old else None
    mac = held or _mac(facts)
    claims.append(Claim("mac", mac, facts.id.key))
    return Decision(faults, allocated={"mac": mac, "addresses": addresses}, claims=claims)


def _address(configuration: IPConfiguration, facts: Facts, path: str, claims: list[Claim]) -> str | list[LazurError]:
    said = configuration.properties
    found = subnet_of(facts.related, said.subnet.id) if said.subnet else None
    if found is None:
        return []
    vnet, subnet = found
    pool, prefixes = pool_of(vnet, subnet["name"]), subnet_prefixes(subnet)
    taken = {**facts.claims.get(pool, {}), **{c.value: c.owner for c in claims if c.pool == pool}}
    mine = {c.value for c in claims if c.pool == pool}
    wanted = said.private_ip_address if said.private_ip_allocation_method == "Static" else None
    if wanted is not None:
        holder = facts.id.key if wanted not in mine else ""
        faults = list(check_static(wanted, prefixes, taken, holder, path))
        if faults:
            return faults
    else:
        before = facts.old.allocated.get("addresses", {}).get(configuration.name) if facts.old else None
        still = before is not None and taken.get(before) == facts.id.key and before not in mine
        wanted = before if still else free_address(prefixes, taken)
        if wanted is None:
            message = (
                f"Subnet '{subnet['name']}' with prefix {', '.join(prefixes)} has no free address; {len(taken)} are in use."
            )
            return [LazurError("SubnetIsFull", message, target=path, status=409)]
    claims.append(Claim(pool, wanted, facts.id.key))
    return wanted


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
    taken = facts.claims.get("mac", {})
    for n in range(64):
        digits = (facts.uid if n == 0 else facts.fresh()).replace("-", "")[:6]
        mac = f"{_OUI}:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
        if mac not in taken:
            return mac
    raise LazurError("MacAddressPoolExhausted", "No free hardware address was found.", status=409)
