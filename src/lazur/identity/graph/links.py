"""Relations between objects in Graph: members, owners, managers, and where they lead, directly or through groups.

Must never link to what is not in the asker's directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazur.identity.directory import Edit, Remove, Write
from lazur.identity.graph.errors import bad, not_found
from lazur.identity.graph.request import NO_CONTENT, SETS, Answer, Asked
from lazur.identity.graph.scene import Scene
from lazur.identity.graph.shapes import ODATA_TYPES
from lazur.identity.objects import Application, DirectoryObject, Group, Link, LinkKind, ServicePrincipal, User

_AT_ONCE = 20
_LAST = re.compile(r"/(?:directoryObjects|users|groups|servicePrincipals|applications)(?:/([^/?()]+)|\('([^']+)'\))/?$", re.I)


@dataclass(frozen=True)
class Relation:
    """A navigation property: how its ids are found, and, when it can be written, the links it consists of."""

    name: str
    ids: Callable[[Scene, str], Iterable[str]]
    kind: LinkKind | None = None
    targets: tuple[type, ...] = ()


def _targets(kind: LinkKind) -> Callable[[Scene, str], Iterable[str]]:
    return lambda scene, id: scene.directory.linked(kind, id)


def _sources(kind: LinkKind) -> Callable[[Scene, str], Iterable[str]]:
    return lambda scene, id: scene.directory.linking(kind, id)


_OWNERS = Relation("owners", _targets("owner"), "owner", (User, ServicePrincipal))
_MEMBER_OF = Relation("memberOf", _sources("member"))
_TRANSITIVE_MEMBER_OF = Relation("transitiveMemberOf", lambda scene, id: scene.directory.groups_of(id))
_OWNED = Relation("ownedObjects", _sources("owner"))
_ABOUT_ALL = (_MEMBER_OF, _TRANSITIVE_MEMBER_OF)
RELATIONS: Mapping[type, tuple[Relation, ...]] = {
    User: (*_ABOUT_ALL, _OWNED, Relation("directReports", _sources("manager"))),
    Group: (
        *_ABOUT_ALL,
        _OWNERS,
        Relation("members", _targets("member"), "member", (User, Group, ServicePrincipal)),
        Relation("transitiveMembers", lambda scene, id: scene.directory.members_of(id)),
    ),
    Application: (_OWNERS,),
    ServicePrincipal: (*_ABOUT_ALL, _OWNERS, _OWNED),
}


def relation(thing: DirectoryObject, name: str) -> Relation | None:
    """The relation of that name, whatever the case."""
    return next((r for r in RELATIONS[type(thing)] if r.name.lower() == name.lower()), None)


def related(scene: Scene, thing: DirectoryObject, found: Relation) -> list[DirectoryObject]:
    """The objects `found` leads to."""
    objects = scene.directory.objects
    return [objects[id] for id in found.ids(scene, thing.object_id) if id in objects]


def need_to_follow(scene: Scene, thing: DirectoryObject) -> None:
    """Refuse an asker who may not read where `thing` leads; who they are themselves everybody may know."""
    if thing.object_id != scene.me.object_id or scene.is_limited:
        scene.need_to_read(type(thing))


async def listed(asked: Asked, thing: DirectoryObject, found: Relation, rest: Sequence[str]) -> Answer:
    """GET {object}/{relation}, with `$ref`, `$count`, `microsoft.graph.user` or an id after it"""
    scene = asked.scene
    need_to_follow(scene, thing)
    things = related(scene, thing, found)
    if rest and (cast := _cast(rest[0])) is not None:
        things, rest = [t for t in things if isinstance(t, cast)], rest[1:]
        if not rest:
            return asked.objects(things, SETS[ODATA_TYPES[cast]])
    match [part.lower() for part in rest]:
        case []:
            return asked.objects(things, "directoryObjects")
        case ["$ref"]:
            return asked.references(t.object_id for t in things)
        case ["$count"]:
            return asked.counted(things)
        case [id] | [id, "$ref"]:
            target = next((t for t in things if t.object_id == id), None)
            if target is None:
                raise not_found(id)
            return asked.one(target) if len(rest) == 1 else Answer(body={"@odata.id": asked.url(id)})
    raise not_found(asked.path)


def _cast(name: str) -> type[DirectoryObject] | None:
    wanted = name.lower().removeprefix("microsoft.graph.")
    if wanted == name.lower():
        return None
    found = next((kind for kind, odata in ODATA_TYPES.items() if odata.lower() == wanted), None)
    if found is None:
        raise bad(f"Type '{name}' is not one of this directory.")
    return found


async def added(asked: Asked, thing: DirectoryObject, found: Relation) -> Answer:
    """POST {object}/{relation}/$ref"""
    targets = (_named(asked.body.get("@odata.id"), "@odata.id"),)

    def edit(scene: Scene) -> Sequence[Edit]:
        return _linked(scene, scene.object(thing.object_id), found, targets, refuse_present=True)

    await asked.change(edit)
    return NO_CONTENT


async def removed(asked: Asked, thing: DirectoryObject, found: Relation, id: str) -> Answer:
    """DELETE {object}/{relation}/{id}/$ref"""

    def edit(scene: Scene) -> Sequence[Edit]:
        _need_to_link(scene, scene.object(thing.object_id), found)
        if found.kind is None or not scene.directory.is_linked(found.kind, thing.object_id, id.lower()):
            raise not_found(id)
        last = found.kind == "owner" and isinstance(thing, Group) and len(scene.directory.linked("owner", thing.object_id)) == 1
        if last and scene.directory.user(id):
            raise bad("The group must have at least one owner, hence this owner cannot be removed.")
        return [Remove(Link(found.kind, scene.tenant_id, thing.object_id, id.lower()))]

    await asked.change(edit)
    return NO_CONTENT


def bound(body: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The body without its `owners@odata.bind` and the like, and the ids these name."""
    rest = dict(body)
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        urls = rest.pop(f"{name}@odata.bind", None)
        if urls is None:
            continue
        if not isinstance(urls, list) or len(urls) > _AT_ONCE:
            raise bad(f"'{name}@odata.bind' must be a list of at most {_AT_ONCE} URLs.", name)
        found[name] = tuple(dict.fromkeys(_named(url, name) for url in urls))
    return rest, found


def links_of(
    scene: Scene, thing: DirectoryObject, bindings: Mapping[str, Sequence[str]], *, refuse_present: bool = False
) -> list[Edit]:
    """The edits that make what a body binds. `thing` may be one that is just being made: then it is its maker's."""
    edits: list[Edit] = []
    for name, ids in bindings.items():
        found = relation(thing, name)
        assert found is not None, name
        edits += _linked(scene, thing, found, ids, refuse_present=refuse_present)
    return edits


def _linked(scene: Scene, thing: DirectoryObject, found: Relation, ids: Sequence[str], *, refuse_present: bool) -> list[Edit]:
    is_new = thing.object_id not in scene.directory.objects
    if not is_new:
        _need_to_link(scene, thing, found)
    assert found.kind is not None
    edits: list[Edit] = []
    for id in ids:
        target = scene.object(id)
        if not isinstance(target, found.targets) or target.object_id == thing.object_id:
            raise bad(f"The object '{id}' cannot be among the {found.name} of '{thing.object_id}'.", found.name)
        if refuse_present and scene.directory.is_linked(found.kind, thing.object_id, target.object_id):
            message = "One or more added object references already exist for the following modified properties:"
            raise bad(f"{message} '{found.name}'.", found.name)
        edits.append(Write(Link(found.kind, scene.tenant_id, thing.object_id, target.object_id)))
    return edits


def _need_to_link(scene: Scene, thing: DirectoryObject, found: Relation) -> None:
    scene.need_to_read(type(thing))
    if found.kind is None:
        raise bad(f"The property '{found.name}' cannot be set: it follows from others.", found.name)
    if not (found.kind == "member" and scene.has("GroupMember.ReadWrite.All")):
        scene.need_to_write(thing)


def _named(url: object, target: str) -> str:
    """The object id at the end of a URL; which host and tenant it names does not matter, only this directory is looked in."""
    found = _LAST.search(url) if isinstance(url, str) else None
    if found is None:
        raise bad(f"Invalid URL specified for '{target}': expected …/directoryObjects/{{id}}.", target)
    return (found[1] or found[2]).lower()


# -- the manager, the one relation that leads to a single object ------------------------------------------------------


async def manager(asked: Asked, id: str) -> Answer:
    """GET users/{id}/manager"""
    user = asked.scene.visible_user(id)
    need_to_follow(asked.scene, user)
    ids = asked.scene.directory.linked("manager", user.object_id)
    if not ids:
        raise not_found("manager")
    return asked.one(asked.scene.object(ids[0]))


async def manager_set(asked: Asked, id: str) -> Answer:
    """PUT users/{id}/manager/$ref"""
    named = _named(asked.body.get("@odata.id"), "@odata.id")

    def edit(scene: Scene) -> Sequence[Edit]:
        without = _without_manager(scene, id)
        return [*without, Write(Link("manager", scene.tenant_id, scene.user(id).object_id, scene.user(named).object_id))]

    await asked.change(edit)
    return NO_CONTENT


async def manager_removed(asked: Asked, id: str) -> Answer:
    """DELETE users/{id}/manager/$ref"""
    await asked.change(lambda scene: _without_manager(scene, id))
    return NO_CONTENT


def _without_manager(scene: Scene, id: str) -> list[Edit]:
    scene.need_to_read(User)
    user = scene.user(id)
    scene.need_to_write(user)
    managers = scene.directory.linked("manager", user.object_id)
    return [Remove(Link("manager", scene.tenant_id, user.object_id, old)) for old in managers]
