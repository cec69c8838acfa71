"""From a template and its parameters to the resources to deploy, in order.

Names, types, api-versions, scopes, conditions, copy counts and `dependsOn` are evaluated now; bodies later
(`body.evaluate_body`), because they may ask live resources. Sizes are checked before anything is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.evaluate import evaluate_value, loop_count, new_frame
from lazur.providers.resources.template.faults import MAX_RESOURCES, ExpressionFault, invalid, refuse
from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.graph import ordered
from lazur.providers.resources.template.names import absolute, resource_id
from lazur.providers.resources.template.nodes import DEPLOYMENTS, Copy, Index, Node
from lazur.providers.resources.template.parameters import bind
from lazur.providers.resources.template.schema import Declared, Template
from lazur.providers.resources.template.scope import Context, Scope
from lazur.providers.resources.template.target import check_location, check_nesting, target
from lazur.providers.resources.template.values import find, get, is_int

_USAGE = "Please see https://aka.ms/arm-syntax-resources for usage details."
_MAKING = 20
"""Steps of making one resource, besides what its expressions cost."""
_MANAGEMENT_GROUPS = "microsoft.management/managementgroups/"


@dataclass(frozen=True)
class Expansion:
    """A template made concrete."""

    template: Template
    scope: Scope
    nodes: tuple[Node, ...]
    """Every resource to deploy or, when `existing`, to read; each after those it depends on."""
    skipped: tuple[Node, ...]
    """Resources whose condition is false."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter's value after defaults, secrets included, in the form `expand` takes."""
        values = self.scope.parameters
        return {p.name: {"value": values[key]} for key, p in self.template.parameters.items() if key in values}


def expand(template: Template, parameters: Mapping[str, Any], context: Context) -> Expansion:
    """Every resource of the template for these parameters; all faults at once as `InvalidTemplate`."""
    check_nesting(template.raw, context.nesting)
    scope = bind(template, parameters, context)
    maker = _Maker(template, scope)
    nodes, skipped, index = maker.run()
    scope.resources = index
    return Expansion(template, scope, ordered(nodes, index, scope), skipped)


@dataclass(frozen=True)
class _Item:
    """One resource as written, with the parents it stands in."""

    declared: Declared
    parents: tuple[Declared, ...] = ()


class _Maker:
    def __init__(self, template: Template, scope: Scope) -> None:
        self.template = template
        self.scope = scope
        self.frame = new_frame(scope, Phase.COMPILE)
        self.faults: list[LazurError] = []
        self.nodes: list[Node] = []
        self.skipped: list[Node] = []
        self.groups: list[tuple[str, list[Node]]] = []
        self.total = 0
        """Resources counted so far, before any is made."""

    def run(self) -> tuple[list[Node], tuple[Node, ...], Index]:
        items = [item for declared in self.template.resources for item in _flat(declared, ())]
        counted = [(item, self.turns(item)) for item in items]
        if self.total > MAX_RESOURCES:
            self.faults.append(
                invalid(
                    f"The number of template resources limit exceeded. Limit: '{MAX_RESOURCES}' and actual: '{self.total}'. "
                    + _USAGE,
                    "resources",
                    self.template.locate,
                )
            )
        refuse(self.faults)
        for item, turns in counted:
            self.instances(item, turns)
        self.duplicates()
        refuse(self.faults)
        index = Index(self.nodes, self.scope.context.scope.id, self.skipped)
        for name, members in self.groups:
            index.group(name, members)
        return self.nodes, tuple(self.skipped), index

    def fault(self, item: _Item, error: ExpressionFault, path: str = "") -> None:
        where = error.target or path or item.declared.path
        line, column = self.template.locate(where)
        shown = item.declared.members.get("name")
        message = error.message.rstrip(".")
        self.faults.append(
            invalid(
                f"The template resource '{shown}' at line '{line}' and column '{column}' is not valid: {message}.",
                where,
                self.template.locate,
            )
        )

    def turns(self, item: _Item) -> list[tuple[Frame, Copy | None]]:
        """A frame for every copy of a resource, those of the parents it stands in included; none past the limit."""
        loops: list[tuple[str, int, int]] = []
        for declared in (*item.parents, item.declared):
            loop = declared.members.get("copy")
            if not isinstance(loop, dict):
                continue
            path = f"{declared.path}.copy"
            try:
                count = loop_count(get(loop, "count"), self.frame, f"{path}.count")
                loops.append((str(get(loop, "name")), count, self.batch_size(loop, path)))
            except ExpressionFault as e:
                self.fault(item, e)
                return []
        self.total += prod(count for _, count, _ in loops)
        frames: list[tuple[Frame, Copy | None]] = [(self.frame, None)]
        if self.total > MAX_RESOURCES:
            return frames
        for name, count, size in loops:
            frames = [
                (frame.within(name, i), Copy(name, i, count, size > 0, i // size if size else 0))
                for frame, _ in frames
                for i in range(count)
            ]
        return frames

    def batch_size(self, loop: Mapping[str, Any], path: str) -> int:
        """Size of the batches of a serial loop, 0 for a parallel one."""
        if str(get(loop, "mode", "parallel")).lower() != "serial":
            return 0
        size = evaluate_value(get(loop, "batchSize", 1), self.frame, f"{path}.batchSize")
        if not is_int(size) or size < 1:
            raise ExpressionFault("The batch size of a copy loop must be a positive integer", path=f"{path}.batchSize")
        return int(size)

    def instances(self, item: _Item, turns: list[tuple[Frame, Copy | None]]) -> None:
        made: list[Node] = []
        for frame, copy in turns:
            try:
                self.frame.budget.charge(_MAKING)
                node = self.node(item, frame, copy)
                active = self.condition(item, frame)
            except ExpressionFault as e:
                self.fault(item, e)
                break
            (self.nodes if active else self.skipped).append(node)
            if active:
                made.append(node)
        copied = item.declared.members.get("copy")
        if isinstance(copied, dict):
            loop, symbol = str(get(copied, "name")), item.declared.symbol
            self.groups.append((loop, made))
            if symbol and symbol.lower() != loop.lower():
                self.groups.append((symbol, made))

    def condition(self, item: _Item, frame: Frame) -> bool:
        raw = item.declared.members.get("condition")
        if raw is None:
            return True
        path = f"{item.declared.path}.condition"
        value = evaluate_value(raw, frame, path)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise ExpressionFault("The condition must be a boolean", path=path)
        return value

    def text(self, item: Declared, name: str, frame: Frame) -> str:
        raw = item.members.get(name.lower())
        if isinstance(raw, str) and raw[:1] not in ("", "["):
            return raw
        value = evaluate_value(raw, frame, f"{item.path}.{find(item.body, name) or name}")
        if raw is not None and (not isinstance(value, str) or not value):
            raise ExpressionFault(f"The property '{name}' must be a string that is not empty", path=f"{item.path}.{name}")
        return value or ""

    def node(self, item: _Item, frame: Frame, copy: Copy | None) -> Node:
        chain = (*item.parents, item.declared)
        kind = "/".join(self.text(declared, "type", frame).strip("/") for declared in chain)
        name = "/".join(self.text(declared, "name", frame).strip("/") for declared in chain)
        _check_segments(kind, name, item.declared.path, self.template)
        scope_id = self.scope_id(item.declared, kind, frame)
        id = resource_id(scope_id, kind, name.split("/"))
        kind, name, scope_id = _extension(scope_id, kind, name)
        if kind.lower() == DEPLOYMENTS and item.declared.members.get("existing") is not True:
            self.check_deployment(item.declared, name, scope_id, frame)
        symbol = item.declared.symbol
        return Node(
            symbol=f"{symbol}[{copy.index}]" if symbol and copy else symbol,
            id=id,
            type=kind,
            name=name,
            api_version=self.text(item.declared, "apiVersion", frame),
            body=item.declared.content,
            scope_id=scope_id,
            path=item.declared.path,
            depends_on=tuple(self.depends_on(item.declared, frame)),
            copy=copy,
            existing=item.declared.members.get("existing") is True,
            only_new=get(item.declared.members.get("@options") or {}, "onlyIfNotExists") is True,
            loops=frame.loops,
            loop=frame.loop,
        )

    def check_deployment(self, declared: Declared, name: str, scope_id: str, frame: Frame) -> None:
        """The rules of the scope that a nested deployment goes to."""
        goal = target(scope_id)
        if goal is None:
            raise ExpressionFault(f"Deployments can't be deployed to '{scope_id}'", path=f"{declared.path}.scope")
        path = f"{declared.path}.location"
        location = evaluate_value(declared.members.get("location"), frame, path)
        try:
            check_location(name, goal.kind, location)
        except LazurError as e:
            self.faults.append(LazurError(e.code, e.message, target=path))

    def depends_on(self, declared: Declared, frame: Frame) -> Iterator[str]:
        """The entries of `dependsOn`, not yet told which node they mean."""
        raw = declared.members.get("dependson")
        path = f"{declared.path}.dependsOn"
        value = evaluate_value([raw] if isinstance(raw, str) else raw or [], frame, path)
        for entry in value:
            for name in entry if isinstance(entry, list) else [entry]:
                if name is None or name == "":
                    continue
                if not isinstance(name, str):
                    raise ExpressionFault("An entry of dependsOn must be a string", path=path)
                yield name

    def scope_id(self, declared: Declared, kind: str, frame: Frame) -> str:
        """Where the resource goes: its `scope`, a deployment's other group or subscription, else that of the template."""
        here = self.scope.context.scope
        if declared.members.get("scope") is not None:
            given = self.text(declared, "scope", frame)
            if given == "/":
                return ""
            if given.lower().startswith(_MANAGEMENT_GROUPS):
                return absolute("", given)
            return absolute(here.id, given)
        group = self.text(declared, "resourceGroup", frame)
        subscription = self.text(declared, "subscriptionId", frame)
        if not group and not subscription:
            return here.id
        if kind.lower() != DEPLOYMENTS and declared.members.get("existing") is not True:
            raise ExpressionFault(
                "The properties 'resourceGroup' and 'subscriptionId' are for resources of type "
                "'Microsoft.Resources/deployments' and existing ones only",
                path=f"{declared.path}.{find(declared.body, 'resourceGroup') or find(declared.body, 'subscriptionId')}",
            )
        subscription = subscription or here.subscription_id
        if not subscription:
            raise ExpressionFault(
                "A resource group needs the property 'subscriptionId' beside it in a deployment above subscriptions",
                path=f"{declared.path}.{find(declared.body, 'resourceGroup')}",
            )
        base = f"/subscriptions/{subscription}"
        return f"{base}/resourceGroups/{group}" if group else base

    def duplicates(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            key = node.id.lower()
            if node.existing:
                continue
            if key in seen:
                line, column = self.template.locate(node.path)
                self.faults.append(
                    invalid(
                        f"The resource '{node.relative_id}' at line '{line}' and column '{column}' is defined multiple "
                        f"times in a template. {_USAGE}",
                        node.path,
                        self.template.locate,
                    )
                )
            seen.add(key)


def _flat(declared: Declared, parents: tuple[Declared, ...]) -> Iterator[_Item]:
    """A resource and the children written inside it."""
    yield _Item(declared, parents)
    inner = declared.members.get("resources")
    pairs: list[tuple[str, str, Any]] = []
    if isinstance(inner, list):
        pairs = [("", f"{declared.path}.resources[{i}]", body) for i, body in enumerate(inner)]
    elif isinstance(inner, dict):
        pairs = [(symbol, f"{declared.path}.resources.{symbol}", body) for symbol, body in inner.items()]
    for symbol, path, body in pairs:
        yield from _flat(Declared(symbol, body, path), (*parents, declared))


def _check_segments(kind: str, name: str, path: str, template: Template) -> None:
    if len(kind.split("/")) != len(name.split("/")) + 1:
        line, column = template.locate(path)
        raise ExpressionFault(
            f"The template resource '{name}' for type '{kind}' at line '{line}' and column '{column}' has incorrect "
            "segment lengths. A nested resource type must have identical number of segments as its resource name. A "
            "root resource type must have segment length one greater than its resource name. "
            f"{_USAGE}",
            path=path,
        )


def _extension(scope_id: str, kind: str, name: str) -> tuple[str, str, str]:
    """Type, name and scope when an extension is written in the older form `parentType/providers/type`."""
    segments, names = kind.split("/"), name.split("/")
    if "providers" not in (segment.lower() for segment in segments[2:]):
        return kind, name, scope_id
    at = max(i for i, segment in enumerate(segments) if segment.lower() == "providers")
    parent = resource_id(scope_id, "/".join(segments[:at]), names[: at - 1])
    return "/".join((names[at - 1], *segments[at + 1 :])), "/".join(names[at:]), parent


