"""A group's template makes the same resources in another group, whatever types it holds."""

from __future__ import annotations

import json
from typing import Any

from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.providers.resources.export import Document, exported
from tests.api.front import Door, at_the_door
from tests.api.world import small_cloud
from tests.conformance.examples import REGISTRY

DEFAULTS = frozenset({"IncludeParameterDefaultValue"})


def held(door: Door, group: ArmId) -> dict[str, Record]:
    """The resources of a group by what stands behind its id."""
    records = {key: record for key, record in door.stored().items() if key.startswith(f"{group.key}/")}
    return {key.removeprefix(group.key): r for key, r in records.items() if "/deployments/" not in key}


def documents(records: dict[str, Record]) -> list[Document]:
    return [Document.of(record, REGISTRY.type_of(record.id)) for record in records.values()]


def test_a_group_is_made_again_elsewhere() -> None:
    async def main(door: Door) -> None:
        group = ArmId(door.cloud.subscription.subscription, "rg")
        before = held(door, group)
        template = exported(str(group), documents(before), DEFAULTS)["template"]
        copy = await door.cloud.with_group("copy")
        secure = {n: {"value": "Str0ng-enough!"} for n, p in template["parameters"].items() if p["type"] == "SecureString"}
        body: dict[str, Any] = {"properties": {"mode": "Incremental", "template": template, "parameters": secure}}
        id = copy.resource("Microsoft.Resources/deployments", "again")
        answer = await door.put(id, body)
        assert answer.status == 201, answer.raw
        await door.is_idle()
        shown = (await door.get(id))["properties"]
        assert shown["provisioningState"] == "Succeeded", shown.get("error")
        after = held(door, copy)
        assert set(after) == set(before)
        for key, record in before.items():
            moved = json.dumps(record.body).replace(str(group), str(copy))
            assert json.loads(moved) == after[key].body, key

    at_the_door(small_cloud(), main)
