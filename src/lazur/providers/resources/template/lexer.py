"""Cuts the text of one template expression into tokens.

Knows single-quoted strings in which '' stands for one quote, whole numbers, names and the punctuation `( ) [ ] . ,`.
Must never look at what a name means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from lazur.providers.resources.template.faults import ExpressionFault

_PATTERN = re.compile(
    r"(?P<space>\s+)|'(?P<text>[^']*(?:''[^']*)*)'|(?P<number>-?\d+)(?![\w])|(?P<name>[A-Za-z_][\w$]*)|(?P<mark>[()\[\].,])"
)


class Kind(Enum):
    """What a token is."""

    TEXT = "text"
    NUMBER = "number"
    NAME = "name"
    MARK = "mark"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `value` is decoded, `at` its position in the expression from 0."""

    kind: Kind
    value: str
    at: int


def tokens(expression: str) -> list[Token]:
    """The tokens of `expression` (without its outer brackets), closed by one of kind END."""
    found: list[Token] = []
    at = 0
    while at < len(expression):
        match = _PATTERN.match(expression, at)
        if match is None:
            raise ExpressionFault(_unexpected(expression, at))
        kind = match.lastgroup
        if kind == "text":
            found.append(Token(Kind.TEXT, match.group("text").replace("''", "'"), at))
        elif kind != "space" and kind is not None:
            found.append(Token(Kind(kind), match.group(), at))
        at = match.end()
    found.append(Token(Kind.END, "", at))
    return found


def _unexpected(expression: str, at: int) -> str:
    if expression[at] == "'":
        return f"The string that starts at position {at} of the expression is not closed"
    return f"Unexpected character {expression[at]!a} at position {at} of the expression"
