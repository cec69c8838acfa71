"""Microsoft.Management: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.management.management_groups.resource import ManagementGroup
from lazur.providers.management.routes import ROUTES

PROVIDER = Provider("Microsoft.Management", [ManagementGroup], ROUTES)
