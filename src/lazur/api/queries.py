"""Lists: `$filter`, `$top` and paging over documents the caller may read. Pure apart from reading the store.

Must never answer with a document outside the scope that was authorised.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from lazur.kernel.errors import LazurError
from lazur.model.documents import Record

_PAGE = 1000
_TERM = re.compile(r"\s*(?:(\w+(?:/\w+)*)\s+(eq|ne)\s+'((?:[^']|'')*)'|(startswith|substringof)\(([^()]*)\))\s*", re.I)


def parse_filter(text: str) -> Callable[[Record], bool]:
    """A predicate for `a eq 'b' and …` as az and the SDKs send it; raises `InvalidFilterInQueryString`."""
    terms = [t for t in re.split(r"\s+and\s+", text.strip(), flags=re.I) if t]
    tests: list[Callable[[Record], bool]] = []
    for term in terms:
        match = _TERM.fullmatch(term)
        if match is None or match.group(4):
            message = f"The filter term '{term[:120]}' is not understood; write \"name eq 'value'\" terms joined by 'and'."
            raise LazurError("InvalidFilterInQueryString", message, target="$filter")
        tests.append(_test(match.group(1), match.group(2).lower(), match.group(3).replace("''", "'")))
    return lambda record: all(test(record) for test in tests)


def _test(name: str, operator: str, value: str) -> Callable[[Record], bool]:
    wanted, field = value.lower(), name.lower()

    def values(record: Record) -> Sequence[str]:
        tags: Mapping[str, str] = record.body.get("tags", {})
        known = {
            "resourcegroup": [record.id.group or ""],
            "name": [record.id.name],
            "resourcetype": [record.id.type],
            "location": [str(record.body.get("location", ""))],
            "tagname": list(tags),
            "tagvalue": list(tags.values()),
        }
        if field not in known:
            message = f"'{name}' cannot be filtered by; use one of {', '.join(sorted(known))}."
            raise LazurError("InvalidFilterInQueryString", message, target="$filter")
        return known[field]

    return lambda record: (wanted in [v.lower() for v in values(record)]) == (operator == "eq")


def page(items: Sequence[Any], query: Mapping[str, str], url: str) -> dict[str, Any]:
    """`{"value": […]}` with a `nextLink` when there is more than a page or `$top`."""
    start = _skip(query.get("$skiptoken", ""))
    size = min(_number(query.get("$top", "")) or _PAGE, _PAGE)
    out: dict[str, Any] = {"value": list(items[start : start + size])}
    if start + size < len(items) and "$top" not in query:
        token = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        rest = {k: v for k, v in query.items() if k != "$skiptoken"}
        out["nextLink"] = f"{url}?{urlencode({**rest, '$skiptoken': token}, quote_via=quote)}"
    return out


def _skip(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token.encode()).decode()) if token else 0
    except (ValueError, binascii.Error) as error:
        raise LazurError("InvalidSkipToken", "The $skiptoken is not one this service gave out.", target="$skiptoken") from error


def _number(text: str) -> int:
    if not text:
        return 0
    if not text.isdigit() or int(text) < 1:
        raise LazurError("InvalidTop", "'$top' must be a positive number.", target="$top")
    return int(text)
