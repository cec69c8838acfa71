"""From a deployment's documents to a concrete template. Pure, so the same documents always give the same resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.model.registry import Registry
from lazur.model.rights import Caller
from lazur.model.stamp import Stamp
from lazur.providers.resources.deployments.resource import Placed
from lazur.providers.resources.template import (
    Budget,
    Context,
    DeploymentScope,
    Expansion,
    Providers,
    Target,
    expand,
    parse_template,
    target,
)

NOBODY = Caller("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", "nobody")


@dataclass(frozen=True)
class Surroundings:
    """What a template may know of the place it is deployed to; fixed in the record when a run begins."""

    kind: str
    subscription: Mapping[str, Any] | None = None
    group: Mapping[str, Any] | None = None
    management_group: Mapping[str, Any] | None = None
    location: str | None = None
    nesting: int = 0
    """How many deployments there are around this one."""
    tenant: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    deployer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scope(self) -> DeploymentScope:
        """The same, as the template language has it."""
        return DeploymentScope(self.kind, self.subscription, self.group, self.management_group)


def surroundings_of(
    scope: ArmId, stamp: Stamp, caller: Caller = NOBODY, *, group: Record | None = None, subscription: str = "",
    location: str | None = None, nesting: int = 0,
) -> Surroundings:  # fmt: skip
    """A place to deploy to, as it is now: its `group` when it is there, the display name of its `subscription`.

    Without a caller only a template's form can be told.
    """
    place = target(str(scope))
    if place is None:
        raise LazurError("InvalidDeployment", f"'{scope}' is no scope that can be deployed to.", target="scope")
    deployer = {"objectId": caller.object_id, "tenantId": caller.tenant}
    if caller.kind == "User":
        deployer["userPrincipalName"] = caller.name
    directory = scope.tenant or caller.tenant or stamp.tenant
    return Surroundings(
        place.kind,
        _subscription(place.subscription, directory, subscription) if place.subscription else None,
        _group(scope, group, stamp) if place.group else None,
        _management_group(place) if place.management_group else None,
        location,
        nesting,
        {"tenantId": directory, "id": f"/tenants/{directory}"},
        _environment(stamp),
        deployer,
    )


def offered_by(registry: Registry, stamp: Stamp) -> Providers:
    """What `providers()` tells of this cloud."""
    return lambda namespace, kind: registry.offered(namespace, kind, stamp.region)


def expansion_of(
    id: ArmId, properties: Mapping[str, Any], parameters: Mapping[str, Any], around: Surroundings, ids: Ids, now: datetime,
    budget: Budget, providers: Providers,
) -> Expansion:  # fmt: skip
    """The concrete template; raises `InvalidTemplate` and the like for everything wrong with it."""
    if properties.get("template") is None:
        message = "The request content is missing the required property 'properties.template'."
        raise LazurError("InvalidRequestContent", message, target="properties.template")
    context = Context(
        deployment_name=id.name,
        scope=around.scope,
        utcnow=now,
        ids=ids,
        tenant=around.tenant,
        environment=around.environment,
        deployer=around.deployer,
        location=around.location,
        nesting=around.nesting,
        mode=str(properties.get("mode", "Incremental")),
        external_inputs=properties.get("externalInputs") or {},
        budget=budget,
        providers=providers,
    )
    template = properties["template"]
    known = {"locate": template.locate} if isinstance(template, Placed) else {}
    return expand(parse_template(template, **known), parameters, context)


def _subscription(id: str, tenant: str, name: str) -> dict[str, Any]:
    return {"id": f"/subscriptions/{id}", "subscriptionId": id, "tenantId": tenant, "displayName": name}


def _management_group(place: Target) -> dict[str, Any]:
    name, kind = place.management_group, "Microsoft.Management/managementGroups"
    return {"id": place.id, "name": name, "type": kind, "properties": {"displayName": name}}


def _group(id: ArmId, group: Record | None, stamp: Stamp) -> dict[str, Any]:
    """A group; one that the deployment itself has yet to make will lie where everything does."""
    body = group.body if group is not None else {}
    return {
        "id": str(group.id if group is not None else id),
        "name": group.id.name if group is not None else id.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": body.get("location", stamp.region),
        "tags": body.get("tags", {}),
        "managedBy": None,
        "properties": {"provisioningState": "Succeeded"},
    }


def _environment(stamp: Stamp) -> dict[str, Any]:
    zone = f"{stamp.region}.{stamp.domain}"
    return {
        "name": "Lazur",
        "resourceManager": f"{stamp.management}/",
        "authentication": {"loginEndpoint": f"{stamp.login}/", "audiences": [f"{stamp.management}/"], "tenant": "common",
                           "identityProvider": "AAD"},
        "suffixes": {"storage": f"core.{zone}", "keyvaultDns": f".vault.{zone}"},
    }  # fmt: skip
