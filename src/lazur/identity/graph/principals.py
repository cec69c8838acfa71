"""Service principals in Graph: an application's presence in this directory, and who holds its app roles.

Must never bring in an application of another directory that is not for several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lazur.identity.directory import Edit, Remove, Write
from lazur.identity.firstparty import MICROSOFT_GRAPH
from lazur.identity.graph.credentials import certificates, generated, kept_secrets
from lazur.identity.graph.errors import bad, not_found, taken
from lazur.identity.graph.links import bound, links_of
from lazur.identity.graph.models import AssignmentBody, ServicePrincipalBody, decoded, encoded, merged
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import ASSIGNMENTS, ROLES, Scene
from lazur.identity.graph.shapes import assignment
from lazur.identity.objects import AppRoleAssignment, DirectoryObject, Group, ServicePrincipal, User

_TYPED = frozenset({"appId", "accountEnabled", "displayName", "servicePrincipalType", "keyCredentials", "passwordCredentials"})
# An application without roles of its own is assigned to with this id.
_NO_ROLE = "00000000-0000-0000-0000-000000000000"


async def got(asked: Asked, id: str) -> Answer:
    """GET servicePrincipals/{id}"""
    asked.scene.need_to_read(ServicePrincipal)
    return asked.one(asked.scene.principal(id))


async def created(asked: Asked) -> Answer:
    """POST servicePrincipals"""
    rest, bindings = bound(asked.body, ("owners",))
    body = decoded(ServicePrincipalBody, rest, "ServicePrincipal")
    ids = asked.stage.ids
    secrets = tuple(generated(row, ids, asked.scene.now).secret for row in body.password_credentials)
    id = ids.uuid()

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_create(ServicePrincipal)
        app = scene.directories.usable(body.app_id, scene.tenant_id)
        if app is None:
            message = f"The appId '{body.app_id}' of the service principal does not reference a valid application object."
            raise bad(message, "appId")
        if scene.directory.principal(app.app_id):
            message = "The service principal cannot be created, updated, or restored because the service principal name"
            raise taken(f"{message} {app.app_id} is already in use.")
        if app.tenant_id == scene.tenant_id and not scene.has("Application.ReadWrite.All"):
            scene.need_to_write(app)
        made = ServicePrincipal(
            id, app.app_id, scene.tenant_id, app.display_name, secrets=secrets, created=scene.now,
            certificates=certificates(body.key_credentials, (), ids, scene.now),
        )  # fmt: skip
        owners = bindings.get("owners") or scene.default_owner(ServicePrincipal)
        return [Write(_with(made, body)), *links_of(scene, made, {"owners": owners})]

    scene = await asked.change(edit)
    return asked.one(scene.principal(id), scene, 201)


async def updated(asked: Asked, id: str) -> Answer:
    """PATCH servicePrincipals/{id}"""
    rest, bindings = bound(asked.body, ("owners",))

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_read(ServicePrincipal)
        principal = scene.principal(id)
        scene.need_to_write(principal)
        patch = {k: v for k, v in rest.items() if not (k == "id" and v == principal.object_id)}
        if patch.get("appId", principal.app_id) != principal.app_id:
            raise bad("Property 'appId' is read-only and cannot be set.", "appId")
        body = decoded(ServicePrincipalBody, merged(_body(principal), patch), "ServicePrincipal")
        if "passwordCredentials" in patch:
            principal = replace(principal, secrets=kept_secrets(body.password_credentials, principal.secrets))
        if "keyCredentials" in patch:
            keys = certificates(body.key_credentials, principal.certificates, asked.stage.ids, scene.now)
            principal = replace(principal, certificates=keys)
        if not body.account_enabled:
            principal = replace(principal, sessions_from=scene.voided(principal))
        return [Write(_with(principal, body)), *links_of(scene, principal, bindings)]

    scene = await asked.change(edit)
    return asked.one(scene.principal(id), scene) if asked.representation else NO_CONTENT


def _body(principal: ServicePrincipal) -> dict[str, Any]:
    return {
        **principal.properties, "appId": principal.app_id, "accountEnabled": principal.enabled,
        "displayName": principal.display_name,
    }  # fmt: skip


def _with(principal: ServicePrincipal, body: ServicePrincipalBody) -> ServicePrincipal:
    given = encoded(body, sparse=True)
    return replace(
        principal,
        display_name=body.display_name or principal.display_name,
        enabled=body.account_enabled,
        properties={name: value for name, value in given.items() if name not in _TYPED},
    )


# -- app role assignments ---------------------------------------------------------------------------------------------


async def assigned_to(asked: Asked, id: str) -> Answer:
    """GET servicePrincipals/{id}/appRoleAssignedTo: who holds its roles"""
    asked.scene.need_to_read(ServicePrincipal)
    principal = asked.scene.principal(id)
    rows = [assignment(asked.scene, a) for a in asked.scene.directory.assignments_on(principal.object_id)]
    return asked.rows(rows, f"servicePrincipals('{principal.object_id}')/appRoleAssignedTo")


async def assignments(asked: Asked, thing: DirectoryObject) -> Answer:
    """GET {user, group or service principal}/appRoleAssignments: which roles it holds"""
    asked.scene.need_to_read(type(thing))
    rows = [assignment(asked.scene, a) for a in asked.scene.directory.assignments_to(thing.object_id)]
    return asked.rows(rows, "appRoleAssignments")


async def assignment_got(asked: Asked, thing: DirectoryObject, key: str) -> Answer:
    """GET …/appRoleAssignments/{key}, …/appRoleAssignedTo/{key}"""
    asked.scene.need_to_read(type(thing))
    return asked.row(assignment(asked.scene, _found(asked.scene, thing, key)), "appRoleAssignments")


async def assigned(asked: Asked, thing: DirectoryObject) -> Answer:
    """POST …/appRoleAssignments, …/appRoleAssignedTo"""
    body = decoded(AssignmentBody, asked.body, "AppRoleAssignment")
    id = asked.stage.ids.uuid()

    def edit(scene: Scene) -> Sequence[Edit]:
        made = _assignment(scene, body, id)
        if thing.object_id not in (made.principal_id, made.resource_id):
            raise bad("Neither principalId nor resourceId is the object in the URL.", "principalId")
        return [Write(made)]

    scene = await asked.change(edit)
    return asked.row(assignment(scene, scene.directory.assignments[id]), "appRoleAssignments", 201)


def _assignment(scene: Scene, body: AssignmentBody, id: str) -> AppRoleAssignment:
    resource, principal = scene.principal(body.resource_id), scene.object(body.principal_id)
    _need_to_assign(scene, resource)
    if not isinstance(principal, User | Group | ServicePrincipal):
        raise not_found(body.principal_id)
    app = scene.registration(resource)
    role = next((r for r in (app.app_roles if app else ()) if r["id"] == body.app_role_id), None)
    if role is None and body.app_role_id != _NO_ROLE:
        raise bad("Permission being assigned was not found on application", "appRoleId")
    kind = "Application" if isinstance(principal, ServicePrincipal) else "User"
    if role is not None and kind not in role["allowedMemberTypes"]:
        raise bad(f"The role is not one that can be assigned to a principal of type '{kind}'.", "appRoleId")
    key = (resource.object_id, principal.object_id, body.app_role_id)
    if any((a.resource_id, a.principal_id, a.app_role_id) == key for a in scene.directory.assignments.values()):
        raise bad("Permission being assigned already exists on the object", "appRoleId")
    return AppRoleAssignment(id, scene.tenant_id, principal.object_id, resource.object_id, body.app_role_id, scene.now)


async def unassigned(asked: Asked, thing: DirectoryObject, key: str) -> Answer:
    """DELETE …/appRoleAssignments/{key}, …/appRoleAssignedTo/{key}"""

    def edit(scene: Scene) -> Sequence[Edit]:
        gone = _found(scene, thing, key)
        _need_to_assign(scene, scene.principal(gone.resource_id))
        return [Remove(gone)]

    await asked.change(edit)
    return NO_CONTENT


def _need_to_assign(scene: Scene, resource: ServicePrincipal) -> None:
    """Roles of Microsoft Graph rule the directory: only an administrator gives them. Others are given by an owner, too."""
    if resource.app_id == MICROSOFT_GRAPH:
        scene.need(ROLES, ASSIGNMENTS)
    elif not scene.owns(resource):
        scene.need(ASSIGNMENTS, "Directory.ReadWrite.All", "Application.ReadWrite.All")


def _found(scene: Scene, thing: DirectoryObject, key: str) -> AppRoleAssignment:
    found: Mapping[str, AppRoleAssignment] = scene.directory.assignments
    held = found.get(key.lower())
    if held is None or thing.object_id not in (held.principal_id, held.resource_id):
        raise not_found(key)
    return held
