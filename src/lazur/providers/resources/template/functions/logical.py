"""and, bool, false, if, not, or, true, xor.

`if` evaluates only the branch it takes; `and` and `or` stop at the first argument that decides.
"""

from __future__ import annotations

from typing import Any

from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions.registry import fault, function, truth
from lazur.providers.resources.template.parser import Node
from lazur.providers.resources.template.values import is_number, kind


@function("and", 2, None, lazy=True)
def both(frame: Frame, args: list[Node]) -> Any:
    """Whether all arguments are true."""
    return all(truth("and", frame.engine.node(arg, frame), i + 1) for i, arg in enumerate(args))


@function("or", 2, None, lazy=True)
def either(frame: Frame, args: list[Node]) -> Any:
    """Whether one argument is true."""
    return any(truth("or", frame.engine.node(arg, frame), i + 1) for i, arg in enumerate(args))


@function("xor", 2)
def one_of(frame: Frame, args: list[Any]) -> Any:
    """Whether exactly one of two arguments is true."""
    return truth("xor", args[0]) != truth("xor", args[1], 2)


@function("not", 1)
def negate(frame: Frame, args: list[Any]) -> Any:
    """The opposite."""
    return not truth("not", args[0])


@function("if", 3, lazy=True)
def choose(frame: Frame, args: list[Node]) -> Any:
    """The second argument when the first is true, else the third; the other one is not evaluated."""
    return frame.engine.node(args[1 if truth("if", frame.engine.node(args[0], frame)) else 2], frame)


@function("bool", 1)
def convert(frame: Frame, args: list[Any]) -> Any:
    """A boolean from `true`, `false` in any case, or a number (0 is false)."""
    value = args[0]
    if isinstance(value, bool):
        return value
    if is_number(value):
        return value != 0
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, str) and value.strip() in ("1", "0"):
        return value.strip() == "1"
    raise fault("bool", f"a value of type '{kind(value)}' can't be converted: it must be 'true' or 'false' or a number")


@function("true", 0)
def yes(frame: Frame, args: list[Any]) -> Any:
    """True."""
    return True


@function("false", 0)
def no(frame: Frame, args: list[Any]) -> Any:
    """False."""
    return False
