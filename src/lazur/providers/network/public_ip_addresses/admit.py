"""Admission of public addresses: one free address of the pool, one free name. Pure."""

from __future__ import annotations

import ipaddress
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import free_address
from lazur.providers.network.public_ip_addresses.resource import LABELS, PublicIPAddressSpec


def admit(spec: PublicIPAddressSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Keep the address of an existing resource, choose the lowest free one for a new one."""
    sku = str((body.get("sku") or {}).get("name", "Standard"))
    if sku.lower() not in ("standard", "basic"):
        message = f"Sku '{sku}' is not known; use 'Standard'."
        return Decision([LazurError("InvalidSku", message, target="sku.name")])
    body = {**body, "sku": {"name": sku.capitalize(), "tier": "Regional", **_without(body.get("sku"), "name", "tier")}}
    key = facts.id.key
    address = facts.old.allocated.get("address") if facts.old else _free(facts)
    if address is None:
        message = (
            f"All addresses of the public pool ({', '.join(facts.stamp.public_prefixes)}) are in use. "
            "Delete a public IP address or ask the operator for a larger pool."
        )
        return Decision([LazurError("PublicIPAddressPoolExhausted", message, status=409)])
    allocated, claims = {"address": address}, [Claim("public", address, key)]
    label = spec.dns_settings.domain_name_label if spec.dns_settings else None
    if label:
        holder = facts.pools.holder(LABELS, label)
        if holder is not None and holder != key:
            message = f"DNS record {label} is already used by another public IP."
            path = "properties.dnsSettings.domainNameLabel"
            return Decision([LazurError("DnsRecordInUse", message, target=path, status=409)])
        allocated["fqdn"] = f"{label}.{facts.stamp.region}.cloudapp.{facts.stamp.domain}"
        claims.append(Claim(LABELS, label, key))
    return Decision(allocated=allocated, claims=claims, body=body)


def _free(facts: Facts) -> str | None:
    networks = [ipaddress.ip_network(prefix) for prefix in facts.stamp.public_prefixes]
    # All but a network's own address and its broadcast address, where it is large enough to have them.
    inner = [(n[1], n[-2]) if n.num_addresses > 2 else (n[0], n[-1]) for n in networks]
    return free_address(facts.pools, "public", [(str(first), str(last)) for first, last in inner])


def _without(found: Any, *names: str) -> dict[str, Any]:
    return {k: v for k, v in (found or {}).items() if k not in names}
