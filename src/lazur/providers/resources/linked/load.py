"""Fetches what links mean. All that is fetched comes through the `Fetch` that is handed in; nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazur.drivers.web.interface import Fetch
from lazur.kernel.apart import LARGE, apart
from lazur.providers.resources.linked.links import Link, check_version, content, parameters_link, parse_parameters
from lazur.providers.resources.template import Locator


@dataclass(frozen=True)
class LinkedTemplate:
    """A template that was fetched."""

    template: Mapping[str, Any]
    link: Link
    locate: Locator
    """Line and column in the file it came from."""


async def linked_template(link: Link, fetch: Fetch) -> LinkedTemplate:
    """The template at a link; `InvalidContentLink` when it can't be had or is another version."""
    raw = await fetch(link.url)
    template = await _read(raw, link)
    check_version(template, link)
    return LinkedTemplate(template, link, Locator(raw, ""))


async def linked_parameters(given: Any, fetch: Fetch) -> dict[str, Any]:
    """The values of the parameter file that a `parametersLink` means."""
    link = parameters_link(given)
    found = await _read(await fetch(link.url), link)
    check_version(found, link)
    return parse_parameters(found, link)


async def _read(raw: bytes, link: Link) -> dict[str, Any]:
    return content(raw, link) if len(raw) <= LARGE else await apart(lambda: content(raw, link))
