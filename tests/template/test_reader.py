"""The reader of deployment bodies: what az sends, what JSON allows, and what must be refused without breaking."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import Locator, parse_template, read_body
from lazur.providers.resources.template.faults import MAX_BODY

AZ = b"""{"properties": {"parameters": {"name": {"value": "vv"}}, "mode": "Incremental", template:{
  // what az sends is the text of the file, comments and all
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0", /* a block
  of comment */
  "parameters": {
    "name": { "type": "string" },
    "other": {
      "type": "int"
    }
  },
  "variables": {
    "url": "http://not.a.comment/",
    "long": "[concat('a',
       parameters('name'))]"
  },
  "resources": []
}}}"""


def test_the_body_az_sends() -> None:
    properties = read_body(AZ)["properties"]
    assert properties["mode"] == "Incremental"
    assert properties["parameters"] == {"name": {"value": "vv"}}
    template = properties["template"]
    assert template["variables"]["long"] == "[concat('a',\n       parameters('name'))]"
    assert template["variables"]["url"] == "http://not.a.comment/"
    parse_template(template)


def test_line_and_column_are_those_of_the_text_in_the_request() -> None:
    locate = Locator(AZ)
    assert locate("parameters.other") == (8, 14)
    assert locate("PARAMETERS.Name") == (7, 13)
    assert locate("nowhere") == (0, 0)
    with pytest.raises(LazurError) as caught:
        parse_template({**read_body(AZ)["properties"]["template"], "variables": {"long": "[concat(]"}}, locate=locate)
    assert caught.value.body()["additionalInfo"] == [
        {"type": "TemplateViolation", "info": {"lineNumber": 15, "linePosition": 28, "path": "variables.long"}}
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": 1,}', {"a": 1}),
        (b'{"a": [1, 2,],}', {"a": [1, 2]}),
        (b"{'a': 'it\\'s'}", {"a": "it's"}),
        (b'{a-b: null, $c: true, _d: -1.5e2}', {"a-b": None, "$c": True, "_d": -150.0}),
        (b'\xef\xbb\xbf{"a": "\\u00e4\\ud83d\\ude00"}', {"a": "\u00e4\U0001f600"}),
        (b'/* x */ {"a": "\\n"} // end', {"a": "\n"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"True": 1, "true": 2}', {"True": 1, "true": 2}),
        (b'{a: "\\u0041\\/\t"}', {"a": "A/\t"}),
        (b"{a:[]}", {"a": []}),
    ],
)
def test_forms_that_are_read(text: bytes, value: Any) -> None:
    assert read_body(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "Unexpected end"),
        (b"[]", "must be a JSON object"),
        (b'{"a": 1', "Unexpected end"),
        (b'{"a" 1}', "Expected ':'"),
        (b'{"a": }', "Unexpected character"),
        (b'{"a": [1 2]}', "Expected ','"),
        (b'{"a": [,]}', "Unexpected character"),
        (b'{"a": 1]', "Unexpected"),
        (b'{"a": "x}', "not closed"),
        (b'{"a": /* }', "not closed"),
        (b'{"a": tru}', "Unexpected character"),
        (b'{"a": NaN}', "Unexpected character"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": 01}', "Unexpected character"),
        (b'{a: "\\x"}', "Bad escape"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b"{} {}", "after the end"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b"}", "Unexpected"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
)
def test_forms_that_are_refused(text: bytes, words: str) -> None:
    with pytest.raises(LazurError) as caught:
        read_body(text)
    assert caught.value.code == "InvalidRequestContent"
    assert words in caught.value.message


def test_a_fault_names_line_and_position() -> None:
    with pytest.raises(LazurError, match=r"Path 'properties'. Line 2, position 7."):
        read_body(b'{"properties": {\n  "a": ?}}')


@pytest.mark.parametrize("depth", [129, 5_000, 500_000])
@pytest.mark.parametrize("wrap", ["%s", "{x: %s}"])
def test_depth_is_bounded(depth: int, wrap: str) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    listed = '{"a":' + "[" * depth + "]" * depth + "}"
    for text in (deep, listed):
        with pytest.raises(LazurError, match="nested deeper"):
            read_body((wrap % text).encode())


def test_size_is_bounded() -> None:
    with pytest.raises(LazurError) as caught:
        read_body(b" " * (MAX_BODY + 1))
    assert caught.value.status == 413


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_json_reads_the_same_by_both_ways(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    assert read_body(text.encode()) == value
    assert read_body(f"/**/ {text[:-1]} /**/ }} //".encode()) == value


@given(st.text(alphabet='{}[]":,\'\\/* \n\tabut0123.-eE$_#\u00e4', max_size=60) | st.text(max_size=40))
@example('{"a":"\\ud800"}')
@settings(max_examples=500)
def test_no_text_breaks_the_reader(text: str) -> None:
    for raw in (text.encode(errors="surrogatepass"), f"{{{text}}}".encode(errors="surrogatepass")):
        Locator(raw)("x")
        with suppress(LazurError):
            assert isinstance(read_body(raw), dict)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with suppress(LazurError):
        read_body(raw)
