"""coalesce, equals, greater, greaterOrEquals, less, lessOrEquals.

Text compares for order as .NET's invariant culture does: marks before digits before letters, letters by themselves
first and lower case before upper case only to break a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import fault, function
from lazur.providers.resources.template.parser import Node
from lazur.providers.resources.template.values import is_number, kind, same

_MARKS = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_ORDER = {mark: f"\x01{i:02d}" for i, mark in enumerate(" " + _MARKS)}


@function("coalesce", 1, None, lazy=True)
def coalesce(frame: Frame, args: list[Node]) -> Any:
    """The first argument that is not null; those behind it are not evaluated."""
    for arg in args:
        value = frame.engine.node(arg, frame)
        if value is not None:
            return value
    return None


@function("equals", 2, deep=True)
def equals(frame: Frame, args: list[Any]) -> Any:
    """Deep equality, text with case; numbers by value."""
    if is_number(args[0]) and is_number(args[1]):
        return args[0] == args[1]
    return same(args[0], args[1])


def _comparison(name: str, test: Callable[[Any, Any], bool]) -> None:
    @function(name, 2)
    def compare(frame: Frame, args: list[Any]) -> Any:
        one, other = args
        if is_number(one) and is_number(other):
            return test(one, other)
        if (one is None or isinstance(one, str)) and (other is None or isinstance(other, str)):
            return test(order_key(one or ""), order_key(other or ""))
        raise fault(name, f"can't compare '{kind(one)}' with '{kind(other)}': both must be numbers, or both strings")


_comparison("less", lambda a, b: bool(a < b))
_comparison("lessOrEquals", lambda a, b: bool(a <= b))
_comparison("greater", lambda a, b: bool(a > b))
_comparison("greaterOrEquals", lambda a, b: bool(a >= b))


def order_key(value: str) -> tuple[str, str]:
    """A key that sorts text in dictionary order."""
    return "".join(_ORDER.get(char, char) for char in value.casefold()), value.swapcase()
