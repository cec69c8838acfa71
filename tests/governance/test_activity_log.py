"""The activity log: everything that was changed stands there, with who did it and how it ended."""

from __future__ import annotations

from typing import Any

from lazur.api.refusals import OF_CALLER, OF_SUBSCRIPTION
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


def test_refusals_are_told_and_bounded() -> None:
    async def main(door: Door) -> None:
        group = ArmId(door.plane.stamp.subscription, "rg")
        token, path = door.token("nobody"), str(group.resource(ADDRESS, "a"))
        assert (await door.ask("PUT", path, BODY, token=token, headers=MARK)).status == 403
        assert (await door.ask("PUT", path, {**BODY, "location": "secret-mars"})).status == 400
        assert (await door.ask("DELETE", path, token=token)).status == 403
        assert (await door.ask("POST", f"{group.resource('Microsoft.Compute/virtualMachines', 'v')}/start")).status == 404
        assert (await door.ask("GET", path, token=token)).status == 403
        await door.cloud.clock.sleep(5.0)
        told = {(e["operationName"]["value"], e["subStatus"]["value"]): e for e in await _log(door, "status eq 'Failed'")}
        assert set(told) == {
            (f"{ADDRESS}/write", "Forbidden"), (f"{ADDRESS}/write", "BadRequest"), (f"{ADDRESS}/delete", "Forbidden"),
            ("Microsoft.Compute/virtualMachines/start/action", "NotFound"),
        }  # fmt: skip
        one = told[f"{ADDRESS}/write", "Forbidden"]
        assert one["correlationId"] == MARK["x-ms-correlation-request-id"] and one["resourceId"] == path
        assert one["level"] == "Error" and "AuthorizationFailed" in one["properties"]["statusMessage"]
        assert "secret-mars" not in str(told)
        for _ in range(3 * OF_CALLER):
            await door.ask("DELETE", path, token=token)
        for number in range(2 * OF_SUBSCRIPTION // OF_CALLER):
            for _ in range(OF_CALLER):
                await door.ask("DELETE", path, token=door.token(f"nobody{number}"))
        await door.cloud.clock.sleep(5.0)
        failed = await _log(door, "status eq 'Failed'")
        mine = [e for e in failed if e["claims"].get("appid") == one["claims"].get("appid") and e["caller"] == one["caller"]]
        assert len(mine) == OF_CALLER and len(failed) == OF_SUBSCRIPTION

    at_the_door(world_of("a group", _group), main)
