"""Network security group -> one desire of the network domain."""

from __future__ import annotations

from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Plan, outcome_of
from lazur.model.documents import Record, Wanted
from lazur.providers.network.network_security_groups.resource import DEFAULT_RULES


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the customer's rules, then Azure's."""
    rules = [*record.properties.get("securityRules", []), *DEFAULT_RULES]
    payload = {"id": record.key, "uid": record.uid, "name": record.id.name, "rules": [_rule(r) for r in rules]}
    wanted = [Wanted("network/main", "nsg", record.uid, payload)]
    return Plan(outcome_of(context.desires(record), wanted), desires=wanted)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    said = rule["properties"]
    return {
        "name": rule["name"],
        "priority": said["priority"],
        "direction": said["direction"],
        "access": said["access"],
        "protocol": said["protocol"],
        "sourcePrefixes": _both(said, "sourceAddressPrefix", "sourceAddressPrefixes"),
        "sourcePorts": _both(said, "sourcePortRange", "sourcePortRanges"),
        "destinationPrefixes": _both(said, "destinationAddressPrefix", "destinationAddressPrefixes"),
        "destinationPorts": _both(said, "destinationPortRange", "destinationPortRanges"),
    }


def _both(said: dict[str, Any], one: str, many: str) -> list[str]:
    single = [said[one]] if said.get(one) is not None else []
    return [*single, *said.get(many, [])]
