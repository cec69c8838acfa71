"""The place an expression is evaluated in: which functions are allowed, which loop runs, what may be looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.parser import Node
from lazur.providers.resources.template.scope import Lookup, Scope
from lazur.providers.resources.template.values import Budget


class Phase(Enum):
    """When an expression is evaluated, which decides the functions it may use."""

    PARAMETER = "the expression of a parameter's value"
    DEFAULT = "the default value of a parameter"
    COMPILE = "a place evaluated before deployment"
    RUNTIME = "a resource body or an output"
    FUNCTION = "a user's function"


class Engine(Protocol):
    """The evaluator, as functions see it: some decide themselves which arguments are evaluated, and where."""

    def node(self, node: Node, frame: Frame) -> Any:
        """The value of a tree."""
        ...

    def variable(self, name: str, frame: Frame) -> Any:
        """The value of a variable of the template."""
        ...

    def default(self, name: str, frame: Frame) -> Any:
        """The default value of a parameter that another default uses."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything around one expression."""

    scope: Scope
    phase: Phase
    budget: Budget
    engine: Engine
    lookup: Lookup | None = None
    loops: Mapping[str, int] = field(default_factory=dict)
    """Index of every copy loop around, by lower-case name."""
    loop: str | None = None
    """The loop that `copyIndex()` without a name means."""
    local: Mapping[str, Any] | None = None
    """Arguments of the user's function being evaluated, by lower-case name."""
    lambdas: Mapping[str, Any] = field(default_factory=dict)
    preview: bool = False
    """Whether an expression that can't be answered yet is kept as it is written."""

    def within(self, name: str, index: int) -> Frame:
        """This frame inside one turn of a copy loop."""
        return self.turning({**self.loops, name.lower(): index}, name.lower())

    def turning(self, loops: Mapping[str, int], loop: str | None) -> Frame:
        """This frame in other turns of loops."""
        # Not `replace`, which looks every field up by name: there is a frame for every copy of every resource.
        return Frame(
            self.scope, self.phase, self.budget, self.engine, self.lookup, loops, loop, self.local, self.lambdas, self.preview
        )

    def binding(self, **names: Any) -> Frame:
        """This frame with the variables of a lambda bound."""
        return replace(self, lambdas={**self.lambdas, **names})

    def only(self, function: str, *phases: Phase) -> None:
        """Refuse `function` outside `phases`, with Azure's words."""
        if self.phase not in phases:
            raise ExpressionFault(
                f"The template function '{function}' is not expected at this location. "
                "Please see https://aka.ms/arm-functions for usage details."
            )
