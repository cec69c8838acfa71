"""Declaration of network interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.kernel.errors import LazurError
from lazur.model.fields import Caseless, Model, Ref, SubResource
from lazur.model.resource import Embedded, Rendering, Resource
from lazur.providers.network.common import API_VERSIONS, NETWORK, Address, Addressed

BALANCER = f"{NETWORK}/loadBalancers"


class IPConfigurationSpec(Addressed):
    """One address of the interface."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "privateLinkConnectionProperties"})
    private_ip_address_version: Annotated[Literal["IPv4"], Caseless(), Field(alias="privateIPAddressVersion")] = "IPv4"
    primary: bool | None = None
    load_balancer_backend_address_pools: Annotated[list[SubResource], Ref(f"{BALANCER}/backendAddressPools")] = []
    load_balancer_inbound_nat_rules: Annotated[list[SubResource], Ref(f"{BALANCER}/inboundNatRules", exclusive=True)] = []


class IPConfiguration(Model):
    """An IP configuration with its name."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "etag", "type"})
    name: str = ""
    properties: IPConfigurationSpec = IPConfigurationSpec()


class NicDnsSettings(Model):
    """Own resolvers of this interface."""

    read_only: ClassVar[frozenset[str]] = frozenset({"appliedDnsServers", "internalFqdn", "internalDomainNameSuffix"})
    dns_servers: list[Address] = []
    internal_dns_name_label: str | None = None


class NetworkInterfaceSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "resourceGuid", "macAddress", "virtualMachine", "hostedWorkloads", "tapConfigurations",
         "vnetEncryptionSupported", "primary", "privateLinkService", "privateEndpoint", "defaultOutboundConnectivityEnabled"}
    )  # fmt: skip
    ip_configurations: Annotated[list[IPConfiguration], Field(min_length=1)]
    network_security_group: Annotated[SubResource | None, Ref(f"{NETWORK}/networkSecurityGroups")] = None
    enable_ip_forwarding: Annotated[bool, Field(alias="enableIPForwarding")] = False
    enable_accelerated_networking: bool = False
    dns_settings: NicDnsSettings = NicDnsSettings()
    nic_type: Annotated[Literal["Standard", "Elastic"], Caseless()] = "Standard"


def one_primary(spec: NetworkInterfaceSpec) -> Iterator[LazurError]:
    """Every configuration has a subnet, all in one network; a static one names its address; one is primary."""
    primaries = [c for c in spec.ip_configurations if c.properties.primary]
    if len(primaries) > 1:
        message = "Only one IP configuration of a network interface can be primary."
        yield LazurError("NetworkInterfaceCanHaveOnlyOnePrimaryIpConfiguration", message, target="properties.ipConfigurations")
    networks = set()
    for index, configuration in enumerate(spec.ip_configurations):
        path, said = f"properties.ipConfigurations[{index}].properties", configuration.properties
        if said.subnet is None:
            message = f"IP configuration '{configuration.name}' must name a subnet."
            yield LazurError("SubnetIsRequired", message, target=f"{path}.subnet")
        else:
            networks.add(said.subnet.id.lower().rpartition("/subnets/")[0])
        if said.private_ip_allocation_method == "Static" and said.private_ip_address is None:
            message = f"IP configuration '{configuration.name}' is static and must name its privateIPAddress."
            yield LazurError("PrivateIPAddressIsRequired", message, target=f"{path}.privateIPAddress")
    if len(networks) > 1:
        message = "All IP configurations of a network interface must be in the same virtual network."
        yield LazurError("AllIpConfigurationsMustBeInSameVnet", message, target="properties.ipConfigurations")


class NetworkInterface(Resource[NetworkInterfaceSpec]):
    """A network card: addresses in one virtual network, attached to at most one machine."""

    type = f"{NETWORK}/networkInterfaces"
    api_versions = API_VERSIONS
    rules = (one_primary,)
    embedded = (
        Embedded("ipConfigurations", "ipConfigurations", IPConfigurationSpec,
                 {"subnet": {"id": "@Microsoft.Network/virtualNetworks/subnets/default"}}),
    )  # fmt: skip
    envelope = frozenset({"extendedLocation"})
    example: ClassVar = {
        "location": "local",
        "properties": {
            "ipConfigurations": [
                {
                    "name": "ipconfig1",
                    "properties": {
                        "subnet": {"id": "@Microsoft.Network/virtualNetworks/subnets/default"},
                        "publicIPAddress": {"id": "@Microsoft.Network/publicIPAddresses"},
                    },
                }
            ],
            "networkSecurityGroup": {"id": "@Microsoft.Network/networkSecurityGroups"},
        },
    }

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With addresses, hardware address, and the machine it is attached to."""
        record, properties = shown.record, shown.properties
        machine = next(iter(shown.users("virtualMachines")), None)
        attached = machine is not None
        for index, item in enumerate(properties["ipConfigurations"]):
            inner = item["properties"]
            inner["privateIPAddress"] = record.allocated.get("addresses", {}).get(item["name"])
            inner.setdefault("privateIPAllocationMethod", "Dynamic")
            inner.setdefault("privateIPAddressVersion", "IPv4")
            inner["primary"] = inner.get("primary", index == 0 or None) or False
        properties["resourceGuid"] = record.uid
        if attached:
            properties["virtualMachine"] = {"id": machine}
            properties["macAddress"] = record.allocated["mac"].upper().replace(":", "-")
        properties["primary"] = attached
        properties.setdefault("enableIPForwarding", False)
        properties.setdefault("enableAcceleratedNetworking", False)
        properties["dnsSettings"] = {
            "dnsServers": [], **properties.get("dnsSettings", {}), "appliedDnsServers": [],
            "internalDomainNameSuffix": record.allocated.get("domainName", ""),
        }  # fmt: skip
        properties.setdefault("nicType", "Standard")
        return properties
