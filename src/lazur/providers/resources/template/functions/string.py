"""Functions for text: base64 and URIs (buildUri, parseUri, uri and more), guid, join, newGuid, padLeft, replace, split,
startsWith, endsWith, string, substring, toLower, toUpper, trim, uniqueString.

concat, contains, empty, first, indexOf, last, lastIndexOf, length, skip and take are in `collection`, `format` in `text`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import quote, unquote_plus, unquote_to_bytes, urljoin, urlsplit, urlunsplit

from lazur.providers.resources.template.faults import MAX_STRING
from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.functions import hashes
from lazur.providers.resources.template.functions.collection import units, ununits
from lazur.providers.resources.template.functions.object import from_json
from lazur.providers.resources.template.functions.registry import array, fault, function, obj, text, whole
from lazur.providers.resources.template.values import get, is_int, kind, text_of, to_json

_SAFE_IN_URI = "-._~:/?#[]@!$&'()*+,;=%"
_USUAL_PORTS = {"http": 80, "https": 443, "ftp": 21}


@function("base64", 1)
def encode(frame: Frame, args: list[Any]) -> Any:
    """UTF-8 in base 64."""
    return _encoded(text("base64", args[0]))


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


@function("base64ToString", 1)
def decode(frame: Frame, args: list[Any]) -> Any:
    """The text in base 64."""
    return _decoded("base64ToString", text("base64ToString", args[0])).decode(errors="replace")


@function("base64ToJson", 1)
def decode_json(frame: Frame, args: list[Any]) -> Any:
    """The JSON in base 64."""
    source = _decoded("base64ToJson", text("base64ToJson", args[0])).decode(errors="replace")
    return from_json("base64ToJson", source, frame)


def _decoded(name: str, value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise fault(name, "the text is no valid base 64") from None


@function("dataUri", 1, deep=True)
def to_data_uri(frame: Frame, args: list[Any]) -> Any:
    """A data URI: plain text, or JSON for everything else."""
    value = args[0]
    if value is None or isinstance(value, str):
        return f"data:text/plain;charset=utf8;base64,{_encoded(value or '')}"
    content = to_json(value) if isinstance(value, dict | list) else text_of(value)
    return f"data:application/json;charset=utf8;base64,{_encoded(content)}"


@function("dataUriToString", 1)
def from_data_uri(frame: Frame, args: list[Any]) -> Any:
    """The text a data URI carries."""
    source = text("dataUriToString", args[0])
    head, comma, data = source.partition(",")
    if head[:5].lower() != "data:" or not comma:
        raise fault("dataUriToString", "the text is no data URI")
    marks = head[5:].split(";")
    if any(not mark.strip() for mark in marks[1:]):
        raise fault("dataUriToString", "the text is no data URI: a part of its type is empty")
    charset = next((mark[8:] for mark in marks if mark.lower().startswith("charset=")), "utf-8")
    if charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise fault("dataUriToString", "only the character set utf-8 is supported")
    if marks[-1].lower() == "base64":
        return _decoded("dataUriToString", data).decode(errors="replace")
    return unquote_to_bytes(data.replace("+", " ")).decode(errors="replace")


@function("uri", 2)
def uri(frame: Frame, args: list[Any]) -> Any:
    """A relative URI resolved against an absolute one."""
    base = text("uri", args[0])
    try:
        parts = urlsplit(base)
        if not parts.scheme or not parts.netloc:
            raise ValueError
        found = urlsplit(urljoin(base, text("uri", args[1], 2)))
        netloc = found.netloc.lower() if "@" not in found.netloc else found.netloc
        path = quote(found.path or "/", safe=_SAFE_IN_URI)
        query = quote(found.query, safe=_SAFE_IN_URI)
        return urlunsplit((found.scheme, netloc, path, query, quote(found.fragment, safe=_SAFE_IN_URI)))
    except ValueError:
        raise fault("uri", "argument 1 is no absolute URI") from None


@function("parseUri", 1)
def parse_uri(frame: Frame, args: list[Any]) -> Any:
    """The parts of an absolute URI: scheme, host, port (null when it is the usual one), and path and query when it has any."""
    try:
        parts = urlsplit(text("parseUri", args[0]))
        if not parts.scheme or not parts.hostname:
            raise ValueError
        port = None if parts.port == _USUAL_PORTS.get(parts.scheme) else parts.port
    except ValueError:
        raise fault("parseUri", "argument 1 is no absolute URI") from None
    out: dict[str, Any] = {"scheme": parts.scheme, "host": parts.hostname, "port": port}
    if parts.path not in ("", "/"):
        out["path"] = parts.path
    if parts.query:
        out["query"] = f"?{parts.query}"
    return out


@function("buildUri", 1)
def build_uri(frame: Frame, args: list[Any]) -> Any:
    """The inverse of `parseUri`."""
    given = obj("buildUri", args[0])
    scheme, host = text("buildUri", get(given, "scheme")), text("buildUri", get(given, "host"))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) or not host or set(host) & set("/?#@ "):
        raise fault("buildUri", "the object needs a 'scheme' and a 'host'")
    port = get(given, "port")
    if port is not None and not 0 <= whole("buildUri", port) <= 65_535:
        raise fault("buildUri", "the 'port' must be between 0 and 65535")
    where = f"[{host}]" if ":" in host and not host.startswith("[") else host
    if port is not None and port != _USUAL_PORTS.get(scheme.lower()):
        where += f":{port}"
    path, query = text("buildUri", get(given, "path")), text("buildUri", get(given, "query")).lstrip("?")
    path = quote(path if path.startswith("/") else f"/{path}", safe=_SAFE_IN_URI)
    return urlunsplit((scheme.lower(), where.lower(), path, quote(query, safe=_SAFE_IN_URI), ""))


@function("uriComponent", 1)
def component(frame: Frame, args: list[Any]) -> Any:
    """Text encoded for a part of a URI."""
    return quote(text("uriComponent", args[0]), safe="-._~")


@function("uriComponentToString", 1)
def from_component(frame: Frame, args: list[Any]) -> Any:
    """The inverse of `uriComponent`; a plus is a space."""
    return unquote_plus(text("uriComponentToString", args[0]), errors="replace")


def _joined(name: str, args: list[Any]) -> str:
    return "-".join(text(name, arg, i + 1) for i, arg in enumerate(args))


@function("guid", 1, None)
def guid(frame: Frame, args: list[Any]) -> Any:
    """The UUID of the arguments."""
    return hashes.guid(_joined("guid", args))


@function("uniqueString", 1, None)
def unique(frame: Frame, args: list[Any]) -> Any:
    """13 characters that stand for the arguments."""
    joined = _joined("uniqueString", args)
    if len(joined) > 131_072:
        raise fault("uniqueString", f"the arguments have '{len(joined)}' characters: the limit is '131072'")
    frame.budget.charge(len(joined) // 4)
    return hashes.unique_string(joined)


@function("newGuid", 0)
def new_guid(frame: Frame, args: list[Any]) -> Any:
    """A random UUID; only in the default value of a parameter."""
    frame.only("newGuid", Phase.DEFAULT)
    return frame.scope.context.ids.uuid()


@function("join", 2, deep=True)
def join(frame: Frame, args: list[Any]) -> Any:
    """The strings of an array with a delimiter between them."""
    parts = array("join", args[0])
    for part in parts:
        if part is not None and not isinstance(part, str):
            raise fault("join", f"every element must be a string, not '{kind(part)}'")
    delimiter = text("join", args[1], 2)
    if sum(len(part or "") for part in parts) + len(delimiter) * len(parts) > MAX_STRING:
        raise fault("join", f"the result is longer than {MAX_STRING} characters")
    return delimiter.join(part or "" for part in parts)


@function("padLeft", 2, 3)
def pad_left(frame: Frame, args: list[Any]) -> Any:
    """A string or a number brought to a length by a character (a space by default) on its left."""
    value = str(args[0]) if is_int(args[0]) else text("padLeft", args[0])
    width = whole("padLeft", args[1], 2)
    char = text("padLeft", args[2], 3) if len(args) > 2 and args[2] is not None else " "
    if len(char) != 1:
        raise fault("padLeft", "argument 3 must be one character")
    if not 0 <= width <= MAX_STRING:
        raise fault("padLeft", f"the length '{width}' must be between 0 and {MAX_STRING}")
    return ununits(units(value).rjust(width, char)) if value else value.rjust(width, char)


@function("replace", 3)
def replace(frame: Frame, args: list[Any]) -> Any:
    """Every occurrence of one string, with its case, by another."""
    value, old, new = (text("replace", arg, i + 1) for i, arg in enumerate(args))
    if not old:
        raise fault("replace", "argument 2 must not be empty")
    if len(value) + value.count(old) * (len(new) - len(old)) > MAX_STRING:
        raise fault("replace", f"the result is longer than {MAX_STRING} characters")
    return value.replace(old, new)


@function("split", 2)
def split(frame: Frame, args: list[Any]) -> Any:
    """The parts between delimiters: one string, or an array of them."""
    if args[0] is None:
        return []
    value = text("split", args[0])
    given = args[1] if isinstance(args[1], list) else [args[1]]
    delimiters = [mark for mark in (text("split", mark, 2) for mark in given) if mark]
    if not delimiters:
        return [value]
    frame.budget.charge(len(value) * len(delimiters) // 32)
    return re.split("|".join(map(re.escape, delimiters)), value)


@function("startsWith", 2)
def starts(frame: Frame, args: list[Any]) -> Any:
    """Whether a string begins with another, without case."""
    return text("startsWith", args[0]).upper().startswith(text("startsWith", args[1], 2).upper())


@function("endsWith", 2)
def ends(frame: Frame, args: list[Any]) -> Any:
    """Whether a string ends with another, without case."""
    return text("endsWith", args[0]).upper().endswith(text("endsWith", args[1], 2).upper())


@function("string", 1, deep=True)
def convert(frame: Frame, args: list[Any]) -> Any:
    """Any value as text: `True`, `12`, compact JSON."""
    return text_of(args[0])


@function("substring", 2, 3)
def substring(frame: Frame, args: list[Any]) -> Any:
    """`length` characters from a position, or all that follow it; both must lie within the string."""
    value = text("substring", args[0])
    split_value = units(value) if value else ""
    start = whole("substring", args[1], 2)
    length = whole("substring", args[2], 3) if len(args) > 2 and args[2] is not None else len(split_value) - start
    if start < 0 or start > len(split_value):
        raise fault("substring", f"the index '{start}' must be between 0 and the length '{len(split_value)}'")
    if length < 0 or start + length > len(split_value):
        raise fault(
            "substring", f"the index '{start}' and the length '{length}' must lie within the '{len(split_value)}' characters"
        )
    return ununits(split_value[start : start + length])


@function("toLower", 1)
def lower(frame: Frame, args: list[Any]) -> Any:
    """Lower case."""
    return text("toLower", args[0]).lower()


@function("toUpper", 1)
def upper(frame: Frame, args: list[Any]) -> Any:
    """Upper case, letter by letter as .NET does."""
    value = text("toUpper", args[0])
    return value.upper() if value.isascii() else "".join(_upper(char) for char in value)


def _upper(char: str) -> str:
    raised = char.upper()
    return raised if len(raised) == 1 else char


@function("trim", 1)
def trim(frame: Frame, args: list[Any]) -> Any:
    """Without white space at both ends."""
    return text("trim", args[0]).strip()
