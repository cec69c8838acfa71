"""filter, groupBy, map, mapValues, reduce, sort, toObject, and the lambda they take.

A lambda is written `lambda('x', body)` directly as an argument; inside it `lambdaVariables('x')` is the value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import array, fault, function, obj, text, truth
from lazur.providers.resources.template.parser import Call, Literal, Node
from lazur.providers.resources.template.values import kind


def _bind(name: str, node: Node, frame: Frame, least: int, most: int) -> Callable[..., Any]:
    """The lambda as a Python function of at most `most` arguments."""
    if not isinstance(node, Call) or node.name != "lambda" or node.namespace is not None:
        raise fault(name, "the lambda must be given directly as an argument")
    names = []
    for arg in node.args[:-1]:
        if not isinstance(arg, Literal) or not isinstance(arg.value, str):
            raise fault(name, "the names of a lambda's variables must be strings")
        names.append(arg.value.lower())
    if not least <= len(names) <= most:
        expected = str(least) if least == most else f"{least} to {most}"
        raise fault(name, f"the lambda must have {expected} variable(s), not {len(names)}")
    body = node.args[-1]

    def apply(*values: Any) -> Any:
        frame.budget.charge(1)
        return frame.engine.node(body, frame.binding(**dict(zip(names, values, strict=False))))

    return apply


@function("filter", 2, lazy=True)
def keep(frame: Frame, args: list[Node]) -> Any:
    """The elements for which the lambda (element, [index]) is true."""
    values = array("filter", frame.engine.node(args[0], frame))
    test = _bind("filter", args[1], frame, 1, 2)
    return [value for i, value in enumerate(values) if truth("filter", test(value, i), 2)]


@function("map", 2, lazy=True)
def transform(frame: Frame, args: list[Node]) -> Any:
    """The lambda's (element, [index]) result for every element."""
    values = array("map", frame.engine.node(args[0], frame))
    change = _bind("map", args[1], frame, 1, 2)
    return [change(value, i) for i, value in enumerate(values)]


@function("mapValues", 2, lazy=True)
def transform_values(frame: Frame, args: list[Node]) -> Any:
    """An object with the lambda's result for every value."""
    values = obj("mapValues", frame.engine.node(args[0], frame))
    change = _bind("mapValues", args[1], frame, 1, 1)
    return {key: change(value) for key, value in values.items()}


@function("reduce", 3, lazy=True)
def fold(frame: Frame, args: list[Node]) -> Any:
    """The lambda (current, next, [index]) over all elements, beginning with the second argument."""
    values = array("reduce", frame.engine.node(args[0], frame))
    result = frame.engine.node(args[1], frame)
    step = _bind("reduce", args[2], frame, 2, 3)
    for i, value in enumerate(values):
        result = step(result, value, i)
    return result


@function("sort", 2, lazy=True)
def order(frame: Frame, args: list[Node]) -> Any:
    """The elements so that the lambda (a, b) is true for neighbours; equal ones keep their order."""
    values = array("sort", frame.engine.node(args[0], frame))
    before = _bind("sort", args[1], frame, 2, 2)

    def compare(one: Any, other: Any) -> int:
        if truth("sort", before(one, other), 2):
            return -1
        return 1 if truth("sort", before(other, one), 2) else 0

    return sorted(values, key=cmp_to_key(compare))


@function("toObject", 2, 3, lazy=True)
def to_object(frame: Frame, args: list[Node]) -> Any:
    """An object with a key, and a value when a second lambda is given, for every element."""
    values = array("toObject", frame.engine.node(args[0], frame))
    key_of = _bind("toObject", args[1], frame, 1, 2)
    value_of = _bind("toObject", args[2], frame, 1, 2) if len(args) > 2 else None
    out: dict[str, Any] = {}
    for i, value in enumerate(values):
        out[_key("toObject", key_of(value, i))] = value_of(value, i) if value_of else value
    return out


@function("groupBy", 2, lazy=True)
def group(frame: Frame, args: list[Node]) -> Any:
    """An object of arrays: the elements by the lambda's key."""
    values = array("groupBy", frame.engine.node(args[0], frame))
    key_of = _bind("groupBy", args[1], frame, 1, 2)
    out: dict[str, Any] = {}
    for i, value in enumerate(values):
        out.setdefault(_key("groupBy", key_of(value, i)), []).append(value)
    return out


def _key(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise fault(name, f"the lambda must return a string as key, not '{kind(value)}'")
    return value


@function("lambda", 1, None, lazy=True)
def stray(frame: Frame, args: list[Node]) -> Any:
    """Only an argument of the functions above."""
    raise ExpressionFault(
        "The template function 'lambda' is not expected at this location: it can only be an argument of "
        "filter, groupBy, map, mapValues, reduce, sort or toObject"
    )


@function("lambdaVariables", 1)
def variable(frame: Frame, args: list[Any]) -> Any:
    """A variable of the lambda around."""
    name = text("lambdaVariables", args[0])
    if name.lower() not in frame.lambdas:
        raise ExpressionFault(f"The lambda variable '{name}' is not found")
    return frame.lambdas[name.lower()]
