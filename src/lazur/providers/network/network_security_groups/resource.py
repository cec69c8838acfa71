"""Declaration of network security groups and their rules."""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from lazur.kernel.errors import LazurError
from lazur.model.fields import Caseless, Model
from lazur.model.resource import Embedded, Rendering, Resource
from lazur.providers.network.common import API_VERSIONS

TAGS = ("VirtualNetwork", "AzureLoadBalancer", "Internet")
_BY_NAME = {t.lower(): t for t in TAGS}


def _source(text: str) -> str:
    if text == "*":
        return text
    if text.lower() in _BY_NAME:
        return _BY_NAME[text.lower()]
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(
            f"'{text}' is neither an address, a prefix, '*' nor one of the service tags {', '.join(TAGS)}"
        ) from error
    return text


def _ports(text: str) -> str:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if text == "*":
        return text
    if match is None or not int(match[1]) <= int(match[2] or match[1]) <= 65535:
        raise ValueError(f"'{text}' is not a port, a range such as 1000-2000, or '*'")
    return text


Where = Annotated[str, AfterValidator(_source)]
"""An address, a prefix, `*` or a service tag."""
Ports = Annotated[str, AfterValidator(_ports)]
"""A port, a range or `*`."""


class SecurityRuleSpec(Model):
    """Who may talk to whom."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})
    blank: ClassVar[frozenset[str]] = frozenset(
        {"sourceAddressPrefix", "sourcePortRange", "destinationAddressPrefix", "destinationPortRange"}
    )
    description: Annotated[str, Field(max_length=140)] = ""
    protocol: Annotated[Literal["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"], Caseless()]
    source_address_prefix: Where | None = None
    source_address_prefixes: list[Where] = []
    source_port_range: Ports | None = None
    source_port_ranges: list[Ports] = []
    destination_address_prefix: Where | None = None
    destination_address_prefixes: list[Where] = []
    destination_port_range: Ports | None = None
    destination_port_ranges: list[Ports] = []
    access: Annotated[Literal["Allow", "Deny"], Caseless()]
    priority: Annotated[int, Field(ge=100, le=4096)]
    direction: Annotated[Literal["Inbound", "Outbound"], Caseless()]


class SecurityRule(Model):
    """A rule with its name."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "etag", "type"})
    name: str = ""
    properties: SecurityRuleSpec


class NetworkSecurityGroupSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "resourceGuid", "defaultSecurityRules", "networkInterfaces", "subnets", "flowLogs"}
    )
    security_rules: list[SecurityRule] = []


def rules_are_whole(spec: NetworkSecurityGroupSpec) -> Iterator[LazurError]:
    """Each rule says source and destination once; no two rules of a direction share a priority."""
    seen: dict[tuple[str, int], str] = {}
    for index, rule in enumerate(spec.security_rules):
        path, said = f"properties.securityRules[{index}].properties", rule.properties
        for one, many, name in (
            (said.source_address_prefix, said.source_address_prefixes, "sourceAddressPrefix"),
            (said.source_port_range, said.source_port_ranges, "sourcePortRange"),
            (said.destination_address_prefix, said.destination_address_prefixes, "destinationAddressPrefix"),
            (said.destination_port_range, said.destination_port_ranges, "destinationPortRange"),
        ):
            if one is None and not many:
                message = f"Security rule '{rule.name}' must specify '{name}' or its plural form."
                yield LazurError("SecurityRuleMissingRequiredProperty", message, target=f"{path}.{name}")
        known = seen.setdefault((said.direction, said.priority), rule.name)
        if known != rule.name:
            message = f"Security rules '{known}' and '{rule.name}' have the same {said.direction} priority {said.priority}."
            yield LazurError("SecurityRuleConflict", message, target=f"{path}.priority")


def _default(name: str, priority: int, direction: str, access: str, source: str, destination: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            "description": text, "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*",
            "sourceAddressPrefix": source, "destinationAddressPrefix": destination, "access": access,
            "priority": priority, "direction": direction,
        },
    }  # fmt: skip


DEFAULT_RULES = (
    _default(
        "AllowVnetInBound",
        65000,
        "Inbound",
        "Allow",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow inbound traffic from all VMs in VNET",
    ),
    _default(
        "AllowAzureLoadBalancerInBound",
        65001,
        "Inbound",
        "Allow",
        "AzureLoadBalancer",
        "*",
        "Allow inbound traffic from azure load balancer",
    ),
    _default("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*", "Deny all inbound traffic"),
    _default(
        "AllowVnetOutBound",
        65000,
        "Outbound",
        "Allow",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow outbound traffic from all VMs to all VMs in VNET",
    ),
    _default(
        "AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet", "Allow outbound traffic from all VMs to Internet"
    ),
    _default("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*", "Deny all outbound traffic"),
)
"""The rules every group ends with, as Azure publishes them."""


class NetworkSecurityGroup(Resource[NetworkSecurityGroupSpec]):
    """A stateful packet filter for subnets and interfaces."""

    type = "Microsoft.Network/networkSecurityGroups"
    api_versions = API_VERSIONS
    rules = (rules_are_whole,)
    embedded = (
        Embedded("securityRules", "securityRules", SecurityRuleSpec, {
            "protocol": "Udp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": "53", "access": "Deny", "priority": 200, "direction": "Inbound",
        }),
    )  # fmt: skip
    example: ClassVar = {
        "location": "local",
        "properties": {
            "securityRules": [
                {
                    "name": "http",
                    "properties": {
                        "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
                        "destinationPortRange": "80", "access": "Allow", "priority": 100, "direction": "Inbound",
                    },
                }
            ]
        },
    }  # fmt: skip

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With the default rules and whoever the group guards."""
        properties = shown.properties
        properties.setdefault("securityRules", [])
        properties["resourceGuid"] = shown.record.uid
        properties["defaultSecurityRules"] = [_shown_default(shown, r) for r in copy.deepcopy(DEFAULT_RULES)]
        interfaces = shown.users("networkInterfaces")
        subnets = shown.children_of((r for r in shown.referrers if "/virtualnetworks/" in r.source), "subnets")
        if interfaces:
            properties["networkInterfaces"] = [{"id": i} for i in interfaces]
        if subnets:
            properties["subnets"] = [{"id": s} for s in subnets]
        return properties


def _shown_default(shown: Rendering, rule: dict[str, Any]) -> dict[str, Any]:
    id = shown.record.id.child("defaultSecurityRules", rule["name"])
    rule |= {"id": str(id), "type": id.type, "etag": f'W/"{shown.record.etag}"'}
    rule["properties"]["provisioningState"] = shown.record.state
    return rule
