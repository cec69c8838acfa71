"""Whatever is done to the directories, what is kept of them says the same as what is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.identity.directory import AlreadyThere, Directories, Edit, Remove, Write, thing_of
from lazur.identity.objects import (
    Application,
    AppRoleAssignment,
    Group,
    Link,
    LinkKind,
    PermissionGrant,
    ServicePrincipal,
    Stored,
    Tenant,
    User,
)
from tests.identity.support import stamp

TENANTS = ("t1", "t2")
OBJECTS = tuple(f"o{n}" for n in range(6))
KINDS: tuple[LinkKind, ...] = ("member", "owner", "manager", "role")


@st.composite
def things(draw: st.DrawFn) -> Stored:
    """An object, a link, an assignment or a grant of one of two directories; ids and names meet often."""
    tenant, id, other = draw(st.sampled_from(TENANTS)), draw(st.sampled_from(OBJECTS)), draw(st.sampled_from(OBJECTS))
    name = draw(st.sampled_from("abc"))
    match draw(st.integers(0, 6)):
        case 0:
            return User(id, tenant, f"{name}@{tenant}.example", name, "", federated=((f"i{name}", "s"),))
        case 1:
            return Group(id, tenant, name)
        case 2:
            return Application(id, id, tenant, name)
        case 3:
            return ServicePrincipal(id, f"app-{other}", tenant, name)
        case 4:
            return Link(draw(st.sampled_from(KINDS)), tenant, id, other)
        case 5:
            return AppRoleAssignment(f"x{id}", tenant, id, other, "r")
        case _:
            return PermissionGrant(f"g{id}", tenant, id, other, draw(st.sampled_from(("", *OBJECTS))))


def possible(directories: Directories, thing: Stored, wish: bool) -> Edit | None:
    """The edit a caller could make: links join what is there, an id keeps its kind, only what is there is removed."""
    assert not isinstance(thing, Tenant)
    directory = directories.by_id[thing.tenant_id]
    if isinstance(thing, Link | AppRoleAssignment | PermissionGrant):
        known = all(end in directory.objects for end in _ends(thing))
        if isinstance(thing, Link):
            there = directory.is_linked(thing.kind, thing.source, thing.target)
        else:
            kept = directory.assignments if isinstance(thing, AppRoleAssignment) else directory.grants
            there = thing.id in kept
            thing = kept.get(thing.id, thing)
        return (Write(thing) if known else None) if wish else (Remove(thing) if there else None)
    present = directory.objects.get(thing.object_id)
    if wish:
        return Write(thing) if present is None or type(present) is type(thing) else None
    return Remove(present) if present else None


def _ends(thing: Link | AppRoleAssignment | PermissionGrant) -> tuple[str, ...]:
    match thing:
        case Link():
            return thing.source, thing.target
        case AppRoleAssignment():
            return thing.principal_id, thing.resource_id
        case PermissionGrant():
            return tuple(filter(None, (thing.client_id, thing.resource_id, thing.principal_id)))


@given(st.lists(st.tuples(things(), st.booleans()), max_size=40))
def test_what_is_kept_is_what_is_shown(wishes: list[tuple[Stored, bool]]) -> None:
    kept: dict[str, Any] = {}
    begin = [Write(Tenant(id, id, f"{id}.example")) for id in TENANTS]
    directories, documents = Directories().edited(begin)
    kept |= documents
    for thing, wish in wishes:
        edit = possible(directories, thing, wish)
        if edit is None:
            continue
        try:
            directories, documents = directories.edited([edit])
        except AlreadyThere:
            continue
        for name, content in documents.items():
            if content is None:
                assert kept.pop(name, None) is not None, name
            else:
                kept[name] = content
    again, _ = Directories().edited(Write(thing_of(kept[name])) for name in sorted(kept))
    assert again == directories
    for directory in directories.by_id.values():
        for (_, source), targets in directory.targets.items():
            assert source in directory.objects and targets.keys() <= directory.objects.keys()


def test_of_two_who_take_a_name_at_once_one_has_it() -> None:
    async def test() -> None:
        made = await stamp()

        def user(id: str) -> User:
            return User(id, made.tenant, "Same@local.lazur.internal", id, "")

        results = await asyncio.gather(
            made.directory.change(lambda _: [Write(user("one"))]),
            made.directory.change(lambda _: [Write(user("two"))]),
            return_exceptions=True,
        )
        assert [isinstance(r, AlreadyThere) for r in results] == [False, True]
        found = made.directory.current.user("same@local.lazur.internal")
        assert found is not None and found.object_id == "one"
        with pytest.raises(AlreadyThere):
            await made.directory.change(lambda _: [Write(user("two"))])
        await made.directory.change(lambda d: [Remove(found), Write(user("two"))])

    asyncio.run(test())
