"""Who may do what: every operation the registry declares, asked by everybody, through the whole front door.

The expected answer follows from one rule: 401 without a good token, 403 without the right, and never 403 with it. The
operations are walked from the registry, so that a new type, action, view, child or data route is covered once it is declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource, Provider, Route
from lazur.model.resource import Embedded, Resource
from lazur.model.rights import CONTRIBUTOR, OWNER, READER, Assignment, Caller, Rights, Role, is_operators, right
from tests.api.front import ELSEWHERE, Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, World
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY, Maker

GROUP, ABSENT, REGION = "rg", "absent", "local"
_EXAMPLES = {declared.example_name.replace("{n}", "1") for declared in BY_NAME.values()}
GROUPS = "Microsoft.Resources/resourceGroups"


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked for: `right` at `scope` is what it needs. `twin` is the same where nothing is."""

    name: str
    method: str
    path: str
    right: str
    scope: ArmId
    body: Any = None
    twin: str = ""


def places(subscription: str, tenant: str = "t") -> dict[str, ArmId]:
    """A scope of every level, as declarations call them."""
    root, above = ArmId(tenant=tenant), ArmId(subscription)
    group = ArmId(subscription, GROUP)
    machine = group.resource("Microsoft.Compute/virtualMachines", "x1")
    return {
        "tenant": root, "managementGroup": root.resource("Microsoft.Management/managementGroups", tenant),
        "subscription": above, "group": group, "resource": machine,
    }  # fmt: skip


def operations(declared: AnyResource, subscription: str, tenant: str = "t", level: str = "") -> Iterator[Operation]:
    """Everything a type declares, where its example lies or at another `level`."""
    maker = Maker(None, ArmId(subscription, GROUP), tenant)
    id, body, kind = maker.id(declared), maker.body(declared), declared.type
    if level:
        id = places(subscription, tenant)[level].resource(kind, id.name)
    twin = ArmId(subscription, ABSENT) if id.namespace is None else id.parent.resource(kind, ABSENT)
    where = f" at {level}" if level else ""

    def one(name: str, method: str, verb: str, content: Any = None, tail: str = "") -> Operation:
        return Operation(f"{kind} {name}{where}", method, f"{id}{tail}", right(kind, verb), id, content, f"{twin}{tail}")

    yield one("read", "GET", "read")
    yield one("head", "HEAD", "read")
    if level:
        listed = f"{str(id.scope).rstrip('/')}/providers/{kind}"
        yield Operation(f"{kind} list{where}", "GET", listed, right(kind, "read"), id.scope)
    else:
        yield from _lists(declared, id)
    yield one("write", "PUT", "write", body)
    if declared.patched:
        yield one("patch", "PATCH", "write", {"tags": {"a": "b"}})
    for action in declared.actions:
        yield one(action.name, "POST", f"{action.name}/action", {"properties": body["properties"]}, f"/{action.name}")
    for view in declared.views:
        yield one(view.name, "GET", f"{view.name}/read", None, f"/{view.name}")
    for child in declared.embedded:
        yield from _children(declared, child, id, twin, body)
    yield one("delete", "DELETE", "delete")


def _lists(declared: AnyResource, id: ArmId) -> Iterator[Operation]:
    needs, above = right(declared.type, "read"), ArmId(id.subscription)
    if declared.scopes == ("tenant",):
        # Everybody may list, and sees what is theirs.
        return
    if declared.type == GROUPS:
        yield Operation(f"{declared.type} list", "GET", f"{above}/resourcegroups", needs, above)
        return
    tail = f"/providers/{declared.type}"
    yield Operation(f"{declared.type} list", "GET", f"{above}{tail}", needs, above)
    if "group" in declared.scopes:
        absent = f"{above}/resourceGroups/{ABSENT}{tail}"
        yield Operation(f"{declared.type} list in group", "GET", f"{id.scope}{tail}", needs, id.scope, None, absent)


def _children(declared: AnyResource, child: Embedded, id: ArmId, twin: ArmId, body: Any) -> Iterator[Operation]:
    kind = f"{declared.type}/{child.type}"
    example = (body["properties"].get(child.list) or [{"name": "x1"}])[0]
    one, other = id.child(child.type, example["name"]), twin.child(child.type, example["name"])
    content = {"properties": example.get("properties", {})}
    yield Operation(f"{kind} list", "GET", f"{id}/{child.type}", right(kind, "read"), id, None, f"{twin}/{child.type}")
    for name, method, verb, given in (
        ("read", "GET", "read", None), ("write", "PUT", "write", content), ("delete", "DELETE", "delete", None),
    ):  # fmt: skip
        yield Operation(f"{kind} {name}", method, str(one), right(kind, verb), one, given, str(other))


def common(subscription: str, polls: dict[str, str], tenant: str = "t") -> Iterator[Operation]:
    """What belongs to no type. `polls` has an operation to ask about for each namespace."""
    above = ArmId(subscription)
    group = ArmId(subscription, GROUP)
    base = "Microsoft.Resources/subscriptions"
    yield Operation("subscription", "GET", str(above), f"{base}/read", above)
    yield Operation("locations", "GET", f"{above}/locations", f"{base}/locations/read", above)
    yield Operation("resources", "GET", f"{above}/resources", f"{base}/resources/read", above)
    yield Operation("resources of a group", "GET", f"{group}/resources", f"{base}/resources/read", group, None,
                    f"{above}/resourceGroups/{ABSENT}/resources")  # fmt: skip
    yield Operation("providers", "GET", f"{above}/providers", f"{base}/providers/read", above)
    for provider in REGISTRY.providers.values():
        spot, name = f"{above}/providers/{provider.namespace}", provider.namespace
        yield Operation(f"provider {name}", "GET", spot, f"{base}/providers/read", above)
        for verb in ("register", "unregister"):
            yield Operation(f"{verb} {name}", "POST", f"{spot}/{verb}", f"{name}/{verb}/action", above)
        for what in ("operations", "operationResults"):
            at = f"{spot}/locations/{REGION}/{what}/"
            known = polls.get(name.lower(), "0")
            yield Operation(f"poll {what} {name}", "GET", at + known, f"{name}/locations/{what}/read", above, None, f"{at}1")
        for route in provider.routes:
            for level in route.scopes if route.action is not None else ():
                yield _declared_route(provider, route, level, places(subscription, tenant)[level])


def _declared_route(provider: Provider, route: Route, level: str, at: ArmId) -> Operation:
    tail = re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", lambda m: REGION if m[1] == "location" else NAMES[0].split("/")[0], route.pattern)
    top = str(at).rstrip("/")
    path = f"{top}{tail}".rstrip("/") if tail.startswith("/") else f"{top}/providers/{provider.namespace}/{tail}"
    assert route.action is not None
    return Operation(row_of(provider, route, level), route.method, path, route.action, at)


def row_of(provider: Provider, route: Route, level: str) -> str:
    """What the row of a route is called."""
    return f"route {route.method} {provider.namespace} {route.pattern} at {level}"


# -- who asks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asker:
    """A principal, its token, and what it holds for an operation."""

    name: str
    token: str | None
    held: tuple[Assignment, ...] = ()


def strangers(door: Door) -> list[Asker]:
    """Whoever is nobody."""
    graph = door.endpoints.graph
    return [
        Asker("no token", None),
        Asker("garbage", "eyJhbGciOiJub25lIn0.e30."),
        Asker("not signed by us", door.owner[:-8] + "AAAAAAAA"),
        Asker("expired", door.token(door.cloud.owner.object_id, late=True)),
        Asker("wrong audience", door.token(door.cloud.owner.object_id, audience=graph)),
        Asker("wrong tenant", door.token(door.cloud.owner.object_id, tenant=ELSEWHERE)),
    ]


def principals(door: Door, needed: Operation, other: str) -> list[Asker]:
    """Whoever is somebody, with more or less."""
    above = ArmId(needed.scope.subscription, tenant=needed.scope.tenant)
    top, spot = above.key, needed.scope.key
    exact, rest = Role("e", "exact", (needed.right,)), Role("m", "minus", ("*",), (needed.right,))
    near = f"{above.key}/resourcegroups/near"
    rows: list[tuple[str, tuple[Role, str] | None]] = [
        ("nothing", None),
        ("other subscription", (OWNER, f"/subscriptions/{other}")),
        ("other group", (OWNER, near)),
        ("Reader", (READER, top)),
        ("Contributor", (CONTRIBUTOR, top)),
        ("exactly it", (exact, spot)),
        ("all but it", (rest, top)),
    ]
    found = []
    for number, (name, held) in enumerate(rows):
        who = f"00000000-0000-0000-0000-0000000000{number:02}"
        found.append(Asker(name, door.token(who), (Assignment(who, held[0], held[1]),) if held else ()))
    return found


# -- the table --------------------------------------------------------------------------------------------------------


def everything_exists(name: str) -> World:
    """A world with an example of the type and all it refers to."""

    async def prepare(cloud: Cloud) -> None:
        maker = Maker(cloud, await cloud.with_group(GROUP))
        if BY_NAME[name].type != GROUPS:
            await maker.make(BY_NAME[name])
        else:
            await cloud.put(maker.id(BY_NAME[name]), maker.body(BY_NAME[name]))

    return world_of(name, prepare)


async def check(door: Door, needed: Operation, other: str) -> None:
    """Everybody asks; the ones with the right come last, as they change something."""
    before = {k: (r.generation, r.version) for k, r in door.stored().items()}
    for asker in (*strangers(door), _of_other_endpoint(door, needed)):
        # What lies in no subscription is looked for in the caller's own directory.
        at_home = asker.name == "wrong tenant" and not needed.scope.subscription
        await _refused(door, needed, asker, 403 if at_home else 401)
    late = []
    for asker in principals(door, needed, other):
        who = asker.held[0].principal if asker.held else ""
        if Rights(asker.held).allows(_as(who, needed), needed.right, needed.scope):
            late.append(asker)
        else:
            await _refused(door, needed, asker, 403)
    after = {k: (r.generation, r.version) for k, r in door.stored().items()}
    assert after == before, f"{needed.name}: a refusal changed something"
    least = {"exactly it", "Contributor"} if CONTRIBUTOR.grants(needed.right.lower()) else {"exactly it"}
    assert least <= {a.name for a in late}
    for asker in late:
        door.assign(*asker.held)
        answer = await door.ask(needed.method, needed.path, needed.body, token=asker.token)
        assert answer.status not in (401, 403, 405) and answer.status < 500, f"{asker.name}, {needed.name}: {answer.raw!r}"
    door.assign()


def _as(who: str, needed: Operation) -> Caller:
    return Caller(needed.scope.tenant, who, "x", operator=is_operators(needed.right))


def _of_other_endpoint(door: Door, needed: Operation) -> Asker:
    """An owner with a token for the tenants' endpoint where the operator's is asked, and the other way round."""
    ends = (door.endpoints.admin_management, door.endpoints.management)
    audience = ends[1] if is_operators(needed.right) else ends[0]
    return Asker("other endpoint", door.token(door.cloud.owner.object_id, audience=audience))


async def _refused(door: Door, needed: Operation, asker: Asker, status: int) -> None:
    door.assign(*asker.held)
    answer = await door.ask(needed.method, needed.path, needed.body, token=asker.token)
    assert answer.status == status, f"{asker.name}, {needed.name}: {answer.status} {answer.raw!r}"
    if status == 403:
        assert answer.error["code"] == "AuthorizationFailed"
        assert f"'{needed.right}'" in answer.error["message"] and str(needed.scope).lower() in answer.error["message"].lower()
    if needed.twin:
        twin = await door.ask(needed.method, needed.twin, needed.body, token=asker.token)
        assert _shape(twin, needed.twin) == _shape(answer, needed.path), f"{asker.name}, {needed.name}: tells what is there"


def _shape(answer: Answer, path: str) -> Any:
    """The answer without what the question itself said."""
    text = answer.raw.decode()
    for segment in sorted(set(path.split("/")), key=len, reverse=True):
        if segment in (GROUP, ABSENT, *_EXAMPLES):
            text = re.sub(rf"(?<=/){re.escape(segment)}(?=['/])", "#", text)
    names = ("x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id", "content-length")
    return answer.status, {k: v for k, v in answer.headers.items() if k not in names}, text


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_of_a_type(name: str) -> None:
    async def main(door: Door) -> None:
        other = door.store.document("subscriptions").content[1]["id"]
        for needed in operations(BY_NAME[name], door.plane.stamp.subscription, door.plane.stamp.tenant):
            await check(door, needed, other)

    at_the_door(everything_exists(name), main, executors=False)


@pytest.mark.parametrize("name", [n for n in NAMES if len(BY_NAME[n].scopes) > 1])
def test_every_operation_of_a_type_at_every_level(name: str) -> None:
    async def main(door: Door) -> None:
        other, stamp = door.store.document("subscriptions").content[1]["id"], door.plane.stamp
        for level in BY_NAME[name].scopes:
            for needed in operations(BY_NAME[name], stamp.subscription, stamp.tenant, level):
                await check(door, needed, other)

    at_the_door(everything_exists("Microsoft.Compute/virtualMachines"), main, executors=False)


def test_every_operation_of_no_type() -> None:
    async def main(door: Door) -> None:
        other = door.store.document("subscriptions").content[1]["id"]
        polls = {}
        for record in door.stored().values():
            answer = await door.ask("PATCH", str(record.id), {"tags": {"x": "y"}})
            status = answer.headers.get("azure-asyncoperation", "")
            if status:
                polls[(record.id.namespace or "").lower()] = status.partition("?")[0].rpartition("/")[2]
        assert polls
        for needed in common(door.plane.stamp.subscription, polls, door.plane.stamp.tenant):
            await check(door, needed, other)

    at_the_door(everything_exists("Microsoft.Compute/virtualMachines"), main, executors=False)


def test_every_operation_has_a_row() -> None:
    rows = {o.name for n in NAMES for o in operations(BY_NAME[n], "s")} | {o.name for o in common("s", {})}
    for declared in REGISTRY.types():
        verbs = ["read", "head", "write", "delete", *(a.name for a in declared.actions)]
        verbs += ["patch"] if declared.patched else []
        verbs += ["list"] if declared.scopes != ("tenant",) else []
        verbs += [v.name for v in declared.views] + (["list in group"] if "group" in declared.scopes else [])
        assert {f"{declared.type} {v}" for v in verbs} <= rows
        for child in declared.embedded:
            assert {f"{declared.type}/{child.type} {v}" for v in ("read", "list", "write", "delete")} <= rows
    # A new kind of operation shows as a new attribute of the declaration, and needs rows of its own here.
    listed = {n for n, v in vars(Resource).items() if isinstance(v, tuple) and not n.startswith("_")}
    assert listed == {"actions", "views", "embedded", "rules", "scopes", "missing"}


# -- rights over what is named ----------------------------------------------------------------------------------------


def test_what_is_named_must_be_joined() -> None:
    async def main(door: Door) -> None:
        declared = BY_NAME["Microsoft.Network/networkInterfaces"]
        maker = Maker(door.cloud, door.cloud.group(GROUP))
        await maker.prepare(declared, 2)
        id, body = maker.id(declared, 2), maker.body(declared, 2)
        joins = ["virtualNetworks/subnets", "publicIPAddresses", "networkSecurityGroups"]
        actions = [f"{declared.type}/write", *(f"Microsoft.Network/{j}/join/action" for j in joins)]
        token = door.token("joiner")
        for missing in actions[1:]:
            door.grant("joiner", [a for a in actions if a != missing], str(id.scope))
            refused = await door.ask("PUT", str(id), body, token=token)
            assert (refused.status, refused.error["code"]) == (403, "LinkedAuthorizationFailed"), missing
            assert door.store.get(id.key) is None
        door.grant("joiner", actions, str(id.scope))
        assert (await door.ask("PUT", str(id), body, token=token)).status == 201
        # What stands needs no second permission.
        door.grant("joiner", actions[:1], str(id.scope))
        assert (await door.ask("PATCH", str(id), {"tags": {"a": "b"}}, token=token)).status == 200

    at_the_door(everything_exists("Microsoft.Network/networkInterfaces"), main)


def test_lists_hold_nothing_of_others() -> None:
    async def main(door: Door) -> None:
        door.assign()
        nobody = door.token("nobody")
        assert (await door.ask("GET", "/subscriptions", token=nobody)).json == {"value": []}
        assert (await door.ask("GET", "/providers", token=nobody)).status == 200
        owned = (await door.ask("GET", "/subscriptions")).json["value"]
        assert [s["subscriptionId"] for s in owned] == [door.plane.stamp.subscription]

    at_the_door(everything_exists("Microsoft.Compute/disks"), main, executors=False)
