"""Microsoft.Resources: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.resources import moves, tags
from lazur.providers.resources.deployments.resource import Deployment
from lazur.providers.resources.resource_groups.resource import ResourceGroup
from lazur.providers.resources.routes import ROUTES

PROVIDER = Provider("Microsoft.Resources", [ResourceGroup, Deployment], (*ROUTES, *moves.ROUTES, *tags.ROUTES))
