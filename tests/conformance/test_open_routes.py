"""Who may ask the routes that name no right of their own: whoever is signed in, or whoever the handler lets.

Every such route of the router has a row here, for each level of scope it stands at; one without fails the suite. A row says
which rights the handler asks for, or what each caller sees. Routes with a right are in `test_authorisation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from lazur.api.routes import Routes
from lazur.model.armid import ArmId
from lazur.model.rights import CONTRIBUTOR, OWNER, READER, Assignment, Role
from tests.api.front import ELSEWHERE, Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, World
from tests.conformance.examples import BY_NAME, REGISTRY, Maker
from tests.conformance.test_authorisation import (
    ABSENT,
    GROUP,
    Asker,
    Operation,
    check,
    common,
    everything_exists,
    places,
    row_of,
    strangers,
)  # fmt: skip

GROUPS, MEMBERS = "Microsoft.Management/managementGroups", "Microsoft.Management/managementGroups/subscriptions"
ASSIGN, DEFINITIONS = "Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleDefinitions"
RESOURCE_GROUPS = "Microsoft.Resources/subscriptions/resourceGroups"
ONE = r"managementGroups/(?P<group>[^/]+)"
IN_ONE = rf"{ONE}/subscriptions/(?P<subscription>[^/]+)"
MACHINES = "Microsoft.Compute/virtualMachines"
HELD = "00000000-0000-0000-0000-0000000000ee"
"""The principal who is given something to see."""


def _open() -> set[str]:
    """The rows there must be, as the registry has them."""
    return {
        row_of(p, r, level)
        for p in REGISTRY.providers.values() for r in p.routes if r.action is None for level in r.scopes
    }  # fmt: skip


def _named(method: str, namespace: str, pattern: str, level: str = "tenant") -> str:
    """A row's name as `row_of` makes it."""
    return f"route {method} {namespace} {pattern} at {level}"


# -- routes whose handler asks for one right ----------------------------------------------------------------------------


def decided(subscription: str, tenant: str) -> Iterator[Operation]:
    """What each route's handler asks for, and at which scope."""
    reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    for level, at in places(subscription, tenant).items():
        id = at.resource(DEFINITIONS, reader)
        name = _named("GET", "Microsoft.Authorization", "roleDefinitions/(?P<name>[^/]+)", level)
        yield Operation(name, "GET", str(id), f"{DEFINITIONS}/read", id)
    root, elevate = ArmId(tenant=tenant), "Microsoft.Authorization/elevateAccess"
    name = _named("POST", "Microsoft.Authorization", "elevateAccess")
    yield Operation(name, "POST", f"/providers/{elevate}", f"{elevate}/action", root)
    one, absent = (root.resource(GROUPS, n) for n in ("x1", ABSENT))
    body = {"properties": {"displayName": "x"}}

    def group(method: str, pattern: str, action: str, tail: str = "", body: Any = None) -> Operation:
        name = _named(method, "Microsoft.Management", pattern)
        return Operation(name, method, f"{one}{tail}", action, one, body, f"{absent}{tail}")

    yield group("GET", ONE, f"{GROUPS}/read")
    yield group("PUT", ONE, f"{GROUPS}/write", "", body)
    yield group("PATCH", ONE, f"{GROUPS}/write", "", {"displayName": "y"})
    yield group("GET", f"{ONE}/descendants", f"{GROUPS}/read", "/descendants")
    yield group("GET", f"{ONE}/subscriptions", f"{MEMBERS}/read", "/subscriptions")
    yield group("GET", IN_ONE, f"{MEMBERS}/read", f"/subscriptions/{subscription}")
    yield group("DELETE", ONE, f"{GROUPS}/delete")


REGISTERED = _named(
    "POST", "Microsoft.Resources", "/providers/(?P<namespace>[^/]+)/(?P<verb>register|unregister)", "subscription"
)  # fmt: skip
"""In `test_authorisation.py`, for every provider."""


def test_routes_whose_handler_asks_for_one_right() -> None:
    async def main(door: Door) -> None:
        other, stamp = door.store.document("subscriptions").content[1]["id"], door.plane.stamp
        for needed in decided(stamp.subscription, stamp.tenant):
            await check(door, needed, other)

    at_the_door(everything_exists(GROUPS), main, executors=False)


# -- routes whose handler asks for several ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Several:
    """A request that takes all of `needs`: actions, each with where."""

    method: str
    path: str
    needs: Mapping[str, ArmId]
    body: Any = None


def several(subscription: str, tenant: str) -> dict[str, Several]:
    """The rows of what takes more than one right."""
    group, target = ArmId(subscription, GROUP), ArmId(subscription, "near")
    into = ArmId(tenant=tenant).resource(GROUPS, tenant)
    member, place = ArmId(subscription), f"{into}/subscriptions/{subscription}"
    body = {"resources": [f"{group}/providers/{MACHINES}/none"], "targetResourceGroup": str(target)}
    rows = {}
    for method, verb in (("PUT", "write"), ("DELETE", "delete")):
        needs = {f"{MEMBERS}/{verb}": into, ASSIGN: member}
        rows[_named(method, "Microsoft.Management", IN_ONE)] = Several(method, place, needs)
    for action in ("moveResources", "validateMoveResources"):
        needs = {f"{RESOURCE_GROUPS}/{action}/action": group, f"{RESOURCE_GROUPS}/write": target}
        name = _named("POST", "Microsoft.Resources", f"/{action}", "group")
        rows[name] = Several("POST", f"{group}/{action}", needs, body)
    return rows


@pytest.mark.parametrize("row", sorted(several("s", "t")))
def test_routes_whose_handler_asks_for_several_rights(row: str) -> None:
    async def main(door: Door) -> None:
        stamp = door.plane.stamp
        asked = several(stamp.subscription, stamp.tenant)[row]
        for asker in strangers(door):
            at_home = asker.name == "wrong tenant" and not asked.path.startswith("/subscriptions/")
            answer = await door.ask(asked.method, asked.path, asked.body, token=asker.token)
            assert answer.status == (403 if at_home else 401), f"{asker.name}: {answer.raw!r}"
        token, before = door.token(HELD), door.stored()
        for missing, where in asked.needs.items():
            _grant(door, {a: s for a, s in asked.needs.items() if a != missing})
            answer = await door.ask(asked.method, asked.path, asked.body, token=token)
            assert (answer.status, answer.error["code"]) == (403, "AuthorizationFailed"), f"without {missing}: {answer.raw!r}"
            assert f"'{missing}'" in answer.error["message"] and f"'{where}'" in answer.error["message"]
        assert door.stored() == before
        _grant(door, asked.needs)
        answer = await door.ask(asked.method, asked.path, asked.body, token=token)
        assert answer.status not in (401, 403, 405) and answer.status < 500, answer.raw

    at_the_door(everything_exists(MACHINES), main, executors=False)


def _grant(door: Door, needs: Mapping[str, ArmId]) -> None:
    door.assign(*(Assignment(HELD, Role(action, action, (action,)), scope.key) for action, scope in needs.items()))


# -- routes for whoever is signed in ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A request that everybody may make who is signed in, and what of the answer depends on who asks."""

    method: str
    path: str
    seen: Callable[[Any], set[str]]
    """The names in an answer."""
    expected: Callable[[View], set[str]]
    """The names that a caller must find, no more and no fewer."""
    body: Any = None


@dataclass(frozen=True)
class View:
    """Who looks: what it holds by `may`, in which directory, on a stamp with these subscriptions."""

    door: Door
    asker: Asker
    tenant: str

    def may(self, action: str, scope: ArmId) -> bool:
        """Whether what it holds lets it."""
        over = self.door.plane.authority.rights.over(scope)
        return any(a.role.grants(action.lower()) and a.scope in over for a in self.asker.held)

    @property
    def subscriptions(self) -> set[str]:
        """Those it may read, by id."""
        rows = self.door.store.document("subscriptions").content
        return {r["id"] for r in rows if self.may("Microsoft.Resources/subscriptions/read", ArmId(r["id"]))}

    @property
    def held_in(self) -> set[str]:
        """The subscriptions it holds a role in something of."""
        rows = self.door.store.document("subscriptions").content
        within = {r["id"]: f"{ArmId(r['id']).key}/" for r in rows if r["tenant"] == self.tenant}
        return {id for id, key in within.items() if any(a.scope.startswith(key) for a in self.asker.held)}

    @property
    def groups(self) -> set[str]:
        """The management groups of its directory that it may read, by name."""
        found = self.door.store.list(type=GROUPS)
        return {r.id.name for r in found if r.id.tenant == self.tenant and self.may(f"{GROUPS}/read", r.id)}


def _values(name: str) -> Callable[[Any], set[str]]:
    return lambda answer: {item[name] for item in answer["value"]}


def _same(*names: str) -> Callable[[View], set[str]]:
    """Everybody sees just this."""
    return lambda _: set(names)


_PROVIDERS = [p.namespace for p in REGISTRY.providers.values()]
_PUBLIC = [n for n in _PROVIDERS if not n.endswith(".Admin")]


def shown(subscription: str, tenant: str) -> dict[str, Shown]:
    """The rows of what everybody may ask."""
    get, resources, authorization = "GET", "Microsoft.Resources", "Microsoft.Authorization"
    one = resources
    rows = {
        _named(get, resources, "/tenants"): Shown(get, "/tenants", _values("tenantId"), lambda v: {v.tenant}),
        _named(get, resources, "/subscriptions"): Shown(
            get, "/subscriptions", _values("subscriptionId"), lambda v: v.subscriptions | v.held_in
        ),
        _named(get, resources, "/providers"): Shown(get, "/providers", _values("namespace"), _same(*_PUBLIC)),
        _named(get, resources, "/providers/(?P<namespace>[^/]+)"): Shown(
            get, f"/providers/{one}", lambda a: {a["namespace"]}, _same(one)
        ),
        _named("POST", resources, "calculateTemplateHash"): Shown(
            "POST", f"/providers/{resources}/calculateTemplateHash", set, _same("minifiedTemplate", "templateHash"), {}
        ),
        _named(get, authorization, "providerOperations"): Shown(
            get, f"/providers/{authorization}/providerOperations", _values("name"), _same(*_PUBLIC)
        ),
        _named(get, authorization, "providerOperations/(?P<namespace>[^/]+)"): Shown(
            get, f"/providers/{authorization}/providerOperations/{one}", lambda a: {a["name"]}, _same(one)
        ),
        _named(get, "Microsoft.Insights", "eventcategories"): Shown(
            get, "/providers/Microsoft.Insights/eventcategories", _values("value"), _same("Administrative")
        ),
        _named(get, "Microsoft.Management", "managementGroups"): Shown(
            get, f"/providers/{GROUPS}", _values("name"), lambda v: v.groups
        ),
        _named("POST", "Microsoft.Management", "getEntities"): Shown(
            "POST", "/providers/Microsoft.Management/getEntities", _values("name"), lambda v: v.groups | v.subscriptions
        ),
    }  # fmt: skip
    for level, at in places(subscription, tenant).items():
        path = f"{str(at).rstrip('/')}/providers/{authorization}/permissions"
        rows[_named(get, authorization, "permissions", level)] = Shown(get, path, _actions, _held_at(at))
    return rows


def _actions(answer: Any) -> set[str]:
    return {action for item in answer["value"] for action in item["actions"]}


def _held_at(at: ArmId) -> Callable[[View], set[str]]:
    def held(view: View) -> set[str]:
        over = view.door.plane.authority.rights.over(at.of(view.tenant))
        return {action for a in view.asker.held if a.scope in over for action in a.role.actions}

    return held


def _signed_in(door: Door) -> list[Asker]:
    """Principals of the directory, by what they hold: nothing, something elsewhere, something here."""
    stamp, rows = door.plane.stamp, door.store.document("subscriptions").content
    other, top = ArmId(rows[1]["id"]).key, ArmId(stamp.subscription).key
    root = ArmId(tenant=stamp.tenant)
    only = Role("o", "only", ("Microsoft.Resources/subscriptions/read", f"{GROUPS}/read"))
    minus = Role("m", "minus", ("*",), ("Microsoft.Resources/subscriptions/read", f"{GROUPS}/read"))
    held: dict[str, tuple[Role, str] | None] = {
        "nothing": None, "other subscription": (OWNER, other), "other group": (OWNER, f"{top}/resourcegroups/near"),
        "Reader": (READER, top), "Contributor": (CONTRIBUTOR, root.key), "exactly it": (only, root.key),
        "all but it": (minus, root.key), "Reader of one group": (READER, root.resource(GROUPS, "x1").key),
    }  # fmt: skip
    return [Asker(n, door.token(HELD), (Assignment(HELD, *h),) if h else ()) for n, h in held.items()]


@pytest.mark.parametrize("row", sorted(shown("s", "t")))
def test_whoever_is_signed_in_sees_what_is_theirs(row: str) -> None:
    async def main(door: Door) -> None:
        stamp = door.plane.stamp
        asked = shown(stamp.subscription, stamp.tenant)[row]

        async def ask(token: str | None) -> Answer:
            return await door.ask(asked.method, asked.path, asked.body, token=token)

        for asker in strangers(door):
            answer = await ask(asker.token)
            if asker.name == "wrong tenant" and not asked.path.startswith("/subscriptions/"):
                view = View(door, asker, ELSEWHERE)
                assert answer.status == 200 and asked.seen(answer.json) == asked.expected(view), answer.raw
            else:
                assert answer.status == 401, f"{asker.name}: {answer.raw!r}"
        for asker in _signed_in(door):
            door.assign(*asker.held)
            answer = await ask(asker.token)
            assert answer.status == 200, f"{asker.name}: {answer.raw!r}"
            assert asked.seen(answer.json) == asked.expected(View(door, asker, stamp.tenant)), asker.name

    at_the_door(_two_groups(), main, executors=False)


def _two_groups() -> World:
    """A world with a machine and a management group beside the root."""

    async def prepare(cloud: Cloud) -> None:
        maker = Maker(cloud, await cloud.with_group(GROUP))
        await maker.make(BY_NAME[MACHINES])
        await maker.make(BY_NAME[GROUPS])

    return world_of("a machine and a management group", prepare)


# -- no route without a row ---------------------------------------------------------------------------------------------


def test_every_route_of_the_router_has_a_row() -> None:
    async def main(door: Door) -> None:
        stamp = door.plane.stamp
        rows = {o.name for o in decided(stamp.subscription, stamp.tenant)} | {REGISTERED}
        rows |= several(stamp.subscription, stamp.tenant).keys() | shown(stamp.subscription, stamp.tenant).keys()
        assert rows == _open()
        rows |= {o.name for o in common(stamp.subscription, {}, stamp.tenant)}
        known = {id(r): p for p in REGISTRY.providers.values() for r in p.routes}
        routed = [(level, route) for (level, _), found in Routes(door.plane.pipeline).declared.items() for _, route in found]
        assert {row_of(known[id(route)], route, level) for level, route in routed} <= rows

    at_the_door(everything_exists(GROUPS), main, executors=False)
