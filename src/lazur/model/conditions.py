"""Conditions on role assignments: read once, asked at every decision that hangs on one. Pure.

The language is version 2.0 of Azure's (https://learn.microsoft.com/azure/role-based-access-control/conditions-format), as far
as it is about handing out roles: which action is asked for, and which role, principal and kind of principal an assignment
that is written or deleted has. Everything else of it is refused when it is written. What a comparison asks for and nobody
said is unknown, and a condition whose answer is unknown does not hold: must never grant by what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from lazur.kernel.errors import LazurError

Attributes = Callable[[], Mapping[str, str]]
"""What is known of a request by lower-case name, `@request[<type>:<attribute>]`; asked only where a condition has to decide."""

_LONGEST = 8192
_DEEPEST = 40
_TYPE = "Microsoft.Authorization/roleAssignments"
_NAMES = ("RoleDefinitionId", "PrincipalId", "PrincipalType")
_KNOWN = {f"@{source}[{_TYPE}:{name}]".lower() for source in ("Request", "Resource") for name in _NAMES}
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^'\\]*')|(?P<attribute>@\w+\[[^\]\s]{1,200}\])"
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|(?P<word>\w+(?::\w+)?)|(?P<mark>&&|\|\||[!(){},]))"
)
_ANY, _ALL = any, all
_QUANTIFIERS: Mapping[str, tuple[Callable[..., bool], Callable[..., bool]]] = {
    "foranyofanyvalues": (_ANY, _ANY), "forallofanyvalues": (_ALL, _ANY), "foranyofallvalues": (_ANY, _ALL),
    "forallofallvalues": (_ALL, _ALL),
}  # fmt: skip


def _alike(one: str, other: str) -> bool:
    return one.lower() == other.lower()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "guidequals": _alike,
    "guidnotequals": lambda one, other: not _alike(one, other),
    "stringequals": lambda one, other: one == other,
    "stringnotequals": lambda one, other: one != other,
    "stringequalsignorecase": _alike,
    "stringnotequalsignorecase": lambda one, other: not _alike(one, other),
}

Term = Callable[[str, Mapping[str, str]], bool | None]
"""From the action, in lower case, and what is known of the request to yes, no, or None for what cannot be told."""


@dataclass(frozen=True)
class Condition:
    """When an assignment grants what its role does."""

    text: str
    _term: Term = field(compare=False, repr=False)

    def holds(self, action: str, attributes: Attributes | None) -> bool:
        """Whether it does for `action`."""
        return self._term(action.lower(), attributes() if attributes is not None else {}) is True


@lru_cache(4096)
def condition(text: str) -> Condition:
    """The condition that `text` is; raises a fault that says where it is not understood."""
    if len(text) > _LONGEST:
        raise _invalid(f"it is longer than {_LONGEST} characters")
    reader = _Reader(_tokens(text))
    term = reader.either(0)
    if reader.kind:
        raise _invalid(f"'{reader.shown}' is not expected where the condition could end")
    return Condition(text, term)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position, text = [], 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _invalid(f"'{text[position : position + 40].strip()}' is not understood")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Reader:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def kind(self) -> str:
        """What kind of token comes next; empty at the end."""
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def shown(self) -> str:
        """The token that comes next."""
        return self._tokens[self._at][1][:100] if self.kind else "the end"

    def either(self, depth: int) -> Term:
        """Terms joined by `OR`."""
        terms = [self.both(depth)]
        while self.skip("or", "||"):
            terms.append(self.both(depth))
        return terms[0] if len(terms) == 1 else _any_of(terms)

    def both(self, depth: int) -> Term:
        """Terms joined by `AND`."""
        terms = [self.one(depth)]
        while self.skip("and", "&&"):
            terms.append(self.one(depth))
        return terms[0] if len(terms) == 1 else _all_of(terms)

    def one(self, depth: int) -> Term:
        """A negation, a term in parentheses, `ActionMatches`, or a comparison."""
        if depth > _DEEPEST:
            raise _invalid(f"it is nested deeper than {_DEEPEST} levels")
        if self.skip("!", "not"):
            return _none_of(self.one(depth + 1))
        if self.skip("("):
            inner = self.either(depth + 1)
            self.expect(")")
            return inner
        if self.skip("actionmatches"):
            return _action(self.values("text"))
        if self.kind == "attribute":
            return self.comparison()
        raise _invalid(f"'{self.shown}' is no expression; write ActionMatches{{'…'}} or compare an attribute")

    def comparison(self) -> Term:
        """`@Request[type:attribute] ForAnyOfAnyValues:GuidEquals {…}`."""
        name = self.take("attribute")
        if name.lower() not in _KNOWN:
            known = ", ".join(_NAMES)
            raise _invalid(f"the attribute '{name}' is not offered; @Request and @Resource have {known} of '{_TYPE}'")
        word = self.take("word")
        quantifier, _, operator = word.rpartition(":")
        test = _OPERATORS.get(operator.lower())
        if test is None or (quantifier and quantifier.lower() not in _QUANTIFIERS):
            known = ", ".join(_OPERATORS)
            raise _invalid(f"the operator '{word}' is not offered; use {known}, alone or after a quantifier")
        guids = operator.lower().startswith("guid")
        if not quantifier and self.shown != "{":
            return _compared(name.lower(), test, "foranyofanyvalues", [self.value(guids)])
        values = self.values("guid" if guids else "text")
        return _compared(name.lower(), test, quantifier.lower() or "foranyofanyvalues", values)

    def values(self, kind: str) -> list[str]:
        """Values between braces."""
        self.expect("{")
        found = [self.value(kind == "guid")]
        while self.skip(","):
            found.append(self.value(kind == "guid"))
        self.expect("}")
        return found

    def value(self, guid: bool) -> str:
        """A text in quotes; a GUID stands with or without."""
        if guid and self.kind == "guid":
            return self.take("guid")
        text = self.take("text")[1:-1]
        if guid and not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
            raise _invalid(f"'{text[:100]}' is no GUID")
        return text

    def take(self, kind: str) -> str:
        """The next token, which must be of a kind."""
        if self.kind != kind:
            raise _invalid(f"a {kind} is missing before '{self.shown}'")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def skip(self, *words: str) -> bool:
        """Whether one of these came next; it is gone then."""
        if self.kind in ("mark", "word") and self.shown.lower() in words:
            self._at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        """Refuse when `mark` does not come next."""
        if not self.skip(mark):
            raise _invalid(f"'{mark}' is missing before '{self.shown}'")


def _any_of(terms: Sequence[Term]) -> Term:
    def term(action: str, known: Mapping[str, str]) -> bool | None:
        found = [t(action, known) for t in terms]
        return True if True in found else None if None in found else False

    return term


def _all_of(terms: Sequence[Term]) -> Term:
    def term(action: str, known: Mapping[str, str]) -> bool | None:
        found = [t(action, known) for t in terms]
        return False if False in found else None if None in found else True

    return term


def _none_of(inner: Term) -> Term:
    def term(action: str, known: Mapping[str, str]) -> bool | None:
        found = inner(action, known)
        return None if found is None else not found

    return term


def _action(names: Sequence[str]) -> Term:
    patterns = [re.compile(".*".join(re.escape(p) for p in name.lower().split("*")) + r"\Z") for name in names]
    return lambda action, known: any(p.match(action) for p in patterns)


def _compared(name: str, test: Callable[[str, str], bool], quantifier: str, values: Sequence[str]) -> Term:
    of_left, of_right = _QUANTIFIERS[quantifier]

    def term(action: str, known: Mapping[str, str]) -> bool | None:
        if name not in known:
            return None
        return of_left(of_right(test(one, value) for value in values) for one in (known[name],))

    return term


def _invalid(why: str) -> LazurError:
    message = f"The given role assignment condition is invalid: {why}."
    return LazurError("RoleAssignmentConditionNotValid", message, target="properties.condition")
