"""Admission of load balancers: internal frontends get an address of their subnet. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import settle_address
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
        said = frontend.properties
        if said.subnet is None:
            continue
        static = said.private_ip_address if said.private_ip_allocation_method == "Static" else None
        path = f"properties.frontendIPConfigurations[{index}].properties.privateIPAddress"
        found = settle_address(facts, claims, said.subnet.id, frontend.name, static, path)
        if isinstance(found, str):
            addresses[frontend.name] = found
        else:
            faults += found or []
    named = {"name": sku.capitalize(), "tier": "Regional"}
    return Decision(faults, allocated={"addresses": addresses}, claims=claims, body={**body, "sku": named})
