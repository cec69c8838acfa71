"""az and templates beyond a plain deployment: what would change, a group as a template, and scopes above the group."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.clients.az import Az
from tests.clients.clouds import Cloud

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
ABOVE = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
GUARD = "Microsoft.Network/networkSecurityGroups"


def template(resources: list[dict[str, Any]], schema: str = SCHEMA) -> str:
    return json.dumps({"$schema": schema, "contentVersion": "1.0.0.0", "resources": resources})


def guard(name: str, **more: Any) -> dict[str, Any]:
    return {"type": GUARD, "apiVersion": "2024-05-01", "name": name, "location": "local", "properties": {}, **more}


def test_what_if_and_export(az: Az, tmp_path: Path) -> None:
    file, copy = tmp_path / "main.json", tmp_path / "copy.json"
    az("group create -n drawn -l local")
    file.write_text(template([guard("one", tags={"a": "1"}), guard("two")]))
    before = az("deployment group what-if -g drawn -f {file} --no-pretty-print", file=file)
    assert {change["changeType"] for change in before["changes"]} == {"Create"}
    az("deployment group create -g drawn -n d -f {file}", file=file)
    file.write_text(template([guard("one", tags={"a": "2"})]))
    drawn = az.run("deployment group what-if -g drawn -f {file}", file=file)
    assert drawn.code == 0, drawn.err
    text = re.sub("\x1b\\[[0-9;]*m", "", drawn.out)
    assert f"~ {GUARD}/one [2024-05-01]" in text
    assert '~ tags.a: "1" => "2"' in text
    assert f"* {GUARD}/two" in text
    assert "Resource changes: 1 to modify, 1 to ignore." in text
    complete = az("deployment group what-if -g drawn -f {file} --mode Complete --no-pretty-print", file=file)
    assert {change["changeType"] for change in complete["changes"]} == {"Modify", "Delete"}
    copy.write_text(json.dumps(az("group export -n drawn --include-parameter-default-value")))
    again = az("deployment group what-if -g drawn -f {file} --no-pretty-print", file=copy)
    assert {change["changeType"] for change in again["changes"]} == {"NoChange"}
    az("group delete -n drawn --yes")


def test_a_group_from_a_deployment_of_the_subscription(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "sub.json"
    inner = json.loads(template([guard("inside")]))
    group = {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2022-09-01", "name": "raised", "location": "local"}
    nested = {
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner", "resourceGroup": "raised",
        "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'raised')]"],
        "properties": {"mode": "Incremental", "template": inner},
    }  # fmt: skip
    file.write_text(template([group, nested], ABOVE))
    drawn = az("deployment sub what-if -l local -f {file} --no-pretty-print", file=file)
    assert {change["resourceId"].rsplit("/", 1)[1] for change in drawn["changes"]} == {"raised", "inside"}
    done = az("deployment sub create -l local -n s -f {file}", file=file)
    assert done["properties"]["provisioningState"] == "Succeeded"
    assert az(f"resource show -g raised -n inside --resource-type {GUARD}")["name"] == "inside"
    az("group delete -n raised --yes")


ABOVE_ALL = "https://schema.management.azure.com/schemas/2019-08-01/tenantDeploymentTemplate.json#"
OVER = "https://schema.management.azure.com/schemas/2019-08-01/managementGroupDeploymentTemplate.json#"


def test_deployments_of_every_scope(administrator: Az, cloud: Cloud, tmp_path: Path) -> None:
    az = administrator
    file = tmp_path / "main.json"
    az("group create -n drawn -l local")
    lists = {
        "group": ("-g drawn", SCHEMA), "sub": ("", ABOVE), "mg": (f"-m {cloud.environment['LAZUR_TENANT']}", OVER),
        "tenant": ("", ABOVE_ALL),
    }  # fmt: skip
    for scope, (where, schema) in lists.items():
        file.write_text(json.dumps({**json.loads(template([], schema)), "outputs": {"a": {"type": "string", "value": scope}}}))
        at = where if scope == "group" else f"{where} -l local"
        assert az(f"deployment {scope} validate {at} -n e -f {{file}}", file=file)["properties"]["provisioningState"]
        assert az(f"deployment {scope} what-if {at} -f {{file}} --no-pretty-print", file=file)["status"] == "Succeeded"
        made = az(f"deployment {scope} create {at} -n e -f {{file}}", file=file)
        assert made["properties"]["outputs"]["a"]["value"] == scope
        assert "e" in [row["name"] for row in az(f"deployment {scope} list {where}")]
        assert az(f"deployment {scope} export {where} -n e")["outputs"]["a"]["value"] == scope
        assert isinstance(az(f"deployment operation {scope} list {where} -n e"), list)
        assert "DeploymentCannotBeCancelled" in az.refused(f"deployment {scope} cancel {where} -n e")
        az(f"deployment {scope} delete {where} -n e")
        assert "NotFound" in az.refused(f"deployment {scope} show {where} -n e", code=3)
    az("group delete -n drawn --yes")
