"""Microsoft.Subscriptions.Admin: what this provider offers. Must never hold behaviour."""

from lazur.model.registry import Provider
from lazur.providers.subscriptions_admin.subscriptions import ROUTES

PROVIDER = Provider("Microsoft.Subscriptions.Admin", [], ROUTES)
