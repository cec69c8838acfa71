"""The operator's endpoint: what is served there alone, and that neither endpoint takes the other's tokens."""

from __future__ import annotations

from typing import Any

from lazur.identity.metadata import endpoints_body
from tests.api.front import Door, at_the_door
from tests.cloud.cloud import new_world

HOST = {"location": "local", "properties": {"cores": 4, "memoryMiB": 8192, "faultDomain": 0, "rack": "r1"}}
VERSION = "2026-11-01"


def test_hosts_are_seen_at_the_operator_s_endpoint_only() -> None:
    async def main(door: Door) -> None:
        group = f"{door.cloud.subscription}/resourceGroups/fleet"
        path = f"{group}/providers/Microsoft.Fabric.Admin/hosts/h77"
        assert (await door.put(group, {"location": "local"})).status == 201
        made = await door.put(path, HOST, VERSION)
        assert made.status in (200, 201), made.raw
        # The same owner at the tenants' endpoint: what is there and what is not there are the same.
        answers = []
        for name in ("h77", "h78"):
            asked = path.replace("h77", name)
            answer = await door.at(door.plane.app, "GET", asked, door.owner, VERSION)
            assert (answer.status, answer.error["code"]) == (403, "AuthorizationFailed")
            answers.append(answer.raw.replace(name.encode(), b"?"))
        assert answers[0] == answers[1]
        for method in ("PUT", "DELETE", "PATCH"):
            assert (await door.at(door.plane.app, method, path, door.owner, VERSION, HOST)).status == 403
        # Neither in lists.
        listed = await door.at(door.plane.app, "GET", f"{group}/resources", door.owner)
        shown = await door.at(door.plane.operator_app, "GET", f"{group}/resources", door.operators_token())
        assert listed.json["value"] == [] and [row["name"] for row in shown.json["value"]] == ["h77"]
        for app, token, wanted in (
            (door.plane.app, door.owner, False),
            (door.plane.operator_app, door.operators_token(), True),
        ):
            found = await door.at(app, "GET", f"{door.cloud.subscription}/providers", token)
            assert ("Microsoft.Fabric.Admin" in {row["namespace"] for row in found.json["value"]}) is wanted

    at_the_door(new_world(), main)


def test_a_group_with_hosts_is_neither_deleted_nor_emptied_around_it() -> None:
    async def main(door: Door) -> None:
        group = f"{door.cloud.subscription}/resourceGroups/fleet"
        await door.put(group, {"location": "local"})
        await door.put(f"{group}/providers/Microsoft.Fabric.Admin/hosts/h77", HOST, VERSION)
        refused = await door.at(door.plane.app, "DELETE", group, door.owner)
        assert (refused.status, refused.error["code"]) == (403, "AuthorizationFailed")
        assert "Microsoft.Fabric.Admin/hosts/delete" in refused.error["message"]
        await door.put(f"{group}2", {"location": "local"})
        host = f"{group}/providers/Microsoft.Fabric.Admin/hosts/h77"
        body = {"resources": [host], "targetResourceGroup": f"{group}2"}
        moved = await door.at(door.plane.app, "POST", f"{group}/moveResources", door.owner, body=body)
        assert moved.status == 403 and "Microsoft.Fabric.Admin/hosts/write" in moved.error["message"]
        assert (await door.at(door.plane.operator_app, "DELETE", group, door.operators_token())).status == 202
        await door.is_idle()
        assert not [key for key in door.stored() if "/hosts/h77" in key]

    at_the_door(new_world(), main)


def test_a_template_does_not_go_around_it() -> None:
    async def main(door: Door) -> None:
        group = f"{door.cloud.subscription}/resourceGroups/fleet"
        await door.put(group, {"location": "local"})
        resource = {"type": "Microsoft.Fabric.Admin/hosts", "apiVersion": VERSION, "name": "h77", **HOST}
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [resource],
        }
        body: dict[str, Any] = {"properties": {"mode": "Incremental", "template": template}}
        path = f"{group}/providers/Microsoft.Resources/deployments/d"
        answer = await door.at(door.plane.app, "PUT", path, door.owner, body=body)
        await door.is_idle()
        if answer.status < 400:
            after = await door.get(path)
            assert after["properties"]["provisioningState"] == "Failed"
        assert not [key for key in door.stored() if key.endswith("/hosts/h77")]
        answer = await door.at(door.plane.operator_app, "PUT", path + "2", door.operators_token(), body=body)
        assert answer.status == 201, answer.raw
        # Its links lead to where it was asked.
        assert answer.headers["azure-asyncoperation"].startswith(door.endpoints.admin_management)
        await door.is_idle()
        assert [key for key in door.stored() if key.endswith("/hosts/h77")]

    at_the_door(new_world(), main)


def test_neither_endpoint_takes_the_other_s_token_and_each_says_what_it_is() -> None:
    async def main(door: Door) -> None:
        path = f"{door.cloud.subscription}/resourceGroups"
        for app, token in ((door.plane.app, door.operators_token()), (door.plane.operator_app, door.owner)):
            answer = await door.at(app, "GET", path, token)
            assert (answer.status, answer.error["code"]) == (401, "InvalidAuthenticationTokenAudience")
            assert door.endpoints.login in answer.headers["www-authenticate"]
        for app, endpoints in ((door.plane.app, door.endpoints), (door.plane.operator_app, door.endpoints.operators)):
            found = await door.at(app, "GET", "/metadata/endpoints", None, "2022-09-01")
            assert found.json == endpoints_body(endpoints, "2022-09-01")
        assert found.json["resourceManager"] == f"{door.endpoints.admin_management}/"
        assert found.json["authentication"]["audiences"] == [door.endpoints.admin_management]

    at_the_door(new_world(), main)
