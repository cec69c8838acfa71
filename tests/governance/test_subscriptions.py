"""The operator gives a subscription to another directory, whose owner works in it and is seen by nobody else's."""

from __future__ import annotations

from lazur.model.armid import ArmId
from lazur.model.rights import OWNER
from tests.api.front import ELSEWHERE, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud
from tests.cloud.test_life import nic_body, vnet_body

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
        # A directory may be named by a domain of its; its id is what is kept.
        body = {"displayName": "Theirs", "tenantId": "Elsewhere.example", "owner": WHO}
        made = await door.ask("PUT", f"{base}/{NEW}", body)
        assert made.status == 201 and made.json["tenantId"] == ELSEWHERE
        assert (await door.ask("PUT", f"{base}/{NEW}", {**body, "tenantId": ELSEWHERE})).status == 200
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


def test_what_is_given_to_somebody_of_another_directory_gives_nothing() -> None:
    async def story(door: Door) -> None:
        owner, mine = door.token(WHO, tenant=ELSEWHERE), door.cloud.owner.object_id
        base = f"/subscriptions/{door.plane.stamp.subscription}/providers/Microsoft.Subscriptions.Admin/subscriptions"
        body = {"displayName": "Theirs", "tenantId": ELSEWHERE, "owner": WHO}
        assert (await door.ask("PUT", f"{base}/{NEW}", body)).status == 201
        vnet = ArmId(NEW, "theirs").resource("Microsoft.Network/virtualNetworks", "vnet")
        assert (await door.ask("PUT", str(vnet.container), {"location": "local"}, token=owner)).status == 201
        assert (await door.ask("PUT", str(vnet), vnet_body(), token=owner)).status == 201
        # Azure takes a service principal's word, and so does this cloud: it may have been made a moment ago.
        held = {"roleDefinitionId": str(ArmId(NEW).resource("Microsoft.Authorization/roleDefinitions", OWNER.id)),
                "principalId": mine, "principalType": "ServicePrincipal"}  # fmt: skip
        assignment = ArmId(NEW).resource("Microsoft.Authorization/roleAssignments", WHO)
        assert (await door.ask("PUT", str(assignment), {"properties": held}, token=owner)).status == 201
        assert all(s["subscriptionId"] != NEW for s in (await door.get("/subscriptions"))["value"])
        nic = ArmId(door.plane.stamp.subscription, "rg").resource("Microsoft.Network/networkInterfaces", "nic")
        joined = await door.put(nic, nic_body(vnet))
        assert joined.status == 403 and joined.error["code"] == "LinkedAuthorizationFailed"

    at_the_door(world_of("a group", _group), story)
