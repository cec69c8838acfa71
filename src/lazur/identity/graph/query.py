"""The query options of a list: what is selected, how it is ordered, where a page begins.

Pure. Pages are found by the key of the last item shown, so an object that comes or goes between two pages shifts nothing.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lazur.identity.graph.errors import bad, unsupported_query
from lazur.identity.graph.filters import Predicate, predicate

_PAGE = 100
_LARGEST_PAGE = 999
_OPTIONS = frozenset(
    {"$filter", "$select", "$top", "$count", "$orderby", "$search", "$skiptoken", "$expand", "$format", "api-version"}
)

Shown = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Query:
    """The options of one request."""

    select: tuple[str, ...] = ()
    expand: tuple[str, ...] = ()
    filter: Predicate | None = None
    search: Predicate | None = None
    top: int = _PAGE
    count: bool = False
    order: str = "id"
    descending: bool = False
    after: tuple[str, str] | None = None
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Query:
        """From the query string; options nobody knows are refused, parameters without `$` ignored."""
        options = {(k if k.startswith("$") or k == "api-version" else f"${k}").lower(): v for k, v in given.items()}
        if unknown := [k for k in given if k.startswith("$") and k.lower() not in _OPTIONS]:
            raise bad(f"The query parameter '{unknown[0]}' is not supported.", unknown[0])
        order, _, direction = options.get("$orderby", "id").strip().partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc") or "," in order:
            raise unsupported_query("Only one property, with 'asc' or 'desc', can be sorted by.")
        return cls(
            select=_names(options.get("$select", "")),
            expand=tuple(name.partition("(")[0] for name in _names(options.get("$expand", ""))),
            filter=predicate(options["$filter"]) if options.get("$filter", "").strip() else None,
            search=_search(options["$search"]) if options.get("$search", "").strip() else None,
            top=_top(options.get("$top", "")),
            count=options.get("$count", "").lower() == "true",
            order=order,
            descending=direction.strip().lower() == "desc",
            after=_after(options.get("$skiptoken", "")),
            given=dict(given),
        )

    def keeps(self, shown: Mapping[str, Any]) -> bool:
        """Whether `$filter` and `$search` let an object through."""
        return (self.filter is None or self.filter(shown)) and (self.search is None or self.search(shown))

    def selected(self, shown: Mapping[str, Any], default: Sequence[str] = ()) -> Shown:
        """The properties asked for, or the `default` ones (empty: all), with what marks them in OData."""
        names = self.select or default
        if not names:
            return dict(shown)
        wanted = {name.lower() for name in (*names, *self.expand)}
        return {k: v for k, v in shown.items() if k.lower() in wanted or k.startswith("@odata.")}


@dataclass(frozen=True)
class Page:
    """Some of a list: how many there are in all, and from where the next page goes on."""

    items: Sequence[Shown]
    total: int
    next: str | None


def page(query: Query, things: Iterable[T], show: Callable[[T], Shown], key: Callable[[T], tuple[str, str]]) -> Page:
    """The page of `things` the query asks for. `key`: what they are ordered by beside their id; only what a filter must
    see, and what is on the page, is shown."""
    kept: list[tuple[tuple[str, str], T]]
    if query.filter is None and query.search is None:
        kept = [(key(thing), thing) for thing in things]
    else:
        kept = [(key(thing), thing) for thing in things if query.keeps(show(thing))]
    total = len(kept)
    if query.after is not None:
        after = query.after
        kept = [pair for pair in kept if (pair[0] < after if query.descending else pair[0] > after)]
    first = heapq.nlargest if query.descending else heapq.nsmallest
    chosen = first(query.top + 1, kept, key=lambda pair: pair[0])
    more = len(chosen) > query.top
    shown = [show(thing) for _, thing in chosen[: query.top]]
    return Page(shown, total, _token(chosen[query.top - 1][0]) if more else None)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _top(text: str) -> int:
    if not text:
        return _PAGE
    if not text.isdigit() or not 1 <= int(text[:6]) <= _LARGEST_PAGE:
        raise bad(f"Invalid page size specified: '{text[:20]}'. Must be between 1 and {_LARGEST_PAGE} inclusive.", "$top")
    return int(text)


def _search(text: str) -> Predicate:
    """`"displayName:word"`, several joined by AND or OR from left to right; the property contains the word."""
    tests: list[tuple[str, Predicate]] = []
    joint = "and"
    for part in text.strip().split('"'):
        word = part.strip()
        if word.lower() in ("and", "or"):
            joint = word.lower()
        elif word:
            name, colon, wanted = word.partition(":")
            if not colon:
                raise unsupported_query('A search clause has the form "property:text", with the quotes.')
            tests.append((joint, _contains(name.strip(), wanted.strip().lower())))

    def search(shown: Mapping[str, Any]) -> bool:
        found = tests[0][1](shown)
        for joint, test in tests[1:]:
            found = (found and test(shown)) if joint == "and" else (found or test(shown))
        return found

    if not tests:
        raise unsupported_query("The search is empty.")
    return search


def _contains(name: str, wanted: str) -> Predicate:
    return lambda shown: wanted in str(shown.get(name) or "").lower()


def _token(key: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).rstrip(b"=").decode()


def _after(token: str) -> tuple[str, str] | None:
    if not token:
        return None
    try:
        value, id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return str(value), str(id)
    except (ValueError, TypeError, binascii.Error):
        raise bad("The '$skiptoken' is not one of ours.", "$skiptoken") from None
