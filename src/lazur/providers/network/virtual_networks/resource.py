"""Declaration of virtual networks and subnets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lazur.kernel.errors import LazurError
from lazur.model.fields import Model, Ref, SubResource
from lazur.model.resource import Embedded, Rendering, Resource
from lazur.providers.network.common import API_VERSIONS, Address, Prefix

NSG = "Microsoft.Network/networkSecurityGroups"


class AddressSpace(Model):
    """The ranges a virtual network may use."""

    address_prefixes: Annotated[list[Prefix], Field(min_length=1)]


class DhcpOptions(Model):
    """What guests learn besides their address."""

    dns_servers: list[Address] = []
    """Own resolvers instead of the cloud's at 168.63.129.16."""


class SubnetSpec(Model):
    """A range of the virtual network that machines get their addresses from."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "ipConfigurations", "purpose", "privateEndpoints", "ipConfigurationProfiles"}
    )
    blank: ClassVar[frozenset[str]] = frozenset({"addressPrefix"})
    address_prefix: Prefix | None = None
    address_prefixes: list[Prefix] = []
    network_security_group: Annotated[SubResource | None, Ref(NSG)] = None
    """Guards every interface of the subnet, before the interface's own group."""
    default_outbound_access: bool = True
    private_endpoint_network_policies: str = "Disabled"
    private_link_service_network_policies: str = "Enabled"

    def prefixes(self) -> list[str]:
        """The subnet's ranges, whichever property names them."""
        return self.address_prefixes or ([self.address_prefix] if self.address_prefix else [])


class Subnet(Model):
    """A subnet with its name."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "etag", "type"})
    name: str = ""
    properties: SubnetSpec = SubnetSpec()


class VirtualNetworkSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "resourceGuid"})
    address_space: AddressSpace
    dhcp_options: DhcpOptions = DhcpOptions()
    subnets: list[Subnet] = []
    virtual_network_peerings: list[Any] = []
    """Kept for clients that send it; peerings are not offered yet."""
    enable_ddos_protection: bool = False


def subnets_fit(spec: VirtualNetworkSpec) -> Iterator[LazurError]:
    """Ranges of the network do not overlap; each subnet lies inside one of them and overlaps no other."""
    space = [ipaddress.ip_network(p, strict=False) for p in spec.address_space.address_prefixes]
    for i, one in enumerate(space):
        for other in space[:i]:
            if one.version == other.version and one.overlaps(other):
                path = f"properties.addressSpace.addressPrefixes[{i}]"
                yield LazurError("NetcfgAddressSpaceOverlap", f"Prefix {one} overlaps {other}.", target=path)
    for index, network in enumerate(space):
        if network.version != 4:
            path = f"properties.addressSpace.addressPrefixes[{index}]"
            yield LazurError("IPv6NotOffered", f"{network}: virtual networks are IPv4 only for now.", target=path)
    seen: list[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]] = []
    for index, subnet in enumerate(spec.subnets):
        yield from _one_subnet(subnet, index, space, seen)


def _one_subnet(subnet: Subnet, index: int, space: list[Any], seen: list[Any]) -> Iterator[LazurError]:
    path = f"properties.subnets[{index}].properties.addressPrefix"
    if not subnet.properties.prefixes():
        message = f"Subnet '{subnet.name}' has neither addressPrefix nor addressPrefixes."
        yield LazurError("MissingRequiredParameter", message, target=path)
    for text in subnet.properties.prefixes():
        prefix = ipaddress.ip_network(text, strict=False)
        if not any(prefix.version == s.version and prefix.subnet_of(s) for s in space):
            message = (
                f"Subnet '{subnet.name}' is not valid because its IP address range {prefix} is outside the IP address range "
                "of the virtual network."
            )
            yield LazurError("NetcfgSubnetRangeOutsideVnet", message, target=path)
        if prefix.version == 4 and prefix.prefixlen > 29:
            message = f"Subnet '{subnet.name}' ({prefix}) is too small: /29 is the smallest, as five addresses are reserved."
            yield LazurError("NetcfgInvalidSubnet", message, target=path)
        for name, other in seen:
            if prefix.version == other.version and prefix.overlaps(other):
                message = (
                    f"Subnet '{subnet.name}' is not valid because its IP address range {prefix} overlaps with that of subnet "
                    f"'{name}' ({other})."
                )
                yield LazurError("NetcfgSubnetRangesOverlap", message, target=path)
        seen.append((subnet.name, prefix))


class VirtualNetwork(Resource[VirtualNetworkSpec]):
    """A private network with its own address space; machines in different virtual networks never see each other."""

    type = "Microsoft.Network/virtualNetworks"
    api_versions = API_VERSIONS
    rules = (subnets_fit,)
    embedded = (Embedded("subnets", "subnets", SubnetSpec, {"addressPrefix": "10.0.1.0/24"}, stays=True),)
    example: ClassVar = {
        "location": "local",
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
        },
    }

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With the interfaces that live in each subnet."""
        properties = shown.properties
        properties["resourceGuid"] = shown.record.uid
        properties.setdefault("subnets", [])
        properties.setdefault("dhcpOptions", {"dnsServers": []})
        properties.setdefault("virtualNetworkPeerings", [])
        properties.setdefault("enableDdosProtection", False)
        for subnet in properties["subnets"]:
            below = subnet["id"].lower()
            users = shown.children_of((r for r in shown.referrers if r.target == below), "ipConfigurations")
            if users:
                subnet["properties"]["ipConfigurations"] = [{"id": u} for u in users]
            subnet["properties"].setdefault("privateEndpointNetworkPolicies", "Disabled")
            subnet["properties"].setdefault("privateLinkServiceNetworkPolicies", "Enabled")
        return properties
