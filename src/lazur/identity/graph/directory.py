"""The rest of Graph: directory objects of any kind, group membership functions, the organisation, its domains and roles.

Must never answer for something this directory does not keep: such requests are told so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from lazur.identity.directory import Edit, Write
from lazur.identity.graph.errors import bad, denied, not_found, not_here
from lazur.identity.graph.links import need_to_follow
from lazur.identity.graph.models import GraphModel, Name, PasswordProfile, decoded
from lazur.identity.graph.query import Shown
from lazur.identity.graph.request import NO_CONTENT, SETS, Answer, Asked
from lazur.identity.graph.scene import ROLES, Scene
from lazur.identity.graph.shapes import ODATA_TYPES, moment, typed
from lazur.identity.graph.users import check_password
from lazur.identity.objects import (
    GLOBAL_ADMINISTRATOR,
    Application,
    DirectoryObject,
    Group,
    Link,
    ServicePrincipal,
    Tenant,
    User,
)

Kind = type[User] | type[Group] | type[Application] | type[ServicePrincipal]

_IDS_AT_ONCE = 1000
_GROUPS_AT_ONCE = 20


# -- objects of any kind ----------------------------------------------------------------------------------------------


async def listed(kind: Kind, asked: Asked) -> Answer:
    """GET users, groups, applications, servicePrincipals"""
    asked.scene.need_to_read(kind)
    return asked.objects(asked.scene.all(kind), SETS[ODATA_TYPES[kind]])


async def counted(kind: Kind, asked: Asked) -> Answer:
    """GET …/$count"""
    asked.scene.need_to_read(kind)
    return asked.counted(asked.scene.all(kind))


async def deleted(kind: Kind, find: Callable[[Scene, str], DirectoryObject], asked: Asked, id: str) -> Answer:
    """DELETE …/{id}; an application takes its service principal of the same directory along, and what was assigned to a
    principal in ARM stays, to nobody"""

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_read(kind)
        return scene.deletion(find(scene, id))

    await asked.change(edit)
    return NO_CONTENT


async def object_got(asked: Asked, id: str) -> Answer:
    """GET directoryObjects/{id}"""
    thing = asked.scene.directory.object(id)
    if thing is None:
        asked.scene.need_to_read(*ODATA_TYPES)
        raise not_found(id)
    asked.scene.need_to_read(type(thing))
    body = {"@odata.context": asked.context("directoryObjects/$entity"), **asked.query.selected(typed(asked.scene, thing))}
    return Answer(body=body)


async def object_deleted(asked: Asked, id: str) -> Answer:
    """DELETE directoryObjects/{id}"""

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_read(*ODATA_TYPES)
        return scene.deletion(scene.object(id))

    await asked.change(edit)
    return NO_CONTENT


async def by_ids(asked: Asked) -> Answer:
    """POST directoryObjects/getByIds: what is not there is left out"""
    scene = asked.scene
    scene.need_to_read(User)
    ids = _ids(asked, "ids", _IDS_AT_ONCE)
    wanted = {str(t).lower() for t in asked.body.get("types") or ()} - {"directoryobject"}
    found = [thing for id in ids if (thing := scene.directory.object(id))]
    kept = [thing for thing in found if not wanted or ODATA_TYPES[type(thing)].lower() in wanted]
    rows = [asked.query.selected(typed(scene, thing)) for thing in kept]
    return Answer(body={"@odata.context": asked.context("directoryObjects"), "value": rows})


def _ids(asked: Asked, name: str, at_most: int) -> list[str]:
    ids = asked.body.get(name)
    if not isinstance(ids, list) or not ids or not all(isinstance(id, str) for id in ids):
        raise bad(f"A list of ids is required for '{name}'.", name)
    if len(ids) > at_most:
        raise bad(f"Too many '{name}': at most {at_most} at once.", name)
    return list(dict.fromkeys(id.lower() for id in ids))


# -- membership functions ---------------------------------------------------------------------------------------------


async def member_groups(asked: Asked, thing: DirectoryObject) -> Answer:
    """POST {object}/getMemberGroups, getMemberObjects: the ids of all its groups"""
    need_to_follow(asked.scene, thing)
    return asked.values(asked.scene.directory.groups_of(thing.object_id))


async def checked_groups(asked: Asked, thing: DirectoryObject) -> Answer:
    """POST {object}/checkMemberGroups, checkMemberObjects: those of the given groups it is in"""
    need_to_follow(asked.scene, thing)
    name = "ids" if "ids" in asked.body else "groupIds"
    groups = set(asked.scene.directory.groups_of(thing.object_id))
    return asked.values([id for id in _ids(asked, name, _GROUPS_AT_ONCE) if id in groups])


# -- the organisation -------------------------------------------------------------------------------------------------


class VerifiedDomain(GraphModel):
    """A domain whose names are this directory's."""

    name: Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,62}$")]


def _organization(scene: Scene) -> Shown:
    tenant = scene.directory.tenant
    return {
        "id": tenant.id,
        "createdDateTime": moment(tenant.created) if tenant.created else None,
        "deletedDateTime": None,
        "displayName": tenant.display_name,
        "onPremisesSyncEnabled": None,
        "tenantType": "AAD",
        "verifiedDomains": [
            {"capabilities": "", "isDefault": n == 0, "isInitial": n == 0, "name": name, "type": "Managed"}
            for n, name in enumerate(tenant.names)
        ],
    }


def _need_membership(scene: Scene) -> None:
    if scene.is_limited or not (isinstance(scene.me, User) or scene.permissions):
        raise denied()


async def organizations(asked: Asked) -> Answer:
    """GET organization"""
    _need_membership(asked.scene)
    return asked.rows([_organization(asked.scene)], "organization")


async def organization(asked: Asked, id: str) -> Answer:
    """GET organization/{id}"""
    _need_membership(asked.scene)
    if id.lower() != asked.scene.tenant_id:
        raise not_found(id)
    return asked.row(_organization(asked.scene), "organization")


class Founding(GraphModel):
    """A directory to be made: Lazur's own, for operators."""

    display_name: Name
    verified_domains: Annotated[list[VerifiedDomain], Field(min_length=1, max_length=50)]
    password_profile: PasswordProfile


def _need_to_found(scene: Scene) -> None:
    scene.need(ROLES)
    if scene.directory is not scene.directories.home:
        raise denied()


async def founded(asked: Asked) -> Answer:
    """POST organization: a Global Administrator of the stamp's own directory makes another, with `admin@<its domain>`"""
    _need_to_found(asked.scene)
    body = decoded(Founding, asked.body, "Organization")
    profile, ids = body.password_profile, asked.stage.ids
    check_password(profile.password or "", None)
    if "force_change_password_next_sign_in" in profile.model_fields_set and profile.force_change_password_next_sign_in:
        raise bad("The first administrator's password cannot be one to change: nobody could set another.", "passwordProfile")
    names = [row.name.lower() for row in body.verified_domains]
    tenant = Tenant(ids.uuid(), body.display_name, names[0], tuple(names[1:]), asked.scene.now)
    hashed = await asked.stage.hashed(profile.password or "")
    admin = User(ids.uuid(), tenant.id, f"admin@{names[0]}", "Administrator", hashed, created=asked.scene.now)

    def edit(scene: Scene) -> Sequence[Edit]:
        _need_to_found(scene)
        return [Write(tenant), Write(admin), Write(Link("role", tenant.id, GLOBAL_ADMINISTRATOR, admin.object_id))]

    scene = await asked.change(edit)
    row = _organization(replace(scene, directory=scene.directories.by_id[tenant.id]))
    return asked.row({**row, "administrator": admin.upn}, "organization", 201)


def _domains(scene: Scene) -> list[Shown]:
    return [
        {
            "id": name, "authenticationType": "Managed", "availabilityStatus": None, "isAdminManaged": True,
            "isDefault": n == 0, "isInitial": n == 0, "isRoot": True, "isVerified": True, "supportedServices": [],
            "passwordNotificationWindowInDays": None, "passwordValidityPeriodInDays": None, "state": None,
        }
        for n, name in enumerate(scene.directory.tenant.names)
    ]  # fmt: skip


async def domains(asked: Asked) -> Answer:
    """GET domains"""
    _need_membership(asked.scene)
    return asked.rows(_domains(asked.scene), "domains")


async def domain(asked: Asked, id: str) -> Answer:
    """GET domains/{name}"""
    _need_membership(asked.scene)
    found = next((row for row in _domains(asked.scene) if row["id"] == id.lower()), None)
    if found is None:
        raise not_found(id)
    return asked.row(found, "domains")


# -- what there is nothing of -----------------------------------------------------------------------------------------


async def nothing_deleted(asked: Asked, kind: str) -> Answer:
    """GET directory/deletedItems/{kind}: what is deleted is gone at once"""
    asked.scene.need_to_read(User)
    if not kind.lower().startswith("microsoft.graph."):
        raise not_found(kind)
    return asked.rows([], "directoryObjects")


async def not_deleted(asked: Asked, id: str) -> Answer:
    """DELETE directory/deletedItems/{id}, POST …/restore"""
    asked.scene.need_to_read(User)
    raise not_found(id)


async def no_new_domain(asked: Asked) -> Answer:
    """POST domains"""
    asked.scene.need(ROLES)
    raise not_here("adding domains through Graph: the operator names a directory's domains")
