"""Microsoft.Resources: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.resources.deployments.resource import Deployment
from lazur.providers.resources.resource_groups.resource import ResourceGroup

PROVIDER = Provider("Microsoft.Resources", [ResourceGroup, Deployment])
