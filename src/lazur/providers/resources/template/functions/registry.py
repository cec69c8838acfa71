"""The table of template functions and the helpers their families share.

A family registers its functions with `@function`; names compare without case. An eager function gets evaluated
arguments, a lazy one the trees of its arguments. Must never hold state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.values import is_int, kind

Body = Callable[[Frame, list[Any]], Any]
_B = TypeVar("_B", bound=Callable[[Frame, list[Any]], Any])


@dataclass(frozen=True)
class Function:
    """One function: its documented spelling, how many arguments it takes (`most` None: any number) and its body."""

    name: str
    least: int
    most: int | None
    body: Body
    lazy: bool = False
    deep: bool = False
    """Looks at every element of its arguments, so their size is charged first."""
    cost: int = 0
    """Steps of a call by itself, for those that cost much whatever they are given."""


FUNCTIONS: dict[str, Function] = {}


def lookup(name: str) -> Function | None:
    """The function of a lower-case name; every name that begins with `list` is an action of a resource."""
    return FUNCTIONS.get(name) or (FUNCTIONS["list*"] if name.startswith("list") else None)


def is_function(name: str) -> bool:
    """Whether a lower-case name is a function's."""
    return lookup(name) is not None


def function(
    name: str, least: int, most: int | None = -1, *, lazy: bool = False, deep: bool = False, cost: int = 0
) -> Callable[[_B], _B]:
    """Register a function that takes `least` to `most` arguments; without `most` exactly `least`."""

    def register(body: _B) -> _B:
        FUNCTIONS[name.lower()] = Function(name, least, least if most == -1 else most, body, lazy, deep, cost)
        return body

    return register


def fault(name: str, what: str) -> ExpressionFault:
    """A refusal of a function in Azure's form; must not quote text from arguments, which may come from a secret."""
    return ExpressionFault(f"Unable to evaluate template language function '{name}': {what}")


def text(name: str, value: Any, position: int = 1) -> str:
    """A string argument; null counts as the empty string, as in Azure."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise fault(name, f"argument {position} must be a string, not '{kind(value)}'")
    return value


def whole(name: str, value: Any, position: int = 1) -> int:
    """A whole-number argument."""
    if not is_int(value):
        raise fault(name, f"argument {position} must be an integer, not '{kind(value)}'")
    return int(value)


def truth(name: str, value: Any, position: int = 1) -> bool:
    """A boolean argument."""
    if not isinstance(value, bool):
        raise fault(name, f"argument {position} must be a boolean, not '{kind(value)}'")
    return value


def array(name: str, value: Any, position: int = 1) -> list[Any]:
    """An array argument."""
    if not isinstance(value, list):
        raise fault(name, f"argument {position} must be an array, not '{kind(value)}'")
    return value


def obj(name: str, value: Any, position: int = 1) -> dict[str, Any]:
    """An object argument."""
    if not isinstance(value, dict):
        raise fault(name, f"argument {position} must be an object, not '{kind(value)}'")
    return value
