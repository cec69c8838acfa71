"""Subscriptions as the operator sees them: made for a directory and an owner, named, and taken away when they are empty.

Must never be reached but through the operator's endpoint, and must never take away a subscription that holds anything.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from lazur.api.authority import SUBSCRIPTIONS, root_group
from lazur.api.lists import paged
from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError, all_at_once
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Document
from lazur.model.fields import Model
from lazur.model.registry import Route
from lazur.model.rights import OWNER

_TYPE = "Microsoft.Subscriptions.Admin/subscriptions"
_HELD = "Microsoft.Authorization/roleAssignments"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Asked(Model):
    display_name: str = Field(min_length=1, max_length=64)
    tenant_id: str
    """Id or domain of the directory."""
    owner: str
    """User principal name, or object id of any principal of that directory."""


def listed(pipeline: Pipeline, request: Request) -> Response:
    """All subscriptions of the cloud."""
    return paged(pipeline, request, [_shown(request, row) for row in _rows(pipeline)])


def read(pipeline: Pipeline, request: Request, subscription: str) -> dict[str, Any]:
    """One of them."""
    return _shown(request, _row(pipeline, subscription))


async def write(pipeline: Pipeline, request: Request, subscription: str) -> Response:
    """Make a subscription with its owner, or name one anew; its directory is its own for ever."""
    asked, id, document = request.read_as(_Asked), subscription.lower(), pipeline.store.document(SUBSCRIPTIONS)
    rows = [dict(row) for row in document.content or ()]
    known = next((row for row in rows if row["id"] == id), None)
    tenant = pipeline.principals.directory(asked.tenant_id)
    owner = pipeline.principals.named(tenant, asked.owner)
    faults = []
    if not _GUID.fullmatch(id):
        faults.append(LazurError("InvalidSubscriptionId", f"'{subscription}' is no GUID, as the id of a subscription must be."))
    if known is not None and known["tenant"] != tenant:
        message = f"The subscription belongs to the directory '{known['tenant']}'; that cannot be changed."
        faults.append(LazurError("PropertyChangeNotAllowed", message, target="tenantId", status=409))
    if not owner:
        message = f"'{asked.owner}' is nobody of the directory '{asked.tenant_id}'."
        faults.append(LazurError("OwnerNotFound", message, target="owner"))
    if faults:
        raise all_at_once(faults)
    row = known if known is not None else {"id": id, "tenant": tenant}
    row["name"] = asked.display_name
    rows = rows if known is not None else [*rows, row]
    await pipeline.store.commit(Change(documents=[Document(SUBSCRIPTIONS, document.version + 1, rows)]))
    await _give(pipeline, request, ArmId(id), tenant, owner)
    return Response(200 if known is not None else 201, _shown(request, row))


async def _give(pipeline: Pipeline, request: Request, subscription: ArmId, tenant: str, owner: str) -> None:
    """What a directory with a subscription has: its root group, and an owner. Safe to repeat after a crash."""
    needs = [(f"{_TYPE}/write", request.scope)]
    root = root_group(tenant)
    if pipeline.store.get(root.key) is None:
        body = {"properties": {"displayName": "Tenant Root Group"}}
        await pipeline.put(request.caller, root, body, request.api_version, needs=needs)
    assignment = subscription.resource(_HELD, derived(subscription.key, owner, OWNER.id))
    role = subscription.resource("Microsoft.Authorization/roleDefinitions", OWNER.id)
    properties = {"roleDefinitionId": str(role), "principalId": owner}
    await pipeline.put(request.caller, assignment, {"properties": properties}, request.api_version, needs=needs)


async def remove(pipeline: Pipeline, request: Request, subscription: str) -> Response:
    """Take an empty subscription away, with what is assigned and locked in it."""
    document, id = pipeline.store.document(SUBSCRIPTIONS), ArmId(subscription.lower())
    rows = [row for row in document.content or () if row["id"] != id.subscription]
    if len(rows) == len(document.content or ()):
        return Response(204)
    left = pipeline.store.list(prefix=f"{id.key}/")
    holds = [r for r in left if r.id.namespace != _HELD.partition("/")[0]]
    if holds or id.subscription == pipeline.stamp.subscription or id.key == request.scope.key:
        what = f"It still has '{holds[0].id}'." if holds else "The cloud itself needs it."
        raise LazurError("SubscriptionNotEmpty", f"The subscription '{subscription}' cannot be deleted. {what}", status=409)
    removed = [(r.key, r.version) for r in left]
    change = Change(documents=[Document(SUBSCRIPTIONS, document.version + 1, rows)], removed=removed)
    await pipeline.store.commit(change)
    return Response(204)


def _rows(pipeline: Pipeline) -> list[dict[str, Any]]:
    return list(pipeline.store.document(SUBSCRIPTIONS).content or ())


def _row(pipeline: Pipeline, subscription: str) -> dict[str, Any]:
    for row in _rows(pipeline):
        if row["id"] == subscription.lower():
            return row
    raise LazurError("SubscriptionNotFound", f"The subscription '{subscription}' could not be found.", status=404)


def _shown(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(request.scope.resource(_TYPE, row["id"])),
        "subscriptionId": row["id"],
        "displayName": row["name"],
        "tenantId": row["tenant"],
        "state": "Enabled",
    }


_HERE = ("subscription",)
_ONE = "subscriptions/(?P<subscription>[^/]+)"
ROUTES = (
    Route("GET", _HERE, "subscriptions", f"{_TYPE}/read", listed),
    Route("GET", _HERE, _ONE, f"{_TYPE}/read", read),
    Route("PUT", _HERE, _ONE, f"{_TYPE}/write", write),
    Route("DELETE", _HERE, _ONE, f"{_TYPE}/delete", remove),
)
