"""Expansion: names, ids, loops, conditions, dependencies, order, limits; and the templates az 2.91 sends."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import (
    Expansion,
    Facts,
    LookupNeeded,
    evaluate_body,
    expand,
    outputs,
    parameters_echo,
    parse_template,
)
from tests.template.cloud import RG, SUBSCRIPTION, Live, bodies, context, expanded, template


def resource(name: str, kind: str = "Microsoft.Network/virtualNetworks", **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "apiVersion": "2024-01-01", "location": "local", **more}


def names(made: Expansion) -> list[str]:
    return [node.name for node in made.nodes]


def waits(made: Expansion) -> dict[str, list[str]]:
    by_id = {node.id.lower(): node.name for node in made.nodes}
    return {node.name: sorted(by_id[id.lower()] for id in node.depends_on) for node in made.nodes}


def refused(raw: dict[str, Any], parameters: dict[str, Any] | None = None, kind: str = "resourceGroup") -> LazurError:
    with pytest.raises(LazurError) as caught:
        expanded(raw, parameters, kind)
    assert caught.value.code == "InvalidTemplate"
    return caught.value


def messages(error: LazurError) -> str:
    return " | ".join([error.message, *(detail.message for detail in error.details)])


# What az sends.


def test_the_load_balancer_az_sends() -> None:
    pip = f"{RG}/providers/Microsoft.Network/publicIPAddresses/pip1"
    made = expanded(
        template(
            [
                {
                    "name": "lb1",
                    "type": "Microsoft.Network/loadBalancers",
                    "location": "local",
                    "tags": {},
                    "apiVersion": "2020-08-01",
                    "dependsOn": ["Microsoft.Network/publicIpAddresses/PIP1"],
                    "sku": {"name": "Standard"},
                    "properties": {
                        "backendAddressPools": [{"name": "bp1"}],
                        "frontendIPConfigurations": [
                            {
                                "name": "fe1",
                                "properties": {"privateIPAddress": None, "publicIPAddress": {"id": pip}},
                            }
                        ],
                    },
                },
                {
                    "apiVersion": "2015-06-15",
                    "type": "Microsoft.Network/publicIPAddresses",
                    "name": "pip1",
                    "location": "local",
                    "tags": {},
                    "dependsOn": [],
                    "properties": {"publicIPAllocationMethod": "Static"},
                },
            ],
            outputs={"loadBalancer": {"type": "object", "value": "[reference('lb1')]"}},
        )
    )
    assert names(made) == ["pip1", "lb1"]
    assert made.nodes[1].depends_on == (pip,)
    assert made.nodes[0].api_version == "2015-06-15"
    live = Live({f"{RG}/providers/Microsoft.Network/loadBalancers/lb1": {"properties": {"provisioningState": "Succeeded"}}})
    body = bodies(made, live)["Microsoft.Network/loadBalancers/lb1"]
    assert body["properties"]["frontendIPConfigurations"][0]["properties"]["privateIPAddress"] is None
    assert set(body) == {"location", "tags", "sku", "properties"}
    assert outputs(made.template, made.scope, live) == {
        "loadBalancer": {"type": "Object", "value": {"provisioningState": "Succeeded"}}
    }
    assert live.asked == [("reference", f"{RG}/providers/Microsoft.Network/loadBalancers/lb1", "2020-08-01")]


def test_the_machine_az_sends() -> None:
    nic = f"{RG}/providers/Microsoft.Network/networkInterfaces/vm1VMNic"
    made = expanded(
        template(
            [
                resource("vm1VNET", properties={"subnets": [{"name": "vm1Subnet", "properties": {}}]}),
                resource("vm1NSG", "Microsoft.Network/networkSecurityGroups", dependsOn=[]),
                resource("vm1PublicIP", "Microsoft.Network/publicIPAddresses", dependsOn=[]),
                resource(
                    "vm1VMNic",
                    "Microsoft.Network/networkInterfaces",
                    dependsOn=[
                        "Microsoft.Network/virtualNetworks/vm1VNET",
                        "Microsoft.Network/networkSecurityGroups/vm1NSG",
                        "Microsoft.Network/publicIpAddresses/vm1PublicIP",
                    ],
                ),
                resource(
                    "vm1",
                    "Microsoft.Compute/virtualMachines",
                    dependsOn=["Microsoft.Network/networkInterfaces/vm1VMNic"],
                    properties={
                        "storageProfile": {"osDisk": {"name": None, "createOption": "fromImage"}},
                        "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"deleteOption": None}}]},
                        "osProfile": {"adminPassword": "[parameters('adminPassword')]"},
                    },
                ),
            ],
            parameters={"adminPassword": {"type": "securestring", "metadata": {"description": "[not an expression"}}},
            variables={},
            outputs={"VMId": {"type": "string", "value": "[resourceId('Microsoft.Compute/virtualMachines', 'vm1')]"}},
        ),
        {"adminPassword": "canary"},
    )
    assert names(made)[-1] == "vm1"
    assert waits(made)["vm1VMNic"] == ["vm1NSG", "vm1PublicIP", "vm1VNET"]
    body = bodies(made)["Microsoft.Compute/virtualMachines/vm1"]
    assert body["properties"]["storageProfile"]["osDisk"] == {"name": None, "createOption": "fromImage"}
    assert body["properties"]["osProfile"] == {"adminPassword": "canary"}
    assert parameters_echo(made.template, made.scope) == {"adminPassword": {"type": "SecureString"}}
    assert outputs(made.template, made.scope, Live())["VMId"] == {
        "type": "String",
        "value": f"{RG}/providers/Microsoft.Compute/virtualMachines/vm1",
    }


# Dependencies.


@pytest.mark.parametrize(
    "written",
    [
        "vnet1",
        "VNET1",
        "Microsoft.Network/virtualNetworks/vnet1",
        "microsoft.network/VIRTUALNETWORKS/Vnet1",
        "[resourceId('Microsoft.Network/virtualNetworks', 'vnet1')]",
        f"{RG.upper()}/PROVIDERS/Microsoft.Network/virtualNetworks/vnet1",
        "[concat('Microsoft.Network/virtualNetworks/', 'vnet1')]",
    ],
)
def test_forms_of_depends_on(written: str) -> None:
    made = expanded(
        template([resource("nic1", "Microsoft.Network/networkInterfaces", dependsOn=[written]), resource("vnet1")])
    )
    assert names(made) == ["vnet1", "nic1"]
    assert made.nodes[1].depends_on == (f"{RG}/providers/Microsoft.Network/virtualNetworks/vnet1",)


@pytest.mark.parametrize(
    "expression",
    [
        "[reference('vnet1').x]",
        "[reference(resourceId('Microsoft.Network/virtualNetworks', 'VNET1'), '2024-01-01').x]",
        "[if(true(), 'a', reference(concat('vnet', '1')).x)]",
        "[listKeys('Microsoft.Network/virtualNetworks/vnet1', '2024-01-01').keys]",
    ],
)
def test_implicit_dependencies(expression: str) -> None:
    made = expanded(
        template(
            [resource("nic1", "Microsoft.Network/networkInterfaces", properties={"a": [expression]}), resource("vnet1")]
        )
    )
    assert waits(made) == {"vnet1": [], "nic1": ["vnet1"]}


def test_implicit_dependencies_through_property_loops() -> None:
    loop = {"name": "nics", "count": 2, "input": {"mac": "[reference(concat('nic', copyIndex('nics'))).mac]"}}
    made = expanded(
        template(
            [
                resource("vm", "Microsoft.Compute/virtualMachines", properties={"copy": [loop]}),
                resource("[concat('nic', copyIndex())]", "Microsoft.Network/networkInterfaces", copy={"name": "n", "count": 3}),
            ]
        )
    )
    assert waits(made)["vm"] == ["nic0", "nic1"]


def test_unknown_dependency() -> None:
    error = refused(template([resource("a", dependsOn=["Microsoft.Compute/virtualMachines/windowsvm"])]))
    assert error.message == (
        "Deployment template validation failed: 'The resource 'Microsoft.Compute/virtualMachines/windowsvm' is not "
        "defined in the template. Please see https://aka.ms/arm-syntax-resources for usage details.'."
    )
    assert error.target == "resources[0].dependsOn"


def test_a_bare_name_of_two_resources_is_ambiguous() -> None:
    raw = template([resource("x"), resource("x", "A.B/c"), resource("y", dependsOn=["x"])])
    assert "ambiguous" in refused(raw).message


@pytest.mark.parametrize("last", [{"dependsOn": ["c"]}, {"properties": {"p": "[reference('c').x]"}}])
def test_a_cycle_is_named(last: dict[str, Any]) -> None:
    error = refused(
        template([resource("free"), resource("a", **last), resource("b", dependsOn=["a"]), resource("c", dependsOn=["b"])])
    )
    assert f"Circular dependency detected on resource: '{RG}/providers/Microsoft.Network/virtualNetworks/a'" in error.message
    assert "virtualNetworks/a -> Microsoft.Network/virtualNetworks/c -> " in error.message


def test_a_resource_that_refers_to_itself_is_a_cycle() -> None:
    error = refused(template([resource("a", properties={"p": "[reference('a').x]"})]))
    assert "Circular dependency detected on resource" in error.message


def test_a_false_condition_skips_the_resource_and_what_waits_for_it() -> None:
    made = expanded(
        template(
            [
                resource("a", condition="[equals(parameters('on'), 'yes')]"),
                resource("b", dependsOn=["a"], condition=True),
                resource("c", condition="[not(false())]", properties={"p": "[reference('a').x]"}),
            ],
            parameters={"on": {"type": "string", "defaultValue": "no"}},
        )
    )
    assert names(made) == ["b", "c"]
    assert [node.name for node in made.skipped] == ["a"]
    assert waits(made) == {"b": [], "c": []}


def test_two_resources_of_one_id_need_conditions_that_exclude_each_other() -> None:
    error = refused(template([resource("a"), resource("A")]))
    assert "The resource 'Microsoft.Network/virtualNetworks/A'" in error.message
    assert "is defined multiple times in a template" in error.message
    assert names(expanded(template([resource("a", condition=False), resource("a")]))) == ["a"]


# Children.


def test_children_inline_and_apart() -> None:
    kind = "Microsoft.Network/virtualNetworks"
    made = expanded(
        template(
            [
                {"type": f"{kind}/subnets", "name": "v/s2", "apiVersion": "2024-01-01"},
                resource(
                    "v",
                    resources=[
                        {
                            "type": "subnets",
                            "name": "s1",
                            "apiVersion": "2023-01-01",
                            "dependsOn": ["v"],
                            "properties": {"addressPrefix": "10.0.0.0/24"},
                        }
                    ],
                ),
                {
                    "type": f"{kind}/providers/locks",
                    "name": "v/Microsoft.Authorization/l",
                    "apiVersion": "2016-09-01",
                },
            ]
        )
    )
    by_name = {node.name: node for node in made.nodes}
    assert by_name["v/s1"].type == f"{kind}/subnets"
    assert by_name["v/s1"].id == f"{RG}/providers/{kind}/v/subnets/s1"
    assert by_name["v/s1"].api_version == "2023-01-01"
    assert by_name["l"].type == "Microsoft.Authorization/locks"
    assert by_name["l"].id == f"{RG}/providers/{kind}/v/providers/Microsoft.Authorization/locks/l"
    assert waits(made) == {"v": [], "v/s1": ["v"], "v/s2": ["v"], "l": ["v"]}
    assert "resources" not in by_name["v"].body


def test_a_parent_that_waits_for_its_child_goes_second() -> None:
    kind = "Microsoft.Network/virtualNetworks"
    child = {"type": f"{kind}/subnets", "name": "v/s", "apiVersion": "2024-01-01"}
    assert names(expanded(template([resource("v", dependsOn=["v/s"]), child]))) == ["v/s", "v"]


def test_wrong_segments() -> None:
    error = refused(template([resource("v/s")]))
    assert "for type 'Microsoft.Network/virtualNetworks'" in error.message
    assert "has incorrect segment lengths" in error.message


def test_extensions_by_scope() -> None:
    lock = {"type": "Microsoft.Authorization/locks", "name": "l", "apiVersion": "2016-09-01"}
    made = expanded(
        template([{**lock, "scope": "Microsoft.Network/virtualNetworks/v"}, resource("v"), {**lock, "name": "m"}])
    )
    ids = {node.name: node.id for node in made.nodes}
    assert ids["l"] == f"{RG}/providers/Microsoft.Network/virtualNetworks/v/providers/Microsoft.Authorization/locks/l"
    assert ids["m"] == f"{RG}/providers/Microsoft.Authorization/locks/m"
    assert waits(made)["l"] == ["v"]


# Loops.


def test_loops_in_parallel_and_in_batches() -> None:
    raw = template(
        [
            resource("[concat('p', copyIndex(1))]", copy={"name": "many", "count": "[add(1, 2)]"}),
            resource("after", dependsOn=["MANY"]),
            resource("[format('s{0}', copyIndex('ser'))]", copy={"name": "ser", "count": 5, "mode": "Serial", "batchSize": 2}),
            resource("one", dependsOn=["[concat('p', 2)]"]),
        ]
    )
    made = expanded(raw)
    found = waits(made)
    assert found["after"] == ["p1", "p2", "p3"]
    assert found["one"] == ["p2"]
    assert found["s0"] == found["s1"] == []
    assert found["s2"] == found["s3"] == ["s0", "s1"]
    assert found["s4"] == ["s2", "s3"]
    copies = {node.name: node.copy for node in made.nodes}
    assert copies["after"] is None
    assert copies["p3"] is not None and (copies["p3"].index, copies["p3"].count) == (2, 3)


def test_a_loop_of_none_satisfies_what_waits_for_it() -> None:
    made = expanded(
        template([resource("[concat('x', copyIndex())]", copy={"name": "none", "count": 0}), resource("y", dependsOn=["none"])])
    )
    assert names(made) == ["y"]


def test_loops_of_properties_variables_and_outputs() -> None:
    made = expanded(
        template(
            [
                resource(
                    "[concat('vm', copyIndex())]",
                    copy={"name": "vms", "count": 2},
                    properties={
                        "copy": [
                            {"name": "disks", "count": 2, "input": {"lun": "[copyIndex('disks')]", "vm": "[copyIndex('vms')]"}}
                        ],
                        "copied": {"copy": "a customer's own property"},
                    },
                )
            ],
            variables={
                "copy": [{"name": "top", "count": 3, "input": "[mul(copyIndex('top'), 10)]"}],
                "inner": {"copy": [{"name": "list", "count": 2, "input": {"n": "[copyIndex('list', 1)]"}}]},
            },
            outputs={
                "o": {"type": "array", "copy": {"count": 2, "input": "[concat('o', copyIndex())]"}},
                "top": {"type": "array", "value": "[variables('top')]"},
                "inner": {"type": "object", "value": "[variables('inner')]"},
                "gone": {"type": "string", "condition": "[false()]", "value": "[fail('not asked')]"},
            },
        )
    )
    body = bodies(made)["Microsoft.Network/virtualNetworks/vm1"]["properties"]
    assert body["disks"] == [{"lun": 0, "vm": 1}, {"lun": 1, "vm": 1}]
    assert body["copied"] == {"copy": "a customer's own property"}
    found = outputs(made.template, made.scope, Live())
    assert found == {
        "o": {"type": "Array", "value": ["o0", "o1"]},
        "top": {"type": "Array", "value": [0, 10, 20]},
        "inner": {"type": "Object", "value": {"list": [{"n": 1}, {"n": 2}]}},
    }


# Symbolic names.


def symbolic(resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return template(resources, languageVersion="2.0", **sections)


def test_symbolic_names_and_existing_resources() -> None:
    made = expanded(
        symbolic(
            {
                "vm": resource(
                    "[format('vm{0}', copyIndex())]",
                    "Microsoft.Compute/virtualMachines",
                    copy={"name": "vms", "count": "[length(range(0, 2))]"},
                    properties={"subnet": "[reference('net').subnets[0].id]"},
                    dependsOn=["net"],
                ),
                "net": resource("old", existing=True),
                "late": resource("late", dependsOn=["vm"]),
                "second": resource("second", dependsOn=["[format('vm[{0}]', 1)]"]),
            },
            outputs={
                "states": {"type": "array", "value": "[map(references('vm'), lambda('v', lambdaVariables('v').s))]"},
                "one": {"type": "string", "value": "[reference(format('vm[{0}]', 1)).s]"},
                "info": {"type": "string", "value": "[resourceInfo('net').id]"},
                "full": {"type": "string", "value": "[reference('net', '2024-01-01', 'full').location]"},
            },
        )
    )
    assert [node.existing for node in made.nodes if node.symbol == "net"] == [True]
    assert waits(made)["vm0"] == ["old"]
    assert waits(made)["late"] == ["vm0", "vm1"]
    assert waits(made)["second"] == ["vm1"]
    net = f"{RG}/providers/Microsoft.Network/virtualNetworks/old"
    machines = f"{RG}/providers/Microsoft.Compute/virtualMachines"
    live = Live(
        {
            net: {"location": "local", "properties": {"subnets": [{"id": "s"}]}},
            f"{machines}/vm0": {"properties": {"s": "zero"}},
            f"{machines}/vm1": {"properties": {"s": "one"}},
        }
    )
    assert bodies(made, live)["Microsoft.Compute/virtualMachines/vm0"]["properties"] == {"subnet": "s"}
    found = {name: shown["value"] for name, shown in outputs(made.template, made.scope, live).items()}
    assert found == {"states": ["zero", "one"], "one": "one", "info": net, "full": "local"}


def test_types_of_language_version_two() -> None:
    sections: dict[str, Any] = {
        "definitions": {
            "port": {"type": "int", "minValue": 1, "maxValue": 65535},
            "rule": {
                "type": "object",
                "properties": {"port": {"$ref": "#/definitions/port"}, "note": {"type": "string", "nullable": True}},
                "additionalProperties": False,
            },
        },
        "parameters": {
            "rules": {"type": "array", "items": {"$ref": "#/definitions/rule"}},
            "extra": {"$ref": "#/definitions/rule", "nullable": True},
        },
        "outputs": {"n": {"type": "int", "value": "[length(parameters('rules'))]"}},
    }
    made = expanded(symbolic({}, **sections), {"rules": [{"port": 80}, {"port": 443, "note": None}]})
    assert outputs(made.template, made.scope, Live()) == {"n": {"type": "Int", "value": 2}}
    assert made.scope.parameters["extra"] is None
    error = refused(symbolic({}, **sections), {"rules": [{"port": 0}], "extra": {"port": 1, "x": 2}})
    assert "At '[0].port': The value should be greater than or equal to '1'" in messages(error)
    assert "The property 'x' is not permitted" in messages(error)


def test_users_own_functions() -> None:
    def member(value: str, *names: str) -> dict[str, Any]:
        parameters = [{"name": name, "type": "string"} for name in names]
        return {"parameters": parameters, "output": {"type": "string", "value": value}}

    members = {
        "uniqueName": member("[concat(toLower(parameters('prefix')), uniqueString('test'))]", "prefix"),
        "bad": member("[variables('x')]"),
        "again": member("[contoso.again()]"),
    }

    def called(**calls: str) -> dict[str, dict[str, Any]]:
        made = expanded(
            template(
                functions=[{"namespace": "contoso", "members": members}],
                variables={"x": 1},
                outputs={name: {"type": "string", "value": call} for name, call in calls.items()},
            )
        )
        return outputs(made.template, made.scope, Live())

    assert called(o="[Contoso.UNIQUEname('AB')]")["o"]["value"] == "abrbgf3xv4ufgzg"
    with pytest.raises(LazurError) as caught:
        called(bad="[contoso.bad()]", again="[contoso.again()]", few="[contoso.uniqueName()]")
    assert [detail.target for detail in caught.value.details] == ["bad", "again", "few"]


# Scopes.


def test_subscription_scope() -> None:
    made = expanded(
        template(
            [
                {
                    "type": "Microsoft.Resources/deployments",
                    "apiVersion": "2022-09-01",
                    "name": "inner",
                    "resourceGroup": "[parameters('rg')]",
                    "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', parameters('rg'))]"],
                    "properties": {"mode": "Incremental", "template": {}},
                },
                {
                    "type": "Microsoft.Resources/resourceGroups",
                    "apiVersion": "2022-09-01",
                    "name": "[parameters('rg')]",
                    "location": "[deployment().location]",
                },
                {"type": "A.B/c", "name": "x", "apiVersion": "2024-01-01", "scope": "/"},
            ],
            parameters={"rg": {"type": "string"}},
        ),
        {"rg": "new"},
        kind="subscription",
        location="local",
    )
    sub = f"/subscriptions/{SUBSCRIPTION}"
    ids = {node.name: node.id for node in made.nodes}
    assert ids == {
        "new": f"{sub}/resourceGroups/new",
        "inner": f"{sub}/resourceGroups/new/providers/Microsoft.Resources/deployments/inner",
        "x": "/providers/A.B/c/x",
    }
    assert waits(made)["inner"] == ["new"]
    assert bodies(made)["Microsoft.Resources/resourceGroups/new"] == {"location": "local"}
    assert "RESOURCEGROUP" in messages(refused(template([resource("[resourceGroup().name]")]), kind="subscription"))


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("managementGroup", "/providers/Microsoft.Management/managementGroups/mg1"), ("tenant", "")],
)
def test_higher_scopes(kind: str, prefix: str) -> None:
    assert expanded(template([resource("x", "A.B/c")]), kind=kind).nodes[0].id == f"{prefix}/providers/A.B/c/x"


# Parameters, variables, limits.


def test_all_faults_of_the_parameters_at_once() -> None:
    declared = {
        "missing": {"type": "string"},
        "number": {"type": "int", "maxValue": 5},
        "typed": {"type": "Bool"},
        "choice": {"type": "string", "allowedValues": ["A", "B"]},
        "secret": {"type": "secureString", "minLength": 20},
        "short": {"type": "array", "maxLength": 1},
    }
    given = {"number": 6, "typed": "true", "choice": "c", "secret": "canary", "short": [1, 2], "unknown": 1}
    error = refused(template(parameters=declared), given)
    text = messages(error)
    assert len(error.details) == 7
    assert "The value for the template parameter 'missing' at line '0' and column '0' is not provided" in text
    assert "The template parameters 'unknown' in the parameters file are not valid" in text
    assert "should be less than or equal to '5'" in text
    assert "Expected a value of type 'Boolean', but received a value of type 'String'" in text
    assert "not part of the allowed value(s): 'A,B'" in text
    assert "Length of the value should be greater than or equal to '20'" in text
    assert "canary" not in str(error.body())


def test_defaults_may_use_one_another_but_not_in_a_circle() -> None:
    made = expanded(
        template(
            parameters={
                "a": {"type": "string", "defaultValue": "[concat(parameters('b'), '-a')]"},
                "b": {"type": "string", "defaultValue": "[parameters('c')]"},
                "c": {"type": "string"},
                "d": {"type": "string", "defaultValue": "kept"},
            }
        ),
        {"c": "[not evaluated]", "d": None},
    )
    assert made.parameters["a"] == {"value": "[not evaluated]-a"}
    assert made.parameters["d"] == {"value": "kept"}
    circle = {
        "a": {"type": "string", "defaultValue": "[parameters('b')]"},
        "b": {"type": "string", "defaultValue": "[parameters('a')]"},
    }
    assert "Circular reference detected: parameter 'a' -> parameter 'b' -> parameter 'a'" in messages(
        refused(template(parameters=circle))
    )


def test_resumed_parameters_keep_their_first_value() -> None:
    raw = template(parameters={"p": {"type": "string", "defaultValue": "[newGuid()]"}})
    first = expanded(raw)
    again = expand(parse_template(raw), first.parameters, context())
    assert first.parameters == again.parameters


def test_circular_variables() -> None:
    raw = template([resource("[variables('a')]")], variables={"a": "[variables('b')]", "b": "[variables('A')]"})
    assert "Circular reference detected: variable 'a' -> variable 'b' -> variable 'a'" in refused(raw).message


def test_live_functions_are_refused_where_they_cannot_be_known() -> None:
    parts: list[dict[str, Any]] = [
        {"name": "[reference('x').y]"},
        {"condition": "[listKeys('x', '1').y]"},
        {"dependsOn": ["[reference('x').y]"]},
    ]
    for part in parts:
        error = refused(template([{**resource("a"), **part}]))
        assert "is not expected at this location" in error.message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (template([resource("[concat('r', copyIndex())]", copy={"name": "c", "count": 801})]), "'801' is out of range"),
        (template([resource("[concat('r', copyIndex())]", copy={"name": "c", "count": 500})] * 2), "actual: '1000'"),
        (template([resource(f"r{i}") for i in range(801)]), "actual: '801'"),
        (template(parameters={f"p{i}": {"type": "int"} for i in range(257)}), "Limit: '256'"),
        (template(variables={f"v{i}": 1 for i in range(513)}), "Limit: '512'"),
        (template(outputs={f"o{i}": {"type": "int", "value": 1} for i in range(65)}), "Limit: '64'"),
        (template(variables={"v": f"[concat('{'x' * 24_600}')]"}), "'24612' characters long"),
        (template(variables={"v": "[" + "concat(" * 200 + "'x'" + ")" * 200 + "]"}), "nested deeper"),
        (template([resource("[string(range(0, 10000))]"), resource("[fail('x')]")]), "incorrect segment lengths|is not valid"),
    ],
)  # fmt: skip
def test_limits(raw: dict[str, Any], words: str) -> None:
    text = messages(refused(raw))
    assert any(word in text for word in words.split("|"))


def test_what_grows_without_end_is_stopped() -> None:
    doubling = {f"v{i}": f"[concat(variables('v{i - 1}'), variables('v{i - 1}'))]" for i in range(1, 50)}
    boxes = {f"v{i}": f"[createArray(variables('v{i - 1}'), variables('v{i - 1}'))]" for i in range(1, 50)}
    spin = "[length(map(range(0, 10000), lambda('a', map(range(0, 10000), lambda('b', 1)))))]"
    chain = "[reduce(range(0, 9999), createArray(), lambda('c', 'n', createArray(lambdaVariables('c'))))]"
    for variables in (
        {"v0": "[createArray(1)]", **doubling, "x": "[variables('v49')]"},
        {"v0": "0123456789", **doubling, "x": "[variables('v49')]"},
        {"v0": [1], **boxes, "x": "[string(variables('v49'))]"},
        {"x": spin},
        {"x": chain},
        {"v0": "x", **{f"v{i}": f"[variables('v{i - 1}')]" for i in range(1, 500)}, "x": "[variables('v499')]"},
    ):
        made = expanded(template([resource("a", properties={"p": "[variables('x')]"})], variables=variables))
        with pytest.raises(LazurError):
            bodies(made)


def test_every_fault_of_the_form_at_once() -> None:
    raw = {
        "contentVersion": "1.0.0.0",
        "paramters": {},
        "parameters": {"a": {"type": "strng"}, "A": {"type": "int"}},
        "variables": {"v": "[concat('x']", "w": "[nope()]"},
        "resources": [{"type": "A.B/c", "name": "x"}, 5, {"name": "y", "apiVersion": "1", "type": "A.B/c", "dependsOn": 7}],
        "outputs": {"o": {"type": "string"}},
    }
    with pytest.raises(LazurError) as caught:
        parse_template(raw)
    targets = {detail.target for detail in caught.value.details}
    assert targets == {
        "$schema", "paramters", "parameters.A", "parameters.a.type", "variables.v", "variables.w", "resources[0]",
        "resources[1]", "resources[2].dependsOn", "outputs.o",
    }  # fmt: skip
    assert caught.value.code == "InvalidTemplate"


# Outputs and facts.


def test_outputs_are_checked_and_secure_ones_hidden() -> None:
    made = expanded(
        template(
            parameters={"s": {"type": "securestring"}},
            outputs={
                "hidden": {"type": "securestring", "value": "[parameters('s')]"},
                "wrong": {"type": "int", "value": "[parameters('s')]"},
                "lost": {"type": "string", "value": "[reference('nope').x]"},
            },
        ),
        {"s": "canary"},
    )
    with pytest.raises(LazurError) as caught:
        outputs(made.template, made.scope, Live())
    assert caught.value.code == "DeploymentOutputEvaluationFailed"
    assert "Unable to evaluate template outputs: 'wrong,lost'" in caught.value.message
    assert "canary" not in str(caught.value.body())
    good = expanded(
        template(
            parameters={"s": {"type": "securestring"}}, outputs={"h": {"type": "securestring", "value": "[parameters('s')]"}}
        ),
        {"s": "canary"},
    )
    assert outputs(good.template, good.scope, Live()) == {"h": {"type": "SecureString"}}


def test_facts_ask_for_what_is_missing() -> None:
    made = expanded(
        template([resource("a"), resource("b", properties={"x": "[reference('a').x]", "k": "[listKeys('a', '1').k]"})])
    )
    node = made.nodes[-1]
    facts = Facts()
    asked = []
    while True:
        try:
            body = evaluate_body(node, made.scope, facts)
            break
        except LookupNeeded as need:
            asked.append((need.question.action, need.question.id.rsplit("/", 1)[1], need.question.api_version))
            facts.put(need.question, {"x": 1, "k": 2})
    assert asked == [(None, "a", "2024-01-01"), ("listKeys", "a", "1")]
    assert body["properties"] == {"x": 1, "k": 2}


def test_a_failing_body_names_the_resource() -> None:
    made = expanded(template([resource("a", properties={"deep": [{"x": "[createObject().y]"}]})]))
    with pytest.raises(LazurError) as caught:
        bodies(made)
    assert caught.value.message.startswith(
        f"Unable to process template language expressions for resource '{RG}/providers/Microsoft.Network/virtualNetworks/a'"
    )
    assert caught.value.target == "resources[0].properties.deep[0].x"


def test_a_deployment_sees_no_secret_of_itself() -> None:
    made = expanded(
        template(
            parameters={"s": {"type": "securestring"}, "t": {"type": "string"}},
            outputs={"o": {"type": "object", "value": "[deployment().properties.parameters]"}},
        ),
        {"s": "canary", "t": "shown"},
    )
    assert outputs(made.template, made.scope, Live())["o"]["value"] == {"t": {"value": "shown"}}


@pytest.mark.parametrize(
    "expression",
    [
        "[fail(concat('no: ', parameters('s')))]",
        "[dateTimeAdd(parameters('s'), 'P1D')]",
        "[createObject()[parameters('s')]]",
        "[int(parameters('s'))]",
        "[json(parameters('s'))]",
        "[reference(parameters('s'))]",
        "[cidrHost(toUpper(parameters('s')), 1)]",
        "[format(concat('{0:', parameters('s')), 1)]",
        "[createObject(parameters('s'), 1, parameters('s'), 2)]",
        "[parameters('o').deep[0].nope[parameters('o').deep[0].key]]",
    ],
)
def test_no_error_tells_a_secret(expression: str) -> None:
    raw = template(
        [resource("a", properties={"x": expression})],
        parameters={"s": {"type": "securestring"}, "o": {"type": "secureObject"}},
        outputs={"x": {"type": "string", "value": expression}},
    )
    made = expanded(raw, {"s": "canary", "o": {"deep": [{"key": "canary"}]}})
    with pytest.raises(LazurError) as of_body:
        bodies(made)
    with pytest.raises(LazurError) as of_output:
        outputs(made.template, made.scope, Live())
    assert "canary" not in f"{of_body.value.body()} {of_output.value.body()}".lower()


def test_a_skipped_resource_may_exist_already() -> None:
    made = expanded(
        template([resource("old", condition=False)], outputs={"x": {"type": "int", "value": "[reference('old').x]"}})
    )
    live = Live({f"{RG}/providers/Microsoft.Network/virtualNetworks/old": {"properties": {"x": 1}}})
    assert outputs(made.template, made.scope, live)["x"]["value"] == 1


def test_copies_as_az_writes_them() -> None:
    made = expanded(
        template(
            [
                resource(
                    "[concat('pip', copyIndex())]",
                    "Microsoft.Network/publicIPAddresses",
                    copy={"name": "publicipcopy", "mode": "parallel", "count": 2},
                ),
                resource(
                    "[concat('nic', copyIndex())]",
                    "Microsoft.Network/networkInterfaces",
                    copy={"name": "niccopy", "mode": "parallel", "count": 2},
                    dependsOn=["Microsoft.Network/publicIPAddresses/pip0", "Microsoft.Network/publicIPAddresses/pip1"],
                    properties={"id": f"[concat('{RG}/x/pip', copyIndex())]"},
                ),
                {
                    "name": "vault/Microsoft.Authorization/guid",
                    "type": "Microsoft.KeyVault/vaults/providers/roleAssignments",
                    "apiVersion": "2015-07-01",
                    "dependsOn": ["nic0"],
                    "properties": {"principalId": f"[reference('{RG}/providers/A.B/c/d', '2019-07-01', 'Full').p.q]"},
                },
            ],
            outputs={
                "o": {
                    "type": "string",
                    "value": "[reference(resourceId('A.B/c', 'd'),providers('A.B', 'c').apiVersions[0]).fqdn]",
                }
            },
        )
    )
    assert waits(made)["nic1"] == ["pip0", "pip1"]
    live = Live({f"{RG}/providers/A.B/c/d": {"p": {"q": "principal"}, "properties": {"fqdn": "name"}}})
    found = bodies(made, live)
    assert found["Microsoft.Network/networkInterfaces/nic1"]["properties"]["id"] == f"{RG}/x/pip1"
    assert found["Microsoft.Authorization/roleAssignments/guid"]["properties"] == {"principalId": "principal"}
    assert made.nodes[-1].scope_id == f"{RG}/providers/Microsoft.KeyVault/vaults/vault"
    assert outputs(made.template, made.scope, live)["o"]["value"] == "name"
