"""Microsoft.Fabric.Admin: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.fabric.hosts.resource import Host

PROVIDER = Provider("Microsoft.Fabric.Admin", [Host])
