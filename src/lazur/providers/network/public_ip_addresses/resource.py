"""Declaration of public IP addresses."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.model.fields import Caseless, Model, Mut
from lazur.model.resource import Rendering, Resource
from lazur.providers.network.common import API_VERSIONS

LABELS = "label"
"""Claim pool of the names under the region's domain."""
LABEL = r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$"
"""What Azure takes for a name."""


class DnsSettings(Model):
    """A name for the address."""

    read_only: ClassVar[frozenset[str]] = frozenset({"fqdn"})
    blank: ClassVar[frozenset[str]] = frozenset({"domainNameLabel"})
    domain_name_label: Annotated[str | None, Field(pattern=LABEL)] = None


class PublicIPAddressSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "resourceGuid", "ipAddress", "ipConfiguration"})
    public_ip_allocation_method: Annotated[
        Literal["Static", "Dynamic"], Caseless(), Field(alias="publicIPAllocationMethod")
    ] = "Static"
    public_ip_address_version: Annotated[
        Literal["IPv4"], Caseless(), Field(alias="publicIPAddressVersion"), Mut.CREATE_ONLY
    ] = "IPv4"
    """IPv4 only for now."""
    idle_timeout_in_minutes: Annotated[int, Field(ge=4, le=30)] = 4
    dns_settings: DnsSettings | None = None
    ip_tags: list[Any] = []
    """Kept; no tag changes what the address does."""


class PublicIPAddress(Resource[PublicIPAddressSpec]):
    """An address of the public pool; Standard, so closed until a security group opens it."""

    type = "Microsoft.Network/publicIPAddresses"
    api_versions = ("2025-09-01", *API_VERSIONS)
    envelope = frozenset({"sku", "zones", "extendedLocation"})
    example: ClassVar = {"location": "local", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With the address and what it serves."""
        properties = {
            "publicIPAllocationMethod": "Static",
            "publicIPAddressVersion": "IPv4",
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
            **shown.properties,
            "resourceGuid": shown.record.uid,
            "ipAddress": shown.record.allocated.get("address"),
        }
        fqdn = shown.record.allocated.get("fqdn")
        if fqdn:
            properties["dnsSettings"] = {**properties.get("dnsSettings", {}), "fqdn": fqdn}
        user = next((r for r in shown.referrers if r.blocking), None)
        if user is not None:
            kind = "frontendIPConfigurations" if "/loadbalancers/" in user.source else "ipConfigurations"
            properties["ipConfiguration"] = {"id": shown.children_of([user], kind)[0]}
        return properties
