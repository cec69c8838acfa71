"""Delegated permission grants in Graph: which program may act for whom towards which other one, and within which scopes.

What the directory's own programs may do needs no grant. Must never let anybody but those who rule the directory give one:
who holds a person's token for a program could otherwise pass for that person anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from lazur.identity.directory import Edit, Remove, Write
from lazur.identity.graph.errors import bad, not_found, taken
from lazur.identity.graph.models import GraphModel, Guid, decoded
from lazur.identity.graph.query import Shown
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import ROLES, Scene
from lazur.identity.objects import PermissionGrant, ServicePrincipal, User

_SET = "oauth2PermissionGrants"
Scopes = Annotated[str, Field(max_length=4096)]


class GrantBody(GraphModel):
    """A grant; how long it holds cannot be said, and nobody asks."""

    client_id: Guid
    consent_type: Literal["AllPrincipals", "Principal"]
    resource_id: Guid
    principal_id: Guid | None = None
    scope: Scopes = ""


class GrantPatch(GraphModel):
    """What of a grant may change."""

    scope: Scopes


def _shown(grant: PermissionGrant) -> Shown:
    return {
        "id": grant.id,
        "clientId": grant.client_id,
        "consentType": "Principal" if grant.principal_id else "AllPrincipals",
        "principalId": grant.principal_id or None,
        "resourceId": grant.resource_id,
        "scope": grant.scope,
    }


async def listed(asked: Asked) -> Answer:
    """GET oauth2PermissionGrants"""
    return _rows(asked, asked.scene.directory.grants.values())


async def of(asked: Asked, thing: User | ServicePrincipal) -> Answer:
    """GET servicePrincipals/{id}/oauth2PermissionGrants (given to a program), users/{id}/… (that concern a person alone)"""
    ends = ((grant, (grant.client_id, grant.principal_id)) for grant in asked.scene.directory.grants.values())
    return _rows(asked, (grant for grant, its in ends if thing.object_id in its))


def _rows(asked: Asked, grants: Iterable[PermissionGrant]) -> Answer:
    asked.scene.need_to_read(ServicePrincipal)
    return asked.rows([_shown(grant) for grant in grants], _SET)


async def got(asked: Asked, id: str) -> Answer:
    """GET oauth2PermissionGrants/{id}"""
    asked.scene.need_to_read(ServicePrincipal)
    return asked.row(_shown(_found(asked.scene, id)), _SET)


async def created(asked: Asked) -> Answer:
    """POST oauth2PermissionGrants"""
    asked.scene.need(ROLES)
    # Graph's beta wants to be told times that mean nothing.
    given = {name: value for name, value in asked.body.items() if name not in ("startTime", "expiryTime")}
    body, id = decoded(GrantBody, given, "OAuth2PermissionGrant"), asked.stage.ids.uuid()

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need(ROLES)
        return [Write(_made(scene, body, id))]

    scene = await asked.change(edit)
    return asked.row(_shown(scene.directory.grants[id]), _SET, 201)


def _made(scene: Scene, body: GrantBody, id: str) -> PermissionGrant:
    client, resource = scene.principal(body.client_id), scene.principal(body.resource_id)
    if (body.principal_id is not None) != (body.consent_type == "Principal"):
        raise bad("principalId is given with the consentType Principal, and with no other.", "principalId")
    person = scene.user(body.principal_id).object_id if body.principal_id else ""
    _check(scene, resource, body.scope)
    held = (client.object_id, resource.object_id, person)
    if any((g.client_id, g.resource_id, g.principal_id) == held for g in scene.directory.grants.values()):
        raise taken("Permission entry already exists.")
    return PermissionGrant(id, scene.tenant_id, *held, scope=" ".join(body.scope.split()), created=scene.now)


def _check(scene: Scene, resource: ServicePrincipal, scopes: str) -> None:
    app = scene.registration(resource)
    known = {str(scope.get("value")) for scope in (app.scopes if app else ())}
    if unknown := [word for word in scopes.split() if word not in known]:
        raise bad(f"'{resource.display_name}' has no scope {', '.join(map(repr, unknown))}.", "scope")


async def updated(asked: Asked, id: str) -> Answer:
    """PATCH oauth2PermissionGrants/{id}"""
    asked.scene.need(ROLES)
    body = decoded(GrantPatch, asked.body, "OAuth2PermissionGrant")

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need(ROLES)
        found = _found(scene, id)
        _check(scene, scene.principal(found.resource_id), body.scope)
        return [Write(replace(found, scope=" ".join(body.scope.split())))]

    await asked.change(edit)
    return NO_CONTENT


async def deleted(asked: Asked, id: str) -> Answer:
    """DELETE oauth2PermissionGrants/{id}"""

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need(ROLES)
        return [Remove(_found(scene, id))]

    await asked.change(edit)
    return NO_CONTENT


def _found(scene: Scene, id: str) -> PermissionGrant:
    found = scene.directory.grants.get(id.lower())
    if found is None:
        raise not_found(id)
    return found
