"""Nested templates whose expressions belong to the parent: evaluated there, and what results made plain again.

In such a template `parameters`, `variables`, `resourceGroup`, `reference` mean the parent's. Its own copy loops turn only
later, so an expression that uses `copyIndex` of one is kept, with all its other parts replaced by their values. Nested
templates further in that evaluate themselves (`inner`) are left as they are.
"""

from __future__ import annotations

from typing import Any

from lazur.providers.resources.template.evaluate import ENGINE
from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.graph import is_inner
from lazur.providers.resources.template.nodes import DEPLOYMENTS
from lazur.providers.resources.template.parser import Access, Call, Literal, Node, escaped, is_expression, parse, walk
from lazur.providers.resources.template.scope import Unanswerable
from lazur.providers.resources.template.values import get, to_json

_RAW = ("parameters", "functions", "metadata", "definitions")


def evaluate_outer(template: Any, frame: Frame, path: str) -> Any:
    """A nested template with the parent's values in it, ready to be read as a template of its own."""
    if not isinstance(template, dict):
        return template
    return {
        key: value if key.lower() in _RAW else _within(value, frame, f"{path}.{key}") for key, value in template.items()
    }


def _within(value: Any, frame: Frame, path: str) -> Any:
    frame.budget.charge(1)
    if isinstance(value, list):
        return [_within(item, frame, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        keep = ""
        if str(get(value, "type", "")).lower() == DEPLOYMENTS and is_inner(get(value, "properties")):
            keep = "properties"
        return {
            key: _but_template(item, frame, f"{path}.{key}") if key.lower() == keep else _within(item, frame, f"{path}.{key}")
            for key, item in value.items()
        }
    if not isinstance(value, str) or not is_expression(value):
        return value
    try:
        tree = parse(value)
        if _turns_later(tree, frame):
            return f"[{_kept(tree, frame)}]"
        result = ENGINE.node(tree, frame)
        frame.budget.weigh(result)
        return _plain_again(result)
    except Unanswerable:
        if not frame.preview:
            raise
        return escaped(value)
    except ExpressionFault as e:
        if e.target is None:
            e.target = path
        raise


def _but_template(properties: Any, frame: Frame, path: str) -> Any:
    if not isinstance(properties, dict):
        return properties
    return {
        key: value if key.lower() == "template" else _within(value, frame, f"{path}.{key}")
        for key, value in properties.items()
    }


def _turns_later(tree: Node, frame: Frame) -> bool:
    """Whether a tree uses the index of a loop that does not turn yet."""
    for node in walk(tree):
        if isinstance(node, Call) and node.name == "copyindex" and node.namespace is None:
            first = node.args[0] if node.args else None
            if not isinstance(first, Literal) or not isinstance(first.value, str):
                return True
            if first.value.lower() not in frame.loops:
                return True
    return False


def _kept(tree: Node, frame: Frame) -> str:
    """The text of a tree with every part that is known now replaced by its value."""
    if not _turns_later(tree, frame):
        value = ENGINE.node(tree, frame)
        frame.budget.weigh(value)
        return _literal(value)
    if isinstance(tree, Call):
        return f"{tree.shown}({', '.join(_kept(arg, frame) for arg in tree.args)})"
    if isinstance(tree, Access):
        return _kept(tree.target, frame) + "".join(f"[{_kept(step, frame)}]" for step in tree.steps)
    return _literal(tree.value)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true()" if value else "false()"
    if value is None:
        return "null()"
    if isinstance(value, int):
        return str(value)
    quoted = value if isinstance(value, str) else to_json(value)
    text = "'" + quoted.replace("'", "''") + "'"
    return text if isinstance(value, str) else f"json({text})"


def _plain_again(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list):
        return [_plain_again(item) for item in value]
    if isinstance(value, dict):
        return {escaped(key): _plain_again(item) for key, item in value.items()}
    return value
