"""Which resource waits for which, and the order that follows.

Dependencies come from `dependsOn`, from `reference` and list functions that name a resource of the same template, from
the batches of serial loops, and from children to parents. Azure leaves out the last kind; it is added here only where it
makes no cycle, so a template that works in Azure works the same and one that forgot it works too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.evaluate import ENGINE, is_property_copy, loop_count, new_frame
from lazur.providers.resources.template.faults import ExpressionFault, invalid, refuse
from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.nodes import DEPLOYMENTS, Ambiguous, Index, Node
from lazur.providers.resources.template.parser import Call, is_expression, parse, walk
from lazur.providers.resources.template.parser import Node as Tree
from lazur.providers.resources.template.scope import Scope
from lazur.providers.resources.template.values import get

_USAGE = "Please see https://aka.ms/arm-syntax-resources for usage details."
_Question = tuple[Tree, tuple[Mapping[str, Any], ...]]
"""The first argument of a live function, and the property loops around it."""


def ordered(nodes: list[Node], index: Index, scope: Scope) -> tuple[Node, ...]:
    """The nodes with their dependencies told, each behind those it depends on, else as written."""
    graph = _Graph(nodes, index, scope)
    graph.explicit()
    graph.implicit()
    graph.batches()
    refuse(graph.faults)
    order = graph.sort()
    graph.parents()
    order = graph.sort()
    return tuple(replace(node, depends_on=tuple(graph.edges[node.id.lower()].values())) for node in order)


class _Graph:
    def __init__(self, nodes: list[Node], index: Index, scope: Scope) -> None:
        self.nodes = nodes
        self.index = index
        self.scope = scope
        self.faults: list[LazurError] = []
        self.edges: dict[str, dict[str, str]] = {node.id.lower(): {} for node in nodes}
        """From the id of a node to the ids it waits for, both as keys in lower case."""

    def wait(self, node: Node, others: Iterable[Node]) -> None:
        for other in others:
            if node.existing and node.id.lower() == other.id.lower():
                continue
            self.edges[node.id.lower()][other.id.lower()] = other.id

    def explicit(self) -> None:
        for node in self.nodes:
            for reference in node.depends_on:
                try:
                    found = self.index.find(reference)
                except Ambiguous:
                    self.undefined(node, reference, "several resources of the template have this name")
                    continue
                if found is not None:
                    self.wait(node, found)
                elif not self.index.is_skipped(reference):
                    self.undefined(node, reference, "")

    def undefined(self, node: Node, reference: str, why: str) -> None:
        prefix = f"{self.scope.context.scope.id}/providers/".lower()
        shown = reference[len(prefix) :] if reference.lower().startswith(prefix) else reference
        path = f"{node.path}.dependsOn"
        text = f"is ambiguous: {why}" if why else "is not defined in the template"
        self.faults.append(invalid(f"The resource '{shown}' {text}. {_USAGE}", path, self.scope.template.locate))

    def implicit(self) -> None:
        """Evaluate what `reference` and list functions name; what can't be known yet makes no dependency."""
        known: dict[str, list[_Question]] = {}
        base = new_frame(self.scope, Phase.COMPILE)
        for node in self.nodes:
            if node.path not in known:
                known[node.path] = list(_questions(node.body, (), is_deployment=node.is_deployment))
            for tree, loops in known[node.path]:
                frame = base.turning(node.loops, node.loop)
                for name in _answers(tree, list(loops), frame):
                    self.wait(node, self._named(name))

    def _named(self, name: str) -> list[Node]:
        try:
            return self.index.find(name) or []
        except Ambiguous:
            return []

    def batches(self) -> None:
        loops: dict[tuple[str, str], dict[int, list[Node]]] = {}
        for node in self.nodes:
            if node.copy is not None and node.copy.serial:
                loops.setdefault((node.copy.name.lower(), node.path), {}).setdefault(node.copy.batch, []).append(node)
        for by_batch in loops.values():
            numbers = sorted(by_batch)
            for before, number in pairwise(numbers):
                for node in by_batch[number]:
                    self.wait(node, by_batch[before])

    def parents(self) -> None:
        """Let children wait for parents, and extensions for what they extend, unless that parent waits for them."""
        for node in self.nodes:
            parent = self.index.by_id("/".join(node.id.split("/")[:-2]).removesuffix("/providers"))
            if parent is None and node.scope_id:
                parent = self.index.by_id(node.scope_id)
            key = node.id.lower()
            if parent is None or parent.id.lower() == key or parent.id.lower() in self.edges[key]:
                continue
            if not self.reaches(parent.id.lower(), key):
                self.wait(node, [parent])

    def reaches(self, start: str, end: str) -> bool:
        seen = {start}
        stack = [start]
        while stack:
            for other in self.edges[stack.pop()]:
                if other == end:
                    return True
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        return False

    def sort(self) -> list[Node]:
        """Topological order, stable; raises the cycle when there is one."""
        place = {node.id.lower(): i for i, node in enumerate(self.nodes)}
        by_id = {node.id.lower(): node for node in self.nodes if self.index.by_id(node.id) is node}
        waiting = {key: len(edges) for key, edges in self.edges.items()}
        followers: dict[str, list[str]] = {key: [] for key in self.edges}
        for key, edges in self.edges.items():
            for other in edges:
                followers[other].append(key)
        ready = [(place[key], key) for key, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        order: list[Node] = []
        while ready:
            _, key = heapq.heappop(ready)
            order.append(by_id[key])
            for follower in followers[key]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(ready, (place[follower], follower))
        if len(order) < len(by_id):
            raise self.cycle(by_id, {key for key, count in waiting.items() if count > 0})
        return order

    def cycle(self, by_id: Mapping[str, Node], stuck: set[str]) -> LazurError:
        key = min(stuck, key=lambda k: self.nodes.index(by_id[k]))
        trail: list[str] = []
        while key not in trail:
            trail.append(key)
            key = next(other for other in self.edges[key] if other in stuck)
        names = [by_id[k].relative_id for k in trail[trail.index(key) :]]
        node = by_id[key]
        return invalid(
            f"Circular dependency detected on resource: '{node.id}'. The cycle is: {' -> '.join([*names, names[0]])}. "
            + _USAGE,
            node.path,
            self.scope.template.locate,
        )


def _questions(
    value: Any, loops: tuple[Mapping[str, Any], ...], *, is_deployment: bool = False
) -> Iterator[_Question]:
    """Every live function in a body, but those of nested templates that are evaluated in a scope of their own."""
    stack: list[tuple[Any, tuple[Mapping[str, Any], ...], bool]] = [(value, loops, is_deployment)]
    while stack:
        item, around, nested = stack.pop()
        if isinstance(item, str):
            if is_expression(item):
                yield from ((tree, around) for tree in _live(item))
        elif isinstance(item, list):
            stack.extend((child, around, False) for child in reversed(item))
        elif isinstance(item, dict):
            nested = nested or str(get(item, "type", "")).lower() == DEPLOYMENTS
            inner = nested and is_inner(get(item, "properties"))
            for key, child in reversed(item.items()):
                if key.lower() == "copy" and is_property_copy(child):
                    stack.extend((get(loop, "input"), (*around, loop), False) for loop in child)
                elif key.lower() == "properties" and inner and isinstance(child, dict):
                    outside = {name: part for name, part in child.items() if name.lower() != "template"}
                    stack.append((outside, around, False))
                else:
                    stack.append((child, around, False))


def is_inner(properties: Any) -> bool:
    """Whether a nested deployment evaluates its template in its own scope."""
    options = get(properties, "expressionEvaluationOptions") if isinstance(properties, dict) else None
    return isinstance(options, dict) and str(get(options, "scope", "")).lower() == "inner"


def _live(text: str) -> Iterator[Tree]:
    lowered = text.lower()
    if "reference" not in lowered and "list" not in lowered:
        return
    for node in walk(parse(text)):
        if not isinstance(node, Call) or node.namespace is not None or not node.args:
            continue
        if node.name in ("reference", "references") or node.name.startswith("list"):
            yield node.args[0]


def _answers(tree: Tree, loops: list[Mapping[str, Any]], frame: Frame) -> Iterator[str]:
    """What the argument evaluates to, once for every turn of the property loops it uses."""
    if loops and any(isinstance(node, Call) and node.name == "copyindex" for node in walk(tree)):
        try:
            count = loop_count(get(loops[0], "count"), frame, "")
        except ExpressionFault:
            return
        for i in range(count):
            yield from _answers(tree, loops[1:], frame.within(str(get(loops[0], "name")), i))
        return
    try:
        value = ENGINE.node(tree, frame)
    except (ExpressionFault, RecursionError):
        return
    if isinstance(value, str):
        yield value
