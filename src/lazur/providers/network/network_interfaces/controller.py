"""Network interface -> one desire of the network domain, known to guests by their machine's name."""

from __future__ import annotations

import ipaddress
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Gone, Plan, Waiting, outcome_of
from lazur.model.armid import ArmId
from lazur.model.documents import Record, Wanted
from lazur.providers.network.common import child_named, gateway, subnet_prefixes, subnet_uid


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the interface with the addresses it was given."""
    machine = next(iter(context.sources(record, "Microsoft.Compute/virtualMachines").values()), None)
    group = record.properties.get("networkSecurityGroup")
    nsg = context.get(group["id"]) if group else None
    configurations = _configurations(record)
    payload: dict[str, Any] = {
        "id": record.key,
        "uid": record.uid,
        "name": record.id.name,
        "mac": record.allocated["mac"],
        "port": f"nic-{record.uid}",
        "nsg": nsg.uid if nsg else None,
        "ipForwarding": record.properties.get("enableIPForwarding", False),
        "dnsName": _dns_name(machine),
        "ipConfigurations": [_configuration(context, record, i, c) for i, c in enumerate(configurations)],
    }
    wanted = [Wanted("network/main", "nic", record.uid, payload)]
    outcome = outcome_of(context.desires(record), wanted)
    # A new interface shows the facts of its network once it is there: one write less, and nobody is woken for it.
    status = record.status if isinstance(outcome, Waiting) and not record.status else _status(context, record, machine)
    return Plan(outcome, desires=wanted, status=status)


def _status(context: Context, record: Record, machine: Record | None) -> dict[str, Any]:
    """What others need to know of the interface: its machine, the facts of its network, and where it runs, so that a change
    of any of these wakes the machine and the balancers it belongs to."""
    status: dict[str, Any] = {}
    subnet = ArmId.parse(_configurations(record)[0]["properties"]["subnet"]["id"])
    vnet = context.get(subnet)
    found = child_named(vnet.properties["subnets"], subnet.name) if vnet else None
    if vnet is not None and found is not None:
        prefix = subnet_prefixes(found)[0]
        status["card"] = {
            "uid": record.uid,
            "port": f"nic-{record.uid}",
            "mac": record.allocated["mac"],
            "mtu": context.stamp.guest_mtu,
            "vnet": vnet.uid,
            "subnet": subnet_uid(vnet, subnet.name),
            "addresses": [record.allocated["addresses"][c["name"]] for c in _configurations(record)],
            "prefixLength": ipaddress.ip_network(prefix).prefixlen,
            "gateway": gateway(prefix),
            "domainName": context.stamp.internal_zone(vnet.uid),
        }
    if machine is not None:
        host = machine.allocated.get("host")
        status |= {"machine": str(machine.id), "vm": machine.uid, "host": host, "going": machine.deleting}
    return status


def _configurations(record: Record) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record.properties["ipConfigurations"]
    return found


def _dns_name(machine: Record | None) -> str | None:
    if machine is None:
        return None
    name: str = machine.properties.get("osProfile", {}).get("computerName") or machine.id.name
    return name.lower()


def _configuration(context: Context, record: Record, index: int, item: dict[str, Any]) -> dict[str, Any]:
    said = item["properties"]
    subnet = ArmId.parse(said["subnet"]["id"])
    vnet = context.get(subnet)
    public = context.get(said["publicIPAddress"]["id"]) if said.get("publicIPAddress") else None
    return {
        "name": item["name"],
        "uid": f"{record.uid}/{item['name'].lower()}",
        "vnet": vnet.uid if vnet else "",
        "subnet": subnet_uid(vnet, subnet.name) if vnet else "",
        "address": record.allocated["addresses"][item["name"]],
        "primary": bool(said.get("primary", index == 0)),
        "publicAddress": public.allocated.get("address") if public else None,
    }


async def dismantle(context: Context, record: Record) -> Plan:
    """Unplug it; then it goes, and with it the public addresses that were to be deleted together with it."""
    if context.desires(record):
        return Plan(Waiting("removing"), desires=())
    public = [c["properties"].get("publicIPAddress", {}) for c in _configurations(record)]
    also = [p["id"].lower() for p in public if p.get("properties", {}).get("deleteOption") == "Delete"]
    return Plan(Gone(), desires=(), delete=[k for k in also if not context.stays(k, record.key)])
