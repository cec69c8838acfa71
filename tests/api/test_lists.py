"""Lists page by page: each page costs what is on it, and what comes and goes meanwhile moves nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door
from tests.cloud.cloud import new_world
from tests.cloud.test_life import COMPUTE, NETWORK

SETS = f"{COMPUTE}/availabilitySets"
SET = {"location": "local", "sku": {"name": "Aligned"}, "properties": {"platformFaultDomainCount": 2}}


async def _made(door: Door, count: int) -> ArmId:
    group = await door.cloud.with_group()
    for number in range(count):
        await door.cloud.put(group.resource(SETS, f"set{number:02}"), SET)
    await door.cloud.put(group.resource(f"{NETWORK}/networkSecurityGroups", "nsg"), {"location": "local", "properties": {}})
    return group


async def _pages(door: Door, path: str, query: str = "") -> list[list[str]]:
    """The names on each page, following the links."""
    pages = []
    while True:
        answer = await door.ask("GET", path, query=query)
        assert answer.status == 200, answer.raw
        pages.append([item["name"] for item in answer.json["value"]])
        link = answer.json.get("nextLink")
        if link is None:
            return pages
        assert link.startswith(door.endpoints.management + path + "?")
        query = "&".join(p for p in link.partition("?")[2].split("&") if not p.startswith("api-version="))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three."""
    monkeypatch.setattr("lazur.api.queries._PAGE", 3)


@pytest.mark.usefixtures("small")
def test_pages_follow_one_another() -> None:
    async def main(door: Door) -> None:
        group = await _made(door, 8)
        names = [f"set{n:02}" for n in range(8)]
        typed, below = f"{group}/providers/{SETS}", f"/subscriptions/{group.subscription}/providers/{SETS}"
        for path in typed, below:
            assert await _pages(door, path) == [names[:3], names[3:6], names[6:]]
        assert await _pages(door, f"{group}/resources") == [names[:3], names[3:6], [*names[6:], "nsg"]]
        every = await _pages(door, f"/subscriptions/{group.subscription}/resources")
        assert [n for page in every for n in page] == [*names, "nsg"]
        assert await _pages(door, typed, "$top=2") == [names[:2]]
        odd = "$filter=name%20ne%20%27set00%27%20and%20name%20ne%20%27set04%27"
        assert await _pages(door, typed, odd) == [["set01", "set02", "set03"], ["set05", "set06", "set07"]]
        of_type = "$filter=resourceType%20eq%20%27Microsoft.Network/networkSecurityGroups%27"
        assert await _pages(door, f"{group}/resources", of_type) == [["nsg"]]

    at_the_door(new_world(), main)


@pytest.mark.usefixtures("small")
def test_what_comes_and_goes_moves_nothing() -> None:
    async def main(door: Door) -> None:
        group = await _made(door, 6)
        path = f"{group}/providers/{SETS}"
        first = (await door.ask("GET", path)).json
        for gone in "set00", "set02", "set04":
            await door.cloud.delete(group.resource(SETS, gone))
        await door.cloud.put(group.resource(SETS, "set01a"), SET)
        rest = (await door.ask("GET", path, query=first["nextLink"].partition("&")[2])).json
        assert [i["name"] for i in rest["value"]] == ["set03", "set05"] and "nextLink" not in rest

    at_the_door(new_world(), main)


def test_a_page_renders_what_is_on_it_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(door: Door) -> None:
        group = await _made(door, 9)
        asked: list[Any] = []
        store, presenter = door.plane.pipeline.store, door.plane.pipeline.presenter
        listing, texts = store.list, presenter.texts

        def counted_list(**options: Any) -> Any:
            asked.append(options.get("limit"))
            return listing(**options)

        def counted_texts(records: Any, *arguments: Any, **options: Any) -> Any:
            asked.append(len(records))
            return texts(records, *arguments, **options)

        monkeypatch.setattr(store, "list", counted_list)
        monkeypatch.setattr(presenter, "texts", counted_texts)
        await door.ask("GET", f"{group}/providers/{SETS}", query="$top=2")
        # The control loop may list something while others have their turn, without a limit.
        assert [n for n in asked if n is not None] == [3, 2]
        detailed = (await door.ask("GET", f"{group}/providers/{SETS}", query="$top=1")).json["value"][0]
        assert detailed == (await door.ask("GET", str(group.resource(SETS, "set00")))).json
        brief = (await door.ask("GET", f"{group}/resources", query="$top=1")).json["value"][0]
        assert set(brief) == {"id", "name", "type", "location", "sku", "createdTime", "changedTime", "provisioningState"}

    at_the_door(new_world(), main)


@pytest.mark.parametrize("token", ["x", "LTU=", "é", "/subscriptions/other/", "5", "0"])
def test_a_token_that_was_not_given_out_is_refused(token: str) -> None:
    async def main(door: Door) -> None:
        group = await _made(door, 1)
        for text in token, base64.urlsafe_b64encode(token.encode()).decode():
            answer = await door.ask("GET", f"{group}/providers/{SETS}", query=f"$skiptoken={text}")
            assert (answer.status, answer.error["code"]) == (400, "InvalidSkipToken")

    at_the_door(new_world(), main)
