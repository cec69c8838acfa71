"""The activity log: everything that was changed stands there, with who did it and how it ended."""

from __future__ import annotations

from typing import Any

from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door, world_of
from tests.cloud.cloud import Cloud

ADDRESS = "Microsoft.Network/publicIPAddresses"
BODY = {"location": "local", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
MARK = {"x-ms-correlation-request-id": "11111111-2222-4333-8444-555555555555"}


async def _group(cloud: Cloud) -> None:
    await cloud.with_group("rg")


async def _log(door: Door, filter: str = "") -> list[dict[str, Any]]:
    path = f"/subscriptions/{door.plane.stamp.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
    found: list[dict[str, Any]] = (await door.get(path, f"$filter={filter}" if filter else ""))["value"]
    return found


def test_a_change_is_told_from_its_beginning_to_its_end() -> None:
    async def main(door: Door) -> None:
        id = ArmId(door.plane.stamp.subscription, "rg").resource(ADDRESS, "a")
        assert (await door.ask("PUT", str(id), BODY, headers=MARK)).status == 201
        await door.is_idle()
        told = await _log(door, f"correlationId eq '{MARK['x-ms-correlation-request-id']}'")
        # Under virtual time both are of the same moment.
        assert sorted(e["status"]["value"] for e in told) == ["Accepted", "Succeeded"]
        assert {e["operationName"]["value"] for e in told} == {f"{ADDRESS}/write"}
        assert {e["resourceId"] for e in told} == {str(id)}
        assert {e["claims"]["http://schemas.microsoft.com/identity/claims/objectidentifier"] for e in told} == {
            door.cloud.owner.object_id
        }
        assert (await door.ask("DELETE", str(id))).status == 202
        await door.is_idle()
        told = await _log(door, f"resourceUri eq '{id}'")
        verbs = [e["operationName"]["value"].rpartition("/")[2] for e in told]
        assert sorted(verbs) == ["delete", "delete", "write", "write"]

    at_the_door(world_of("a group", _group), main)


def test_filters_and_refusals() -> None:
    async def main(door: Door) -> None:
        assert all(e["resourceGroupName"] == "rg" for e in await _log(door, "resourceGroupName eq 'RG'"))
        assert await _log(door, "eventTimestamp ge 2000-01-01T00:00:00 and eventTimestamp le 2000-01-02T00:00:00") == []
        path = f"/subscriptions/{door.plane.stamp.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
        for wrong in ("color eq 'red'", "eventTimestamp ge yesterday"):
            answer = await door.ask("GET", path, query=f"$filter={wrong}")
            assert answer.status == 400 and answer.error["target"] == "$filter"

    at_the_door(world_of("a group", _group), main)
