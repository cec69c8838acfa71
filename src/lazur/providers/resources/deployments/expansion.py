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
from lazur.model.rights import Caller
from lazur.model.stamp import Stamp
from lazur.providers.resources.deployments.resource import Placed
from lazur.providers.resources.template import Context, DeploymentScope, Expansion, expand, parse_template

_NOBODY = Caller("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", "nobody")


@dataclass(frozen=True)
class Surroundings:
    """What a template may know of the place it is deployed to; fixed in the record when a run begins."""

    kind: str
    subscription: Mapping[str, Any] | None = None
    group: Mapping[str, Any] | None = None
    tenant: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    deployer: Mapping[str, Any] = field(default_factory=dict)


def surroundings_of(id: ArmId, group: Record, stamp: Stamp, caller: Caller = _NOBODY) -> Surroundings:
    """The place deployment `id` lies in, as it is now. Without a caller only a template's form can be told."""
    deployer = {"objectId": caller.object_id, "tenantId": caller.tenant}
    if caller.kind == "User":
        deployer["userPrincipalName"] = caller.name
    return Surroundings(
        "resourceGroup",
        _subscription(stamp, id),
        _group(group),
        {"tenantId": stamp.tenant, "id": f"/tenants/{stamp.tenant}"},
        _environment(stamp),
        deployer,
    )


def expansion_of(
    id: ArmId, properties: Mapping[str, Any], parameters: Mapping[str, Any], around: Surroundings, ids: Ids, now: datetime
) -> Expansion:
    """The concrete template; raises `InvalidTemplate` and the like for everything wrong with it."""
    if properties.get("templateLink") or properties.get("parametersLink"):
        message = "Linked templates and parameter files are not offered yet; send the template itself."
        raise LazurError("NotSupported", message, target="properties.templateLink")
    if properties.get("template") is None:
        message = "The request content is missing the required property 'properties.template'."
        raise LazurError("InvalidRequestContent", message, target="properties.template")
    context = Context(
        deployment_name=id.name,
        scope=DeploymentScope(around.kind, around.subscription, around.group),
        utcnow=now,
        ids=ids,
        tenant=around.tenant,
        environment=around.environment,
        deployer=around.deployer,
        mode=str(properties.get("mode", "Incremental")),
    )
    template = properties["template"]
    known = {"locate": template.locate} if isinstance(template, Placed) else {}
    return expand(parse_template(template, **known), parameters, context)


def _subscription(stamp: Stamp, id: ArmId) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{id.subscription}",
        "subscriptionId": id.subscription,
        "tenantId": stamp.tenant,
        "displayName": "Lazur",
    }


def _group(group: Record) -> dict[str, Any]:
    return {
        "id": str(group.id),
        "name": group.id.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.body.get("location"),
        "tags": group.body.get("tags", {}),
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
