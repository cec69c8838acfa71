"""What Microsoft.Authorization answers beside its stored types: lists over scopes, built-in roles, permissions, who may what.

Must never show an assignment or a role to a caller who may not read it at the scope that was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from lazur.api.authority import roles_of
from lazur.api.lists import paged
from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.conditions import condition
from lazur.model.documents import Record
from lazur.model.fields import Model
from lazur.model.registry import Route
from lazur.model.rights import BUILT_IN, USER_ACCESS_ADMINISTRATOR, Caller, Role, is_operators
from lazur.providers.authorization.locks.resource import Lock
from lazur.providers.authorization.role_assignments.resource import RoleAssignment
from lazur.providers.authorization.role_definitions.resource import RoleDefinition
from lazur.providers.authorization.roles import CUSTOM_ROLES, assignable, built_in

_EVERYWHERE = ("tenant", "managementGroup", "subscription", "group", "resource")
_MOST_ACTIONS = 500
_TERM = re.compile(
    r"\s*(?:(atScope|atScopeAndBelow|atExactScope)\(\)|(assignedTo)\('([^']*)'\)|(\w+)\s+eq\s+'([^']*)')\s*", re.IGNORECASE
)

Terms = dict[str, str]


def _terms(request: Request, known: Sequence[str]) -> Terms:
    """The terms of `$filter`, by lower-case name; raises for one that is not known."""
    found: Terms = {}
    text = request.query.get("$filter", "").strip()
    for part in re.split(r"\s+and\s+", text, flags=re.IGNORECASE) if text else ():
        match = _TERM.fullmatch(part)
        name = next((g for g in (match[1], match[2], match[4]) if g), "") if match else ""
        if not match or name.lower() not in (k.lower() for k in known):
            message = f"The filter '{part[:80]}' is not supported. Use: {', '.join(known)}."
            raise LazurError("UnsupportedFilter", message, target="$filter")
        found[name.lower()] = match[3] or match[5] or ""
    return found


# -- role assignments -------------------------------------------------------------------------------------------------


def assignments(pipeline: Pipeline, request: Request) -> Response:
    """Assignments at the scope, above and below it, or what the filter leaves of them."""
    terms = _terms(request, ("atScope()", "atScope", "atExactScope", "assignedTo", "principalId", "roleDefinitionId"))
    over = pipeline.authority.rights.over(request.scope)
    below = "" if {"atscope", "assignedto", "atexactscope"} & terms.keys() else _prefix(request.scope)
    keys = over[:1] if "atexactscope" in terms else over
    who, member = (terms[name].lower() if name in terms else None for name in ("principalid", "assignedto"))
    holders = None if member is None else (member, *pipeline.principals.groups(request.caller.tenant, member))
    shown = []
    for record in pipeline.store.list(type=RoleAssignment.type):
        said = record.properties
        if record.id.scope.key not in keys and not (below and record.id.scope.key.startswith(below)):
            continue
        if who not in (None, said["principalId"]) or (holders is not None and said["principalId"] not in holders):
            continue
        wanted = terms.get("roledefinitionid")
        if wanted and ArmId.parse(said["roleDefinitionId"]).name.lower() != wanted.rpartition("/")[2].lower():
            continue
        shown.append(pipeline.presenter.show(record))
    return paged(pipeline, request, shown)


def _prefix(scope: ArmId) -> str:
    return scope.key.rstrip("/") + "/"


# -- role definitions -------------------------------------------------------------------------------------------------


def definitions(pipeline: Pipeline, request: Request) -> Response:
    """Built-in roles, and the directory's own that can be assigned at the scope."""
    terms = _terms(request, ("roleName", "type", "atScopeAndBelow", "atScope"))
    shown = [built_in(role, request.scope) for role in BUILT_IN.values()]
    shown += [pipeline.presenter.show(r) for r in _assignable(pipeline, request, "atscopeandbelow" in terms)]
    for name in ("roleName", "type"):
        if name.lower() in terms:
            shown = [d for d in shown if d["properties"][name].lower() == terms[name.lower()].lower()]
    return paged(pipeline, request, shown)


def _assignable(pipeline: Pipeline, request: Request, below: bool) -> Iterator[Record]:
    over, tenant = pipeline.authority.rights.over(request.scope), request.caller.tenant
    for record in pipeline.store.list(type=RoleDefinition.type):
        scopes = record.properties["assignableScopes"]
        here = record.id.scope.key == request.scope.key or assignable(scopes, over, tenant)
        under = below and any(request.scope.contains(ArmId.parse(s, tenant)) for s in scopes)
        if _of_directory(pipeline, record, tenant) and (here or under):
            yield record


def _of_directory(pipeline: Pipeline, record: Record, tenant: str) -> bool:
    return pipeline.authority.tenant_of(record.id) == tenant


def definition_of(pipeline: Pipeline, request: Request, name: str) -> Response:
    """One role, whatever scope it is asked for at: roles belong to the directory."""
    id = request.scope.resource(RoleDefinition.type, name)
    pipeline.authority.authorise(request.caller, f"{RoleDefinition.type}/read", id)
    role = BUILT_IN.get(name.lower())
    if role is not None:
        return Response(200, built_in(role, request.scope), {"ETag": f'W/"{role.id}"'})
    holder = pipeline.store.holder(CUSTOM_ROLES, name.lower())
    record = pipeline.store.get(holder) if holder else None
    if record is None or not _of_directory(pipeline, record, request.caller.tenant):
        pipeline.has_container(id)
        raise pipeline.registry.missing(id)
    return Response(200, pipeline.presenter.show(record), {"ETag": f'W/"{record.etag}"'})


# -- locks --------------------------------------------------------------------------------------------------------------


def locks(pipeline: Pipeline, request: Request) -> Response:
    """Locks at the scope and below it; with `atScope()` those at the scope alone."""
    terms = _terms(request, ("atScope",))
    own, below = request.scope.key, "" if "atscope" in terms else _prefix(request.scope)
    found = pipeline.store.list(type=Lock.type)
    shown = [r for r in found if r.id.scope.key == own or (below and r.id.scope.key.startswith(below))]
    return paged(pipeline, request, [pipeline.presenter.show(r) for r in shown])


# -- what one may -------------------------------------------------------------------------------------------------------


def permissions(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """What the caller may do at the scope: the permissions of every role it holds there."""
    return {"value": [_permission(role) for role in pipeline.authority.rights.roles(request.caller, request.scope)]}


def _permission(role: Role) -> dict[str, Any]:
    patterns = {"actions": role.actions, "notActions": role.not_actions, "dataActions": role.data_actions,
                "notDataActions": role.not_data_actions}  # fmt: skip
    on = {} if role.condition is None else {"condition": role.condition.text, "conditionVersion": "2.0"}
    return {**{name: list(said) for name, said in patterns.items()}, **on}


class _Attributes(Model):
    object_id: str


class _Subject(Model):
    attributes: _Attributes


class _Action(Model):
    id: str
    is_data_action: bool = False


class _AccessAsked(Model):
    subject: _Subject
    actions: list[_Action] = Field(max_length=_MOST_ACTIONS)


def check_access(pipeline: Pipeline, request: Request) -> list[dict[str, Any]]:
    """Whether a principal may do some actions here, and by which assignment."""
    asked, tenant = request.read_as(_AccessAsked), request.caller.tenant
    object_id = asked.subject.attributes.object_id.lower()
    groups = pipeline.principals.groups(tenant, object_id)
    who = Caller(tenant, object_id, object_id, pipeline.principals.kind(tenant, object_id) or "User", groups=groups)
    return [_decision(pipeline, request.scope, who, a.id, a.is_data_action) for a in asked.actions]


def _decision(pipeline: Pipeline, scope: ArmId, who: Caller, action: str, data: bool) -> dict[str, Any]:
    allowed = pipeline.authority.may(who, action, scope, data=data)
    out: dict[str, Any] = {"actionId": action, "isDataAction": data, "accessDecision": "Allowed" if allowed else "NotAllowed"}
    for record in _granting(pipeline, scope, who, action, data):
        text = record.properties.get("condition")
        # What is not allowed may be so on a condition that asks for more than is known here; whoever asks is told which.
        if (not text or condition(text).holds(action, None)) if allowed else text:
            return {**out, "roleAssignment": pipeline.presenter.show(record)}
    return out


def _granting(pipeline: Pipeline, scope: ArmId, who: Caller, action: str, data: bool) -> Iterator[Record]:
    """The assignments that give the action, on whatever condition."""
    over = pipeline.authority.rights.over(scope)
    for record in pipeline.store.list(type=RoleAssignment.type):
        said = record.properties
        mine = said["principalId"] in (who.object_id, *who.groups) and record.id.scope.key in over
        if mine and any(r.grants(action.lower(), data) for r in _roles(pipeline, said["roleDefinitionId"])):
            yield record


def _roles(pipeline: Pipeline, id: str) -> list[Role]:
    name = ArmId.parse(id).name.lower()
    if name in BUILT_IN:
        return [BUILT_IN[name]]
    holder = pipeline.store.holder(CUSTOM_ROLES, name)
    record = pipeline.store.get(holder) if holder else None
    return list(roles_of(record)) if record else []


def operations_of(pipeline: Pipeline, request: Request, namespace: str = "") -> dict[str, Any]:
    """`providerOperations`: every action there is, for the authors of custom roles."""
    # What is the operator's is told of at the operator's endpoint only.
    public = [name for name in pipeline.registry.providers if request.caller.operator or not is_operators(name)]
    wanted = [pipeline.registry.namespace(namespace).lower()] if namespace else public
    shown = [_operations(pipeline, name) for name in wanted]
    return shown[0] if namespace else {"value": shown}


def _operations(pipeline: Pipeline, namespace: str) -> dict[str, Any]:
    provider = pipeline.registry.providers[namespace]
    types = [{"name": name, "displayName": name, "operations": rows} for name, rows in _actions(provider)]
    id = f"/providers/Microsoft.Authorization/providerOperations/{provider.namespace}"
    return {"id": id, "type": "Microsoft.Authorization/providerOperations", "name": provider.namespace,
            "displayName": provider.namespace, "resourceTypes": types, "operations": []}  # fmt: skip


def _actions(provider: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for declared in provider.types:
        name = declared.type.partition("/")[2]
        more = [*(f"{a.name}/action" for a in declared.actions), *(f"{v.name}/read" for v in declared.views)]
        for kind, verbs in ((name, more), *((f"{name}/{c.type}", []) for c in declared.embedded)):
            every = ("read", "write", "delete", "join/action", *verbs)
            yield kind, [_operation(f"{provider.namespace}/{kind}/{verb}") for verb in every]


def _operation(action: str) -> dict[str, Any]:
    return {"name": action, "displayName": action, "description": "", "origin": "user,system", "isDataAction": False}


async def elevate_access(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """Make whoever administers the directory User Access Administrator of all of it, until that assignment is deleted."""
    caller, scope = request.caller, request.scope
    if not pipeline.principals.administers(caller.tenant, caller.object_id):
        pipeline.authority.authorise(caller, f"{_A}/elevateAccess/action", scope)
    id = scope.resource(RoleAssignment.type, derived(scope.key, caller.object_id, "elevateAccess"))
    role = scope.resource(RoleDefinition.type, USER_ACCESS_ADMINISTRATOR.id)
    said = {"roleDefinitionId": str(role), "principalId": caller.object_id, "principalType": caller.kind}
    try:
        await pipeline.put(caller, id, {"properties": said}, request.api_version, needs=())
    except LazurError as error:
        if error.code != "RoleAssignmentExists":
            raise
    return {}


def nothing(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """Kinds of which this cloud has none: deny assignments and classic administrators."""
    return {"value": []}


_A = "Microsoft.Authorization"
ROUTES = (
    Route("GET", _EVERYWHERE, "roleAssignments", f"{_A}/roleAssignments/read", assignments),
    Route("GET", _EVERYWHERE, "roleDefinitions", f"{_A}/roleDefinitions/read", definitions),
    Route("GET", _EVERYWHERE, "roleDefinitions/(?P<name>[^/]+)", None, definition_of),
    Route("GET", _EVERYWHERE, "locks", f"{_A}/locks/read", locks),
    Route("GET", _EVERYWHERE, "permissions", None, permissions),
    Route("POST", _EVERYWHERE, "checkAccess", f"{_A}/roleAssignments/read", check_access),
    Route("POST", ("tenant",), "elevateAccess", None, elevate_access),
    Route("GET", ("tenant",), "providerOperations", None, operations_of),
    Route("GET", ("tenant",), "providerOperations/(?P<namespace>[^/]+)", None, operations_of),
    Route("GET", _EVERYWHERE, "denyAssignments", f"{_A}/denyAssignments/read", nothing),
    Route("GET", ("subscription",), "classicAdministrators", f"{_A}/classicAdministrators/read", nothing),
)
