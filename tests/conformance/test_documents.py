"""What every type's documents do: the same twice, read back, sent back, merged, kept across versions, gone after DELETE."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.model.armid import ArmId
from lazur.model.fields import Model
from lazur.model.registry import AnyResource
from lazur.model.rights import is_operators
from tests.api.front import VERSION, Answer, Door, at_the_door
from tests.conformance.examples import BY_NAME, NAMES, Maker
from tests.conformance.worlds import GROUP, made, ready_for

OLDER, NEWER = "2015-06-15", "2030-01-01"
PATCHED = [n for n in NAMES if BY_NAME[n].patched]
STEADY = [n for n in NAMES if not BY_NAME[n].runs]
"""Types whose documents do not change when they are sent again."""


class Case:
    """One type's example behind a front door."""

    def __init__(self, door: Door, name: str) -> None:
        self.door = door
        self.declared: AnyResource = BY_NAME[name]
        self.maker = Maker(door.cloud, ArmId(door.cloud.subscription.subscription, GROUP))
        self.id = self.maker.id(self.declared)
        self.body = self.maker.body(self.declared)

    async def put(self, body: Any, version: str = VERSION, **headers: str) -> Answer:
        sent = {k.replace("_", "-").lower(): v for k, v in headers.items()}
        return await self.door.ask("PUT", str(self.id), body, version=version, headers=sent)

    async def shown(self) -> Any:
        await self.door.is_idle()
        return await self.door.get(self.id)

    @property
    def generation(self) -> int:
        found = self.door.store.get(self.id.key)
        assert found is not None
        return found.generation


@pytest.mark.parametrize("name", STEADY)
def test_the_same_put_twice_changes_nothing(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        first, generation = await case.shown(), case.generation
        again = await case.put(case.body)
        assert again.status == case.declared.answers.update or again.status == 200
        assert again.json == first and case.generation == generation
        assert await case.shown() == first

    at_the_door(made(name), main)


@pytest.mark.parametrize("name", STEADY)
def test_what_is_read_is_sent_back_in_any_spelling(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        first, generation = await case.shown(), case.generation
        for change in (_same, _shouted, _with_nulls(case.declared)):
            answer = await case.put(change(first))
            assert answer.status in (200, case.declared.answers.update), answer.raw
            assert case.generation == generation, f"{change.__name__}: {answer.raw!r}"
        assert await case.shown() == first

    at_the_door(made(name), main)


def _same(shown: Any) -> Any:
    return shown


def _shouted(shown: Any) -> Any:
    """Property names in capitals, as some clients send them; names the customer chose keep their spelling."""
    out = {k.upper(): v for k, v in shown.items() if k != "tags"}
    out["PROPERTIES"] = _upper(shown["properties"])
    return {**out, **({"tags": shown["tags"]} if "tags" in shown else {})}


def _upper(value: Any) -> Any:
    if isinstance(value, dict):
        return {k.upper(): _upper(v) for k, v in value.items()}
    return [_upper(v) for v in value] if isinstance(value, list) else value


def _with_nulls(declared: AnyResource) -> Any:
    def with_nulls(shown: Any) -> Any:
        optional = {f.alias or n: None for n, f in declared.Spec.model_fields.items() if not f.is_required()}
        return {"tags": None, "identity": None, **shown, "properties": {**optional, **shown["properties"]}}

    return with_nulls


@pytest.mark.parametrize("name", NAMES)
def test_what_was_created_is_what_is_read(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        answer = await case.put({**case.body, "tags": {"made": "here"}})
        assert answer.status == case.declared.answers.create, answer.raw
        shown = await case.shown()
        assert (shown["id"], shown["name"], shown["type"]) == (str(case.id), case.id.name, case.declared.type)
        assert shown["tags"] == {"made": "here"} and shown["properties"]["provisioningState"] == "Succeeded"
        assert answer.json["id"] == shown["id"]
        for given in (case.body, answer.json):
            assert _covers(shown.get("properties", {}), given.get("properties", {}), case.declared.Spec) == ""
        listed = await door.get(_collection(case))
        assert [x for x in listed["value"] if x["id"] == str(case.id)] == [shown]

    at_the_door(ready_for(name), main)


def _collection(case: Case) -> str:
    if case.id.namespace is None:
        return f"/subscriptions/{case.id.subscription}/resourcegroups"
    return f"{case.id.scope}/providers/{case.declared.type}"


def _covers(shown: Any, given: Any, model: type[Model] | None = None) -> str:
    """Where `shown` lacks something of `given`; secrets and what the cloud chose for itself are not expected back."""
    if isinstance(given, dict) and isinstance(shown, dict):
        for key, value in given.items():
            if key in _NOT_SHOWN:
                continue
            if key not in shown:
                return f".{key}"
            if found := _covers(shown[key], value):
                return f".{key}{found}"
        return ""
    if isinstance(given, list) and isinstance(shown, list) and len(given) == len(shown):
        return "".join(_covers(s, g) for s, g in zip(shown, given, strict=True))
    return "" if shown == given else f"={shown!r} instead of {given!r}"


_NOT_SHOWN = frozenset({"provisioningState", "adminPassword", "template", "timestamp", "duration", "etag"})


@pytest.mark.parametrize("name", PATCHED)
def test_patch_merges(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        first = await case.shown()
        tagged = await door.ask("PATCH", str(case.id), {"tags": {"a": "1", "b": "2"}})
        assert tagged.status == 200, tagged.raw
        second = await case.shown()
        assert second["tags"] == {"a": "1", "b": "2"} and second["etag"] != first["etag"]
        fields = {"tags", "etag"}
        if not case.declared.runs:
            one, other = ({k: v for k, v in d.items() if k not in fields} for d in (first, second))
            assert _without_etags(one) == _without_etags(other)
        beyond = {"properties": {"ofTomorrow": {"x": 1, "y": [2]}}}
        for patch in (beyond, {"properties": {"oftomorrow": {"x": None}}}, {"tags": {"c": "3"}}):
            assert (await door.ask("PATCH", str(case.id), patch)).status == 200
            third = await case.shown()
        assert third["properties"]["ofTomorrow"] == {"y": [2]} and third["tags"] == {"c": "3"}

    at_the_door(made(name), main)


def _without_etags(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_etags(v) for k, v in value.items() if k != "etag"}
    return [_without_etags(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_an_older_client_loses_nothing_of_a_newer_one(name: str) -> None:
    def with_future(body: Any) -> Any:
        return {**body, "properties": {**body.get("properties", {}), "ofTomorrow": {"kept": True}}}

    async def main(door: Door) -> None:
        case = Case(door, name)
        future, plain = with_future(case.body), {**case.body, "properties": {**case.body.get("properties", {})}}
        assert (await case.put(future, NEWER)).status < 300
        assert (await case.shown())["properties"]["ofTomorrow"] == {"kept": True}
        for _ in range(2):
            assert (await case.put(plain, OLDER)).status < 300
            assert (await case.shown())["properties"]["ofTomorrow"] == {"kept": True}
        assert (await case.put(plain, NEWER)).status < 300
        assert "ofTomorrow" not in (await case.shown())["properties"]

    at_the_door(made(name), main)


@pytest.mark.parametrize("name", NAMES)
def test_gone_after_delete(name: str) -> None:
    async def main(door: Door) -> None:
        case, path = Case(door, name), ""
        path = str(case.id)
        assert (await door.ask("HEAD", path)).status == 204
        answer = await door.ask("DELETE", path)
        assert answer.status == case.declared.answers.delete, answer.raw
        assert bool(answer.raw) == case.declared.answers.removed
        await door.is_idle()
        for method in ("GET", "HEAD"):
            assert (await door.ask(method, path)).status == 404
        # A group that is not there is an error; any other resource that is not there is deleted well enough.
        assert (await door.ask("DELETE", path)).status == (404 if case.declared.scopes == ("subscription",) else 204)
        kept = {r.key for r in door.store.list(prefix=case.maker.group.key + "/")}
        assert case.id.key not in kept
        again = await case.put(case.body)
        assert again.status == case.declared.answers.create, again.raw

    at_the_door(made(name), main)


@pytest.mark.parametrize("name", NAMES)
def test_conditions(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        etag = (await case.shown())["etag"]
        changed = {**case.body, "tags": {"n": "1"}}
        assert (await case.put(changed, If_None_Match="*")).status == 412
        assert (await case.put(changed, If_Match='W/"stale"')).status == 412
        assert (await door.ask("DELETE", str(case.id), headers={"if-match": '"stale"'})).status == 412
        assert (await case.put(changed, If_Match=etag)).status < 300
        assert (await case.shown())["etag"] != etag
        assert (await case.put({**case.body, "tags": {"n": "2"}}, If_Match=etag)).status == 412
        assert (await case.put({**case.body, "tags": {"n": "2"}}, If_Match="*")).status < 300
        absent = case.id.parent.resource(name, "absent") if case.id.namespace else ArmId(case.id.subscription, "absent")
        answer = await door.ask("PUT", str(absent), case.body, headers={"if-match": "*"})
        assert answer.status == 412 and door.store.get(absent.key) is None
        # Azure's contract of resource providers (azure-resource-manager-rpc, v1.0/Addendum.md, "ETags for Resources").
        for tag in ("*", etag):
            gone = await door.ask("DELETE", str(absent), headers={"if-match": tag})
            assert gone.status == (404 if case.id.namespace is None else 204), gone.raw
            if case.declared.patched:
                assert (await door.ask("PATCH", str(absent), {"tags": {}}, headers={"if-match": tag})).status == 404
                assert (await door.ask("PATCH", str(case.id), {"tags": {}}, headers={"if-match": '"x"'})).status == 412
        now = (await case.shown())["etag"]
        assert (await case.put({**case.body, "tags": {"n": "3"}}, If_None_Match=now)).status == 412
        assert (await case.put({**case.body, "tags": {"n": "3"}}, If_None_Match=etag)).status < 300
        assert (await door.ask("DELETE", str(case.id), headers={"if-match": "*"})).status < 300

    at_the_door(made(name), main)


@pytest.mark.parametrize("name", [n for n in NAMES if "group" in BY_NAME[n].scopes and not is_operators(n)])
def test_nothing_is_made_in_a_group_that_is_not_there_or_goes(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        elsewhere = ArmId(case.id.subscription, "absent").resource(name, case.id.name)
        answer = await door.ask("PUT", str(elsewhere), case.body)
        assert answer.status == 404 and answer.error["code"] == "ResourceGroupNotFound"
        if (answer := await door.ask("DELETE", str(case.maker.group))).status == 409:
            # What keeps the group from going goes first.
            assert answer.error["code"] == "ScopeLocked" and (await door.ask("DELETE", str(case.id))).status == 200
            answer = await door.ask("DELETE", str(case.maker.group))
        assert answer.status == 202
        late = case.id.parent.resource(name, case.declared.example_name.replace("{n}", "9"))
        answer = await door.ask("PUT", str(late), case.body)
        assert answer.status == 409 and answer.error["code"] == "ResourceGroupBeingDeleted"
        await door.is_idle()
        assert not door.store.list(prefix=case.maker.group.key)
        assert not door.cloud.leaked()

    at_the_door(made(name), main)
