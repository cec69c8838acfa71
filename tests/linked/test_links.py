"""Links: which URL is meant, what is refused, what was fetched is what was asked for, and no token in any message."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lazur.drivers.web.fetch import GuardedFetch
from lazur.drivers.web.guard import Guard
from lazur.drivers.web.interface import Answer
from lazur.drivers.web.simulated import SimulatedTransport
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.providers.resources.linked import Link, linked_parameters, linked_template, template_link
from tests.template.cloud import template

PARENT = Link("https://a.test/site/main.json", "sig=parent")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"uri": "https://a.test/t.json"}, "https://a.test/t.json"),
        ({"URI": "https://a.test/t.json?sig=x#part"}, "https://a.test/t.json?sig=x"),
        ({"uri": "https://a.test/t.json", "queryString": "?sig=y"}, "https://a.test/t.json?sig=y"),
        ({"relativePath": "nested/n.json"}, "https://a.test/site/nested/n.json?sig=parent"),
        ({"relativePath": "../n.json", "queryString": "sig=own"}, "https://a.test/n.json?sig=own"),
        ({"relativePath": "../../../../n.json"}, "https://a.test/n.json?sig=parent"),
    ],
)
def test_the_url_a_link_means(given: dict[str, Any], url: str) -> None:
    link = template_link(given, PARENT)
    assert link.url == url
    assert "sig" not in link.uri and "sig" not in repr(link)


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("https://a.test/t.json", ""),
        ({}, ""),
        ({"uri": ""}, ".uri"),
        ({"uri": 5}, ".uri"),
        ({"uri": "t.json"}, ".uri"),
        ({"uri": "file:///etc/passwd"}, ".uri"),
        ({"uri": "http://[::1"}, ".uri"),
        ({"uri": "https://a.test/t", "relativePath": "n"}, ""),
        ({"relativePath": "https://evil.test/n.json"}, ".relativePath"),
        ({"relativePath": "//evil.test/n.json"}, ".relativePath"),
        ({"relativePath": "/n.json"}, ".relativePath"),
        ({"relativePath": "\\\\evil.test\\n.json"}, ".relativePath"),
        ({"relativePath": "n.json?x=y"}, ".relativePath"),
        ({"id": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Resources/templateSpecs/t"}, ".id"),
        ({"uri": "https://a.test/t", "user": "u"}, ".user"),
    ],
)
def test_links_that_are_refused(given: Any, target: str) -> None:
    with pytest.raises(LazurError) as caught:
        template_link(given, PARENT)
    assert caught.value.target == f"properties.templateLink{target}"


def test_a_relative_path_needs_a_parent_that_was_linked() -> None:
    with pytest.raises(LazurError, match="itself linked"):
        template_link({"relativePath": "n.json"})


def load(given: dict[str, Any], page: bytes, *, parameters: bool = False) -> Any:
    transport = SimulatedTransport({"a.test": ["93.184.215.14"]}, {"https://a.test/t.json?sig=canary": Answer(200, body=page)})
    fetch = GuardedFetch(Guard(), transport, SystemClock())
    if parameters:
        return asyncio.run(linked_parameters(given, fetch))
    return asyncio.run(linked_template(template_link(given), fetch))


URI = {"uri": "https://a.test/t.json?sig=canary"}


def test_a_linked_template_is_read_as_tolerantly_as_a_request_and_keeps_its_places() -> None:
    page = b"\xef\xbb\xbf// main\n" + json.dumps(template(), indent=1).encode()
    found = load({**URI, "contentVersion": "1.0.0.0"}, page)
    assert found.template == template()
    assert found.locate("contentVersion")[0] == 4
    assert found.link.uri == "https://a.test/t.json"


def test_parameters_with_and_without_an_envelope() -> None:
    values = {"p": {"value": 1}}
    whole = {"$schema": "s", "contentVersion": "1.0.0.0", "parameters": values}
    assert load(URI, json.dumps(whole).encode(), parameters=True) == values
    assert load(URI, json.dumps(values).encode(), parameters=True) == values
    with pytest.raises(LazurError, match="no parameter file"):
        load(URI, json.dumps({"$schema": "s"}).encode(), parameters=True)


@pytest.mark.parametrize("parameters", [True, False])
@pytest.mark.parametrize("page", [b"", b"<html>", b"[]", b'{"a": ', b"\xff\xfe"])
def test_what_is_no_json_is_refused_without_its_token(page: bytes, parameters: bool) -> None:
    with pytest.raises(LazurError) as caught:
        load(URI, page, parameters=parameters)
    assert caught.value.code == "InvalidContentLink"
    assert "canary" not in str(caught.value)


def test_another_version_is_refused() -> None:
    with pytest.raises(LazurError, match="does not match the version") as caught:
        load({**URI, "contentVersion": "2.0.0.0"}, json.dumps(template()).encode())
    assert "canary" not in str(caught.value)
