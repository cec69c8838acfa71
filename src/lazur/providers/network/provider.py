"""Microsoft.Network: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.network.load_balancers.resource import LoadBalancer
from lazur.providers.network.network_interfaces.resource import NetworkInterface
from lazur.providers.network.network_security_groups.resource import NetworkSecurityGroup
from lazur.providers.network.public_ip_addresses.resource import PublicIPAddress
from lazur.providers.network.virtual_networks.resource import VirtualNetwork

PROVIDER = Provider(
    "Microsoft.Network", [VirtualNetwork, NetworkSecurityGroup, PublicIPAddress, NetworkInterface, LoadBalancer]
)
