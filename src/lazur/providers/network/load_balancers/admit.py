"""Admission of load balancers: internal frontends get an address of their subnet. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import check_static, free_address, pool_of, subnet_of, subnet_prefixes
from lazur.providers.network.load_balancers.resource import LoadBalancerSpec


def admit(spec: LoadBalancerSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Choose or check the private addresses; the sku is always Standard in what it does."""
    sku = str((body.get("sku") or {}).get("name", "Standard"))
    faults: list[LazurError] = []
    if sku.lower() not in ("standard", "basic"):
        faults.append(LazurError("InvalidSku", f"Sku '{sku}' is not known; use 'Standard'.", target="sku.name"))
    claims: list[Claim] = []
    addresses: dict[str, str] = {}
    for index, frontend in enumerate(spec.frontend_ip_configurations):
        found = subnet_of(facts.related, frontend.properties.subnet.id) if frontend.properties.subnet else None
        if found is None:
            continue
        vnet, subnet = found
        pool, prefixes = pool_of(vnet, subnet["name"]), subnet_prefixes(subnet)
        taken = {**facts.claims.get(pool, {}), **{c.value: "" for c in claims if c.pool == pool}}
        wanted = frontend.properties.private_ip_address
        before = facts.old.allocated.get("addresses", {}).get(frontend.name) if facts.old else None
        if frontend.properties.private_ip_allocation_method == "Static" and wanted is not None:
            path = f"properties.frontendIPConfigurations[{index}].properties.privateIPAddress"
            problems = list(check_static(wanted, prefixes, taken, facts.id.key, path))
            faults += problems
            if problems:
                continue
        else:
            wanted = before if before and taken.get(before) == facts.id.key else free_address(prefixes, taken)
        if wanted is None:
            faults.append(LazurError("SubnetIsFull", f"Subnet '{subnet['name']}' has no free address.", status=409))
            continue
        addresses[frontend.name] = wanted
        claims.append(Claim(pool, wanted, facts.id.key))
    named = {"name": sku.capitalize(), "tier": "Regional"}
    return Decision(faults, allocated={"addresses": addresses}, claims=claims, body={**body, "sku": named})
