"""What Microsoft.Resources answers without storing it: subscriptions, tenants, locations, providers, lists of all resources.

Must never show a subscription or a resource to a caller who may not read it.
"""

from __future__ import annotations

from typing import Any

from lazur.api.lists import all_listed, listed
from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.registry import Route
from lazur.model.rights import denial, is_operators, right
from lazur.providers.resources.deployments.shown import minified
from lazur.providers.resources.deployments.shown import template_hash as hash_of
from lazur.providers.resources.export import Document, asked, exported
from lazur.providers.resources.resource_groups.resource import ResourceGroup
from lazur.providers.resources.template import read_body

_SUBSCRIPTIONS = "Microsoft.Resources/subscriptions"


def tenants(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`/tenants`: the directory the caller signed in to."""
    name, domains = pipeline.principals.called(request.caller.tenant)
    item = {
        "id": f"/tenants/{request.caller.tenant}",
        "tenantId": request.caller.tenant,
        "displayName": name,
        "defaultDomain": domains[0],
        "tenantType": "AAD",
        "domains": list(domains),
    }
    return {"value": [item]}


def subscriptions(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`/subscriptions`: those of the caller's directory that it may read, or holds a role in: whoever may read one group only
    finds it by them."""
    caller, may, rights = request.caller, pipeline.authority.may, pipeline.authority.rights

    def concerns(id: ArmId) -> bool:
        return may(caller, f"{_SUBSCRIPTIONS}/read", id) or rights.has_below(caller, id)

    known = [row for row in pipeline.store.document("subscriptions").content or () if row["tenant"] == caller.tenant]
    return {"value": [_shown(row) for row in known if concerns(ArmId(row["id"]))]}


def subscription(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`/subscriptions/{id}`."""
    wanted = (request.scope.subscription or "").lower()
    for row in pipeline.store.document("subscriptions").content or []:
        if row["id"] == wanted:
            return _shown(row)
    raise LazurError("SubscriptionNotFound", f"The subscription '{request.scope.subscription}' could not be found.", status=404)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{row['id']}",
        "subscriptionId": row["id"],
        "displayName": row["name"],
        "state": "Enabled",
        **({"tags": row["tags"]} if row.get("tags") else {}),
        "tenantId": row["tenant"],
        "managedByTenants": [],
        "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "Internal_2014-09-01",
                                 "spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
    }  # fmt: skip


def locations(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`/subscriptions/{id}/locations`: this region."""
    name = pipeline.stamp.region
    item = {
        "id": f"{request.scope}/locations/{name}",
        "name": name,
        "displayName": name.capitalize(),
        "regionalDisplayName": name.capitalize(),
        "type": "Region",
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "pairedRegion": []},
    }
    return {"value": [item]}


async def groups(pipeline: Pipeline, request: Request) -> Response:
    """`/subscriptions/{id}/resourcegroups`."""
    return await listed(pipeline, request, f"{request.scope.key}/resourcegroups/", ResourceGroup)


async def resources(pipeline: Pipeline, request: Request) -> Response:
    """Every tracked resource of a subscription or group, without its properties."""
    declared = {t.type.lower() for t in pipeline.registry.types() if t.tracked and t is not ResourceGroup}
    prefix = request.scope.key + "/"
    return await all_listed(pipeline, request, prefix, lambda r: r.type in declared and _shows(request, r.type))


def providers(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`providers`: what can be made here."""
    shown = [name for name in pipeline.registry.providers if _shows(request, name)]
    return {"value": [_provider(pipeline, request.scope, name) for name in shown]}


def _shows(request: Request, name: str) -> bool:
    """What is the operator's is shown at the operator's endpoint only."""
    return request.caller.operator or not is_operators(name)


def provider(pipeline: Pipeline, request: Request, namespace: str) -> dict[str, Any]:
    """`providers/{namespace}`."""
    return _provider(pipeline, request.scope, pipeline.registry.namespace(namespace).lower())


def register(pipeline: Pipeline, request: Request, namespace: str, verb: str) -> dict[str, Any]:
    """`providers/{namespace}/register`: every provider of this cloud is always registered."""
    spelled = pipeline.registry.namespace(namespace)
    pipeline.authority.authorise(request.caller, f"{spelled}/{verb.lower()}/action", request.scope)
    return _provider(pipeline, request.scope, spelled.lower())


def _provider(pipeline: Pipeline, scope: ArmId, namespace: str) -> dict[str, Any]:
    offered = pipeline.registry.offered(namespace, None, pipeline.stamp.region)
    return {
        "id": f"{str(scope).rstrip('/')}/providers/{offered['namespace']}",
        "namespace": offered["namespace"],
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationFree",
        "resourceTypes": offered["resourceTypes"],
    }


async def export_group(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`exportTemplate` of a resource group: a template that makes its resources again, without their secrets."""
    wanted = asked(await request.read(read_body))
    group = pipeline.existing(request.caller, request.scope)
    documents, left_out = [], []
    for record in pipeline.store.list(prefix=group.key + "/"):
        declared = pipeline.registry.type_of(record.id)
        tracked = declared.tracked and len(record.id.names) == 1
        if not tracked or record.deleting or not wanted.wants(str(record.id)):
            continue
        action = right(record.id.type, "read")
        if pipeline.authority.may(request.caller, action, record.id):
            documents.append(Document.of(record, declared))
        else:
            left_out.append(denial(request.caller, action, record.id))
    return exported(str(group.id), documents, wanted.options, left_out=left_out)


async def template_hash(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`calculateTemplateHash`: the template without spaces, and the number that deployments of it show."""
    template = await request.read(read_body)
    return {"minifiedTemplate": minified(template), "templateHash": hash_of(template)}


_READ = f"{_SUBSCRIPTIONS}/providers/read"

ROUTES = (
    Route("GET", ("tenant",), "/tenants", None, tenants),
    Route("GET", ("tenant",), "/subscriptions", None, subscriptions),
    Route("GET", ("subscription",), "/", f"{_SUBSCRIPTIONS}/read", subscription),
    Route("GET", ("subscription",), "/locations", f"{_SUBSCRIPTIONS}/locations/read", locations),
    Route("GET", ("subscription",), "/resourcegroups", f"{_SUBSCRIPTIONS}/resourceGroups/read", groups),
    Route("POST", ("group",), "/exportTemplate", f"{_SUBSCRIPTIONS}/resourceGroups/exportTemplate/action", export_group),
    # Nothing but the body is asked: whoever is signed in may.
    Route("POST", ("tenant",), "calculateTemplateHash", None, template_hash),
    Route("GET", ("subscription", "group"), "/resources", f"{_SUBSCRIPTIONS}/resources/read", resources),
    # At the root it is the same for everybody who is signed in.
    Route("GET", ("tenant",), "/providers", None, providers),
    Route("GET", ("tenant",), "/providers/(?P<namespace>[^/]+)", None, provider),
    Route("GET", ("subscription",), "/providers", _READ, providers),
    Route("GET", ("subscription",), "/providers/(?P<namespace>[^/]+)", _READ, provider),
    Route("POST", ("subscription",), "/providers/(?P<namespace>[^/]+)/(?P<verb>register|unregister)", None, register),
)
