"""Management groups beside their documents: which subscriptions are in them, what lies below, what one may see.

Which group a subscription is in stands in the document of all subscriptions, so that a move is one write. Must never show a
group or a subscription to a caller who may not read it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from lazur.api.authority import SUBSCRIPTIONS, root_group
from lazur.api.lists import paged
from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Document, Record
from lazur.model.fields import Model
from lazur.model.registry import Route
from lazur.model.rights import Caller, denial
from lazur.providers.management.management_groups.resource import ManagementGroup, ManagementGroupSpec

_TYPE = ManagementGroup.type


class _Patch(Model):
    """What PATCH may say."""

    display_name: str | None = None
    parent_group_id: str | None = None


def _id(request: Request, group: str) -> ArmId:
    return ArmId(tenant=request.caller.tenant).resource(_TYPE, group)


def groups(pipeline: Pipeline, request: Request) -> Response:
    """`managementGroups`: those the caller may read."""
    found = pipeline.store.list(prefix=f"{ArmId(tenant=request.caller.tenant).key}/", type=_TYPE)
    mine = [r for r in found if pipeline.authority.may(request.caller, f"{_TYPE}/read", r.id)]
    return paged(pipeline, request, [pipeline.presenter.show(r) for r in mine])


def _entry(record: Record) -> dict[str, Any]:
    name = record.properties.get("displayName") or record.id.name
    return {
        "id": str(record.id), "type": _TYPE, "name": record.id.name,
        "properties": {"tenantId": record.id.tenant, "displayName": name},
    }  # fmt: skip


def group(pipeline: Pipeline, request: Request, group: str) -> Response:
    """One group; `$expand=children` with what is right below, `$recurse=true` with everything below."""
    record = pipeline.existing(request.caller, _id(request, group))
    shown = pipeline.presenter.show(record)
    expand = request.query.get("$expand", "").lower()
    if expand in ("children", "path"):
        deep = request.query.get("$recurse", "").lower() == "true"
        shown["properties"]["children"] = _children(pipeline, record, deep) if expand == "children" else None
    return Response(200, shown, {"ETag": f'W/"{record.etag}"'})


def _children(pipeline: Pipeline, record: Record, deep: bool) -> list[dict[str, Any]] | None:
    out: list[dict[str, Any]] = []
    for child in _below(pipeline, record):
        name = _entry(child)["properties"]["displayName"]
        row = {"id": str(child.id), "type": _TYPE, "name": child.id.name, "displayName": name}
        out.append({**row, "children": _children(pipeline, child, deep)} if deep else row)
    for row in _members(pipeline, record):
        id = str(ArmId(row["id"]))
        out.append({"id": id, "type": "/subscriptions", "name": row["id"], "displayName": row["name"]})
    return out or None


def _below(pipeline: Pipeline, record: Record) -> Iterator[Record]:
    """The groups right below one."""
    for other in pipeline.store.list(prefix=f"{ArmId(tenant=record.id.tenant).key}/", type=_TYPE):
        parent = other.properties.get("details", {}).get("parent", {}).get("id")
        above = ArmId.parse(parent, record.id.tenant) if parent else root_group(record.id.tenant)
        if above.key == record.key and other.key != record.key:
            yield other


def _members(pipeline: Pipeline, record: Record) -> list[dict[str, Any]]:
    """The rows of the subscriptions right below a group."""
    rows = pipeline.store.document(SUBSCRIPTIONS).content or ()
    mine = [r for r in rows if r["tenant"] == record.id.tenant]
    return [r for r in mine if (r.get("group") or record.id.tenant).lower() == record.id.name.lower()]


def descendants(pipeline: Pipeline, request: Request, group: str) -> Response:
    """`descendants`: everything below a group, nearest first."""
    record = pipeline.existing(request.caller, _id(request, group))
    found, waiting = [], [record]
    while waiting:
        at = waiting.pop(0)
        for child in _below(pipeline, at):
            found.append(_descendant(_entry(child), at))
            waiting.append(child)
        for row in _members(pipeline, at):
            entry = {"id": f"/subscriptions/{row['id']}", "type": "/subscriptions", "name": row["id"],
                     "properties": {"displayName": row["name"]}}  # fmt: skip
            found.append(_descendant(entry, at))
    return paged(pipeline, request, found)


def _descendant(entry: dict[str, Any], parent: Record) -> dict[str, Any]:
    properties = {"displayName": entry["properties"]["displayName"], "parent": {"id": str(parent.id)}}
    return {**entry, "properties": properties}


# -- subscriptions in groups ------------------------------------------------------------------------------------------


async def put_member(pipeline: Pipeline, request: Request, group: str, subscription: str) -> Response:
    """Move a subscription into a group: takes the right there, and to assign roles in the subscription."""
    id, member = _id(request, group), ArmId(subscription.lower())
    _permit(pipeline, request.caller, id, member, "write")
    record = pipeline.stored(id)
    row = await _place(pipeline, member, record, record.id.name)
    return Response(200, _shown(record, row))


async def delete_member(pipeline: Pipeline, request: Request, group: str, subscription: str) -> Response:
    """Take a subscription out of a group, back below the root."""
    id, member = _id(request, group), ArmId(subscription.lower())
    _permit(pipeline, request.caller, id, member, "delete")
    record = pipeline.stored(id)
    if any(row["id"] == member.subscription for row in _members(pipeline, record)):
        await _place(pipeline, member, record, None)
    return Response(204)


def member(pipeline: Pipeline, request: Request, group: str, subscription: str) -> Response:
    """One subscription of a group."""
    record = pipeline.existing(request.caller, _id(request, group), "subscriptions")
    for row in _members(pipeline, record):
        if row["id"] == subscription.lower():
            return Response(200, _shown(record, row))
    raise LazurError("NotFound", f"The subscription '{subscription}' is not in the management group '{group}'.", status=404)


def members(pipeline: Pipeline, request: Request, group: str) -> Response:
    """The subscriptions right below a group."""
    record = pipeline.existing(request.caller, _id(request, group), "subscriptions")
    return paged(pipeline, request, [_shown(record, row) for row in _members(pipeline, record)])


def _permit(pipeline: Pipeline, caller: Caller, group: ArmId, subscription: ArmId, verb: str) -> None:
    pipeline.authority.authorise(caller, f"{_TYPE}/subscriptions/{verb}", group)
    pipeline.authority.authorise(caller, "Microsoft.Authorization/roleAssignments/write", subscription)


async def _place(pipeline: Pipeline, subscription: ArmId, asked: Record, group: str | None) -> dict[str, Any]:
    """Write which group the subscription is in, as long as the one that was `asked` is there; its row."""

    async def step() -> dict[str, Any]:
        document = pipeline.store.document(SUBSCRIPTIONS)
        rows = [dict(row) for row in document.content or ()]
        for row in rows:
            if row["id"] == subscription.subscription and row["tenant"] == asked.id.tenant:
                row["group"] = group
                written = Document(SUBSCRIPTIONS, document.version + 1, rows)
                await pipeline.store.commit(Change(documents=[written], requires=[asked.key]))
                return row
        message = f"The subscription '{subscription.subscription}' could not be found."
        raise LazurError("SubscriptionNotFound", message, status=404)

    return await pipeline.in_turn(SUBSCRIPTIONS, step)


def _shown(record: Record, row: dict[str, Any]) -> dict[str, Any]:
    parent = {"id": str(record.id)}
    properties = {"tenant": row["tenant"], "displayName": row["name"], "state": "Active", "parent": parent}
    id = record.id.child("subscriptions", row["id"])
    return {"id": str(id), "type": id.type, "name": row["id"], "properties": properties}


# -- groups coming and going -----------------------------------------------------------------------------------------


async def put_group(pipeline: Pipeline, request: Request, group: str) -> Response:
    """Make or change a group: a new one takes the right over what it is put below."""
    id, body, write = _id(request, group), request.body(), f"{_TYPE}/write"
    here = pipeline.authority.may(request.caller, write, id)
    if not here and not pipeline.authority.may(request.caller, write, _parent(id, body)):
        raise denial(request.caller, write, id)
    needs = [(write, _parent(id, body))] if not here and pipeline.store.get(id.key) is None else None
    conditions = {name.replace("-", "_"): request.headers.get(name, "") for name in ("if-match", "if-none-match")}
    if needs:
        # The right over the parent is one to make a group, not to take over what somebody else makes meanwhile.
        conditions["if_none_match"] = "*"
    accepted = await pipeline.put(request.caller, id, body, request.api_version, needs=needs, **conditions)
    assert accepted.record is not None
    return Response(200, pipeline.presenter.show(accepted.record))


async def patch_group(pipeline: Pipeline, request: Request, group: str) -> Response:
    """Give a group another name, or put it below another one; what the body leaves out stays."""
    id = _id(request, group)
    pipeline.authority.authorise(request.caller, f"{_TYPE}/write", id)
    asked = request.read_as(_Patch)
    change: dict[str, Any] = {"displayName": asked.display_name} if asked.display_name is not None else {}
    if asked.parent_group_id is not None:
        change["details"] = {"parent": {"id": asked.parent_group_id}}
    match = request.headers.get("if-match", "")
    accepted = await pipeline.patch(request.caller, id, {"properties": change}, request.api_version, if_match=match)
    assert accepted.record is not None
    return Response(200, pipeline.presenter.show(accepted.record))


def _parent(id: ArmId, body: Any) -> ArmId:
    """What a body puts the group below; the root when it does not say, or not in an understandable way."""
    with contextlib.suppress(ValidationError):
        spec = ManagementGroupSpec.model_validate(body.get("properties") or {} if isinstance(body, dict) else {})
        if spec.details and spec.details.parent and spec.details.parent.id:
            return ArmId.parse(spec.details.parent.id, id.tenant)
    return root_group(id.tenant)


async def delete_group(pipeline: Pipeline, request: Request, group: str) -> Response:
    """Delete an empty group; the root stays."""
    id = _id(request, group)
    pipeline.authority.authorise(request.caller, f"{_TYPE}/delete", id)
    record = pipeline.store.get(id.key)
    if id.key == root_group(request.caller.tenant).key:
        raise LazurError("BadRequest", "The root management group cannot be deleted.")
    if record is not None and _children(pipeline, record, False):
        message = f"The management group '{group}' has groups or subscriptions in it; move them first."
        raise LazurError("Conflict", message, status=409)
    await pipeline.delete(request.caller, id, request.api_version, if_match=request.headers.get("if-match", ""))
    return Response(204)


def entities(pipeline: Pipeline, request: Request) -> Response:
    """`getEntities`: every group and subscription the caller may read."""
    tenant, may = request.caller.tenant, pipeline.authority.may
    records = pipeline.store.list(prefix=f"{ArmId(tenant=tenant).key}/", type=_TYPE)
    mine = [r for r in records if may(request.caller, f"{_TYPE}/read", r.id)]
    found = [_entity(_entry(r), pipeline.authority.rights.over(r.id)) for r in mine]
    for row in pipeline.store.document(SUBSCRIPTIONS).content or ():
        id = ArmId(row["id"])
        if row["tenant"] == tenant and may(request.caller, "Microsoft.Resources/subscriptions/read", id):
            entry = {"id": str(id), "type": "/subscriptions", "name": row["id"],
                     "properties": {"tenantId": tenant, "displayName": row["name"]}}  # fmt: skip
            found.append(_entity(entry, pipeline.authority.rights.over(id)))
    return paged(pipeline, request, found)


def _entity(entry: dict[str, Any], over: list[str]) -> dict[str, Any]:
    chain = [key.rpartition("/")[2] for key in over[1:] if "/managementgroups/" in key]
    above = {"parent": {"id": f"/providers/{_TYPE}/{chain[0]}"}} if chain else {"parent": {"id": None}}
    return {**entry, "properties": {**entry["properties"], **above, "parentNameChain": chain[::-1]}}


_G = r"managementGroups/(?P<group>[^/]+)"
_S = rf"{_G}/subscriptions/(?P<subscription>[^/]+)"
_ROOT = ("tenant",)
ROUTES = (
    Route("GET", _ROOT, "managementGroups", None, groups),
    Route("GET", _ROOT, _G, None, group),
    Route("PUT", _ROOT, _G, None, put_group),
    Route("PATCH", _ROOT, _G, None, patch_group),
    Route("DELETE", _ROOT, _G, None, delete_group),
    Route("GET", _ROOT, f"{_G}/descendants", None, descendants),
    Route("GET", _ROOT, f"{_G}/subscriptions", None, members),
    Route("GET", _ROOT, _S, None, member),
    Route("PUT", _ROOT, _S, None, put_member),
    Route("DELETE", _ROOT, _S, None, delete_member),
    Route("POST", _ROOT, "getEntities", None, entities),
)
