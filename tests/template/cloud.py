"""A deployment's surroundings with everything fixed, and a lookup of given answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lazur.kernel.ids import SeededIds
from lazur.providers.resources.template import (
    Context,
    DeploymentScope,
    Expansion,
    evaluate_body,
    expand,
    outputs,
    parse_template,
)

SUBSCRIPTION = "87d64d6d-6d17-4ad7-b507-16d9bc498781"
RG = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


class Live:
    """Answers references and list actions from a table; remembers what was asked."""

    def __init__(self, resources: dict[str, dict[str, Any]] | None = None) -> None:
        self.resources = {id.lower(): resource for id, resource in (resources or {}).items()}
        self.asked: list[tuple[str, str, str | None]] = []

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        self.asked.append(("reference", id, api_version))
        resource = self.resources[id.lower()]
        return resource if full else resource["properties"]

    def list(self, action: str, id: str, api_version: str | None, body: Any) -> dict[str, Any]:
        self.asked.append((action, id, api_version))
        return {"keys": [{"value": f"key of {id.rsplit('/', 1)[1]}"}], "body": body}


def providers(namespace: str, kind: str | None) -> dict[str, Any]:
    """One published version everywhere, three zones in one location."""
    return {
        "resourceType": kind,
        "locations": ["local"],
        "apiVersions": ["2024-01-01"],
        "zoneMappings": [{"location": "Local", "zones": ["1", "2", "3"]}],
    }


def context(kind: str = "resourceGroup", **changes: Any) -> Context:
    """The context of deployment `d1` in group `rg1`, or of another kind of scope."""
    scope = DeploymentScope(
        kind,
        subscription={
            "id": f"/subscriptions/{SUBSCRIPTION}",
            "subscriptionId": SUBSCRIPTION,
            "tenantId": "t1",
            "displayName": "Sub",
        }
        if kind in ("resourceGroup", "subscription")
        else None,
        resource_group={
            "id": RG,
            "name": "rg1",
            "type": "Microsoft.Resources/resourceGroups",
            "location": "local",
            "tags": {},
            "properties": {"provisioningState": "Succeeded"},
        }
        if kind == "resourceGroup"
        else None,
        management_group={"id": "/providers/Microsoft.Management/managementGroups/mg1", "name": "mg1"}
        if kind == "managementGroup"
        else None,
    )
    given: dict[str, Any] = {
        "deployment_name": "d1",
        "scope": scope,
        "utcnow": datetime(2019, 3, 5, 17, 53, 18, 123456, tzinfo=UTC),
        "ids": SeededIds(7),
        "tenant": {"tenantId": "t1"},
        "environment": {"name": "Lazur", "suffixes": {"storage": "core.local.lazur.internal"}},
        "deployer": {"objectId": "o1", "tenantId": "t1"},
        "providers": providers,
        **changes,
    }
    return Context(**given)


def template(resources: Any = (), **sections: Any) -> dict[str, Any]:
    """A template of the given sections."""
    body = resources if isinstance(resources, dict) else list(resources)
    return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", **sections, "resources": body}


def expanded(
    raw: dict[str, Any], parameters: dict[str, Any] | None = None, kind: str = "resourceGroup", **changes: Any
) -> Expansion:
    """A template made concrete; parameters are plain values."""
    given = {name: {"value": value} for name, value in (parameters or {}).items()}
    return expand(parse_template(raw), given, context(kind, **changes))


def result(expression: str, live: Live | None = None, **sections: Any) -> Any:
    """The value of an expression as the output of a template."""
    made = expanded(template(**sections))
    scope, declared = made.scope, made.template
    raw = template(outputs={"o": {"type": "object", "value": {"v": expression}}}, **sections)
    declared = parse_template(raw)
    return outputs(declared, scope, live or Live())["o"]["value"]["v"]


def bodies(made: Expansion, live: Live | None = None) -> dict[str, dict[str, Any]]:
    """The evaluated bodies by relative id."""
    return {node.relative_id: evaluate_body(node, made.scope, live or Live()) for node in made.nodes}
