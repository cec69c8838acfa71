"""Lists: `$filter`, `$top` and paging over documents the caller may read. Pure apart from reading the store.

Must never answer with a document outside the scope that was authorised.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from lazur.kernel.errors import LazurError
from lazur.model.documents import Record
from lazur.store.interface import Store

AT_ONCE = 100
"""Records that are read or shown before others have their turn: a millisecond or two."""
_PAGE = 1000
_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[\w/$.]+)|(?P<mark>[(),]))")
_LONGEST = 2000
_DEEPEST = 40

Test = Callable[[Record], bool]


def parse_filter(text: str) -> Test:
    """A predicate for an OData filter over resources; raises `InvalidFilterInQueryString`.

    `eq`, `ne`, `and`, `or`, parentheses, `startswith(name, 'x')` and `substringof('x', name)`, as az, the SDKs and Azure
    PowerShell send them. Values are compared without case.
    """
    tokens: list[str] = []
    position, text = 0, text.strip()
    if len(text) > _LONGEST:
        raise _unclear(f"it is longer than {_LONGEST} characters")
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unclear(f"unexpected '{text[position : position + 40].strip()}'")
        tokens.append(match.group().strip())
        position = match.end()
    if tokens.count("(") > _DEEPEST:
        raise _unclear(f"it has more than {_DEEPEST} parentheses")
    reader = _Reader(tokens)
    test = reader.either()
    if reader.tokens:
        raise _unclear(f"unexpected '{reader.tokens[0][:40]}'")
    return test


class _Reader:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def either(self) -> Test:
        """Terms joined by `or`."""
        tests = [self.all()]
        while self._next_is("or"):
            tests.append(self.all())
        return lambda record: any(t(record) for t in tests)

    def all(self) -> Test:
        """Terms joined by `and`."""
        tests = [self.one()]
        while self._next_is("and"):
            tests.append(self.one())
        return lambda record: all(t(record) for t in tests)

    def one(self) -> Test:
        """A comparison, a function, or a filter in parentheses."""
        if self._next_is("("):
            inner = self.either()
            self._expect(")")
            return inner
        word = self._take()
        if word.lower() in ("startswith", "substringof"):
            return self._function(word.lower())
        find, operator = _field(word), self._take().lower()
        if operator not in ("eq", "ne"):
            raise _unclear(f"'{operator}' is no comparison; use eq or ne")
        wanted = self._literal()
        return lambda record: (wanted in find(record)) == (operator == "eq")

    def _function(self, name: str) -> Test:
        self._expect("(")
        if name == "startswith":
            find = _field(self._take())
            self._expect(",")
            wanted = self._literal()
        else:
            wanted = self._literal()
            self._expect(",")
            find = _field(self._take())
        self._expect(")")
        if name == "startswith":
            return lambda record: any(v.startswith(wanted) for v in find(record))
        return lambda record: any(wanted in v for v in find(record))

    def _literal(self) -> str:
        token = self._take()
        if not token.startswith("'"):
            raise _unclear(f"'{token[:40]}' must be a value in single quotes")
        return token[1:-1].replace("''", "'").lower()

    def _take(self) -> str:
        if not self.tokens:
            raise _unclear("it ends too early")
        return self.tokens.pop(0)

    def _next_is(self, word: str) -> bool:
        if self.tokens and self.tokens[0].lower() == word:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._next_is(mark):
            raise _unclear(f"'{mark}' is missing before '{(self.tokens or ['the end'])[0][:40]}'")


def _unclear(what: str) -> LazurError:
    message = f"The filter is not understood: {what}. Write terms such as \"name eq 'value'\" joined by 'and' or 'or'."
    return LazurError("InvalidFilterInQueryString", message, target="$filter")


_FIELDS: Mapping[str, Callable[[Record], Sequence[str]]] = {
    "resourcegroup": lambda r: [r.id.group or ""],
    "name": lambda r: [r.id.name],
    "resourcetype": lambda r: [r.id.type],
    "location": lambda r: [str(r.body.get("location", ""))],
    "provisioningstate": lambda r: [r.state],
    "tagname": lambda r: list(r.body.get("tags", {})),
    "tagvalue": lambda r: list(r.body.get("tags", {}).values()),
}


def _field(name: str) -> Callable[[Record], list[str]]:
    """The lower-case values of a field of a resource."""
    find = _FIELDS.get(name.lower())
    if find is None:
        raise _unclear(f"'{name[:40]}' cannot be filtered by; use one of {', '.join(sorted(_FIELDS))}")
    return lambda record: [v.lower() for v in find(record)]


@dataclass(frozen=True)
class Window:
    """Which part of a list is asked for, and how the link to the next part is written."""

    size: int
    after: str
    """What the last part ended with."""
    query: Mapping[str, str]
    url: str

    @classmethod
    def of(cls, query: Mapping[str, str], url: str) -> Window:
        """The window of a request; raises `InvalidTop` and `InvalidSkipToken`."""
        token = query.get("$skiptoken", "")
        try:
            after = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        except (ValueError, binascii.Error) as error:
            raise _no_token() from error
        return cls(min(_number(query.get("$top", "")) or _PAGE, _PAGE), after, query, url)

    def link(self, last: str) -> str | None:
        """The link to what comes after `last`; none when so and so many were asked for."""
        if "$top" in self.query:
            return None
        token = base64.urlsafe_b64encode(last.encode()).decode()
        return f"{self.url}?{urlencode({**self.query, '$skiptoken': token}, quote_via=quote)}"


def page(items: Sequence[Any], window: Window) -> dict[str, Any]:
    """`{"value": […]}` with a `nextLink` when there is more, of a list that is there as a whole."""
    try:
        start = _whole(window.after or "0")
    except ValueError as error:
        raise _no_token() from error
    end = start + window.size
    link = window.link(str(end)) if end < len(items) else None
    return {"value": list(items[start:end]), **({"nextLink": link} if link else {})}


async def matching(
    store: Store, prefix: str, type: str, keep: Test | None, window: Window, others: Callable[[], Awaitable[None]]
) -> tuple[Sequence[Record], str | None]:
    """The records of the window, of those below `prefix` that `keep` keeps, and the link to the next ones.

    A page ends with a key, not with a number: what comes and goes before it moves nothing. For the same reason `others` may
    have their turn in between.
    """
    after, found = window.after, list[Record]()
    if not after.startswith(prefix if after else ""):
        raise _no_token()
    limit = min(window.size + 1, AT_ONCE)
    while len(found) <= window.size:
        batch = store.list(prefix=prefix, type=type, after=after, limit=limit)
        found += filter(keep, batch) if keep is not None else batch
        if len(batch) < limit:
            break
        after = batch[-1].key
        await others()
    shown = found[: window.size]
    return shown, window.link(shown[-1].key) if len(found) > window.size else None


def _no_token() -> LazurError:
    return LazurError("InvalidSkipToken", "The $skiptoken is not one this service gave out.", target="$skiptoken")


def _number(text: str) -> int:
    if not text:
        return 0
    try:
        found = _whole(text)
    except ValueError:
        found = 0
    if found < 1:
        raise LazurError("InvalidTop", "'$top' must be a positive number.", target="$top")
    return found


def _whole(text: str) -> int:
    # Digits of other scripts are digits to Python as well.
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(text)
    return int(text)
