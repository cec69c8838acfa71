"""Groups in Graph: security groups whose members are users, service principals and groups.

Must never pretend to a mailbox or to a rule that nobody evaluates: such groups are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lazur.identity.directory import Edit, Write
from lazur.identity.graph.errors import bad, not_here
from lazur.identity.graph.links import bound, links_of
from lazur.identity.graph.models import GroupBody, decoded, encoded, merged
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import Scene
from lazur.identity.objects import Group

_BOUND = ("owners", "members")


async def got(asked: Asked, id: str) -> Answer:
    """GET groups/{id}"""
    asked.scene.need_to_read(Group)
    return asked.one(asked.scene.group(id))


async def created(asked: Asked) -> Answer:
    """POST groups"""
    rest, bindings = bound(asked.body, _BOUND)
    body = _checked(decoded(GroupBody, rest, "Group"))
    properties = _properties(encoded(body, sparse=True))
    made = Group(asked.stage.ids.uuid(), asked.scene.tenant_id, body.display_name, asked.scene.now, properties)

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_create(Group)
        owners = bindings.get("owners") or scene.default_owner(Group)
        return [Write(made), *links_of(scene, made, {**bindings, "owners": owners})]

    return asked.one(made, await asked.change(edit), 201)


async def updated(asked: Asked, id: str) -> Answer:
    """PATCH groups/{id}; `members@odata.bind` adds members"""
    rest, bindings = bound(asked.body, _BOUND)

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_read(Group)
        group = scene.group(id)
        if rest:
            scene.need_to_write(group)
        patch = {k: v for k, v in rest.items() if not (k == "id" and v == group.object_id)}
        body = _checked(decoded(GroupBody, merged(_body(group), patch), "Group"))
        changed = replace(group, display_name=body.display_name, properties=_properties(encoded(body, sparse=True)))
        return [Write(changed), *links_of(scene, group, bindings, refuse_present=True)]

    scene = await asked.change(edit)
    return asked.one(scene.group(id), scene) if asked.representation else NO_CONTENT


def _body(group: Group) -> dict[str, Any]:
    return {
        "mailNickname": group.display_name[:64], "mailEnabled": False, "securityEnabled": True, **group.properties,
        "displayName": group.display_name,
    }  # fmt: skip


def _properties(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "displayName"}


def _checked(body: GroupBody) -> GroupBody:
    if "Unified" in body.group_types or body.mail_enabled:
        raise not_here("groups with a mailbox (mailEnabled, groupTypes 'Unified')")
    if "DynamicMembership" in body.group_types or body.membership_rule:
        raise not_here("groups whose members follow a rule (groupTypes 'DynamicMembership')")
    if body.is_assignable_to_role:
        raise not_here("directory roles held by groups (isAssignableToRole)")
    if body.group_types:
        raise bad("Invalid value specified for property 'groupTypes' of resource 'Group'.", "groupTypes")
    if not body.security_enabled:
        raise bad("A group without a mailbox must be security-enabled.", "securityEnabled")
    return body
