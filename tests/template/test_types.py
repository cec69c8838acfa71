"""What languageVersion 2.0 adds: types of the template's own, typed functions, options of resources, values from outside."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import expand, outputs, parse_template
from tests.template.cloud import Live, context, expanded, template
from tests.template.test_expand import messages, refused, symbolic

DEFINITIONS: dict[str, Any] = {
    "cat": {"type": "object", "properties": {"kind": {"type": "string", "allowedValues": ["cat"]}, "lives": {"type": "int"}}},
    "dog": {
        "type": "object",
        "properties": {"kind": {"type": "string", "allowedValues": ["dog"]}},
        "additionalProperties": False,
    },
    "pet": {
        "type": "object",
        "discriminator": {
            "propertyName": "kind",
            "mapping": {"cat": {"$ref": "#/definitions/cat"}, "dog": {"$ref": "#/definitions/dog"}},
        },
    },
    "pair": {"type": "array", "prefixItems": [{"type": "int"}, {"type": "string", "nullable": True}], "items": False},
    "tree": {"type": "object", "properties": {"left": {"$ref": "#/definitions/tree", "nullable": True}}},
    "ports": {"type": "object", "properties": {}, "additionalProperties": {"type": "int", "maxValue": 9}},
    "level": {"type": "string", "allowedValues": ["low", "high"]},
    "short": {"type": "array", "minLength": 1, "maxLength": 2, "items": {"$ref": "#/definitions/level"}},
    "locked": {"type": "object", "properties": {"key": {"type": "securestring", "minLength": 9}}},
}  # fmt: skip


def takes(kind: str, value: Any) -> None:
    parameters = {"p": {"$ref": f"#/definitions/{kind}"}}
    expanded(symbolic({}, definitions=DEFINITIONS, parameters=parameters), {"p": value})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("pet", {"kind": "cat", "lives": 9}),
        ("pet", {"kind": "dog"}),
        ("pair", [1, "x"]),
        ("pair", [1]),
        ("pair", [1, None]),
        ("tree", {"left": {"left": {"left": None}}}),
        ("ports", {"a": 1, "b": 9}),
        ("short", ["low", "high"]),
        ("locked", {"key": "123456789"}),
    ],
)
def test_values_that_fit(kind: str, value: Any) -> None:
    takes(kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("pet", {"kind": "cow"}, "'kind'"),
        ("pet", {}, "'kind'"),
        ("pet", {"kind": "cat"}, "'lives' is missing"),
        ("pet", {"kind": "dog", "lives": 1}, "'lives' is not permitted"),
        ("pair", [], "element '0' is missing"),
        ("pair", [1, "x", 2], "more than 2"),
        ("pair", ["x"], "At '[0]': Expected a value of type 'Integer'"),
        ("tree", {"left": {"left": 5}}, "At 'left.left'"),
        ("ports", {"a": 10}, "At 'a'"),
        ("short", [], "greater than or equal to '1'"),
        ("short", ["low", "low", "low"], "less than or equal to '2'"),
        ("short", ["middle"], "At '[0]'"),
        ("locked", {"key": "canary"}, "greater than or equal to '9'"),
        ("locked", [], "Expected a value of type 'Object'"),
    ],
)
def test_values_that_do_not_fit(kind: str, value: Any, words: str) -> None:
    with pytest.raises(LazurError) as caught:
        takes(kind, value)
    assert words in messages(caught.value)
    assert "canary" not in messages(caught.value)


def test_arguments_and_results_of_functions_are_checked() -> None:
    def member(value: str, kind: str, **returns: Any) -> dict[str, Any]:
        return {"parameters": [{"name": "p", **DEFINITIONS[kind]}], "output": {"value": value, **returns}}

    functions = [
        {
            "namespace": "__bicep",
            "members": {
                "first": member("[parameters('p')[0]]", "pair", type="int"),
                "wrong": member("[parameters('p')[0]]", "pair", type="string"),
                "level": {
                    "parameters": [{"name": "p", "$ref": "#/definitions/level"}],
                    "output": {"type": "int", "value": "[__bicep.first(createArray(length(parameters('p'))))]"},
                },
            },
        }
    ]

    def called(expression: str) -> Any:
        found = {"o": {"type": "int", "value": expression}}
        made = expanded(symbolic({}, definitions=DEFINITIONS, functions=functions, outputs=found))
        return outputs(made.template, made.scope, Live())["o"]["value"]

    assert called("[__bicep.level('high')]") == 4
    for expression, words in (
        ("[__bicep.level('middle')]", "parameter 'p' of the template function '__bicep.level'"),
        ("[__bicep.first(createArray('x'))]", "parameter 'p'"),
        ("[__bicep.wrong(createArray(1))]", "output of the template function '__bicep.wrong'"),
    ):
        with pytest.raises(LazurError) as caught:
            called(expression)
        assert words in messages(caught.value)


def test_options_of_resources() -> None:
    body = {"type": "A.B/c", "apiVersion": "1", "name": "x"}
    made = expanded(symbolic({"a": {**body, "@options": {"onlyIfNotExists": True}}, "b": {**body, "name": "y"}}))
    assert {node.name: node.only_new for node in made.nodes} == {"x": True, "y": False}
    assert all("@options" not in node.body for node in made.nodes)
    for options, words in (
        ({"retryOn": {"exceptionCodes": ["X"]}, "waitUntil": {}}, ["option 'retryOn'", "option 'waitUntil'"]),
        ({"onlyIfNotExists": "yes"}, ["must be a boolean"]),
        ([], ["'@options' is not supported"]),
    ):
        text = messages(refused(symbolic({"a": {**body, "@options": options}})))
        assert all(word in text for word in words)


def test_what_belongs_to_other_clouds_is_refused_with_its_name() -> None:
    extension = {"import": "graph", "type": "Microsoft.Graph/groups@v1.0", "apiVersion": "1", "name": "g"}
    raw = symbolic(
        {"g": extension},
        imports={"graph": {"provider": "MicrosoftGraph", "version": "1.0.0"}},
        extensions={"k8s": {"name": "Kubernetes", "version": "1.0.0"}},
    )
    text = messages(refused(raw))
    assert "'imports' is not supported" in text and "'extensions' is not supported" in text
    assert "Resources of extensions are not supported" in text


def test_values_that_the_sender_computed() -> None:
    raw = template(parameters={"p": {"type": "string"}, "q": {"type": "securestring"}})
    def bound(given: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        return dict(expand(parse_template(raw), given, context(external_inputs=inputs)).scope.parameters)

    given = {"p": {"expression": "[format('x-{0}', externalInputs('0'))]"}, "q": {"expression": "[externalInputs('1').key]"}}
    assert bound(given, **{"0": {"value": "a"}, "1": {"value": {"key": "s"}}}) == {"p": "x-a", "q": "s"}
    for inputs, expression, words in (
        ({}, "[externalInputs('0')]", "external input '0' is not given"),
        ({"0": {"value": 5}}, "[externalInputs('0')]", "Expected a value of type 'String"),
        ({}, "[variables('x')]", "is not expected at this location"),
        ({}, "[reference('x')]", "is not expected at this location"),
    ):
        with pytest.raises(LazurError) as caught:
            bound({"p": {"expression": expression}, "q": {"value": "s"}}, **inputs)
        assert words in messages(caught.value)


def test_secure_outputs_show_only_to_whom_they_are_for() -> None:
    raw = template(outputs={"s": {"type": "securestring", "value": "canary"}, "o": {"type": "int", "value": 1}})
    made = expanded(raw)
    assert outputs(made.template, made.scope, Live()) == {"s": {"type": "SecureString"}, "o": {"type": "Int", "value": 1}}
    assert outputs(made.template, made.scope, Live(), secure=True)["s"] == {"type": "SecureString", "value": "canary"}
