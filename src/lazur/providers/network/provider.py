"""Microsoft.Network: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider, Route
from lazur.providers.network.load_balancers.resource import LoadBalancer
from lazur.providers.network.network_interfaces.resource import NetworkInterface
from lazur.providers.network.network_security_groups.resource import NetworkSecurityGroup
from lazur.providers.network.public_ip_addresses.names import check_name
from lazur.providers.network.public_ip_addresses.resource import PublicIPAddress
from lazur.providers.network.virtual_networks.resource import VirtualNetwork

_CHECK = Route(
    "GET", ("subscription",), "locations/(?P<location>[^/]+)/CheckDnsNameAvailability",
    "Microsoft.Network/locations/checkDnsNameAvailability/read", check_name,
)  # fmt: skip

PROVIDER = Provider(
    "Microsoft.Network",
    [VirtualNetwork, NetworkSecurityGroup, PublicIPAddress, NetworkInterface, LoadBalancer],
    (_CHECK,),
)
