"""Exported templates: parameters, ids, dependencies, secrets, options; and that they expand to the same resources again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.providers.resources.export import Document, asked, exported
from lazur.providers.resources.export.writer import without_rings
from lazur.providers.resources.template import evaluate_body
from tests.template.cloud import RG, Live, expanded

NET = f"{RG}/providers/Microsoft.Network"
OUTSIDE = RG.replace("rg1", "other") + "/providers/Microsoft.Network/networkSecurityGroups/nsg"
DEFAULTS = frozenset({"IncludeParameterDefaultValue"})


def documents() -> list[Document]:
    vnet = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": {}}], "none": None}
    nic = {
        "ipConfigurations": [{"name": "[odd]", "properties": {"subnet": {"id": f"{NET}/virtualNetworks/V-1/subnets/s"}}}],
        "networkSecurityGroup": {"id": OUTSIDE},
    }
    lb = {"rules": [{"properties": {"frontend": {"id": f"{NET}/loadBalancers/lb/frontendIPConfigurations/fe"}}}]}
    vm = {"osProfile": {"adminUsername": "u"}, "data": [{"a": 1}], "nics": [{"id": f"{NET}/networkInterfaces/nic"}]}
    return [
        Document(f"{RG}/providers/Microsoft.Compute/virtualMachines/it's", "2024-07-01",
                 {"location": "local", "properties": vm}, ("osProfile.adminPassword", "data[0].key")),
        Document(f"{NET}/networkInterfaces/nic", "2024-01-01",
                 {"location": "local", "tags": {"[t]": "[x]"}, "properties": nic}),
        Document(f"{NET}/virtualNetworks/v-1", "2024-01-01", {"location": "local", "properties": vnet}),
        Document(f"{NET}/loadBalancers/lb", "2024-01-01",
                 {"location": "local", "sku": {"name": "Standard"}, "properties": lb}),
        Document(f"{NET}/virtualNetworks/v-1/things/t", "2024-01-01", {"properties": {}}),
        Document(f"{NET}/virtualNetworks/v-1/providers/A.B/locks/l", "2024-01-01", {"properties": {"level": "x"}}),
    ]  # fmt: skip


def by_type(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {resource["type"].rsplit("/", 1)[1]: resource for resource in template["resources"]}


def test_names_ids_secrets_and_dependencies() -> None:
    template = exported(RG, documents(), DEFAULTS)["template"]
    found = by_type(template)
    assert found["virtualNetworks"]["name"] == "[parameters('virtualNetworks_v_1_name')]"
    assert found["things"]["name"] == "[format('{0}/{1}', parameters('virtualNetworks_v_1_name'), parameters('things_t_name'))]"
    vnet = "resourceId('Microsoft.Network/virtualNetworks', parameters('virtualNetworks_v_1_name'))"
    assert found["networkInterfaces"]["dependsOn"] == [f"[{vnet}]"]
    assert found["things"]["dependsOn"] == found["locks"]["dependsOn"] == [f"[{vnet}]"]
    assert found["locks"]["scope"] == f"[{vnet}]"
    assert "dependsOn" not in found["loadBalancers"]
    nic = found["networkInterfaces"]["properties"]
    assert nic["ipConfigurations"][0] == {
        "name": "[[odd]",
        "properties": {
            "subnet": {
                "id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', parameters('virtualNetworks_v_1_name'), 's')]"
            }
        },
    }
    assert nic["networkSecurityGroup"] == {"id": "[parameters('networkSecurityGroups_nsg_externalid')]"}
    machine = found["virtualMachines"]["properties"]
    assert machine["osProfile"]["adminPassword"] == "[parameters('virtualMachines_it_s_adminPassword')]"
    assert machine["data"] == [{"a": 1, "key": "[parameters('virtualMachines_it_s_key')]"}]
    assert template["parameters"]["virtualMachines_it_s_adminPassword"] == {"type": "SecureString"}
    assert template["parameters"]["virtualMachines_it_s_name"] == {"type": "String", "defaultValue": "it's"}
    assert template["parameters"]["networkSecurityGroups_nsg_externalid"]["defaultValue"] == OUTSIDE


def test_the_template_makes_the_same_resources() -> None:
    made = expanded(
        exported(RG, documents(), DEFAULTS)["template"],
        {"virtualMachines_it_s_adminPassword": "p", "virtualMachines_it_s_key": "k"},
    )
    bodies = {node.id.lower(): evaluate_body(node, made.scope, Live()) for node in made.nodes}
    for document in documents():
        expected = json.loads(json.dumps(document.body).replace("V-1", "v-1"))
        expected["properties"].pop("none", None)
        if document.secrets:
            expected["properties"]["osProfile"]["adminPassword"] = "p"
            expected["properties"]["data"][0]["key"] = "k"
        assert bodies[document.id.lower()] == expected
    order = [node.name for node in made.nodes]
    assert order.index("v-1") < order.index("nic") < order.index("it's")


@pytest.mark.parametrize(
    ("options", "parameters", "name"),
    [
        (frozenset(), True, "[parameters('loadBalancers_lb_name')]"),
        (frozenset({"SkipResourceNameParameterization"}), True, "lb"),
        (frozenset({"SkipAllParameterization"}), False, "lb"),
    ],
)
def test_options(options: frozenset[str], parameters: bool, name: str) -> None:
    template = exported(RG, documents(), options)["template"]
    assert bool(template["parameters"]) == parameters
    assert all("defaultValue" not in parameter for parameter in template["parameters"].values())
    assert by_type(template)["loadBalancers"]["name"] == name
    assert "comments" not in template["resources"][0]
    commented = exported(RG, documents(), options | {"IncludeComments"})["template"]["resources"]
    assert commented[0]["comments"].startswith("Generalized from resource: '/subscriptions/")
    if not parameters:
        assert OUTSIDE in json.dumps(template) and "adminPassword" not in json.dumps(template)
        assert len(expanded(template).nodes) == 6


def test_two_resources_of_one_name_have_two_parameters() -> None:
    twins = [Document(f"{RG}/providers/A.B/c/x{sign}y", "2024-01-01", {}) for sign in "-."]
    template = exported(RG, twins, DEFAULTS)["template"]
    assert set(template["parameters"]) == {"c_x_y_name", "c_x_y_name_2"}
    assert {node.name for node in expanded(template).nodes} == {"x-y", "x.y"}


def test_rings_are_opened() -> None:
    needs = {"a": {"b"}, "b": {"c", "a"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}
    without_rings(needs)
    assert needs == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": set()}


def test_what_was_left_out_is_said() -> None:
    answer = exported(RG, [], frozenset(), [LazurError("ResourceTypeNotExportable", "no", target="x")])
    assert answer["error"]["code"] == "ExportTemplateCompletedWithErrors"
    assert answer["error"]["details"][0]["target"] == "x"
    assert "error" not in exported(RG, [], frozenset())


def test_what_is_asked_for() -> None:
    everything = asked({"resources": ["*"], "options": "IncludeComments, includeParameterDefaultValue"})
    assert everything.ids is None and everything.options == {"IncludeComments", "IncludeParameterDefaultValue"}
    some = asked({"resources": [f"{NET}/loadBalancers/LB/"]})
    assert some.wants(f"{NET}/loadBalancers/lb") and not some.wants(f"{NET}/loadBalancers/x")


@pytest.mark.parametrize(
    ("body", "targets"),
    [
        ([], {None}),
        ({}, {"resources"}),
        ({"resources": []}, {"resources"}),
        ({"resources": [1], "options": "Pretty", "outputFormat": "Bicep"}, {"resources", "options", "outputFormat"}),
        ({"resources": ["*"], "options": 5}, {"options"}),
    ],
)
def test_requests_that_are_refused(body: Any, targets: set[str | None]) -> None:
    with pytest.raises(LazurError) as caught:
        asked(body)
    assert {fault.target for fault in caught.value.details or [caught.value]} == targets
