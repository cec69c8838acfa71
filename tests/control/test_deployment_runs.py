"""Runs of deployments under way: held up, canceled, forgotten, taken back; and what mode Complete takes away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast
from unittest import mock

import pytest

from lazur.control.context import FrontDoor
from lazur.kernel.errors import LazurError, Unavailable
from lazur.lifecycle.control_plane import SYSTEM
from lazur.model.armid import ArmId
from lazur.model.rights import CONTRIBUTOR, OWNER, ROOT, Assignment, Caller, Role
from lazur.providers.resources.deployments import admit, history
from lazur.providers.resources.deployments.shown import operations as shown_operations
from tests.api.world import deployment
from tests.cloud.cloud import STORAGE, VERSION, Cloud
from tests.cloud.test_life import vnet_body
from tests.control.test_deployments import (
    COMPUTE,
    NETWORK,
    address,
    deploy,
    in_a_cloud,
    machines,
    operations,
    resource,
    state,
)

DEPLOYMENTS = "Microsoft.Resources/deployments"


def disk(name: str, *needs: str) -> dict[str, Any]:
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}
    return resource(f"{COMPUTE}/disks", name, {"location": "local", "properties": properties}, *needs)


def public(group: ArmId, name: str) -> ArmId:
    return group.resource(f"{NETWORK}/publicIPAddresses", name)


def named(group: ArmId, name: str = "d") -> ArmId:
    return group.resource(DEPLOYMENTS, name)


async def run(
    cloud: Cloud, group: ArmId, name: str, resources: Any, mode: str = "Incremental", **more: Any
) -> LazurError | None:
    """Deploy under a name of its own, with further `properties`; the error it ends with."""
    body = deployment(resources)
    body["properties"] |= {"mode": mode, **more}
    try:
        await cloud.put(named(group, name), body)
    except LazurError as error:
        return error
    return None


async def without(cloud: Cloud, group: ArmId, *taken: str) -> None:
    """Let the owner hold everything in the group's subscription but what is `taken`."""
    for assigned in cloud.world.store.list(type="microsoft.authorization/roleassignments"):
        await cloud.plane.pipeline.delete(SYSTEM, assigned.id, VERSION)
    kept = Role("x", "x", CONTRIBUTOR.actions, taken)
    held = Assignment(cloud.owner.object_id, kept, f"/subscriptions/{group.subscription}")
    cloud.plane.authority.assign(Assignment(SYSTEM.object_id, OWNER, ROOT), held)


async def a_disk_that_will_not_go(cloud: Cloud, group: ArmId) -> ArmId:
    """A disk whose deletion is under way and stays so as long as the storage executor is dead."""
    id = group.resource(f"{COMPUTE}/disks", "disk")
    await cloud.put(id, {k: disk("disk")[k] for k in ("location", "properties")})
    await cloud.kill(STORAGE)
    await cloud.plane.pipeline.delete(cloud.owner, id, VERSION)
    return id


# -- held up ----------------------------------------------------------------------------------------------------------


def test_what_is_held_up_says_why_and_is_given_up_in_the_end() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        held = await a_disk_that_will_not_go(cloud, group)
        running = asyncio.create_task(deploy(cloud, group, [disk("disk"), address("aside"), address("after", str(held))]))
        await cloud.clock.sleep(300.0)
        seen = operations(cloud, group)
        assert seen["disk"]["provisioningState"] == "Running"
        assert seen["disk"]["statusMessage"]["error"]["code"] == "AnotherOperationInProgress"
        assert seen["aside"]["provisioningState"] == "Succeeded" and "after" not in seen
        error = await running
        assert error is not None and [d.code for d in error.details] == ["AnotherOperationInProgress"]
        assert error.details[0].target == str(held)
        assert operations(cloud, group)["disk"]["provisioningState"] == "Failed"
        assert state(cloud, public(group, "after")) == "absent"

    in_a_cloud(story)


def test_what_was_held_up_goes_on() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        held = await a_disk_that_will_not_go(cloud, group)
        running = asyncio.create_task(deploy(cloud, group, [disk("disk"), address("after", str(held))]))
        await cloud.clock.sleep(500.0)
        await cloud.revive(STORAGE)
        assert await running is None
        seen = operations(cloud, group)
        assert seen["disk"]["provisioningState"] == "Succeeded" and "statusMessage" not in seen["disk"]
        assert state(cloud, public(group, "after")) == "Succeeded"

    in_a_cloud(story)


class Away:
    """The front door while reading is not possible for a time."""

    def __init__(self, cloud: Cloud, seconds: float) -> None:
        self._front = cloud.plane.loop.context.front
        self._cloud = cloud
        self._until = cloud.clock.monotonic() + seconds
        cloud.plane.loop.context = replace(cloud.plane.loop.context, front=cast(FrontDoor, self))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._front, name)

    def show(self, caller: Caller, id: ArmId) -> dict[str, Any]:
        if self._cloud.clock.monotonic() < self._until:
            raise Unavailable("Not just now.")
        return self._front.show(caller, id)


@pytest.mark.parametrize(("seconds", "ends"), [(60.0, None), (5000.0, "ServiceUnavailable")])
def test_outputs_that_cannot_be_known_just_now(seconds: float, ends: str | None) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        Away(cloud, seconds)
        outputs = {"x": {"type": "string", "value": "[reference('ip').ipAddress]"}}
        error = await deploy(cloud, group, [address("ip")], outputs=outputs)
        assert (error.details[0].code if error else None) == ends
        if ends is None:
            assert cloud.show(named(group))["properties"]["outputs"]["x"]["value"].startswith("203.0.113.")

    in_a_cloud(story)


def test_a_resource_that_was_replaced_meanwhile_is_not_waited_for() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        id = group.resource(f"{COMPUTE}/disks", "disk")
        for tag in "abc":
            await cloud.put(id, {**{k: disk("disk")[k] for k in ("location", "properties")}, "tags": {"a": tag}})
        await cloud.kill(STORAGE)
        larger = disk("disk")
        larger["properties"]["diskSizeGB"] = 2
        running = asyncio.create_task(deploy(cloud, group, [larger]))
        await cloud.clock.sleep(5.0)
        assert state(cloud, id) == "Updating"
        await cloud.plane.pipeline.delete(cloud.owner, id, VERSION)
        await cloud.revive(STORAGE)
        while state(cloud, id) != "absent":
            await cloud.clock.sleep(0.1)
        await cloud.plane.pipeline.put(cloud.owner, id, {k: disk("disk")[k] for k in ("location", "properties")}, VERSION)
        error = await running
        assert error is not None and error.details[0].code == "ResourceNotFound"

    in_a_cloud(story)


# -- canceled ---------------------------------------------------------------------------------------------------------


def test_cancel_lets_what_runs_end_and_begins_nothing_more() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        accepted = await cloud.plane.pipeline.put(
            cloud.owner, named(group), deployment([*machines(group, "vm1"), address("after", str(vm))]), VERSION
        )
        while state(cloud, vm) == "absent":
            await cloud.clock.sleep(0.1)
        await cloud.act(named(group), "cancel")
        with pytest.raises(LazurError, match="DeploymentCanceled"):
            await cloud.ended(accepted.operation)
        assert accepted.operation is not None
        ended = cloud.world.store.operation(accepted.operation.id)
        assert ended is not None and ended.status == "Canceled"
        assert state(cloud, vm) == "Succeeded" and state(cloud, public(group, "after")) == "absent"
        shown = cloud.show(named(group))["properties"]
        assert shown["provisioningState"] == "Canceled" and shown["error"]["code"] == "DeploymentCanceled"
        seen = operations(cloud, group)
        assert seen["vm1"]["provisioningState"] == "Succeeded" and "after" not in seen
        with pytest.raises(LazurError, match="DeploymentCannotBeCancelled"):
            await cloud.act(named(group), "cancel")
        assert await deploy(cloud, group, [address("again")]) is None

    in_a_cloud(story)


def test_cancel_gives_up_what_is_held_up() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await a_disk_that_will_not_go(cloud, group)
        running = asyncio.create_task(deploy(cloud, group, [disk("disk"), address("aside")]))
        await cloud.clock.sleep(20.0)
        await cloud.act(named(group), "cancel")
        error = await running
        assert error is not None and error.code == "DeploymentCanceled"
        seen = operations(cloud, group)
        assert seen["disk"]["provisioningState"] == "Canceled" and seen["aside"]["provisioningState"] == "Succeeded"

    in_a_cloud(story)


def nested(name: str, resources: Any, mode: str = "Incremental", inner: bool = False, **more: Any) -> dict[str, Any]:
    properties = {**deployment(resources, **more.pop("template", {}))["properties"], "mode": mode, **more}
    properties["expressionEvaluationOptions"] = {"scope": "inner" if inner else "outer"}
    return resource(DEPLOYMENTS, name, {"properties": properties})


def test_cancel_reaches_nested_deployments() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        inner = nested("inner", [*machines(group, "vm1"), address("after", str(vm))])
        running = asyncio.create_task(deploy(cloud, group, [inner]))
        while state(cloud, vm) == "absent":
            await cloud.clock.sleep(0.1)
        await cloud.act(named(group), "cancel")
        error = await running
        assert error is not None and error.code == "DeploymentCanceled"
        assert state(cloud, named(group, "inner")) == "Canceled"
        assert state(cloud, vm) == "Succeeded" and state(cloud, public(group, "after")) == "absent"

    in_a_cloud(story)


def test_a_control_plane_that_dies_with_a_nested_deployment_does_not_run_it_twice() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        running = asyncio.create_task(deploy(cloud, group, [nested("inner", machines(group, "vm1"))]))
        for _ in range(12):
            await cloud.clock.sleep(0.7)
            await cloud.kill("control")
            await cloud.revive("control")
        assert await running is None
        record = cloud.world.store.get(named(group, "inner").key)
        assert record is not None and record.intent["run"] == 1

    in_a_cloud(story)


# -- history ----------------------------------------------------------------------------------------------------------


def test_the_oldest_deployments_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MANY", 5)
    monkeypatch.setattr(history, "FEWER", 3)

    async def story(cloud: Cloud, group: ArmId) -> None:
        for n in range(5):
            assert await run(cloud, group, f"d{n}", [address(f"ip{n}")]) is None
        assert await run(cloud, group, "d0", [address("ip0")]) is None
        assert await run(cloud, group, "d5", []) is None
        await cloud.settled()
        left = {r.id.name for r in cloud.world.store.list(prefix=group.key + "/", type=DEPLOYMENTS)}
        assert left == {"d0", "d4", "d5"}
        assert all(state(cloud, public(group, f"ip{n}")) == "Succeeded" for n in range(5))

    in_a_cloud(story)


def test_a_full_history_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "_MOST", 3)

    async def story(cloud: Cloud, group: ArmId) -> None:
        for n in range(3):
            assert await run(cloud, group, f"d{n}", []) is None
        full = await run(cloud, group, "d3", [])
        assert full is not None and (full.code, full.status) == ("DeploymentQuotaExceeded", 409)
        assert await run(cloud, group, "d1", []) is None
        other = await cloud.with_group("other")
        assert await run(cloud, other, "d3", []) is None
        await cloud.delete(named(group, "d2"))
        assert await run(cloud, group, "d3", []) is None

    in_a_cloud(story)


# -- mode Complete ----------------------------------------------------------------------------------------------------


def test_complete_takes_away_what_the_template_does_not_name() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        assert await run(cloud, group, "first", [*machines(group, "vm1", "vm2"), address("ip")]) is None
        assert await run(cloud, group, "second", machines(group, "vm2"), "Complete") is None
        await cloud.settled()
        left = {r.id.name for r in cloud.world.store.list(prefix=group.key + "/") if r.type != DEPLOYMENTS.lower()}
        machine = cloud.show(group.resource(f"{COMPUTE}/virtualMachines", "vm2"))["properties"]
        kept = ArmId.parse(machine["storageProfile"]["osDisk"]["managedDisk"]["id"]).name
        assert left == {"vnet", "vm2", "vm2-nic", kept}
        record = cloud.world.store.get(named(group, "second").key)
        assert record is not None
        rows = [o["properties"] for o in shown_operations(record)]
        gone = [r["targetResource"]["resourceName"] for r in rows if r["provisioningOperation"] == "Delete"]
        assert {"vm1", "vm1-nic", "ip"} < set(gone) and len(gone) == 4
        assert all(r["provisioningState"] == "Succeeded" for r in rows)
        assert not cloud.audit()

    in_a_cloud(story)


def test_complete_keeps_everything_when_something_fails() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        assert await run(cloud, group, "first", [address("ip")]) is None
        wrong = resource(f"{COMPUTE}/disks", "shapeless", {"location": "local", "properties": {"creationData": {}}})
        assert await run(cloud, group, "second", [wrong], "Complete") is not None
        assert state(cloud, public(group, "ip")) == "Succeeded"

    in_a_cloud(story)


@pytest.mark.parametrize(("version", "left"), [("2019-05-01", "Succeeded"), (VERSION, "absent")])
def test_complete_and_a_condition_that_is_false(version: str, left: str) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await cloud.put(public(group, "ip"), {"location": "local", "properties": {}})
        body = deployment([{**address("ip"), "condition": False}])
        body["properties"]["mode"] = "Complete"
        await cloud.put(named(group), body, version)
        assert state(cloud, public(group, "ip")) == left

    in_a_cloud(story)


def test_complete_asks_for_the_right_to_delete() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await cloud.put(public(group, "ip"), {"location": "local", "properties": {}})
        await without(cloud, group, f"{NETWORK}/publicIPAddresses/delete")
        error = await run(cloud, group, "d", [disk("disk")], "Complete")
        assert error is not None and error.details[0].code == "AuthorizationFailed"
        assert state(cloud, public(group, "ip")) == "Succeeded"
        assert operations(cloud, group)["ip"]["provisioningOperation"] == "Delete"

    in_a_cloud(story)


def test_complete_stops_at_what_others_use() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        other = await cloud.with_group("other")
        vnet = group.resource(f"{NETWORK}/virtualNetworks", "vnet")
        await cloud.put(vnet, vnet_body())
        nic = {k: machines(group, "vm1")[1][k] for k in ("location", "properties")}
        await cloud.put(other.resource(f"{NETWORK}/networkInterfaces", "nic"), nic)
        error = await run(cloud, group, "d", [], "Complete")
        assert error is not None and error.details[0].code == "InUseVirtualNetworkCannotBeDeleted"
        assert state(cloud, vnet) == "Succeeded"

    in_a_cloud(story)


def test_a_nested_deployment_is_never_complete() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        await cloud.put(public(group, "ip"), {"location": "local", "properties": {}})
        error = await deploy(cloud, group, [nested("inner", [], "Complete")])
        assert error is not None and error.details[0].code == "InvalidTemplate"
        assert state(cloud, public(group, "ip")) == "Succeeded"

    in_a_cloud(story)


# -- back to an earlier one -------------------------------------------------------------------------------------------

WRONG = resource(f"{COMPUTE}/disks", "shapeless", {"location": "local", "properties": {"creationData": {}}})


@pytest.mark.parametrize(
    ("asked", "back"),
    [({"type": "LastSuccessful"}, "two"), ({"type": "specificDeployment", "deploymentName": "one"}, "one")],
)
def test_on_error_an_earlier_deployment_is_run_again(asked: dict[str, str], back: str) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for name in ("one", "two"):
            assert await run(cloud, group, name, [address(f"ip-{name}")]) is None
        error = await run(cloud, group, "three", [address("ip-three"), WRONG], onErrorDeployment=asked)
        assert error is not None and error.code == "DeploymentFailed"
        shown = cloud.show(named(group, "three"))["properties"]
        assert shown["provisioningState"] == "Failed"
        assert shown["onErrorDeployment"] == {
            "type": asked["type"][0].upper() + asked["type"][1:], "deploymentName": back, "provisioningState": "Succeeded",
        }  # fmt: skip
        await cloud.settled()
        left = {r.id.name for r in cloud.world.store.list(prefix=group.key + "/", type=f"{NETWORK}/publicIPAddresses")}
        assert left == {f"ip-{back}"}

    in_a_cloud(story)


def test_nothing_to_go_back_to() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for asked in ({"type": "LastSuccessful"}, {"type": "SpecificDeployment", "deploymentName": "absent"}):
            error = await run(cloud, group, "d", [address("ip")], onErrorDeployment=asked)
            assert error is not None and error.code == "DeploymentNotFound"
        assert state(cloud, public(group, "ip")) == "absent"
        error = await run(cloud, group, "d", [], onErrorDeployment={"type": "SpecificDeployment"})
        assert error is not None and error.code == "InvalidOnErrorDeployment"

    in_a_cloud(story)


# -- locks, crashes ---------------------------------------------------------------------------------------------------


def locked(id: ArmId, level: str = "CanNotDelete") -> tuple[ArmId, dict[str, Any]]:
    return id.resource("Microsoft.Authorization/locks", "kept"), {"properties": {"level": level}}


def test_complete_stops_at_locks() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        for name in ("kept", "loose"):
            await cloud.put(public(group, name), {"location": "local", "properties": {}})
        await cloud.put(*locked(public(group, "kept")))
        error = await run(cloud, group, "d", [], "Complete")
        assert error is not None and [d.code for d in error.details] == ["ScopeLocked"]
        assert state(cloud, public(group, "kept")) == "Succeeded" and state(cloud, public(group, "loose")) == "absent"

    in_a_cloud(story)


def test_a_lock_keeps_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MANY", 2)
    monkeypatch.setattr(history, "FEWER", 1)
    monkeypatch.setattr(admit, "_MOST", 4)

    async def story(cloud: Cloud, group: ArmId) -> None:
        await cloud.put(*locked(group))
        for n in range(4):
            assert await run(cloud, group, f"d{n}", []) is None
        full = await run(cloud, group, "d4", [])
        assert full is not None and full.code == "DeploymentQuotaExceeded"
        await cloud.plane.pipeline.delete(cloud.owner, locked(group)[0], VERSION)
        assert await run(cloud, group, "d3", []) is None
        await cloud.settled()
        assert await run(cloud, group, "d4", []) is None

    in_a_cloud(story)


@pytest.mark.parametrize("seconds", [0.9, 2.3])
def test_complete_and_going_back_survive_a_control_plane_that_keeps_dying(seconds: float) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        assert await run(cloud, group, "first", [*machines(group, "vm1"), address("ip")]) is None
        body = deployment([*machines(group, "vm2"), WRONG])
        body["properties"] |= {"mode": "Complete", "onErrorDeployment": {"type": "LastSuccessful"}}
        accepted = await cloud.plane.pipeline.put(cloud.owner, named(group, "second"), body, VERSION)
        assert accepted.operation is not None
        for _ in range(60):
            await cloud.clock.sleep(seconds)
            found = cloud.world.store.operation(accepted.operation.id)
            if found is not None and found.ended:
                break
            await cloud.kill("control")
            await cloud.revive("control")
        await cloud.settled()
        shown = cloud.show(named(group, "second"))["properties"]
        assert shown["provisioningState"] == "Failed" and shown["onErrorDeployment"]["provisioningState"] == "Succeeded"
        left = {r.id.name for r in cloud.world.store.list(prefix=group.key + "/") if r.type != DEPLOYMENTS.lower()}
        assert {n for n in left if not n.startswith(("vm1_", "vm1-", "vm2_"))} == {"vnet", "vm1", "ip"}, left
        assert not cloud.audit()

    in_a_cloud(story)


def test_what_exists_and_is_deployed_too_is_deployed() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        seen = {"type": f"{NETWORK}/publicIPAddresses", "apiVersion": VERSION, "name": "ip", "existing": True}
        made = {k: v for k, v in address("ip").items() if k != "dependsOn"}
        body = deployment({"seen": seen, "made": made}, languageVersion="2.0")
        await cloud.put(named(group), body)
        assert state(cloud, public(group, "ip")) == "Succeeded"

    in_a_cloud(story)


def test_whoever_leaves_the_directory_deploys_nothing_more() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        front = cloud.plane.pipeline
        kind = front.principals.kind
        vm = group.resource(f"{COMPUTE}/virtualMachines", "vm1")
        running = asyncio.create_task(deploy(cloud, group, [*machines(group, "vm1"), address("after", str(vm))]))
        while state(cloud, vm) == "absent":
            await cloud.clock.sleep(0.1)
        with mock.patch.object(front.principals, "kind", lambda t, o: "" if o == cloud.owner.object_id else kind(t, o)):
            error = await running
        assert error is not None and [d.code for d in error.details] == ["AuthorizationFailed"]
        assert state(cloud, vm) == "Succeeded" and state(cloud, public(group, "after")) == "absent"

    in_a_cloud(story)


def only_when_missing(**more: Any) -> Any:
    """A deployment of an address that is left alone when it is there."""
    new = {k: v for k, v in address("ip").items() if k != "dependsOn"}
    return deployment({"new": {**new, **more, "@options": {"onlyIfNotExists": True}}}, languageVersion="2.0")


@pytest.mark.parametrize("there", [True, False])
def test_whether_something_exists_is_told_to_those_who_may_read_it(there: bool) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        if there:
            await cloud.put(public(group, "ip"), {"location": "local", "properties": {}})
        await without(cloud, group, f"{NETWORK}/publicIPAddresses/*")
        body = only_when_missing()
        with pytest.raises(LazurError) as refused:
            await cloud.put(named(group), body)
        assert [d.code for d in refused.value.details] == ["AuthorizationFailed"]

    in_a_cloud(story)


@pytest.mark.parametrize("there", [True, False])
def test_what_is_only_made_when_it_is_missing(there: bool) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        if there:
            await cloud.put(public(group, "ip"), {"location": "local", "properties": {}})
        await cloud.put(named(group), only_when_missing(tags={"made": "now"}))
        assert cloud.show(public(group, "ip")).get("tags") == (None if there else {"made": "now"})

    in_a_cloud(story)
