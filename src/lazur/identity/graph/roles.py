"""Directory roles in Graph: who administers the directory, in the old form (`directoryRoles`) and as role assignments.

Both show the same links. Must never let the last Global Administrator go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lazur.identity.directory import Edit, Remove, Write
from lazur.identity.graph.errors import bad, not_found
from lazur.identity.graph.models import DirectoryAssignmentBody, decoded
from lazur.identity.graph.query import Shown
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import ROLES, Scene
from lazur.identity.objects import (
    APPLICATION_ADMINISTRATOR,
    DIRECTORY_READERS,
    GLOBAL_ADMINISTRATOR,
    USER_ADMINISTRATOR,
    Link,
    ServicePrincipal,
    User,
)
from lazur.kernel.ids import derived

_DIRECTORY_ROLES = {
    GLOBAL_ADMINISTRATOR: ("Global Administrator", "Can manage all aspects of the directory."),
    USER_ADMINISTRATOR: ("User Administrator", "Can manage users and groups."),
    APPLICATION_ADMINISTRATOR: ("Application Administrator", "Can manage applications and service principals."),
    DIRECTORY_READERS: ("Directory Readers", "Can read the directory."),
}


def _role(scene: Scene, template: str) -> Shown:
    name, description = _DIRECTORY_ROLES[template]
    return {"id": derived(scene.tenant_id, template), "deletedDateTime": None, "description": description,
            "displayName": name, "roleTemplateId": template}  # fmt: skip


def _template(scene: Scene, id: str) -> str:
    """The role of that id, of that template id, or `roleTemplateId=…`."""
    wanted = id.rpartition("=")[2].lower()
    for template in _DIRECTORY_ROLES:
        if wanted in (template, derived(scene.tenant_id, template)):
            return template
    raise not_found(wanted)


async def roles(asked: Asked) -> Answer:
    """GET directoryRoles"""
    asked.scene.need_to_read(User)
    return asked.rows([_role(asked.scene, template) for template in _DIRECTORY_ROLES], "directoryRoles")


async def role(asked: Asked, id: str) -> Answer:
    """GET directoryRoles/{id}"""
    asked.scene.need_to_read(User)
    return asked.row(_role(asked.scene, _template(asked.scene, id)), "directoryRoles")


async def role_members(asked: Asked, id: str) -> Answer:
    """GET directoryRoles/{id}/members"""
    scene = asked.scene
    scene.need_to_read(User)
    objects = scene.directory.objects
    holders = scene.directory.linked("role", _template(scene, id))
    return asked.objects([objects[holder] for holder in holders if holder in objects], "directoryObjects")


async def role_given(asked: Asked, id: str) -> Answer:
    """POST directoryRoles/{id}/members/$ref"""
    holder = str(asked.body.get("@odata.id") or "").rstrip("/").rpartition("/")[2]
    await asked.change(lambda scene: [_given(scene, _template(scene, id), holder)])
    return NO_CONTENT


def _given(scene: Scene, template: str, holder: str) -> Edit:
    scene.need(ROLES)
    found = scene.object(holder)
    if not isinstance(found, User | ServicePrincipal):
        raise bad("A directory role is held by a user or a service principal.", "principalId")
    if scene.directory.is_linked("role", template, found.object_id):
        raise bad("A conflicting object with one or more of the specified property values is present in the directory.")
    return Write(Link("role", scene.tenant_id, template, found.object_id))


async def role_taken(asked: Asked, id: str, holder: str) -> Answer:
    """DELETE directoryRoles/{id}/members/{holder}/$ref"""
    await asked.change(lambda scene: [_taken(scene, _template(scene, id), holder.lower())])
    return NO_CONTENT


def _taken(scene: Scene, template: str, holder: str) -> Edit:
    scene.need(ROLES)
    holders = scene.directory.linked("role", template)
    if holder not in holders:
        raise not_found(holder)
    if template == GLOBAL_ADMINISTRATOR and len(holders) == 1:
        raise bad("The last Global Administrator of a directory cannot be removed.")
    return Remove(Link("role", scene.tenant_id, template, holder))


async def activated(asked: Asked) -> Answer:
    """POST directoryRoles: every role there is, is active already"""
    asked.scene.need(ROLES)
    _template(asked.scene, str(asked.body.get("roleTemplateId") or ""))
    raise bad("A conflicting object with one or more of the specified property values is present in the directory.")


def _as_template(template: str) -> Shown:
    name, description = _DIRECTORY_ROLES[template]
    return {"id": template, "deletedDateTime": None, "description": description, "displayName": name}


async def templates(asked: Asked) -> Answer:
    """GET directoryRoleTemplates"""
    asked.scene.need_to_read(User)
    return asked.rows([_as_template(template) for template in _DIRECTORY_ROLES], "directoryRoleTemplates")


async def template(asked: Asked, id: str) -> Answer:
    """GET directoryRoleTemplates/{id}"""
    asked.scene.need_to_read(User)
    return asked.row(_as_template(_template(asked.scene, id)), "directoryRoleTemplates")


# -- the newer form ---------------------------------------------------------------------------------------------------


def _definition(template: str) -> Shown:
    return {**_as_template(template), "templateId": template, "isBuiltIn": True, "isEnabled": True, "version": "1",
            "resourceScopes": ["/"], "rolePermissions": []}  # fmt: skip


async def definitions(asked: Asked) -> Answer:
    """GET roleManagement/directory/roleDefinitions"""
    asked.scene.need_to_read(User)
    return asked.rows([_definition(t) for t in _DIRECTORY_ROLES], "roleManagement/directory/roleDefinitions")


async def definition(asked: Asked, id: str) -> Answer:
    """GET roleManagement/directory/roleDefinitions/{id}"""
    asked.scene.need_to_read(User)
    return asked.row(_definition(_template(asked.scene, id)), "roleManagement/directory/roleDefinitions")


def _assignments(scene: Scene) -> Iterator[Shown]:
    for template in _DIRECTORY_ROLES:
        for holder in scene.directory.linked("role", template):
            yield _assignment(scene, template, holder)


def _assignment(scene: Scene, template: str, holder: str) -> Shown:
    return {"id": derived(scene.tenant_id, template, holder), "principalId": holder, "roleDefinitionId": template,
            "directoryScopeId": "/", "resourceScope": "/"}  # fmt: skip


def _assigned(scene: Scene, id: str) -> Shown:
    found = next((row for row in _assignments(scene) if row["id"] == id.lower()), None)
    if found is None:
        raise not_found(id)
    return found


async def assignments(asked: Asked) -> Answer:
    """GET roleManagement/directory/roleAssignments"""
    asked.scene.need_to_read(User)
    return asked.rows(list(_assignments(asked.scene)), "roleManagement/directory/roleAssignments")


async def assignment(asked: Asked, id: str) -> Answer:
    """GET roleManagement/directory/roleAssignments/{id}"""
    asked.scene.need_to_read(User)
    return asked.row(_assigned(asked.scene, id), "roleManagement/directory/roleAssignments")


async def assignment_made(asked: Asked) -> Answer:
    """POST roleManagement/directory/roleAssignments"""
    body = decoded(DirectoryAssignmentBody, asked.body, "UnifiedRoleAssignment")

    def edit(scene: Scene) -> Sequence[Edit]:
        return [_given(scene, _template(scene, body.role_definition_id), body.principal_id)]

    scene = await asked.change(edit)
    made = _assignment(scene, _template(scene, body.role_definition_id), body.principal_id)
    return asked.row(made, "roleManagement/directory/roleAssignments", 201)


async def assignment_removed(asked: Asked, id: str) -> Answer:
    """DELETE roleManagement/directory/roleAssignments/{id}"""

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need(ROLES)
        found = _assigned(scene, id)
        return [_taken(scene, found["roleDefinitionId"], found["principalId"])]

    await asked.change(edit)
    return NO_CONTENT
