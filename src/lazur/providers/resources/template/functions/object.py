"""Functions for objects: createObject, items, json, null, objectKeys, shallowMerge.

contains, empty, intersection, length and union are in `collection`.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import array, fault, function, obj, text
from lazur.providers.resources.template.values import kind, merged


@function("createObject", 0, None)
def create(frame: Frame, args: list[Any]) -> Any:
    """An object from names and values in turn."""
    if len(args) % 2:
        raise fault("createObject", "the number of arguments must be even: every key needs a value")
    out: dict[str, Any] = {}
    for i in range(0, len(args), 2):
        if not isinstance(args[i], str):
            raise fault("createObject", f"argument {i + 1} must be a string, not '{kind(args[i])}'")
        if args[i] in out:
            raise fault("createObject", f"argument {i + 1} repeats a key")
        out[args[i]] = args[i + 1]
    return out


@function("items", 1)
def items(frame: Frame, args: list[Any]) -> Any:
    """The properties as `{key, value}` objects, sorted by key without case."""
    value = obj("items", args[0])
    frame.budget.charge(2 * len(value))
    return [{"key": key, "value": value[key]} for key in sorted(value, key=str.upper)]


@function("objectKeys", 1)
def keys(frame: Frame, args: list[Any]) -> Any:
    """The names of the properties, sorted without case."""
    return sorted(obj("objectKeys", args[0]), key=str.upper)


@function("shallowMerge", 1)
def shallow_merge(frame: Frame, args: list[Any]) -> Any:
    """One object of an array of objects; a later property replaces an earlier one."""
    out: dict[str, Any] = {}
    for part in array("shallowMerge", args[0]):
        if not isinstance(part, dict):
            raise fault("shallowMerge", f"every element must be an object, not '{kind(part)}'")
        frame.budget.charge(len(part) + len(out))
        out = merged(out, part, deep=False)
    return out


@function("null", 0)
def nothing(frame: Frame, args: list[Any]) -> Any:
    """Null."""
    return None


@function("json", 1)
def parse(frame: Frame, args: list[Any]) -> Any:
    """The value that JSON text stands for; null gives an empty object."""
    return {} if args[0] is None else from_json("json", text("json", args[0]), frame)


def from_json(name: str, source: str, frame: Frame) -> Any:
    """The value of JSON text, bounded in depth and charged by its size."""
    try:
        value = json.loads(source, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise fault(name, "the text is no valid JSON") from None
    frame.budget.weigh(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
