"""Deployments above resource groups and across scopes, and what is asked about deployments without running them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Change
from lazur.model.rights import OWNER, READER, ROOT, Assignment
from tests.api.front import Door, at_the_door
from tests.api.world import deployment, small_cloud
from tests.cloud.cloud import VERSION, Cloud
from tests.control.test_deployment_runs import DEPLOYMENTS, disk, nested, public, run
from tests.control.test_deployments import NETWORK, address, deploy, in_a_cloud, resource, state


def group_of(name: str, *needs: str) -> dict[str, Any]:
    return resource("Microsoft.Resources/resourceGroups", name, {"location": "local"}, *needs)


def at(scope: str, name: str, resources: Any, **more: Any) -> dict[str, Any]:
    """A nested deployment to another scope."""
    return {**nested(name, resources, inner=True), **more, **({"scope": scope} if scope else {})}


async def above(cloud: Cloud, scope: ArmId, resources: Any, name: str = "d", **template: Any) -> LazurError | None:
    """Deploy above resource groups."""
    try:
        await cloud.put(scope.resource(DEPLOYMENTS, name), {"location": "local", **deployment(resources, **template)})
    except LazurError as error:
        return error
    return None


def everywhere(cloud: Cloud) -> ArmId:
    """The owner's directory, of which it is the owner from now on."""
    directory = ArmId(tenant=cloud.owner.tenant)
    system = Assignment("00000000-0000-0000-0000-00000000feed", OWNER, ROOT)
    held = Assignment(cloud.owner.object_id, OWNER, directory.key)
    cloud.plane.authority.assign(system, held)
    return directory


def test_a_subscription_gets_groups_and_what_is_in_them() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        new = cloud.group("made")
        inside = {**at("", "inside", [address("ip")], resourceGroup="made"), "dependsOn": [str(new)]}
        outputs = {"where": {"type": "string", "value": "[deployment().location]"},
                   "who": {"type": "string", "value": "[subscription().displayName]"}}  # fmt: skip
        assert await above(cloud, cloud.subscription, [group_of("made"), inside], outputs=outputs) is None
        assert state(cloud, new) == "Succeeded" and state(cloud, public(new, "ip")) == "Succeeded"
        shown = cloud.show(cloud.subscription.resource(DEPLOYMENTS, "d"))
        assert shown["location"] == "local" and shown["id"].endswith(f"/providers/{DEPLOYMENTS}/d")
        assert {k: v["value"] for k, v in shown["properties"]["outputs"].items()} == {
            "where": "local", "who": "Default Subscription",
        }  # fmt: skip
        assert state(cloud, new.resource(DEPLOYMENTS, "inside")) == "Succeeded"

    in_a_cloud(story)


def test_a_directory_reaches_its_subscriptions() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        directory = everywhere(cloud)
        deep = at(str(cloud.subscription), "deep", [group_of("made")], location="local")
        assert await above(cloud, directory, [deep]) is None
        assert state(cloud, cloud.group("made")) == "Succeeded"
        record = cloud.world.store.get(directory.resource(DEPLOYMENTS, "d").key)
        assert record is not None and str(record.id) == f"/providers/{DEPLOYMENTS}/d"
        assert state(cloud, cloud.subscription.resource(DEPLOYMENTS, "deep")) == "Succeeded"

    in_a_cloud(story)


def test_a_management_group_is_a_scope_and_can_be_made_by_a_template() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        directory = everywhere(cloud)
        made = directory.resource("Microsoft.Management/managementGroups", "mg1")
        there = resource("Microsoft.Management/managementGroups", "mg1", {"properties": {"displayName": "One"}})
        below = at("Microsoft.Management/managementGroups/mg1", "below", [], location="local")
        assert await above(cloud, directory, [there, {**below, "dependsOn": [str(made)]}]) is None
        assert state(cloud, made.resource(DEPLOYMENTS, "below")) == "Succeeded"
        deep = at(str(cloud.subscription), "deep", [group_of("made")], location="local")
        outputs = {"where": {"type": "string", "value": "[managementGroup().name]"}}
        assert await above(cloud, made, [deep], outputs=outputs) is None
        shown = cloud.show(made.resource(DEPLOYMENTS, "d"))
        assert shown["id"] == f"{made}/providers/{DEPLOYMENTS}/d"
        assert shown["properties"]["outputs"]["where"]["value"] == "mg1"
        assert state(cloud, cloud.group("made")) == "Succeeded"
        assert await above(cloud, directory.resource("Microsoft.Management/managementGroups", "absent"), []) is not None

    in_a_cloud(story)


def test_a_group_deploys_to_another() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        other = await cloud.with_group("other")
        assert await deploy(cloud, group, [at("", "there", [address("ip")], resourceGroup="other"), address("here")]) is None
        assert state(cloud, public(other, "ip")) == "Succeeded" and state(cloud, public(group, "here")) == "Succeeded"
        assert await run(cloud, group, "again", [at("", "there", [], resourceGroup="other")], "Complete") is None
        assert state(cloud, public(other, "ip")) == "Succeeded" and state(cloud, public(group, "here")) == "absent"

    in_a_cloud(story)


def test_a_location_is_needed_above_groups_only() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        put = cloud.plane.pipeline.put
        for id, body in (
            (cloud.subscription.resource(DEPLOYMENTS, "d"), deployment([])),
            (cloud.subscription.resource(DEPLOYMENTS, "d"), {"location": "mars", **deployment([])}),
            (group.resource(DEPLOYMENTS, "d"), {"location": "local", **deployment([])}),
        ):
            with pytest.raises(LazurError) as refused:
                await put(cloud.owner, id, body, VERSION)
            assert refused.value.target == "location"
        complete = {"location": "local", "properties": {**deployment([])["properties"], "mode": "Complete"}}
        with pytest.raises(LazurError, match="resource groups only"):
            await put(cloud.owner, cloud.subscription.resource(DEPLOYMENTS, "d"), complete, VERSION)

    in_a_cloud(story)


def test_each_step_needs_the_right_where_it_goes() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        other = await cloud.with_group("other")
        cloud.plane.authority.assign(
            Assignment("00000000-0000-0000-0000-00000000feed", OWNER, ROOT), Assignment(cloud.owner.object_id, OWNER, group.key)
        )
        for record in cloud.world.store.list(type="microsoft.authorization/roleassignments"):
            await cloud.world.store.commit(Change(removed=[(record.key, record.version)]))
        error = await deploy(cloud, group, [at("", "there", [address("ip")], resourceGroup="other"), address("here")])
        assert error is not None and [d.code for d in error.details] == ["AuthorizationFailed"]
        assert state(cloud, public(other, "ip")) == "absent" and state(cloud, public(group, "here")) == "Succeeded"

    in_a_cloud(story)


# -- at the door ------------------------------------------------------------------------------------------------------


def test_the_same_request_again_while_it_runs() -> None:
    async def main(door: Door) -> None:
        id = door.cloud.group("rg").resource(DEPLOYMENTS, "d")
        body = deployment([address("ip"), disk("disk")], parameters={"p": {"type": "securestring"}})
        body["properties"]["parameters"] = {"p": {"value": "hidden"}}
        first = await door.put(id, body)
        again = await door.put(id, body)
        assert (first.status, again.status) == (201, 200)
        assert again.headers["azure-asyncoperation"] == first.headers["azure-asyncoperation"]
        for other in (deployment([address("ip")]), {"properties": {**body["properties"], "parameters": {"p": {"value": "x"}}}}):
            refused = await door.put(id, other)
            assert (refused.status, refused.error["code"]) == (409, "DeploymentActive")
        await door.is_idle()
        found = door.store.get(id.key)
        assert found is not None and found.intent["run"] == 1 and found.state == "Succeeded"
        assert (await door.put(id, body)).headers["azure-asyncoperation"] != first.headers["azure-asyncoperation"]

    at_the_door(small_cloud(), main)


def test_cancel_and_existence_at_the_door() -> None:
    async def main(door: Door) -> None:
        for scope, body in ((door.cloud.group("rg"), {}), (door.cloud.subscription, {"location": "local"})):
            id = scope.resource(DEPLOYMENTS, "d")
            assert (await door.ask("HEAD", str(id))).status == 404
            await door.put(id, {**body, **deployment([])})
            assert (await door.ask("HEAD", str(id))).status == 204
            canceled = await door.ask("POST", f"{id}/cancel")
            assert (canceled.status, canceled.raw) == (204, b"")
            await door.is_idle()
            assert (await door.get(id))["properties"]["provisioningState"] == "Canceled"
            again = await door.ask("POST", f"{id}/cancel")
            assert (again.status, again.error["code"]) == (409, "DeploymentCannotBeCancelled")
            gone = await door.ask("DELETE", str(id))
            assert gone.status == 202
            await door.is_idle()
            assert (await door.ask("HEAD", str(id))).status == 404

    at_the_door(small_cloud(), main)


def test_lists_and_operations_at_every_scope() -> None:
    async def main(door: Door) -> None:
        directory = everywhere(door.cloud)
        for scope in (door.cloud.group("rg"), door.cloud.subscription, directory):
            place = {} if scope.group else {"location": "local"}
            made = [group_of("made")] if scope.reach == "subscription" else [address("new")] if scope.group else []
            wrong = [at("", "inner", [], resourceGroup="absent", location=None)] if scope.subscription else []
            await door.put(scope.resource(DEPLOYMENTS, "good"), {**place, **deployment(made)})
            await door.put(scope.resource(DEPLOYMENTS, "bad"), {**place, **deployment(wrong)})
            await door.is_idle()
            base = f"{str(scope).rstrip('/')}/providers/{DEPLOYMENTS}"
            assert [d["name"] for d in (await door.get(base))["value"]] == ["bad", "good"]
            chosen = await door.get(base, "$filter=provisioningState%20eq%20%27Succeeded%27")
            assert [d["name"] for d in chosen["value"]] == (["good"] if wrong else ["bad", "good"])
            page = await door.get(base, "$top=1")
            assert len(page["value"]) == 1
            rows = (await door.get(f"{base}/good/operations"))["value"]
            assert [r["properties"]["provisioningOperation"] for r in rows][-1] == "EvaluateDeploymentOutput"
            for row in rows:
                assert await door.get(row["id"]) == row
            absent = await door.ask("GET", f"{base}/good/operations/0123")
            assert absent.status == 404

    at_the_door(small_cloud(), main)


def test_validity_and_difference_at_the_door() -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group("rg")
        id = rg.resource(DEPLOYMENTS, "d")
        inner = nested("inner", [address("deep")], inner=True)
        good = deployment([address("new"), inner])
        before = door.stored()
        validated = await door.ask("POST", f"{id}/validate", good)
        assert validated.status == 200
        named = {r["id"].rpartition("/")[2] for r in validated.json["properties"]["validatedResources"]}
        assert named == {"new", "deep"}
        wrong = nested("inner", [resource(f"{NETWORK}/publicIPAddresses", "far", {"location": "mars"})], inner=True)
        refused = await door.ask("POST", f"{id}/validate", deployment([wrong]))
        assert refused.faults() == {("LocationNotAvailableForResourceType", str(public(rg, "far")))}
        told = await door.ask("POST", f"{id}/whatIf", good)
        assert told.status == 200 and told.json["status"] == "Succeeded"
        kinds = {c["resourceId"].rpartition("/")[2]: c["changeType"] for c in told.json["properties"]["changes"]}
        assert kinds["new"] == kinds["deep"] == "Create" and kinds["vnet"] == "Ignore"
        good["properties"]["mode"] = "complete"
        told = await door.ask("POST", f"{id}/whatIf", good)
        kinds = {c["resourceId"].rpartition("/")[2]: c["changeType"] for c in told.json["properties"]["changes"]}
        assert kinds["vnet"] == "Delete"
        up = door.cloud.subscription.resource(DEPLOYMENTS, "d")
        whole = {"location": "local", **deployment([group_of("made"), at("", "x", [address("ip")], resourceGroup="made")])}
        assert (await door.ask("POST", f"{up}/validate", whole)).status == 200
        told = await door.ask("POST", f"{up}/whatIf", whole)
        assert {c["changeType"] for c in told.json["properties"]["changes"]} == {"Create"}
        assert door.stored() == before

    at_the_door(small_cloud(), main)


def test_previews_and_exports_need_their_rights() -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group("rg")
        id = rg.resource(DEPLOYMENTS, "d")
        await door.put(id, deployment([address("new")]))
        await door.is_idle()
        group_right = "Microsoft.Resources/subscriptions/resourceGroups/exportTemplate/action"
        for path, action in (
            (f"{id}/validate", f"{DEPLOYMENTS}/validate/action"),
            (f"{id}/whatIf", f"{DEPLOYMENTS}/whatIf/action"),
            (f"{id}/exportTemplate", f"{DEPLOYMENTS}/exportTemplate/action"),
            (f"{id}/cancel", f"{DEPLOYMENTS}/cancel/action"),
            (f"{rg}/exportTemplate", group_right),
        ):
            door.assign(Assignment(door.cloud.owner.object_id, READER, rg.key))
            for record in door.store.list(type="microsoft.authorization/roleassignments"):
                await door.store.commit(Change(removed=[(record.key, record.version)]))
            refused = await door.ask("POST", path, {**deployment([]), "resources": ["*"]})
            assert refused.status == 403 and action in refused.error["message"]

    at_the_door(small_cloud(), main)


def test_exports_and_hashes() -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group("rg")
        body = deployment([address("new")])
        id = rg.resource(DEPLOYMENTS, "d")
        await door.put(id, body)
        await door.is_idle()
        exported = await door.ask("POST", f"{id}/exportTemplate")
        assert exported.json == {"template": body["properties"]["template"]}
        whole = await door.ask("POST", f"{rg}/exportTemplate", {"resources": ["*"]})
        assert whole.status == 200
        kinds = {r["type"] for r in whole.json["template"]["resources"]}
        assert f"{NETWORK}/virtualNetworks" in kinds and DEPLOYMENTS not in kinds
        spaced = json.dumps(body["properties"]["template"], indent=7).encode()
        hashed = await door.ask("POST", "/providers/Microsoft.Resources/calculateTemplateHash", raw=spaced)
        assert hashed.json["templateHash"] == (await door.get(id))["properties"]["templateHash"]
        assert json.loads(hashed.json["minifiedTemplate"]) == body["properties"]["template"]

    at_the_door(small_cloud(), main)
