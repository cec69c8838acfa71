# ruff: noqa: E501  (one strategy is one line)
"""Whatever the input, the answer is a value or a `LazurError`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import bind, evaluate, evaluate_body, expand, outputs, parse_template
from lazur.providers.resources.template.functions import FUNCTIONS, dotnet_dates, dotnet_numbers
from lazur.providers.resources.template.functions.collection import units, ununits
from lazur.providers.resources.template.parser import escaped, is_expression, plain
from lazur.providers.resources.template.reader import read_body
from lazur.providers.resources.template.values import to_json
from tests.template.cloud import Live, context, template

_NAMES = sorted(function.name.replace("*", "Keys") for function in FUNCTIONS.values())
_LITERALS = st.sampled_from(
    ["''", "'a'", "'x''y'", "'{0:N2}'", "'10.0.0.0/8'", "'P1D'", "'2020-01-01T00:00:00Z'", "'A.B/c'", "0", "-1", "3",
     "9223372036854775807", "null()", "true()", "false()", "createArray(1, 'b')", "createObject('a', 1)",
     "parameters('p')", "variables('v')", "lambda('x', lambdaVariables('x'))", "float('1.5')", "'\U0001f600'"]
)  # fmt: skip
_EXPRESSIONS = st.recursive(
    _LITERALS,
    lambda inner: st.builds(
        lambda name, args, tail: f"{name}({', '.join(args)}){tail}",
        st.sampled_from(_NAMES),
        st.lists(inner, max_size=4),
        st.sampled_from(["", "", "", ".a", "[0]", "['b']"]),
    ),
    max_leaves=8,
)
_SCOPE = bind(
    parse_template(
        template(parameters={"p": {"type": "object", "defaultValue": {"k": [1, "two", None]}}}, variables={"v": ["x"]})
    ),
    {},
    context(),
)


class Anything(Live):
    """Answers every question."""

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        return {"a": 1}


@given(_EXPRESSIONS)
@settings(max_examples=1500)
def test_any_call_gives_a_value_or_a_refusal(text: str) -> None:
    for lookup in (None, Anything()):
        with suppress(LazurError):
            to_json(evaluate(f"[{text}]", _SCOPE, lookup)).encode()


@given(st.text(alphabet="abf('\")[],.{}0-9 \\n$", max_size=60) | st.text(max_size=30))
@settings(max_examples=500)
def test_any_text_parses_or_is_refused(text: str) -> None:
    with suppress(LazurError):
        evaluate(f"[{text}]", _SCOPE)


@pytest.mark.parametrize("unit", ["concat(", "a.", "x('", "(((", "f(f(", "a()[", "1,"])
def test_long_and_deep_expressions_are_refused(unit: str) -> None:
    for count in (150, 3000, 40_000):
        with pytest.raises(LazurError):
            evaluate(f"[{unit * count}]", _SCOPE)


def test_long_chains_of_properties_do_not_recurse() -> None:
    with pytest.raises(LazurError, match="doesn't exist"):
        evaluate(f"[createObject(){'.a' * 8000}]", _SCOPE)


_KEYS = st.sampled_from(
    ["type", "name", "apiVersion", "copy", "count", "mode", "batchSize", "input", "condition", "dependsOn", "resources",
     "properties", "template", "parameters", "variables", "outputs", "functions", "value", "defaultValue", "$ref",
     "scope", "existing", "languageVersion", "definitions", "items", "nullable", "members", "namespace", "output",
     "allowedValues", "minLength", "$schema", "contentVersion", "a", "resourceGroup", "discriminator", "propertyName"]
)  # fmt: skip
_LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 900) | st.floats(allow_nan=False, allow_infinity=False) | _KEYS
    | st.sampled_from(["string", "int", "object", "array", "A.B/c", "2.0", "1.0.0.0", "Microsoft.Resources/deployments",
                       "serial", "#/definitions/a", "[copyIndex()]", "[parameters('a')]", "[variables('a')]", "x/y"])
    | _EXPRESSIONS.map(lambda text: f"[{text}]")
)  # fmt: skip
_TREES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=25
)
_RESOURCES = st.fixed_dictionaries(
    {"type": st.just("A.B/c") | st.just("Microsoft.Resources/deployments") | _LEAVES,
     "name": st.sampled_from(["a", "b", "[concat('n', copyIndex())]"]) | _LEAVES, "apiVersion": st.just("1")},
    optional={
        "copy": st.fixed_dictionaries({"name": st.just("a"), "count": st.integers(-1, 4) | _LEAVES}, optional={"mode": st.just("serial"), "batchSize": _LEAVES}),
        "dependsOn": st.lists(st.sampled_from(["a", "b", "A.B/c/a"]) | _LEAVES, max_size=3) | _TREES,
        "condition": _LEAVES, "properties": _TREES, "resources": _TREES, "scope": _LEAVES, "existing": st.booleans(),
    },
)  # fmt: skip


@given(
    st.lists(_RESOURCES | _TREES, max_size=4) | st.dictionaries(_KEYS, _RESOURCES | _TREES, max_size=4),
    st.dictionaries(_KEYS, st.fixed_dictionaries({"type": _LEAVES}, optional={"defaultValue": _TREES}) | _TREES, max_size=3),
    st.dictionaries(_KEYS, _TREES, max_size=3),
    st.dictionaries(_KEYS, st.fixed_dictionaries({"type": _LEAVES, "value": _TREES}) | _TREES, max_size=3),
    st.dictionaries(_KEYS, _TREES, max_size=3),
    st.dictionaries(_KEYS, _TREES, max_size=3),
)
@settings(max_examples=600)
def test_any_template_is_deployed_or_refused(
    resources: Any, parameters: Any, variables: Any, outs: Any, given_values: Any, more: Any
) -> None:
    raw = {
        **template(parameters=parameters, variables=variables, outputs=outs),
        **{key: value for key, value in more.items() if key in ("functions", "definitions", "languageVersion")},
        "resources": resources,
    }
    with suppress(LazurError):
        made = expand(parse_template(raw), given_values, context())
        for node in made.nodes:
            to_json(evaluate_body(node, made.scope, Anything()))
        outputs(made.template, made.scope, Anything())


@given(st.text())
def test_escaping_is_the_inverse_of_reading(text: str) -> None:
    assert not is_expression(escaped(text))
    assert plain(escaped(text)) == text or text.startswith("[[")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_units_and_back(text: str) -> None:
    assert ununits(units(text)) == text
    assert len(units(text)) == len(text.encode("utf-16-le")) // 2


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.text(alphabet="0#.,%;eE+-'\"x N2DFGXPCR9", max_size=8))
@settings(max_examples=500)
def test_any_number_format(value: float, form: str) -> None:
    with suppress(dotnet_numbers.BadFormat):
        assert isinstance(dotnet_numbers.write(value, form), str)


@given(st.datetimes(), st.text(alphabet="dfFghHKmMstyz:/'\"\\% x", max_size=12))
def test_any_date_format(value: Any, form: str) -> None:
    assert isinstance(dotnet_dates.write(value, form), str | None)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.floats(allow_nan=False, allow_infinity=False), max_size=4))
def test_our_json_is_json(value: dict[str, Any]) -> None:
    try:
        assert read_body(to_json(value).encode(errors="surrogatepass")) == value
    except LazurError:
        assert any("\ud800" <= char <= "\udfff" for char in str(value))
