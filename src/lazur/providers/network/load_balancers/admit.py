"""Admission of load balancers: internal frontends get an address of their subnet. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.resource import Decision, Facts
from lazur.providers.network.common import settle_addresses
from lazur.providers.network.load_balancers.resource import LoadBalancerSpec


def admit(spec: LoadBalancerSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Choose or check the private addresses; the sku is always Standard in what it does."""
    sku = str((body.get("sku") or {}).get("name", "Standard"))
    faults: list[LazurError] = []
    if sku.lower() not in ("standard", "basic"):
        faults.append(LazurError("InvalidSku", f"Sku '{sku}' is not known; use 'Standard'.", target="sku.name"))
    settled = settle_addresses(
        facts, "frontendIPConfigurations", ((f.name, f.properties) for f in spec.frontend_ip_configurations)
    )
    named = {"name": sku.capitalize(), "tier": "Regional"}
    return Decision(
        [*faults, *settled.faults], allocated={"addresses": settled.addresses}, claims=settled.claims,
        body={**body, "sku": named},
    )  # fmt: skip
