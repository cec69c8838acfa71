"""Between resources: what is named must be there and stays there, one owner where only one may be, children in their parent."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lazur.model.armid import ArmId
from lazur.model.fields import Pointer, pointers
from lazur.model.resource import Embedded
from tests.api.front import VERSION, Door, at_the_door
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY, Maker
from tests.conformance.test_documents import Case
from tests.conformance.worlds import made, ready_for

CHILDREN = [(t.type, c) for t in BY_NAME.values() for c in t.embedded]


def _named(name: str) -> list[Pointer]:
    """The references of a type's example to other resources."""
    maker = Maker(None, ArmId("s", "g"))
    declared = BY_NAME[name]
    found = pointers(declared.Spec.model_validate(maker.body(declared).get("properties", {})))
    return [p for p in found if not p.ref.soft and not maker.id(declared).contains(p.target)]


POINTING = [n for n in NAMES if _named(n)]
EXCLUSIVE = [n for n in NAMES if any(p.ref.exclusive for p in _named(n))]


@pytest.mark.parametrize("name", POINTING)
def test_what_is_named_cannot_be_deleted(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        for pointer in _named(name):
            target = _moved(pointer.target, case.id)
            answer = await door.ask("DELETE", str(target))
            assert answer.status in (400, 409), f"{target}: {answer.status}"
            assert str(case.id).lower() in answer.raw.decode().lower(), f"{target}: the referrer is not named"
        await door.is_idle()
        assert (await case.shown())["properties"]["provisioningState"] == "Succeeded"
        assert (await door.ask("DELETE", str(case.id))).status < 300
        await door.is_idle()
        for pointer in _named(name):
            document = REGISTRY.document_of(_moved(pointer.target, case.id))
            assert (await door.ask("DELETE", str(document))).status in (200, 202, 204), f"{document} is still held"
            await door.is_idle()

    at_the_door(made(name), main)


def _moved(target: ArmId, id: ArmId) -> ArmId:
    """`target`, made for a subscription of paper, in the one of `id`."""
    return ArmId(id.subscription, id.group, target.namespace, target.types, target.names)


@pytest.mark.parametrize("name", POINTING)
def test_what_is_named_must_be_there(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        faults = set()
        body = copy.deepcopy(case.body)
        for pointer in _named(name):
            absent = _with_last_name(_moved(pointer.target, case.id), "absent")
            changed = _replaced(case.body, str(_moved(pointer.target, case.id)), str(absent))
            answer = await case.put(changed)
            found = answer.faults()
            assert {t for _, t in found} == {pointer.path}, f"{pointer.path}: {answer.raw!r}"
            assert answer.status in (400, 404) and "absent" in answer.raw.decode()
            faults.add(pointer.path)
            body = _replaced(body, str(_moved(pointer.target, case.id)), str(absent))
        answer = await case.put(body)
        assert {t for _, t in answer.faults()} == faults, "not all faults at once"
        assert door.store.get(case.id.key) is None

    at_the_door(ready_for(name), main)


def _with_last_name(id: ArmId, name: str) -> ArmId:
    return ArmId(id.subscription, id.group, id.namespace, id.types, (*id.names[:-1], name))


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {k: _replaced(v, old, new) for k, v in value.items()}
    if isinstance(value, list):
        return [_replaced(v, old, new) for v in value]
    return new if value == old else value


@pytest.mark.parametrize("name", POINTING)
def test_what_is_named_must_be_of_the_right_type(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        for pointer in _named(name):
            target = str(_moved(pointer.target, case.id))
            answer = await case.put(_replaced(case.body, target, str(case.maker.group.resource("Microsoft.X/ys", "z"))))
            assert answer.status == 400 and {t for _, t in answer.faults()} == {pointer.path}, answer.raw

    at_the_door(ready_for(name), main)


@pytest.mark.parametrize("name", EXCLUSIVE)
def test_what_serves_one_serves_no_other(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        other = case.maker.id(case.declared, 2)
        answer = await door.ask("PUT", str(other), case.body)
        paths = {p.path for p in _named(name) if p.ref.exclusive}
        assert answer.status in (400, 409), answer.raw
        assert {t for _, t in answer.faults()} <= paths and str(case.id).lower() in answer.raw.decode().lower(), answer.raw
        assert door.store.get(other.key) is None
        assert (await door.ask("DELETE", str(case.id))).status < 300
        await door.is_idle()
        again = await door.ask("PUT", str(other), case.body)
        assert again.status == case.declared.answers.create, again.raw
        await door.is_idle()
        assert (await door.get(other))["properties"]["provisioningState"] == "Succeeded"

    at_the_door(made(name), main)


# -- children ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, child", CHILDREN, ids=lambda v: v if isinstance(v, str) else v.type)
def test_a_child_lives_in_its_parent(name: str, child: Embedded) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        before, generation = await case.shown(), case.generation
        collection, id = f"{case.id}/{child.type}", case.id.child(child.type, "further")
        known = (await door.get(collection))["value"]
        assert known == before["properties"].get(child.list, [])
        assert (await door.ask("GET", str(id))).status == 404
        body = {"properties": case.maker.filled(dict(child.example))}
        # Nothing is there that could match, not even by the tag that it would share with its parent.
        for tag in ('W/"stale"', "*", before["etag"]):
            refused = await door.ask("PUT", str(id), body, headers={"if-match": tag})
            assert (refused.status, refused.error["code"]) == (412, "PreconditionFailed"), tag
            assert (await door.ask("DELETE", str(id), headers={"if-match": tag})).status == 204, tag
        created = await door.ask("PUT", str(id), body, headers={"if-none-match": "*"})
        assert created.status == 201, created.raw
        assert (created.json["id"], created.json["name"], created.json["type"]) == (str(id), "further", f"{name}/{child.type}")
        parent = await case.shown()
        assert case.generation == generation + 1 and parent["etag"] != before["etag"]
        one = await door.get(id)
        assert one in parent["properties"][child.list] and one["etag"] == parent["etag"]
        assert (await door.get(collection))["value"] == parent["properties"][child.list]
        for headers in ({"if-none-match": "*"}, {"if-none-match": one["etag"]}, {"if-match": before["etag"]}):
            assert (await door.ask("PUT", str(id), one, headers=headers)).status == 412, headers
        assert (await door.ask("DELETE", str(id), headers={"if-match": before["etag"]})).status == 412
        again = await door.ask("PUT", str(id), one, headers={"if-match": one["etag"]})
        assert again.status in (200, 202) and case.generation == generation + 1
        if known:
            taken = await door.ask("GET", f"{collection}/{known[0]['name'].upper()}")
            assert taken.status == 200 and taken.json["name"] == known[0]["name"]
        assert (await door.ask("DELETE", str(id))).status in (200, 202)
        await door.is_idle()
        assert (await door.ask("GET", str(id))).status == 404
        assert (await door.ask("DELETE", str(id))).status == 204
        assert _without(await case.shown(), "etag") == _without(before, "etag")

    at_the_door(made(name), main)


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, name) for k, v in value.items() if k != name}
    return [_without(v, name) for v in value] if isinstance(value, list) else value


USING = [(n, p) for n in NAMES for p in _named(n) if REGISTRY.embedded(p.target)]


@pytest.mark.parametrize("name, pointer", USING, ids=lambda v: v if isinstance(v, str) else v.path)
def test_a_child_in_use_stays(name: str, pointer: Pointer) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        target = _moved(pointer.target, case.id)
        embedded = REGISTRY.embedded(target)
        assert embedded is not None
        parent = await door.get(target.parent)
        kept = [x for x in parent["properties"][embedded[1].list] if x["name"].lower() != target.name.lower()]
        without = {**parent, "properties": {**parent["properties"], embedded[1].list: kept}}
        for answer in (await door.put(target.parent, without), await door.ask("DELETE", str(target))):
            assert answer.status == 400 and answer.error["code"].startswith("InUse"), answer.raw
            assert case.id.name in answer.raw.decode()
        assert await door.get(target.parent) == parent

    at_the_door(made(name), main)


def test_a_child_needs_its_parent() -> None:
    async def main(door: Door) -> None:
        group = door.cloud.group()
        for name, child in CHILDREN:
            id = group.resource(name, "absent").child(child.type, "x")
            answer = await door.ask("PUT", str(id), {"properties": {}}, version=VERSION)
            assert answer.status == 404 and answer.error["code"] == "ParentResourceNotFound"
            assert (await door.ask("GET", str(id))).status == 404
            assert (await door.ask("DELETE", str(id))).status == 204

    at_the_door(made("Microsoft.Resources/resourceGroups"), main)
