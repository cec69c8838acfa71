"""The operator gives a subscription to another directory, whose owner works in it and is seen by nobody else's."""

from __future__ import annotations

from lazur.model.armid import ArmId
from tests.api.front import ELSEWHERE, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud

NEW = "77777777-0000-4000-8000-000000000001"
WHO = "00000000-0000-4000-8000-00000000000a"


async def _group(cloud: Cloud) -> None:
    await cloud.with_group("rg")


def test_a_subscription_of_another_directory() -> None:
    async def story(door: Door) -> None:
        owner = door.token(WHO, tenant=ELSEWHERE)
        base = f"/subscriptions/{door.plane.stamp.subscription}/providers/Microsoft.Subscriptions.Admin/subscriptions"
        wrong = await door.ask("PUT", f"{base}/{NEW}", {"displayName": "", "tenantId": ELSEWHERE})
        assert wrong.status == 400 and {t for _, t in wrong.faults()} == {"displayName", "owner"}
        nobody = await door.ask("PUT", f"{base}/{NEW}", {"displayName": "x", "tenantId": ELSEWHERE, "owner": "nobody"})
        assert nobody.error["code"] == "OwnerNotFound"
        body = {"displayName": "Theirs", "tenantId": ELSEWHERE, "owner": WHO}
        assert (await door.ask("PUT", f"{base}/{NEW}", body)).status == 201
        assert (await door.ask("PUT", f"{base}/{NEW}", body)).status == 200
        group = ArmId(NEW, "theirs")
        assert (await door.ask("PUT", str(group), {"location": "local"}, token=owner)).status == 201
        await door.is_idle()
        mine = (await door.ask("GET", "/subscriptions", token=owner)).json["value"]
        assert [s["subscriptionId"] for s in mine] == [NEW] and mine[0]["tenantId"] == ELSEWHERE
        # Neither directory reaches into the other's.
        assert (await door.ask("GET", str(group))).status == 401
        there = ArmId(door.plane.stamp.subscription, "rg")
        assert (await door.ask("GET", str(there), token=owner)).error["code"] == "InvalidAuthenticationTokenTenant"
        full = await door.ask("DELETE", f"{base}/{NEW}")
        assert full.status == 409 and "theirs" in full.error["message"]
        assert (await door.ask("DELETE", str(group), token=owner)).status == 202
        await door.is_idle()
        for _ in range(2):
            assert (await door.ask("DELETE", f"{base}/{NEW}")).status == 204
        assert not door.store.list(prefix=f"/subscriptions/{NEW}")

    at_the_door(world_of("a group", _group), story)
