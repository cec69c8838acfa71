"""Whatever is sent: never a 5xx, never a change of anything else; and what was accepted can be read and sent back."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door
from tests.api.world import DEPLOYMENTS, SCHEMA, small_cloud
from tests.cloud.cloud import Cloud, World
from tests.conformance.examples import BY_NAME, NAMES, Maker

EXAMPLES = settings(
    max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
WORDS = (
    "", "x", "default", "10.0.0.0/24", "10.0.0.4", "::/0", "..", "/", "/subscriptions/s", "*", "80-90", "Tcp", "Standard",
    "[concat('a')]", "[resourceGroup().location]", "Empty", "Copy", "Attach", "local", "é\u2028", "\u0000", "a" * 300,
)  # fmt: skip
LEAF = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
ANYTHING = st.recursive(
    LEAF,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(("id", "name", "properties", "x", "")), below),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, below in items for p in places(below, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """`document` with up to three of its parts replaced by anything, doubled, or taken away."""
    out = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(places(out)))
        if not path:
            continue
        holder = out
        for step in path[:-1]:
            holder = holder[step]
        how = draw(st.sampled_from(("replace", "replace", "remove", "double", "add")))
        if how == "replace":
            holder[path[-1]] = draw(ANYTHING)
        elif how == "remove":
            del holder[path[-1]]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        else:
            holder[draw(st.sampled_from(("extra", "name", "id", "zones", "identity", "PROPERTIES")))] = draw(ANYTHING)
    return out


class Standing:
    """One cloud that many requests are made against, without executors."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(self, main: Callable[[Door], Awaitable[None]]) -> None:
        async def whole(clock: VirtualClock) -> None:
            cloud = Cloud(clock, world=self.world)
            await cloud.revive("control")
            await main(Door(cloud))
            await cloud.stop()

        run_virtual(whole, self.world.clock())


async def harmless(door: Door, method: str, path: str, raw: bytes, may_change: ArmId | None, query: str = "") -> int:
    """Ask; demand no 5xx and that nothing but `may_change`, what it implies beside it, and its parts are different."""
    before = door.stored()
    answer = await door.ask(method, path, raw=raw, query=query)
    assert answer.status < 500, f"{method} {path} {raw[:2000]!r}: {answer.raw!r}"
    if answer.raw and method != "HEAD":
        assert answer.json is not None
    after = door.stored()
    for key, was in before.items():
        assert key in after
        same = (was.body, was.intent, was.allocated, was.secrets, was.deleting)
        now = after[key]
        mine = may_change is not None and (key == may_change.key)
        assert mine or same == (now.body, now.intent, now.allocated, now.secrets, now.deleting), key
    if answer.status >= 400:
        assert set(after) == set(before)
    if answer.status < 300 and method in ("PUT", "PATCH"):
        assert may_change is not None
        read = await door.ask("GET", str(may_change))
        assert read.status == 200, read.raw
        again = await door.ask("PUT", str(may_change), read.json)
        busy = again.status == 409 and again.error["code"] == "DeploymentActive"
        assert busy or again.status < 300 or may_change.type == DEPLOYMENTS, f"{raw[:2000]!r}\n{again.raw!r}"
    return answer.status


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize("name", NAMES)
def test_any_body(name: str) -> None:
    declared, world = BY_NAME[name], small_cloud()

    async def prepare(door: Door) -> None:
        await Maker(door.cloud, door.cloud.group()).prepare(declared)

    at_the_door(world, prepare)
    maker = Maker(None, ArmId("0", "rg"))
    body = maker.body(declared)
    seen: set[int] = set()

    @EXAMPLES
    @given(st.lists(st.tuples(st.sampled_from(("PUT", "PUT", "PATCH")), mutated(body) | ANYTHING), min_size=1, max_size=8))
    def tried(requests: list[tuple[str, Any]]) -> None:
        async def main(door: Door) -> None:
            id = Maker(door.cloud, door.cloud.group()).id(declared)
            for method, content in requests:
                raw = _encoded(content).replace(b"/subscriptions/0/", f"{door.cloud.subscription}/".encode())
                seen.add(await harmless(door, method, str(id), raw, id))

        Standing(world.copy()).run(main)

    tried()
    assert any(s >= 400 for s in seen) and any(s < 300 for s in seen)


PARTS = (
    "subscriptions", "{sub}", "resourceGroups", "rg", "providers", "Microsoft.Network", "Microsoft.Compute",
    "Microsoft.Resources", "virtualNetworks", "virtualMachines", "vnet", "vm", "subnets", "default", "locations", "local",
    "operations", "operationResults", "deployments", "resources", "tenants", "instanceView", "vmSizes", "publishers", "skus",
    "register", "..", "%2e%2e", "%00", "%252f", "", ".", "é", "a b", "%", "%zz", "$", "-",
)  # fmt: skip
QUERIES = ("$filter", "$top", "$skiptoken", "$expand", "api-version", "x")


@settings(EXAMPLES, max_examples=150)
@given(st.lists(st.tuples(
    st.sampled_from(("GET", "GET", "GET", "HEAD", "OPTIONS", "TRACE", "X")),
    st.lists(st.sampled_from(PARTS) | st.text(max_size=6).map(quote), max_size=11),
    st.lists(st.tuples(st.sampled_from(QUERIES), st.sampled_from(WORDS) | st.text(max_size=9)), max_size=3),
), min_size=1, max_size=12))  # fmt: skip
def test_any_path_and_question(requests: list[Any]) -> None:
    async def main(door: Door) -> None:
        sub, rg = str(door.cloud.subscription), str(door.cloud.group())
        for method, parts, questions in requests:
            query = "&".join(f"{quote(k)}={quote(v)}" for k, v in questions)
            tail = "/".join(parts).replace("{sub}", sub.rpartition("/")[2])
            for path in (f"/{tail}", f"{sub}/{tail}", f"{rg}/providers/{tail}"):
                await harmless(door, method, path, b"", None, query)

    Standing(small_cloud()).run(main)


TEMPLATE = {
    "$schema": SCHEMA,
    "contentVersion": "1.0.0.0",
    "parameters": {"who": {"type": "string", "defaultValue": "new", "allowedValues": ["new"]}},
    "variables": {"v": "[concat(parameters('who'), '1')]"},
    "resources": [
        {"type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2024-07-01", "name": "[variables('v')]",
         "location": "[resourceGroup().location]", "dependsOn": [], "copy": {"name": "c", "count": 2},
         "properties": {"publicIPAllocationMethod": "Static"}},
    ],
    "outputs": {"o": {"type": "string", "value": "[variables('v')]"}},
}  # fmt: skip


@settings(EXAMPLES, max_examples=100)
@given(st.lists(st.tuples(
    st.sampled_from(("PUT", "POST")),
    mutated({"properties": {"mode": "Incremental", "template": TEMPLATE, "parameters": {"who": {"value": "new"}}}}),
), min_size=1, max_size=6))  # fmt: skip
def test_any_deployment(requests: list[Any]) -> None:
    async def main(door: Door) -> None:
        for number, (method, content) in enumerate(requests):
            id = door.cloud.group().resource(DEPLOYMENTS, f"d{number}")
            path = f"{id}/validate" if method == "POST" else str(id)
            await harmless(door, method, path, _encoded(content), id)

    Standing(small_cloud()).run(main)


@settings(EXAMPLES, max_examples=60)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\\'x1 \n/*', max_size=40).map(str.encode))
def test_any_bytes(raw: bytes) -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group()
        for id in (rg.resource(DEPLOYMENTS, "new"), rg.resource("Microsoft.Network/virtualNetworks", "vnet")):
            assert await harmless(door, "PUT", str(id), raw, None) >= 400

    Standing(small_cloud()).run(main)


# -- reading back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n != DEPLOYMENTS])
def test_what_is_read_can_be_sent_back(name: str) -> None:
    declared = BY_NAME[name]

    async def main(door: Door) -> None:
        maker = Maker(door.cloud, door.cloud.group())
        id = await maker.make(declared)
        await door.is_idle()
        read = await door.get(id)
        assert (await door.put(id, read)).status in (200, declared.answers.update)
        await door.is_idle()
        once = await door.get(id)
        assert _lasting(once) == _lasting(read)
        assert (await door.put(id, once)).status in (200, 202, declared.answers.update)
        await door.is_idle()
        assert await door.get(id) == once, "a PUT of what is there changed something"
        for child in declared.embedded:
            for item in once["properties"].get(child.list, []):
                answer = await door.put(item["id"], item)
                assert answer.status in (200, 202, declared.answers.update), answer.raw

    at_the_door(small_cloud(), main)


def _lasting(value: Any) -> Any:
    """A document without what every accepted change renews."""
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k != "etag"}
    return [_lasting(v) for v in value] if isinstance(value, list) else value
