"""Functions that make arrays or look into them: array, createArray, flatten, indexFromEnd, range, tryGet, tryIndexFromEnd.

Functions that take arrays and strings or objects alike are in `collection`.
"""

from __future__ import annotations

from typing import Any

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import array, fault, function, whole
from lazur.providers.resources.template.values import find, is_int, kind

_MAX_RANGE = 10_000
_INT32 = 2**31 - 1


@function("array", 1)
def make(frame: Frame, args: list[Any]) -> Any:
    """The argument itself when it is an array, else an array of it."""
    return args[0] if isinstance(args[0], list) else [args[0]]


@function("createArray", 0, None)
def create(frame: Frame, args: list[Any]) -> Any:
    """An array of the arguments."""
    return list(args)


@function("flatten", 1)
def flatten(frame: Frame, args: list[Any]) -> Any:
    """The elements of an array of arrays, one level deep."""
    out: list[Any] = []
    for part in array("flatten", args[0]):
        if not isinstance(part, list):
            raise fault("flatten", f"every element must be an array, not '{kind(part)}'")
        frame.budget.charge(len(part))
        out.extend(part)
    return out


@function("range", 2)
def numbers(frame: Frame, args: list[Any]) -> Any:
    """`count` whole numbers from `start`; at most 10,000 and none above 2147483647."""
    start, count = whole("range", args[0]), whole("range", args[1], 2)
    if not 0 <= count <= _MAX_RANGE:
        raise fault("range", f"the count '{count}' must be between 0 and {_MAX_RANGE}")
    if start + count - 1 > _INT32 or start < -_INT32 - 1:
        raise fault("range", f"the sum of start and count must not exceed {_INT32}")
    return list(range(start, start + count))


@function("tryGet", 2, None)
def try_get(frame: Frame, args: list[Any]) -> Any:
    """A property or element, null when there is none; the steps after the first one must exist."""
    value: Any = None
    for i, step in enumerate(args[1:]):
        if not isinstance(step, str) and not is_int(step):
            raise fault("tryGet", f"argument {i + 2} must be a string or an integer, not '{kind(step)}'")
        if i == 0:
            value = _peek(args[0], step)
            if value is None:
                return None
        else:
            value = _step(value, step)
    return value


def _from_end(name: str, args: list[Any]) -> int:
    """The place in an array that is counted from its end, which is 1."""
    values, place = array(name, args[0]), whole(name, args[1], 2)
    if place < 1:
        raise fault(name, f"the place from the end must be 1 or more, not {place}")
    return len(values) - place


@function("indexFromEnd", 2)
def from_end(frame: Frame, args: list[Any]) -> Any:
    """The element at a place counted from the end, the last one being 1."""
    index = _from_end("indexFromEnd", args)
    if index < 0:
        raise ExpressionFault(f"The language expression property array index '{args[1]}' is out of bounds")
    return args[0][index]


@function("tryIndexFromEnd", 2, None)
def try_from_end(frame: Frame, args: list[Any]) -> Any:
    """The element at a place counted from the end, null when there is none; steps after it must exist."""
    if not isinstance(args[0], list):
        return None
    index = _from_end("tryIndexFromEnd", args)
    if index < 0 or args[0][index] is None:
        return None
    value = args[0][index]
    for step in args[2:]:
        value = _step(value, step)
    return value


def _peek(value: Any, step: Any) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        found = find(value, step)
        return None if found is None else value[found]
    if isinstance(value, list) and is_int(step) and 0 <= step < len(value):
        return value[step]
    return None


def _step(value: Any, step: Any) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        found = find(value, step)
        if found is not None:
            return value[found]
    elif isinstance(value, list) and is_int(step) and 0 <= step < len(value):
        return value[step]
    raise ExpressionFault(f"The language expression property '{step}' doesn't exist")
