"""`$filter`: what Graph's clients write, as a predicate over the JSON form of an object.

    displayName eq 'x' and (accountEnabled eq true or startswith(mail,'y')) and identifierUris/any(u:u eq 'z')

Pure. Must never evaluate anything but this grammar; length and nesting are bounded. Text is compared without case, as
Graph does.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from lazur.identity.graph.errors import unsupported_query

_LONGEST = 8000
_DEEPEST = 40
_TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z?)"
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_@$][\w.@$/]*)|(?P<mark>[(),:]))"
)
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": operator.contains,
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}

Scope = Mapping[str, Any]
Predicate = Callable[[Scope], bool]


def predicate(text: str) -> Predicate:
    """The test `text` stands for; raises 400 `Request_UnsupportedQuery` when it is malformed."""
    return _Parser(text).whole()


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class _Parser:
    """Recursive descent; the variable of a lambda is a name in the scope its body is evaluated in."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise unsupported_query("The query filter is too long.")
        self._tokens: list[tuple[str, str]] = []
        self._depth = 0
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKENS.match(text, at)
            if found is None or found.lastgroup is None:
                raise unsupported_query(f"Unsupported or invalid query filter clause at '{text[at : at + 20]}'.")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    def whole(self) -> Predicate:
        found = self._either()
        if self._tokens:
            raise _unexpected(self._tokens[0][1])
        return found

    def _either(self) -> Predicate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise unsupported_query("The query filter is nested too deeply.")
        several = [self._both()]
        while self._word("or"):
            several.append(self._both())
        self._depth -= 1
        return several[0] if len(several) == 1 else lambda scope: any(test(scope) for test in several)

    def _both(self) -> Predicate:
        several = [self._single()]
        while self._word("and"):
            several.append(self._single())
        return several[0] if len(several) == 1 else lambda scope: all(test(scope) for test in several)

    def _single(self) -> Predicate:
        if self._word("not"):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise unsupported_query("The query filter is nested too deeply.")
            negated = self._single()
            self._depth -= 1
            return lambda scope: not negated(scope)
        if self._mark("("):
            inner = self._either()
            self._need(")")
            return inner
        name = self._name()
        if self._mark("("):
            return self._call(name)
        return self._comparison(name)

    def _call(self, name: str) -> Predicate:
        path, _, last = name.rpartition("/")
        if path and last.lower() in ("any", "all"):
            return self._lambda(path, last.lower() == "any")
        function = _FUNCTIONS.get(name.lower())
        if function is None:
            raise _unexpected(name)
        read = _reader(self._name())
        self._need(",")
        wanted = self._value()
        self._need(")")
        if not isinstance(wanted, str):
            raise unsupported_query(f"The function '{name}' compares text.")
        folded = wanted.lower()
        return lambda scope: isinstance(found := read(scope), str) and function(found.lower(), folded)

    def _lambda(self, path: str, is_any: bool) -> Predicate:
        read = _reader(path)
        if self._mark(")"):
            return lambda scope: bool(read(scope))
        variable = self._name()
        self._need(":")
        test = self._either()
        self._need(")")
        combine = any if is_any else all
        return lambda scope: combine(test({**scope, variable: item}) for item in read(scope) or ())

    def _comparison(self, name: str) -> Predicate:
        read = _reader(name)
        word = self._name().lower()
        if word == "in":
            self._need("(")
            wanted = {_folded(self._value())}
            while self._mark(","):
                wanted.add(_folded(self._value()))
            self._need(")")
            return lambda scope: _folded(read(scope)) in wanted
        compare = _COMPARE.get(word)
        if compare is None:
            raise _unexpected(word)
        value = _folded(self._value())
        if word in ("eq", "ne"):
            return lambda scope: compare(_folded(read(scope)), value)
        return lambda scope: type(found := _folded(read(scope))) is type(value) and compare(found, value)

    def _value(self) -> Any:
        kind, text = self._next()
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind in ("guid", "time"):
            return text
        if kind == "name" and text.lower() in _WORDS:
            return _WORDS[text.lower()]
        raise _unexpected(text)

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise unsupported_query("The query filter ends too early.")
        return self._tokens.pop(0)

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise _unexpected(text)
        return text

    def _word(self, word: str) -> bool:
        if self._tokens and self._tokens[0][0] == "name" and self._tokens[0][1].lower() == word:
            self._tokens.pop(0)
            return True
        return False

    def _mark(self, mark: str) -> bool:
        if self._tokens and self._tokens[0] == ("mark", mark):
            self._tokens.pop(0)
            return True
        return False

    def _need(self, mark: str) -> None:
        if not self._mark(mark):
            raise unsupported_query(f"The query filter lacks '{mark}'.")


def _reader(path: str) -> Callable[[Scope], Any]:
    """Reads `a/b` of the scope; what is not there is null."""
    names = path.split("/")
    if names[-1] == "$count":
        return lambda scope: len(_read(scope, names[:-1]) or ())
    return lambda scope: _read(scope, names)


def _read(scope: Scope, names: list[str]) -> Any:
    found: Any = scope
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _unexpected(text: str) -> Exception:
    return unsupported_query(f"Unsupported or invalid query filter clause: '{text}' is not expected there.")
