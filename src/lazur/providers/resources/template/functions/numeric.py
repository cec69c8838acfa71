"""add, copyIndex, div, float, int, mod, mul, sub on 64-bit whole numbers.

Division truncates towards zero and `mod` has the sign of its first argument, as in .NET. `max` and `min` are in
`collection`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import fault, function, whole
from lazur.providers.resources.template.values import is_number, kind

_INT64 = 2**63
_WHOLE = re.compile(r"\s*[+-]?\d{1,19}\s*")
_DECIMAL = re.compile(r"\s*[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d{1,4})?\s*")


def _operation(name: str, compute: Callable[[int, int], int]) -> None:
    @function(name, 2)
    def operate(frame: Frame, args: list[Any]) -> Any:
        one, other = whole(name, args[0]), whole(name, args[1], 2)
        if other == 0 and name in ("div", "mod"):
            raise fault(name, "the second argument must not be zero")
        result = compute(one, other)
        if not -_INT64 <= result < _INT64:
            raise fault(name, f"the result of '{one}' and '{other}' does not fit into 64 bits")
        return result


def _truncated(one: int, other: int) -> int:
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) == (other < 0) else -quotient


_operation("add", lambda a, b: a + b)
_operation("sub", lambda a, b: a - b)
_operation("mul", lambda a, b: a * b)
_operation("div", _truncated)
_operation("mod", lambda a, b: a - b * _truncated(a, b))


@function("int", 1)
def to_int(frame: Frame, args: list[Any]) -> Any:
    """A whole number from a string or a whole number."""
    value = args[0]
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("int", f"a value of type '{kind(value)}' can't be converted to an integer")
    if not -_INT64 <= value < _INT64:
        raise fault("int", "the number does not fit into 64 bits")
    return value


@function("float", 1)
def to_float(frame: Frame, args: list[Any]) -> Any:
    """A float from a string or a number."""
    value = args[0]
    try:
        if is_number(value):
            return float(value)
        if isinstance(value, str) and any(map(str.isdigit, value)) and _DECIMAL.fullmatch(value):
            result = float(value.replace(",", ""))
            if math.isfinite(result):
                return result
    except (ValueError, OverflowError):
        pass
    raise fault("float", f"a value of type '{kind(value)}' can't be converted to a floating point number")


@function("copyIndex", 0, 2)
def copy_index(frame: Frame, args: list[Any]) -> Any:
    """The turn of a loop, from 0: `copyIndex([loopName], [offset])`; without a name of the innermost one."""
    name = frame.loop
    rest = list(args)
    if rest and isinstance(rest[0], str):
        name = rest.pop(0).lower()
    offset = whole("copyIndex", rest[0], 2) if rest else 0
    if len(rest) > 1 or name is None or name not in frame.loops:
        known = "', '".join(frame.loops)
        raise ExpressionFault(
            "The template function 'copyIndex' is not expected at this location. The function can only be used in a "
            f"copy loop and with the name of one: '{known}'. Please see https://aka.ms/arm-copy for usage details"
        )
    return frame.loops[name] + offset
