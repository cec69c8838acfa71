"""Network interface -> one desire of the network domain, known to guests by their machine's name."""

from __future__ import annotations

from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Gone, Plan, Waiting, outcome_of
from lazur.model.armid import ArmId
from lazur.model.documents import Record, Wanted
from lazur.providers.network.common import subnet_uid


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the interface with the addresses it was given."""
    machines = context.sources(record, "Microsoft.Compute/virtualMachines")
    machine = next(iter(machines.values()), None)
    payload: dict[str, Any] = {
        "id": record.key,
        "uid": record.uid,
        "name": record.id.name,
        "mac": record.allocated["mac"],
        "port": f"nic-{record.uid}",
        "nsg": _uid(context, record.properties.get("networkSecurityGroup")),
        "ipForwarding": record.properties.get("enableIPForwarding", False),
        "dnsName": _dns_name(machine),
        "ipConfigurations": [_configuration(context, record, i, c) for i, c in enumerate(_configurations(record))],
    }
    wanted = [Wanted("network/main", "nic", record.uid, payload)]
    status: dict[str, Any] = {}
    if machine is not None:
        # The balancers this interface belongs to are woken by it, so it shows where its machine runs.
        status = {"machine": str(machine.id), "host": machine.allocated.get("host"), "going": machine.deleting}
    return Plan(outcome_of(context.desires(record), wanted), desires=wanted, status=status)


def _configurations(record: Record) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record.properties["ipConfigurations"]
    return found


def _dns_name(machine: Record | None) -> str | None:
    if machine is None:
        return None
    name: str = machine.properties.get("osProfile", {}).get("computerName") or machine.id.name
    return name.lower()


def _uid(context: Context, reference: dict[str, str] | None) -> str | None:
    found = context.get(reference["id"]) if reference else None
    return found.uid if found else None


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
    return Plan(Gone(), desires=(), delete=[k for k in also if not context.used_by_others(k, record.key)])
