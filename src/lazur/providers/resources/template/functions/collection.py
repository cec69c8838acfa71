"""Functions for arrays, objects and strings alike: concat, contains, empty, first, indexOf, intersection, last,
lastIndexOf, length, max, min, skip, take, union.

Positions and lengths in text count UTF-16 units, as .NET does. `contains` compares text with case, `indexOf`,
`lastIndexOf`, `startsWith` and `endsWith` without; names of properties never have a case.
"""

from __future__ import annotations

from typing import Any

from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import fault, function, text, whole
from lazur.providers.resources.template.values import find, is_number, kind, merged, same, text_of, to_json

_LONGEST = 2**31 - 1


def units(value: str) -> str:
    """`value` with one character per UTF-16 unit, so that Python's positions are .NET's."""
    if value.isascii() or max(value, default="") < "\U00010000":
        return value
    raw = value.encode("utf-16-le", "surrogatepass")
    return "".join(chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2))


def ununits(value: str) -> str:
    """The inverse of `units`; half a character becomes U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@function("concat", 1, None)
def concat(frame: Frame, args: list[Any]) -> Any:
    """Arrays to one array, or strings, numbers and booleans to one string; null adds nothing."""
    if all(isinstance(arg, list) for arg in args):
        out: list[Any] = []
        for arg in args:
            frame.budget.charge(len(arg))
            out.extend(arg)
        return out
    for i, arg in enumerate(args):
        if isinstance(arg, list | dict | float):
            raise fault(
                "concat", f"argument {i + 1} of type '{kind(arg)}' can't be joined: all must be arrays, or all literals"
            )
        frame.budget.charge(len(arg) // 32 if isinstance(arg, str) else 1)
    return "".join(map(text_of, args))


@function("contains", 2, deep=True)
def contains(frame: Frame, args: list[Any]) -> Any:
    """Whether an array has an element, an object a property, a string a part."""
    container, item = args
    if isinstance(container, dict):
        return find(container, text("contains", item, 2)) is not None
    if isinstance(container, list):
        return any(same(element, item) for element in container)
    if isinstance(container, str):
        return text("contains", item, 2) in container
    raise fault("contains", f"argument 1 must be an array, an object or a string, not '{kind(container)}'")


@function("empty", 1)
def empty(frame: Frame, args: list[Any]) -> Any:
    """Whether an array, object or string has nothing in it; null is empty."""
    if args[0] is None or isinstance(args[0], list | dict | str):
        return not args[0]
    raise fault("empty", f"the argument must be an array, an object or a string, not '{kind(args[0])}'")


@function("first", 1)
def first(frame: Frame, args: list[Any]) -> Any:
    """First element or character; of nothing null or the empty string."""
    return _end("first", args[0], 0)


@function("last", 1)
def last(frame: Frame, args: list[Any]) -> Any:
    """Last element or character; of nothing null or the empty string."""
    return _end("last", args[0], -1)


def _end(name: str, value: Any, at: int) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return value[at] if value else None
    if isinstance(value, str):
        return ununits(units(value)[at]) if value else ""
    raise fault(name, f"the argument must be an array or a string, not '{kind(value)}'")


@function("indexOf", 2, deep=True)
def index_of(frame: Frame, args: list[Any]) -> Any:
    """Where an element or a part (without case) stands first, else -1."""
    return _find("indexOf", args, forward=True)


@function("lastIndexOf", 2, deep=True)
def last_index_of(frame: Frame, args: list[Any]) -> Any:
    """Where an element or a part (without case) stands last, else -1."""
    return _find("lastIndexOf", args, forward=False)


def _find(name: str, args: list[Any], *, forward: bool) -> int:
    container, item = args
    if container is None:
        return -1
    if isinstance(container, list):
        places = range(len(container)) if forward else range(len(container) - 1, -1, -1)
        return next((i for i in places if same(container[i], item)), -1)
    if isinstance(container, str):
        whole_text, part = units(container).lower(), units(text(name, item, 2)).lower()
        return whole_text.find(part) if forward else whole_text.rfind(part)
    raise fault(name, f"argument 1 must be an array or a string, not '{kind(container)}'")


@function("length", 1)
def length(frame: Frame, args: list[Any]) -> Any:
    """Elements, properties or characters; of null 0."""
    if args[0] is None:
        return 0
    if isinstance(args[0], str):
        return len(units(args[0])) if args[0] else 0
    if isinstance(args[0], list | dict):
        return len(args[0])
    raise fault("length", f"the argument must be an array, an object or a string, not '{kind(args[0])}'")


@function("max", 1, None)
def largest(frame: Frame, args: list[Any]) -> Any:
    """The largest of an array of numbers or of the arguments."""
    return max(_numbers("max", args))


@function("min", 1, None)
def smallest(frame: Frame, args: list[Any]) -> Any:
    """The smallest of an array of numbers or of the arguments."""
    return min(_numbers("min", args))


def _numbers(name: str, args: list[Any]) -> list[Any]:
    values = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    if not values:
        raise fault(name, "there must be at least one number")
    for value in values:
        if not is_number(value):
            raise fault(name, f"all values must be numbers, not '{kind(value)}'")
    return values


@function("skip", 2)
def skip(frame: Frame, args: list[Any]) -> Any:
    """What follows the first elements or characters; a count below 1 skips nothing."""
    return _part("skip", args, after=True)


@function("take", 2)
def take(frame: Frame, args: list[Any]) -> Any:
    """The first elements or characters; a count below 1 takes nothing."""
    return _part("take", args, after=False)


def _part(name: str, args: list[Any], *, after: bool) -> Any:
    value, count = args[0], min(max(whole(name, args[1], 2), 0), _LONGEST)
    if value is None:
        return None
    if isinstance(value, list):
        return value[count:] if after else value[:count]
    if isinstance(value, str):
        if not value:
            return ""
        split = units(value)
        return ununits(split[count:] if after else split[:count])
    raise fault(name, f"argument 1 must be an array or a string, not '{kind(value)}'")


@function("intersection", 2, None, deep=True)
def intersection(frame: Frame, args: list[Any]) -> Any:
    """What all arrays, or all objects, have in common, in the order of the first one."""
    if all(isinstance(arg, list) for arg in args):
        sets = [{_mark(item) for item in arg} for arg in args[1:]]
        seen = {_mark(item): item for item in reversed(args[0])}
        marks = dict.fromkeys(_mark(item) for item in args[0])
        return [seen[mark] for mark in marks if all(mark in other for other in sets)]
    if all(isinstance(arg, dict) for arg in args):
        return {
            name: value
            for name, value in args[0].items()
            if all(name in other and same(other[name], value) for other in args[1:])
        }
    raise fault("intersection", "all arguments must be arrays, or all objects")


@function("union", 2, None, deep=True)
def union(frame: Frame, args: list[Any]) -> Any:
    """Arrays: every element once. Objects: merged in depth, the later value wins; arrays within are replaced."""
    if all(isinstance(arg, list) for arg in args):
        seen: dict[str, Any] = {}
        for arg in args:
            for item in arg:
                seen.setdefault(_mark(item), item)
        return list(seen.values())
    if all(isinstance(arg, dict) for arg in args):
        out: dict[str, Any] = {}
        for arg in args:
            out = merged(out, arg, deep=True)
        return out
    raise fault("union", "all arguments must be arrays, or all objects")


def _mark(value: Any) -> str:
    """A text that is equal for values that `same` calls equal."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(key)}:{_mark(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_mark, value)) + "]"
    return to_json(value)
