"""The four scopes a deployment can run at, told from ids, and what each of them demands of a deployment.

Pure: whether a scope exists and who may deploy there is decided by those who run deployments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.faults import MAX_NESTING, invalid
from lazur.providers.resources.template.scope import MANAGEMENT_GROUP, RESOURCE_GROUP, SUBSCRIPTION, TENANT
from lazur.providers.resources.template.values import get

_DEPLOYMENTS = "microsoft.resources/deployments"
_MANAGEMENT_GROUPS = ("providers", "microsoft.management", "managementgroups")


@dataclass(frozen=True)
class Target:
    """A scope to deploy to; what it does not have is empty."""

    kind: str
    subscription: str = ""
    group: str = ""
    management_group: str = ""

    @property
    def id(self) -> str:
        """The id that resources of this scope begin with; empty for the tenant."""
        if self.kind == MANAGEMENT_GROUP:
            return f"/providers/Microsoft.Management/managementGroups/{self.management_group}"
        if self.kind == TENANT:
            return ""
        base = f"/subscriptions/{self.subscription}"
        return f"{base}/resourceGroups/{self.group}" if self.kind == RESOURCE_GROUP else base


def target(scope_id: str) -> Target | None:
    """The scope that an id names (`Node.scope_id` of a nested deployment), or None when it is an id of something else."""
    segments = [segment for segment in scope_id.split("/") if segment]
    lowered = [segment.lower() for segment in segments]
    if not segments:
        return Target(TENANT)
    if tuple(lowered[:3]) == _MANAGEMENT_GROUPS and len(segments) == 4:
        return Target(MANAGEMENT_GROUP, management_group=segments[3])
    if lowered[0] == "subscriptions" and len(segments) == 2:
        return Target(SUBSCRIPTION, segments[1])
    if lowered[0] == "subscriptions" and len(segments) == 4 and lowered[2] == "resourcegroups":
        return Target(RESOURCE_GROUP, segments[1], segments[3])
    return None


def check_location(name: str, kind: str, location: Any) -> None:
    """Refuse a deployment without a location above a resource group, and one with a location in a group."""
    usage = "Please see https://aka.ms/deploy-to-subscription for usage details."
    if kind != RESOURCE_GROUP and not location:
        raise LazurError(
            "InvalidDeployment", f"The 'location' property must be specified for '{name}'. {usage}", target="location"
        )
    if kind == RESOURCE_GROUP and location:
        raise LazurError(
            "InvalidDeployment",
            f"The 'location' property is not allowed for '{name}' at resource group scope. {usage}",
            target="location",
        )


def check_nesting(template: Mapping[str, Any], around: int) -> None:
    """Refuse templates within templates that go deeper than the limit; `around` counts the deployments around this one."""
    depth = around + _depth(template)
    if depth > MAX_NESTING:
        raise invalid(
            f"The nesting of deployments is limited. Limit: '{MAX_NESTING}' and actual: '{depth}'. "
            "Please see https://aka.ms/arm-template/#nested for usage details",
            "resources",
        )


def _depth(template: Any) -> int:
    """How many deployments deep the templates written inside a template go."""
    deepest = 0
    stack: list[tuple[Any, int]] = [(template, 0)]
    while stack:
        holder, depth = stack.pop()
        deepest = max(deepest, depth)
        resources = get(holder, "resources") if isinstance(holder, dict) else None
        found = list(resources.values()) if isinstance(resources, dict) else resources
        for body in found if isinstance(found, list) else ():
            if not isinstance(body, dict):
                continue
            stack.append((body, depth))
            if str(get(body, "type", "")).lower() == _DEPLOYMENTS:
                properties = get(body, "properties")
                inner = get(properties, "template") if isinstance(properties, dict) else None
                stack.append((inner, depth + 1))
    return deepest
