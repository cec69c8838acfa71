"""Secrets that go through deployments are nowhere to be read afterwards; linked templates are fetched once, under guard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lazur.drivers.web.interface import Answer as Page
from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door
from tests.api.world import deployment
from tests.cloud.cloud import Cloud, new_world
from tests.control.test_deployment_runs import DEPLOYMENTS, named, nested, public, run
from tests.control.test_deployments import COMPUTE, NETWORK, address, in_a_cloud, machines, resource, state

CANARY = "Canary-7c1e!Aa"
TOKEN = "sv=2024&sig=Qm9va3dvcm0tY2FuYXJ5"
SECURE = {"secret": {"type": "secureString"}}
GIVEN = {"secret": {"value": CANARY}}


def web(cloud: Cloud, **files: Any) -> None:
    """Templates on a server: by name, each readable with the token only."""
    cloud.web.names = {"templates.test": ["93.184.215.14"]}
    pages = {name: Page(200, body=json.dumps(file).encode()) for name, file in files.items()}
    cloud.web.pages = {f"https://templates.test/a/{name}.json?{TOKEN}": page for name, page in pages.items()}


def template(resources: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = deployment(resources, **more)["properties"]["template"]
    return found


def everything_written(door: Door) -> str:
    """The whole store as text."""
    return "\n".join(door.store._writer.iterdump())


async def everything_answered(door: Door, *ids: ArmId) -> str:
    """Whatever the front door tells of deployments to their owner."""
    told = [(await door.ask("GET", str(id.scope) + f"/providers/{DEPLOYMENTS}")).raw for id in ids]
    for id in ids:
        told += [(await door.ask("GET", f"{id}{part}")).raw for part in ("", "/operations")]
        told.append((await door.ask("POST", f"{id}/exportTemplate")).raw)
        told.append((await door.ask("GET", f"{id.scope}/resources")).raw)
    return b"\n".join(told).decode()


def test_a_canary_is_nowhere_to_be_found(capfd: pytest.CaptureFixture[str]) -> None:
    async def main(door: Door) -> None:
        rg = await door.cloud.with_group()
        web(door.cloud, deep=template([address("linked")], parameters=SECURE))
        password = machines(rg, "vm1")
        password[2]["properties"]["osProfile"]["adminPassword"] = "[parameters('secret')]"
        wrong = {"location": "[concat('mars-', parameters('secret'))]", "properties": {}}
        uri = "[concat('https://templates.test/a/deep.json?', parameters('token'))]"
        taken = [
            *password,
            nested("outer", [resource(f"{NETWORK}/publicIPAddresses", "far", wrong)]),
            nested("inner", [resource(f"{NETWORK}/publicIPAddresses", "farther", wrong)], inner=True,
                   template={"parameters": SECURE}, parameters={"secret": {"value": "[parameters('secret')]"}}),
            nested("telling", [], inner=True, template={"parameters": SECURE, "outputs": {
                "kept": {"type": "secureString", "value": "[parameters('secret')]"}}},
                parameters={"secret": {"value": "[parameters('secret')]"}}),
            resource(DEPLOYMENTS, "linked", {"properties": {
                "mode": "Incremental", "templateLink": {"uri": uri},
                "parameters": {"secret": {"value": "[parameters('secret')]"}}}}),
            nested("learned", [resource(f"{NETWORK}/publicIPAddresses", "farthest", {
                "location": "[listOutputsWithSecureValues('telling', '2025-04-01').kept]", "properties": {}})], dependsOn=[]),
        ]  # fmt: skip
        taken[-1]["dependsOn"] = [str(rg.resource(DEPLOYMENTS, "telling"))]
        declared = {**SECURE, "token": {"type": "secureString"}}
        outputs = {"o": {"type": "secureString", "value": "[parameters('secret')]"}}
        body = deployment(taken, parameters=declared, outputs=outputs)
        body["properties"]["parameters"] = {**GIVEN, "token": {"value": TOKEN}}
        validated = await door.ask("POST", f"{named(rg)}/validate", body)
        told = await door.ask("POST", f"{named(rg)}/whatIf", body)
        first = await door.put(named(rg), body)
        await door.is_idle()
        polled = await door.ask("GET", first.headers["azure-asyncoperation"].partition("internal")[2].partition("?")[0])
        failed = door.store.get(named(rg).key)
        assert failed is not None and failed.state == "Failed" and failed.error is not None
        assert {"far", "farther", "farthest"} <= set(_names(failed.error))
        below = [rg.resource(DEPLOYMENTS, n) for n in ("outer", "inner", "telling", "linked", "learned")]
        assert [state(door.cloud, d) for d in below] == ["Failed", "Failed", "Succeeded", "Succeeded", "Failed"]
        answered = await everything_answered(door, named(rg), *below)
        answered += b"".join(a.raw for a in (validated, told, first, polled)).decode()
        logged = "".join(capfd.readouterr())
        for where, text in (("store", everything_written(door)), ("answers", answered), ("log", logged)):
            for secret in (CANARY, TOKEN, json.dumps(CANARY)[1:-1]):
                spot = text.find(secret)
                assert spot < 0, f"in the {where}: {text[max(0, spot - 300) : spot + 60]}"
        asked = await door.ask("POST", f"{below[2]}/listOutputsWithSecureValues")
        assert asked.json == {"kept": CANARY}

    at_the_door(new_world(), main)


def _names(error: Any) -> list[str]:
    here = [str(error.get("target", "")).rpartition("/")[2]]
    return here + [n for d in error.get("details", ()) for n in _names(d)]


def test_linked_templates_and_parameters() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        inner = {"mode": "Incremental", "templateLink": {"relativePath": "deep.json", "contentVersion": "1.0.0.0"}}
        main = template(
            [address("[parameters('name')]"), resource(DEPLOYMENTS, "deep", {"properties": inner})],
            parameters={"name": {"type": "string"}, "other": {"type": "string"}},
        )
        values = {"parameters": {"name": {"value": "from-file"}, "other": {"value": "x"}}}
        web(cloud, main=main, deep=template([address("relative")]), values=values)
        properties = {
            "mode": "Incremental",
            "templateLink": {"uri": "https://templates.test/a/main.json", "queryString": TOKEN},
            "parametersLink": {"uri": f"https://templates.test/a/values.json?{TOKEN}"},
            "parameters": {"other": {"value": "given"}},
        }
        await cloud.put(named(group), {"properties": properties})
        assert state(cloud, public(group, "from-file")) == state(cloud, public(group, "relative")) == "Succeeded"
        shown = cloud.show(named(group))["properties"]
        assert shown["templateLink"] == {"uri": "https://templates.test/a/main.json"}
        assert shown["parameters"]["other"]["value"] == "given"
        asked = [url.partition("?")[0].rpartition("/")[2] for url, _ in cloud.web.asked]
        assert sorted(asked) == ["deep.json", "main.json", "values.json"]

    in_a_cloud(story)


def test_a_run_never_fetches_again() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        web(cloud, main=template([*machines(group, "vm1")]))
        link = {"uri": f"https://templates.test/a/main.json?{TOKEN}"}
        body = {"properties": {"mode": "Incremental", "templateLink": link}}
        accepted = await cloud.plane.pipeline.put(cloud.owner, named(group), body, "2024-11-01")
        cloud.web.pages = {}
        for _ in range(5):
            await cloud.clock.sleep(1.0)
            await cloud.kill("control")
            await cloud.revive("control")
        await cloud.ended(accepted.operation)
        assert state(cloud, group.resource(f"{COMPUTE}/virtualMachines", "vm1")) == "Succeeded"
        assert len(cloud.web.asked) == 1

    in_a_cloud(story)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.4", "168.63.129.16"])
def test_a_link_into_the_house_is_refused_before_anything_is_accepted(address: str) -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        cloud.web.names = {"templates.test": [address]}
        error = await run(cloud, group, "d", [], templateLink={"uri": "https://templates.test/a/main.json"})
        assert error is not None and error.code == "InvalidContentLink" and address not in error.message
        assert state(cloud, named(group)) == "absent" and not cloud.web.asked

    in_a_cloud(story)


def test_nobody_but_the_cloud_says_what_a_parent_says() -> None:
    async def story(cloud: Cloud, group: ArmId) -> None:
        assert await run(cloud, group, "parent", [nested("inner", [address("ip")])]) is None
        record = cloud.world.store.get(named(group, "inner").key)
        assert record is not None
        taken = {"parent": "x", "sealed": record.properties["nested"]["sealed"]}
        for forged in ({}, "x", {"parent": "x", "sealed": "y"}, {"parent": "x", "sealed": 7}, taken):
            error = await run(cloud, group, "other", [], nested=forged)
            assert error is not None and error.target == "properties.nested"
            assert state(cloud, named(group, "other")) == "absent"

    in_a_cloud(story)
