"""What a pure function answered last, so that a network of thousands is not compiled again for one more card.

Must never answer for an argument that is not equal to the one before, so that forgetting everything changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_A = TypeVar("_A")
_R = TypeVar("_R")


class Memory(Generic[_A, _R]):
    """The last argument and result of `function` under each name."""

    def __init__(self, function: Callable[[_A], _R]) -> None:
        self._function = function
        self._known: dict[Hashable, tuple[_A, _R]] = {}
        self._asked: dict[Hashable, tuple[_A, _R]] = {}

    def of(self, name: Hashable, argument: _A) -> _R:
        """`function(argument)`; not calculated when the last argument under `name` was equal."""
        known = self._known.get(name)
        if known is None or not (known[0] is argument or known[0] == argument):
            known = argument, self._function(argument)
        self._asked[name] = known
        return known[1]

    def forget(self) -> None:
        """Drop the names nobody asked for since the last call."""
        self._known, self._asked = self._asked, {}
