"""Microsoft.Authorization: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.authorization.locks.resource import Lock
from lazur.providers.authorization.role_assignments.resource import RoleAssignment
from lazur.providers.authorization.role_definitions.resource import RoleDefinition
from lazur.providers.authorization.routes import ROUTES

PROVIDER = Provider("Microsoft.Authorization", [Lock, RoleAssignment, RoleDefinition], ROUTES)
