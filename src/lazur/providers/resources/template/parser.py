"""Parses template expressions into a small tree.

`[f('x', 1).name[0]]` is an expression, `[[text]` stands for the text `[text]`, everything else is plain text. Trees are
immutable and cached by their text. Must never evaluate anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from lazur.providers.resources.template.faults import MAX_CALLS, MAX_EXPRESSION, ExpressionFault
from lazur.providers.resources.template.lexer import Kind, Token, tokens

_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or a whole number."""

    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `name` is in lower case, `shown` as written, `namespace` of a user's function in lower case."""

    name: str
    shown: str
    namespace: str | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """`target.a['b'][0]`: one step for every property or index."""

    target: Node
    steps: tuple[Node, ...]


Node: TypeAlias = Literal | Call | Access


def is_expression(text: str) -> bool:
    """Whether a string of a template is an expression."""
    return len(text) > 1 and text[0] == "[" and text[-1] == "]" and text[1] != "["


def plain(text: str) -> str:
    """A string that is no expression, without its escape."""
    return text[1:] if len(text) > 2 and text.startswith("[[") and text[-1] == "]" else text


def escaped(text: str) -> str:
    """The inverse of `plain`: how to write `text` in a template so that it stays text."""
    return "[" + text if len(text) > 1 and text[0] == "[" and text[-1] == "]" else text


def parse(text: str) -> Node:
    """The tree of an expression with its outer brackets."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionFault(
            f"The language expression is '{len(text)}' characters long: the limit is '{MAX_EXPRESSION}'"
        )
    return _parse(text)


@lru_cache(maxsize=8192)
def _parse(text: str) -> Node:
    return _Parser(text).run()


def walk(node: Node) -> Iterator[Node]:
    """Every node of a tree, the root first."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if isinstance(current, Call):
            stack.extend(reversed(current.args))
        elif isinstance(current, Access):
            stack.extend(reversed((current.target, *current.steps)))


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = tokens(text[1:-1])
        self.next = 0

    def run(self) -> Node:
        node = self.expression(0)
        if self.peek().kind is not Kind.END:
            raise self.unexpected()
        return node

    def peek(self) -> Token:
        return self.tokens[self.next]

    def take(self) -> Token:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def mark(self, value: str) -> bool:
        token = self.peek()
        if token.kind is Kind.MARK and token.value == value:
            self.next += 1
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.mark(value):
            raise self.unexpected(f", expected '{value}'")

    def unexpected(self, hint: str = "") -> ExpressionFault:
        token = self.peek()
        if token.kind is Kind.END:
            return ExpressionFault(f"The language expression ends unexpectedly at position {token.at}{hint}")
        return ExpressionFault(f"Unexpected '{token.value[:50]}' at position {token.at} of the expression{hint}")

    def expression(self, depth: int) -> Node:
        if depth > MAX_CALLS:
            raise ExpressionFault(f"The language expression is nested deeper than {MAX_CALLS} levels")
        token = self.take()
        node: Node
        if token.kind is Kind.TEXT:
            node = Literal(token.value)
        elif token.kind is Kind.NUMBER:
            node = self.number(token)
        elif token.kind is Kind.NAME:
            node = self.call(token, depth)
        else:
            self.next -= 1
            raise self.unexpected()
        steps = self.steps(depth)
        return Access(node, steps) if steps else node

    def number(self, token: Token) -> Literal:
        if len(token.value) > 20 or not -_INT64 <= (value := int(token.value)) < _INT64:
            raise ExpressionFault(f"The number at position {token.at} of the expression is out of range")
        return Literal(value)

    def call(self, token: Token, depth: int) -> Call:
        namespace = None
        name = token.value
        if self.mark("."):
            namespace = name
            following = self.take()
            if following.kind is not Kind.NAME:
                self.next -= 1
                raise self.unexpected(", expected a function name")
            name = following.value
        self.expect("(")
        args: list[Node] = []
        if not self.mark(")"):
            args.append(self.expression(depth + 1))
            while self.mark(","):
                args.append(self.expression(depth + 1))
            self.expect(")")
        shown = name if namespace is None else f"{namespace}.{name}"
        return Call(name.lower(), shown, namespace and namespace.lower(), tuple(args))

    def steps(self, depth: int) -> tuple[Node, ...]:
        found: list[Node] = []
        while True:
            if self.mark("."):
                token = self.take()
                if token.kind is not Kind.NAME:
                    self.next -= 1
                    raise self.unexpected(", expected a property name")
                found.append(Literal(token.value))
            elif self.mark("["):
                found.append(self.expression(depth + 1))
                self.expect("]")
            else:
                return tuple(found)
