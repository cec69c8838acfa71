"""Every resource that a deployment would PUT, those of the deployments nested in it included, before anything runs.

What only the deployment itself can tell (`reference` to a resource that does not exist yet) stays an expression. Serves
validation and what-if. Must never fetch or write anything: the world is asked through `World` and `Lookup`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.body import NestedDeployment, evaluate_body, nested_deployment
from lazur.providers.resources.template.expand import Expansion, expand
from lazur.providers.resources.template.nodes import Node
from lazur.providers.resources.template.parser import is_expression
from lazur.providers.resources.template.schema import parse_template
from lazur.providers.resources.template.scope import Context, Lookup, Scope

MAX_TEMPLATES = 500
"""Nested templates that are looked into (Azure's limit for what-if)."""


class World(Protocol):
    """What a preview may know of the cloud around the deployment."""

    @property
    def lookup(self) -> Lookup:
        """Answers from what exists now; raises `Unanswerable` for everything else."""
        ...

    def context(self, nested: NestedDeployment, around: Context) -> Context:
        """The context of a nested deployment; its scope need not exist yet."""
        ...

    def linked(self, nested: NestedDeployment, around: Context) -> Mapping[str, Any] | None:
        """The template a nested deployment links to, or None when it is not at hand; raises when it cannot be had."""
        ...


@dataclass(frozen=True)
class Step:
    """One resource to deploy."""

    node: Node
    body: Mapping[str, Any]
    """Evaluated as far as can be known."""
    scope: Scope
    """The template it stands in."""
    unknown: bool = False
    """Whether even its id depends on what the deployment has yet to make."""

    @property
    def deployment_id(self) -> str:
        """The deployment that deploys it."""
        return self.scope.context.deployment_id


@dataclass(frozen=True)
class Notice:
    """Something a preview could not look into."""

    code: str
    message: str
    target: str
    level: str = "Warning"


@dataclass
class Steps:
    """What a deployment comes to."""

    resources: list[Step] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    faults: list[LazurError] = field(default_factory=list)


def steps(expansion: Expansion, world: World) -> Steps:
    """Every resource of a deployment; faults of bodies and nested templates are collected, all of them."""
    found = Steps()
    budget = expansion.scope.context.budget
    waiting = [expansion]
    seen = 0
    while waiting:
        here = waiting.pop(0)
        for node in here.nodes:
            if node.existing:
                continue
            try:
                body = evaluate_body(node, here.scope, world.lookup, preview=True)
                if not node.is_deployment:
                    found.resources.append(Step(node, body, here.scope, "[" in node.id))
                    continue
                seen += 1
                nested = _look_into(node, body, here, world, seen, found)
            except LazurError as error:
                found.faults.append(error)
                if budget.left < 0:
                    return found
                continue
            if nested is not None:
                waiting.append(nested)
    return found


def _look_into(
    node: Node, body: Mapping[str, Any], around: Expansion, world: World, number: int, found: Steps
) -> Expansion | None:
    """The expansion of a nested deployment; None, and a notice why, when it can't be looked into."""
    nested = nested_deployment(node, body)
    if number > MAX_TEMPLATES:
        found.notices.append(
            Notice(
                "NestedTemplateLimitReached", f"Only {MAX_TEMPLATES} nested templates are looked into.", node.id
            )
        )
        return None
    template = nested.template if nested.template is not None else world.linked(nested, around.scope.context)
    if template is None:
        found.notices.append(
            Notice("NestedDeploymentNotExpanded", "The template this deployment links to is not at hand.", node.id)
        )
        return None
    context = world.context(nested, around.scope.context)
    try:
        return expand(parse_template(template), nested.parameters, context)
    except LazurError as error:
        if _has_expression(nested.parameters):
            found.notices.append(
                Notice(
                    "NestedDeploymentShortCircuited",
                    "A nested deployment got short-circuited and all its resources got skipped from validation. This is "
                    "due to a nested template having a parameter that was not fully evaluated (contains a reference() "
                    "function).",
                    node.id,
                )
            )
            return None
        raise LazurError(error.code, error.message, target=node.id, details=error.details, info=error.info) from None


def _has_expression(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and is_expression(item):
            return True
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False
