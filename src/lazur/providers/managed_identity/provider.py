"""Microsoft.ManagedIdentity: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.managed_identity.user_assigned_identities.resource import UserAssignedIdentity

PROVIDER = Provider("Microsoft.ManagedIdentity", [UserAssignedIdentity])
