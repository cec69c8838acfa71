"""Which URL a link means, and whether what was found is what it asked for. Pure.

A query string may hold a token that opens a storage account: it never stands in a message, and is kept apart from the URI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import read_body
from lazur.providers.resources.template.values import get

_USAGE = "Please see https://aka.ms/arm-deploy for usage details."
_MEMBERS = {"uri", "id", "relativepath", "contentversion", "querystring"}


@dataclass(frozen=True)
class Link:
    """A template at a URL."""

    uri: str
    """Without query."""
    query: str = field(default="", repr=False)
    content_version: str | None = None

    @property
    def url(self) -> str:
        """What to fetch."""
        return f"{self.uri}?{self.query}" if self.query else self.uri


def template_link(given: Any, parent: Link | None = None, path: str = "properties.templateLink") -> Link:
    """The link a `templateLink` means; `parent` is the link of the template it stands in, for relative paths."""
    if not isinstance(given, Mapping):
        raise _wrong("A template link must be an object.", path)
    unknown = [name for name in given if name.lower() not in _MEMBERS]
    if unknown:
        raise _wrong(f"A template link has no property '{unknown[0][:100]}'.", f"{path}.{unknown[0]}")
    parts = {name: get(given, name) for name in ("uri", "id", "relativePath", "contentVersion", "queryString")}
    for name, value in parts.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise _wrong(f"The property '{name}' of a template link must be a string that is not empty.", f"{path}.{name}")
    if parts["id"] is not None:
        message = "Template specs are not offered; link by 'uri' or 'relativePath'."
        raise LazurError("NotSupported", message, target=f"{path}.id")
    if (parts["uri"] is None) == (parts["relativePath"] is None):
        raise _wrong("A template link needs exactly one of 'uri' and 'relativePath'.", path)
    version = parts["contentVersion"]
    if parts["uri"] is not None:
        uri, query = _split(parts["uri"], f"{path}.uri")
        return Link(uri, (parts["queryString"] or query).lstrip("?"), version)
    if parent is None:
        message = "The property 'relativePath' can only be used in a template that was itself linked by a 'uri'."
        raise _wrong(message, f"{path}.relativePath")
    where = parts["relativePath"]
    pieces = urlsplit(where)
    if pieces.scheme or pieces.netloc or where.startswith(("/", "\\")) or pieces.query or pieces.fragment:
        raise _wrong("A relative path must not be a whole URL, nor have a query.", f"{path}.relativePath")
    query = (parts["queryString"] or parent.query).lstrip("?")
    return Link(urljoin(parent.uri, where), query, version)


def parameters_link(given: Any, path: str = "properties.parametersLink") -> Link:
    """The link a `parametersLink` means."""
    uri = get(given, "uri") if isinstance(given, Mapping) else None
    version = get(given, "contentVersion") if isinstance(given, Mapping) else None
    if not isinstance(uri, str) or not uri:
        raise _wrong("A link to parameters needs a 'uri'.", f"{path}.uri")
    base, query = _split(uri, f"{path}.uri")
    return Link(base, query, version if isinstance(version, str) else None)


def check_version(content: Mapping[str, Any], link: Link) -> None:
    """Refuse content of another version than the link names."""
    found = get(content, "contentVersion")
    if link.content_version is not None and str(found) != link.content_version:
        raise LazurError(
            "InvalidContentLink",
            f"The content version '{str(found)[:50]}' of '{link.uri[:500]}' does not match the version "
            f"'{link.content_version[:50]}' of the link. {_USAGE}",
        )


def content(raw: bytes, link: Link) -> dict[str, Any]:
    """The JSON that was found at a link, read as tolerantly as a request."""
    try:
        return read_body(raw)
    except LazurError as error:
        raise LazurError(
            "InvalidContentLink", f"The content of '{link.uri[:500]}' can't be read: {error.message} {_USAGE}"
        ) from None


def parse_parameters(found: Mapping[str, Any], link: Link) -> dict[str, Any]:
    """The values of a parameter file: its `parameters`, or the whole of a file that has only those."""
    inner = get(found, "parameters")
    if inner is None and get(found, "$schema") is None and get(found, "contentVersion") is None:
        inner = found
    if not isinstance(inner, Mapping):
        raise LazurError("InvalidContentLink", f"'{link.uri[:500]}' is no parameter file: it has no 'parameters'. {_USAGE}")
    return dict(inner)


def _split(url: str, path: str) -> tuple[str, str]:
    try:
        pieces = urlsplit(url)
    except ValueError:
        raise _wrong("The URI of a link can't be read.", path) from None
    if pieces.scheme.lower() not in ("http", "https") or not pieces.netloc:
        raise _wrong("The URI of a link must be a whole URL of http or https.", path)
    return url.partition("#")[0].partition("?")[0], pieces.query


def _wrong(message: str, path: str) -> LazurError:
    return LazurError("InvalidTemplateLink", message, target=path)
