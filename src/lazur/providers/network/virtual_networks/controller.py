"""Virtual network -> one desire of the network domain."""

from __future__ import annotations

import ipaddress
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Plan, outcome_of
from lazur.model.documents import Record, Wanted
from lazur.providers.network.common import subnet_prefixes, subnet_uid


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the network as it is written."""
    wanted = [Wanted("network/main", "vnet", record.uid, payload(context, record))]
    return Plan(outcome_of(context.desires(record), wanted), desires=wanted)


def payload(context: Context, record: Record) -> dict[str, Any]:
    """The desire's content."""
    stamp, properties = context.stamp, record.properties
    return {
        "id": record.key,
        "uid": record.uid,
        "name": record.id.name,
        "addressPrefixes": properties["addressSpace"]["addressPrefixes"],
        "gateway": {
            "address": record.allocated["transitAddress"],
            "prefixLength": ipaddress.ip_network(stamp.transit_prefix).prefixlen,
            "nextHop": stamp.transit_next_hop,
        },
        "mtu": stamp.guest_mtu,
        "dnsServers": properties.get("dhcpOptions", {}).get("dnsServers", []),
        "domainName": stamp.internal_zone(record.uid),
        "subnets": [_subnet(context, record, s) for s in properties.get("subnets", [])],
    }


def _subnet(context: Context, record: Record, subnet: dict[str, Any]) -> dict[str, Any]:
    group = subnet.get("properties", {}).get("networkSecurityGroup")
    found = context.get(group["id"]) if group else None
    return {
        "id": record.id.child("subnets", subnet["name"]).key,
        "uid": subnet_uid(record, subnet["name"]),
        "name": subnet["name"],
        "prefixes": subnet_prefixes(subnet),
        "nsg": found.uid if found else None,
        "defaultOutboundAccess": subnet.get("properties", {}).get("defaultOutboundAccess", True),
    }
