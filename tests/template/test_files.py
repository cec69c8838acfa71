"""Whole templates, deployed in a cloud through its front door; what came of each stands in the `expected` file beside it.

`{rg}` and `{sub}` stand for the ids of group and subscription. Of resources only the properties named are compared.
`first` are files deployed before, `scope` is `subscription` where it is not a group, `never` is text that nothing the cloud
keeps or answers may hold. What was deployed makes no difference when `whatIf` is asked of it again, and deploys again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lazur.model.armid import ArmId
from tests.api.front import Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud

FILES = Path(__file__).parent / "files"
NAMES = sorted(path.name.removesuffix(".expected.json") for path in FILES.glob("*.expected.json"))
VERSION = "2025-04-01"


async def _groups(cloud: Cloud) -> None:
    for name in ("rg", "other"):
        await cloud.with_group(name)


class Deployed:
    """One file on its way through a cloud."""

    def __init__(self, door: Door, name: str) -> None:
        self.door = door
        self.subscription = str(ArmId(door.cloud.subscription.subscription))
        self.group = f"{self.subscription}/resourceGroups/rg"
        self.id = f"{self.group}/providers/Microsoft.Resources/deployments/d"
        self.text = (FILES / f"{name}.json").read_text()
        expected = (FILES / f"{name}.expected.json").read_text()
        self.expected: dict[str, Any] = json.loads(
            expected.replace("{rg}", self.group).replace("{sub}", self.subscription)
        )
        self.above = self.expected.get("scope") == "subscription"
        if self.above:
            self.id = self.id.replace(self.group, self.subscription)

    def at(self, name: str) -> str:
        """The id of a resource: of this group, or `group:` of another."""
        group, colon, rest = name.rpartition(":")
        base = f"{self.subscription}/resourceGroups/{group}" if colon else self.group
        return f"{base}/providers/{rest}"

    @property
    def body(self) -> bytes:
        """The request as az sends it."""
        values = {name: {"value": value} for name, value in self.expected.get("parameters", {}).items()}
        properties = f'{{"mode": "Incremental", "parameters": {json.dumps(values)}, template: {self.text}}}'
        location = '"location": "local", ' if self.above else ""
        return f'{{{location}"properties": {properties}}}'.encode()

    async def changes(self) -> dict[str, Any]:
        """What the cloud says a deployment would change, by id."""
        answer = await self.door.ask("POST", f"{self.id}/whatIf", version=VERSION, raw=self.body)
        assert answer.status == 200 and answer.json["status"] == "Succeeded", answer.raw
        for text in self.expected.get("never", ()):
            assert text not in answer.raw.decode()
        return {change["resourceId"]: change for change in answer.json["properties"]["changes"]}

    async def run(self) -> tuple[Answer, dict[str, Any]]:
        """Deploy and wait; the first answer and what the deployment shows in the end."""
        first = await self.door.ask("PUT", self.id, version=VERSION, raw=self.body)
        if first.status >= 400:
            return first, {}
        await self.door.is_idle()
        shown = await self.door.ask("GET", self.id, version=VERSION)
        found: dict[str, Any] = shown.json["properties"]
        return first, found


def _differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Where `found` is not what is wanted; objects may have more, lists may not."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        missing = [f"{path}.{name} is missing" for name in wanted if name not in found]
        both = [name for name in wanted if name in found]
        return missing + [d for name in both for d in _differences(wanted[name], found[name], f"{path}.{name}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [d for i, pair in enumerate(zip(wanted, found, strict=True)) for d in _differences(*pair, f"{path}[{i}]")]
    return [] if wanted == found else [f"{path}: {found!r} is not {wanted!r}"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_comes_to_what_it_says(name: str) -> None:
    async def main(door: Door) -> None:
        work = Deployed(door, name)
        expected = work.expected
        for earlier in expected.get("first", ()):
            before = Deployed(door, earlier)
            before.id += "0"
            _, shown = await before.run()
            assert shown["provisioningState"] == "Succeeded", shown
        if "error" not in expected:
            kinds = {change["changeType"] for change in (await work.changes()).values()}
            assert kinds <= {"Create", "Ignore", "Unsupported"}
        first, shown = await work.run()
        if "error" in expected:
            _check_error(expected["error"], first, shown)
        else:
            assert first.status in (200, 201), first.raw
            assert shown["provisioningState"] == "Succeeded", shown
            again = await work.changes()
            changed = [change for change in again.values() if change["changeType"] not in ("NoChange", "Ignore")]
            assert changed == []
            repeated, shown_again = await work.run()
            assert repeated.status == 200 and shown_again["provisioningState"] == "Succeeded", shown_again
        for id, wanted in expected.get("resources", {}).items():
            found = await door.get(work.at(id))
            assert _differences(wanted, found) == [], id
        for id in expected.get("absent", ()):
            assert (await door.ask("GET", work.at(id))).status == 404, id
        if "outputs" in expected:
            outputs = shown["outputs"]
            assert {key: output.get("value") for key, output in outputs.items()} == expected["outputs"]
        _check_order(expected.get("order", ()), shown)
        for text in expected.get("never", ()):
            kept = repr([vars(record) for record in door.stored().values()])
            assert text not in json.dumps(shown) + first.raw.decode() + kept

    at_the_door(world_of("two groups", _groups), main)


def _check_error(wanted: dict[str, Any], first: Answer, shown: dict[str, Any]) -> None:
    error = first.error if first.status >= 400 else shown["error"]
    text = json.dumps(error)
    assert error["code"] == wanted["code"], text
    assert [words for words in wanted["words"] if words not in text] == [], text


def _check_order(pairs: Any, shown: dict[str, Any]) -> None:
    """Each pair: the second waited for the first, directly."""
    waits = {
        (row["resourceName"], other["resourceName"]) for row in shown.get("dependencies", ()) for other in row["dependsOn"]
    }
    assert [(one, other) for one, other in pairs if (other, one) not in waits] == []


def test_there_are_enough_files_and_each_says_what_it_is_for() -> None:
    assert len(NAMES) >= 40
    assert {path.name.removesuffix(".json") for path in FILES.glob("*.json") if ".expected" not in path.name} == set(NAMES)
    assert all(json.loads((FILES / f"{name}.expected.json").read_text())["about"].endswith(".") for name in NAMES)
