"""managementGroup, resourceGroup, subscription, tenant: the scope of the deployment.

A function whose scope the deployment does not have is refused, in Azure's words and capitals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import function
from lazur.providers.resources.template.scope import RESOURCE_GROUP


def _here(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    if value is None:
        raise ExpressionFault(
            f"The template function '{name.upper()}' is not expected at this location. "
            "Please see https://aka.ms/arm-functions for usage details"
        )
    return dict(value)


@function("resourceGroup", 0)
def resource_group(frame: Frame, args: list[Any]) -> Any:
    """The resource group: id, name, type, location, tags, properties."""
    scope = frame.scope.context.scope
    return _here("resourceGroup", scope.resource_group if scope.kind == RESOURCE_GROUP else None)


@function("subscription", 0)
def subscription(frame: Frame, args: list[Any]) -> Any:
    """The subscription: id, subscriptionId, tenantId, displayName."""
    return _here("subscription", frame.scope.context.scope.subscription)


@function("managementGroup", 0)
def management_group(frame: Frame, args: list[Any]) -> Any:
    """The management group: id, name, properties, type."""
    return _here("managementGroup", frame.scope.context.scope.management_group)


@function("tenant", 0)
def tenant(frame: Frame, args: list[Any]) -> Any:
    """The tenant: tenantId and what else is known of it."""
    return dict(frame.scope.context.tenant)
