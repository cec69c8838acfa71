"""Nested deployments: expressions of the parent's scope and of their own."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import evaluate_body, expand, nested_deployment, outputs, parse_template
from tests.template.cloud import RG, Live, context, expanded, template


def deployment(inner: bool, nested: dict[str, Any], **properties: Any) -> dict[str, Any]:
    options = {"expressionEvaluationOptions": {"scope": "inner"}} if inner else {}
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": "n",
        "properties": {"mode": "Incremental", "template": nested, **options, **properties},
    }


NESTED = template(
    [
        {
            "type": "A.B/c",
            "apiVersion": "2024-01-01",
            "name": "[concat(variables('v'), copyIndex(), '-', parameters('p'))]",
            "copy": {"name": "loop", "count": "[parameters('count')]"},
            "properties": {"plain": "[variables('v')]", "odd": "[concat('[', 'x]')]"},
        }
    ],
    parameters={"p": {"type": "string", "defaultValue": "inner"}, "count": {"type": "int", "defaultValue": 1}},
    variables={"v": "inner"},
    outputs={"o": {"type": "string", "value": "[variables('v')]"}},
)


def deploy(inner: bool, **properties: Any) -> tuple[list[str], dict[str, Any], Any]:
    outer = template(
        [deployment(inner, NESTED, **properties)],
        parameters={"p": {"type": "string", "defaultValue": "it's outer"}, "count": {"type": "int", "defaultValue": 2}},
        variables={"v": "outer"},
    )
    made = expanded(outer)
    node = made.nodes[0]
    assert node.is_deployment
    nested = nested_deployment(node, evaluate_body(node, made.scope, Live()))
    assert nested.scope_id == RG
    assert nested.mode == "Incremental"
    made = expand(parse_template(nested.template), nested.parameters, context(deployment_name=nested.name))
    body = evaluate_body(made.nodes[0], made.scope, Live())
    return [n.name for n in made.nodes], body["properties"], outputs(made.template, made.scope, Live())["o"]["value"]


def test_outer_scope_takes_the_values_of_the_parent() -> None:
    assert deploy(False) == (["outer0-it's outer", "outer1-it's outer"], {"plain": "outer", "odd": "[x]"}, "outer")


def test_inner_scope_has_its_own_values() -> None:
    assert deploy(True) == (["inner0-inner"], {"plain": "inner", "odd": "[x]"}, "inner")
    given = {"p": {"value": "[parameters('p')]"}, "count": {"value": "[add(parameters('count'), 1)]"}}
    names, _, _ = deploy(True, parameters=given)
    assert names == ["inner0-it's outer", "inner1-it's outer", "inner2-it's outer"]


def test_a_nested_template_waits_for_what_it_refers_to_in_its_parent() -> None:
    reader = template(outputs={"o": {"type": "string", "value": "[reference('x').y]"}})
    x = {"type": "A.B/c", "apiVersion": "2024-01-01", "name": "x"}
    assert [n.name for n in expanded(template([deployment(False, reader), x])).nodes] == ["x", "n"]
    assert [n.name for n in expanded(template([deployment(True, reader), x])).nodes] == ["n", "x"]


def test_outputs_of_a_nested_deployment_are_read_by_its_name() -> None:
    made = expanded(
        template(
            [
                deployment(True, template()),
                {"type": "A.B/c", "apiVersion": "1", "name": "x", "properties": "[reference('n').outputs.o.value]"},
            ]
        )
    )
    assert [n.name for n in made.nodes] == ["n", "x"]
    id = f"{RG}/providers/Microsoft.Resources/deployments/n"
    live = Live({id: {"properties": {"outputs": {"o": {"value": {"a": 1}}}}}})
    assert evaluate_body(made.nodes[1], made.scope, live) == {"properties": {"a": 1}}


def test_a_deeper_template_of_its_own_scope_stays_as_it_is() -> None:
    middle = template([deployment(True, NESTED, parameters={"p": {"value": "[variables('v')]"}})])
    made = expanded(template([deployment(False, middle)], variables={"v": "outer"}))
    body = evaluate_body(made.nodes[0], made.scope, Live())
    deeper = body["properties"]["template"]["resources"][0]["properties"]
    assert deeper["template"] == NESTED
    assert deeper["parameters"] == {"p": {"value": "outer"}}


def test_a_linked_template_is_named() -> None:
    made = expanded(
        template(
            [
                {
                    "type": "Microsoft.Resources/deployments",
                    "apiVersion": "2022-09-01",
                    "name": "n",
                    "properties": {"mode": "Incremental", "templateLink": {"uri": "[concat('http://x/', 'y.json')]"}},
                }
            ]
        )
    )
    nested = nested_deployment(made.nodes[0], evaluate_body(made.nodes[0], made.scope, Live()))
    assert nested.template is None
    assert nested.template_link == {"uri": "http://x/y.json"}
    with pytest.raises(LazurError, match="either a template or a template link"):
        nested_deployment(made.nodes[0], {"properties": {}})
