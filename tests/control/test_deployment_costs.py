"""What a template costs is bounded, and while it is worked out everybody else is answered; links are looked behind first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazur.model.armid import ArmId
from lazur.providers.resources.deployments import aside, run
from lazur.providers.resources.deployments.aside import worked_out
from lazur.providers.resources.template import Budget, TakesLong, values
from tests.api.front import Door, at_the_door
from tests.cloud.cloud import new_world
from tests.control.test_deployment_runs import DEPLOYMENTS, named
from tests.control.test_deployment_secrets import TOKEN, template, web
from tests.control.test_deployments import NETWORK, address, resource

BOMBS = {
    "sort": "[sort(range(0, 10000), lambda('a', 'b', less(lambdaVariables('b'), lambdaVariables('a'))))]",
    "range": "[length(map(range(0, 9999), lambda('x', range(0, 9999))))]",
    "string": "[string(map(range(0, 5000), lambda('x', range(0, 10000))))]",
    "text": "[replace(variables('a'), 'a', variables('a'))]",
    "function": "[n.f(40)]",
}
VARIABLES = {"a": f"[concat({', '.join(repr('a' * 1000) for _ in range(20))})]"}
FUNCTION = {
    "parameters": [{"name": "d", "type": "int"}],
    "output": {
        "type": "int",
        "value": "[if(equals(parameters('d'), 0), 1, add(n.f(sub(parameters('d'), 1)), n.f(sub(parameters('d'), 1))))]",
    },
}  # fmt: skip


def bomb(name: str, count: int = 800) -> dict[str, Any]:
    """A template whose every resource costs as much as may be."""
    one = {**address("[format('x{0}', copyIndex())]"), "copy": {"name": "c", "count": count}, "tags": {"t": BOMBS[name]}}
    return template([one], variables=VARIABLES, functions=[{"namespace": "n", "members": {"f": FUNCTION}}])


async def beside(door: Door, work: Any) -> tuple[Any, int]:
    """The answer, and how many requests of others were answered meanwhile."""
    task, others = asyncio.ensure_future(work), 0
    while not task.done():
        assert (await door.ask("GET", "/subscriptions")).status == 200
        others += 1
        await asyncio.sleep(0)
    return await task, others


@pytest.fixture(autouse=True)
def _less_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_STEPS", 100_000)
    monkeypatch.setattr(run, "MAX_RUN_STEPS", 200_000)


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_others_are_answered_while_a_bomb_is_looked_at(name: str) -> None:
    async def main(door: Door) -> None:
        group = await door.cloud.with_group()
        body = {"properties": {"mode": "Incremental", "template": bomb(name)}}
        for action, status in (("validate", 400), ("whatIf", 200)):
            answer, others = await beside(door, door.ask("POST", f"{named(group)}/{action}", body))
            assert answer.status == status, answer.raw[:500]
            assert b"too many steps" in answer.raw or b"longer than" in answer.raw, answer.raw[:500]
            assert b'"InvalidTemplate"' in answer.raw
            assert others > 1

    at_the_door(new_world(), main)


def test_a_bomb_in_a_run_ends_it_and_nothing_else() -> None:
    async def main(door: Door) -> None:
        group = await door.cloud.with_group()
        body = {"properties": {"mode": "Incremental", "template": bomb("range", 8)}}
        assert (await door.put(named(group), body)).status == 201
        await door.is_idle()
        shown = (await door.get(named(group)))["properties"]
        assert shown["provisioningState"] == "Failed" and "too many steps" in str(shown["error"])
        assert not (await door.get(f"{group}/providers/{NETWORK}/publicIPAddresses"))["value"]

    at_the_door(new_world(), main)


def test_a_bomb_in_a_name_is_refused() -> None:
    async def main(door: Door) -> None:
        group = await door.cloud.with_group()
        one = address("[take(string(range(0, 9999)), 3)]")
        many = [{**one, "dependsOn": BOMBS["range"], "copy": {"name": "c", "count": 800}}]
        body = {"properties": {"mode": "Incremental", "template": template(many)}}
        answer, others = await beside(door, door.put(named(group), body))
        assert (answer.status, answer.error["code"]) == (400, "InvalidTemplate") and "too many steps" in str(answer.error)
        assert door.store.get(named(group).key) is None and others > 1

    at_the_door(new_world(), main)


def test_what_takes_long_asks_at_home() -> None:
    async def main(door: Door) -> None:
        budget, loop, seen = Budget(), asyncio.get_running_loop(), []

        def work(home: Any) -> str:
            budget.charge(aside.BRIEF // 2)
            seen.append(home(lambda: asyncio.get_running_loop() is loop))
            budget.charge(aside.BRIEF)
            return "done"

        assert await worked_out(budget, work) == "done" and seen == [True, True]
        with pytest.raises(KeyError):
            await worked_out(Budget(), lambda home: home(lambda: dict[str, int]()["x"]))
        budget.brief(1)
        with pytest.raises(TakesLong):
            budget.charge(2)

    at_the_door(new_world(), main)


def _linking(uri: str, **parameters: Any) -> dict[str, Any]:
    properties = {"mode": "Incremental", "templateLink": {"uri": uri}, "parameters": parameters}
    return resource(DEPLOYMENTS, "linked", {"properties": properties})


def test_previews_look_behind_links() -> None:
    async def main(door: Door) -> None:
        group = await door.cloud.with_group()
        relative = {"mode": "Incremental", "templateLink": {"relativePath": "deepest.json"}}
        web(
            door.cloud,
            deep=template([address("low"), resource(DEPLOYMENTS, "lower", {"properties": relative})]),
            deepest=template([address("lowest")]),
        )
        uri = f"https://templates.test/a/deep.json?{TOKEN}"
        body = {"properties": {"mode": "Incremental", "template": template([address("high"), _linking(uri)])}}
        valid = await door.ask("POST", f"{named(group)}/validate", body)
        assert valid.status == 200, valid.raw
        assert {_name(r) for r in valid.json["properties"]["validatedResources"]} == {"high", "low", "lowest"}
        foreseen = await door.ask("POST", f"{named(group)}/whatIf", body)
        changes = foreseen.json["properties"]["changes"]
        assert {(c["changeType"], c["resourceId"].rpartition("/")[2]) for c in changes} == {
            ("Create", "high"), ("Create", "low"), ("Create", "lowest"),
        }  # fmt: skip
        assert len(door.cloud.web.asked) == 4, "each is fetched once for each preview"
        assert TOKEN not in (valid.raw + foreseen.raw).decode()

    at_the_door(new_world(), main)


def test_what_is_wrong_behind_a_link_is_wrong() -> None:
    async def main(door: Door) -> None:
        group = await door.cloud.with_group()
        web(door.cloud, deep=template([{**address("low"), "properties": {"publicIPAllocationMethod": "Odd"}}]))
        links = [f"https://templates.test/a/deep.json?{TOKEN}", "https://templates.test/a/none.json", "http://127.0.0.1/x.json"]
        for link, code in zip(links, ("InvalidParameter", "InvalidContentLink", "InvalidContentLink"), strict=True):
            body = {"properties": {"mode": "Incremental", "template": template([_linking(link)])}}
            answer = await door.ask("POST", f"{named(group)}/validate", body)
            assert answer.status == 400 and f'"{code}"' in answer.raw.decode(), answer.raw
        told = await door.ask("POST", f"{named(group)}/whatIf", body)
        assert told.json["error"]["code"] and '"InvalidContentLink"' in told.raw.decode()

    at_the_door(new_world(), main)


def _name(row: dict[str, str]) -> str:
    return ArmId.parse(row["id"]).name


def test_others_are_answered_while_a_body_is_read() -> None:
    async def main(door: Door) -> None:
        group = await door.cloud.with_group()
        items = ",".join(f"/* {i} */ v{i}: 'x'" for i in range(8000))
        wrong = "{type: 'A/b', apiVersion: '1', name: '[nosuch()]'}"
        inside = f"contentVersion: '1', variables: {{{items}}}, resources: [{wrong}]"
        raw = f"{{properties: {{mode: 'Incremental', template: {{{inside}}}}}}}"
        for method, path in (("PUT", ""), ("POST", "/validate")):
            answer, others = await beside(door, door.ask(method, f"{named(group)}{path}", raw=raw.encode()))
            assert answer.status == 400 and "InvalidTemplate" in answer.raw.decode() and others > 1, answer.raw[:300]

    at_the_door(new_world(), main)
