"""Evaluates expressions and values that contain them.

Every call, element and block of text costs steps of a `Budget`; depth is bounded, so no input can exhaust the machine.
There is no `eval`: the only functions are those of `functions` and the template's own. Faults are `LazurError`; a missing
answer of a `Lookup` passes through as whatever the lookup raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lazur.providers.resources.template.faults import (
    MAX_COPY,
    MAX_EVALUATIONS,
    MAX_STRING,
    ExpressionFault,
    joined,
)
from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.functions import lookup
from lazur.providers.resources.template.functions.registry import Function
from lazur.providers.resources.template.parser import Call, Literal, Node, is_expression, parse, plain
from lazur.providers.resources.template.scope import Lookup, Scope, Unanswerable
from lazur.providers.resources.template.types import problems
from lazur.providers.resources.template.values import find, get, is_int, kind


def evaluate(value: Any, scope: Scope, lookup: Lookup | None = None) -> Any:
    """`value` with every expression in it replaced by its result; `lookup` allows `reference` and the list functions."""
    phase = Phase.COMPILE if lookup is None else Phase.RUNTIME
    frame = new_frame(scope, phase, lookup=lookup)
    result = evaluate_value(value, frame)
    frame.budget.weigh(result)
    return result


def new_frame(scope: Scope, phase: Phase, *, lookup: Lookup | None = None) -> Frame:
    """A frame outside every loop."""
    return Frame(scope, phase, scope.context.budget, ENGINE, lookup)


def evaluate_text(text: str, frame: Frame) -> Any:
    """The value of one string of a template."""
    if not is_expression(text):
        return plain(text)
    try:
        return ENGINE.node(parse(text), frame)
    except ExpressionFault as e:
        raise ExpressionFault(frame.scope.hiding(e.message), path=e.target) from None
    except Unanswerable:
        if frame.preview:
            return text
        raise
    except RecursionError:
        raise ExpressionFault("The template's expressions are nested too deep") from None


def evaluate_value(value: Any, frame: Frame, path: str = "") -> Any:
    """`value` with every expression and every `copy` of properties evaluated; a fault names the path of the value."""
    if isinstance(value, str):
        if value[:1] != "[":
            return value
        try:
            return evaluate_text(value, frame)
        except ExpressionFault as e:
            if e.target is None:
                e.target = path
            raise
    frame.budget.charge(1)
    if isinstance(value, list):
        return [evaluate_value(item, frame, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        return evaluate_object(value, frame, path)
    return value


def evaluate_object(value: Mapping[str, Any], frame: Frame, path: str) -> dict[str, Any]:
    """An object, its keys' escapes included; `copy` with a list of loops becomes one array per loop."""
    out: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key.lower() == "copy" and is_property_copy(item):
            for i, loop in enumerate(item):
                name, elements = evaluate_copy(loop, frame, f"{where}[{i}]")
                out[name] = elements
        else:
            name = evaluate_text(key, frame) if key.startswith("[") else key
            if not isinstance(name, str):
                raise ExpressionFault(f"The name of a property must be a string, not '{kind(name)}'", path=where)
            out[name] = evaluate_value(item, frame, where)
    return out


def is_property_copy(value: Any) -> bool:
    """Whether the value of a `copy` property is a list of loops (and not a customer's own property of that name)."""
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(loop, dict) and find(loop, "name") and find(loop, "input") for loop in value)
    )


def evaluate_copy(loop: Mapping[str, Any], frame: Frame, path: str) -> tuple[str, list[Any]]:
    """Name and elements of one loop over `input`."""
    name = str(get(loop, "name", ""))
    count = loop_count(get(loop, "count"), frame, f"{path}.count")
    template = get(loop, "input")
    return name, [evaluate_value(template, frame.within(name, i), f"{path}.input") for i in range(count)]


def loop_count(raw: Any, frame: Frame, path: str) -> int:
    """How often a loop turns; checked before anything is made."""
    if frame.phase is Phase.RUNTIME:
        frame = replace(frame, phase=Phase.COMPILE)
    count = evaluate_value(raw, frame, path)
    if not is_int(count):
        raise ExpressionFault(f"The copy count must be an integer, not '{kind(count)}'", path=path)
    if not 0 <= count <= MAX_COPY:
        raise ExpressionFault(
            f"The copy count '{count}' is out of range: it must be between 0 and {MAX_COPY}. "
            "Please see https://aka.ms/arm-copy for usage details",
            path=path,
        )
    return int(count)


_CALL = 10
"""Steps of calling a function of the template's own, besides what its body costs."""


class _Engine:
    """The evaluator; has no state of its own."""

    def node(self, node: Node, frame: Frame) -> Any:
        frame.budget.charge(1)
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Call):
            return self._call(node, frame)
        value = self.node(node.target, frame)
        for step in node.steps:
            value = select(value, self.node(step, frame))
        return value

    def _call(self, node: Call, frame: Frame) -> Any:
        if node.namespace is not None:
            return self._users_own(node, frame)
        known = lookup(node.name)
        if known is None:
            raise ExpressionFault(
                f"The template function '{node.shown}' is not valid. "
                "Please see https://aka.ms/arm-functions for usage details"
            )
        self._count(known, node)
        frame.budget.charge(known.cost)
        if known.lazy:
            result = known.body(frame, list(node.args) if known.name != "list*" else [node.shown, *node.args])
        else:
            args = [self.node(arg, frame) for arg in node.args]
            if known.deep:
                frame.budget.weigh(args)
            result = known.body(frame, args)
        return self._charged(node, result, frame)

    def _count(self, known: Function, node: Call) -> None:
        given = len(node.args)
        if given < known.least or (known.most is not None and given > known.most):
            if known.most == known.least:
                expected = f"{known.least}"
            elif known.most is None:
                expected = f"at least {known.least}"
            else:
                expected = f"{known.least} to {known.most}"
            raise ExpressionFault(
                f"Unable to evaluate template language function '{node.shown}': "
                f"expected {expected} argument(s) but found {given}. "
                "Please see https://aka.ms/arm-functions for usage details"
            )

    def _charged(self, node: Call, result: Any, frame: Frame) -> Any:
        if isinstance(result, str):
            if len(result) > MAX_STRING:
                raise ExpressionFault(f"The result of '{node.shown}' is longer than {MAX_STRING} characters")
            frame.budget.charge(len(result) // 32)
        elif isinstance(result, list | dict):
            frame.budget.charge(len(result))
        return result

    def _users_own(self, node: Call, frame: Frame) -> Any:
        known = frame.scope.template.functions.get(f"{node.namespace}.{node.name}")
        if known is None:
            raise ExpressionFault(f"The template function '{node.shown}' is not valid: it is not defined")
        if len(node.args) != len(known.parameters):
            raise ExpressionFault(
                f"The template function '{node.shown}' expects {len(known.parameters)} argument(s) "
                f"but found {len(node.args)}"
            )
        frame.budget.charge(_CALL)
        local = {p.lower(): self.node(arg, frame) for p, arg in zip(known.parameters, node.args, strict=True)}
        for name, definition in zip(local, known.types, strict=False):
            self._fits(local[name], definition, f"parameter '{name}'", node, frame)
        inside = replace(
            frame, phase=Phase.FUNCTION, local=local, lookup=None, loops={}, loop=None, lambdas={}
        )
        with _Pending(frame.scope, f"function '{node.shown}'", cycles=False):
            result = evaluate_value(known.value, inside)
        self._fits(result, known.returns, "output", node, frame)
        return result

    def _fits(self, value: Any, definition: Mapping[str, Any], what: str, node: Call, frame: Frame) -> None:
        """Refuse an argument or result of a user's function that is not of the declared type."""
        wrong = next(problems(value, definition, frame.scope.template, secret=True), None)
        if wrong is not None:
            raise ExpressionFault(f"The {what} of the template function '{node.shown}' is not valid: {wrong}")

    def default(self, name: str, frame: Frame) -> Any:
        scope = frame.scope
        declared = scope.template.parameters[name.lower()]
        with _Pending(scope, f"parameter '{declared.name}'"):
            path = f"parameters.{declared.name}.defaultValue"
            value = evaluate_value(get(declared.definition, "defaultValue"), frame, path)
        scope.parameters[name.lower()] = value
        return value

    def variable(self, name: str, frame: Frame) -> Any:
        scope = frame.scope
        key = name.lower()
        if key in scope.variables:
            return scope.variables[key]
        found = scope.template.variables.get(key)
        if found is None:
            raise ExpressionFault(
                f"The template variable '{name}' is not found. "
                "Please see https://aka.ms/arm-syntax-variables for usage details"
            )
        outside = replace(
            frame, phase=Phase.COMPILE, lookup=None, loops={}, loop=None, local=None, lambdas={}
        )
        with _Pending(scope, f"variable '{found.name}'"):
            if found.is_copy:
                _, value = evaluate_copy(found.value, outside, f"variables.copy.{found.name}")
            else:
                value = evaluate_value(found.value, outside, f"variables.{found.name}")
        scope.variables[key] = value
        return value


class _Pending:
    """Marks something as being evaluated: refuses cycles and chains that are too long."""

    def __init__(self, scope: Scope, what: str, *, cycles: bool = True) -> None:
        self._scope = scope
        self._what = what
        self._cycles = cycles

    def __enter__(self) -> None:
        pending = self._scope.pending
        if self._cycles and self._what in pending:
            chain = [*pending[pending.index(self._what) :], self._what]
            raise ExpressionFault(f"Circular reference detected: {' -> '.join(chain)}")
        if len(pending) >= MAX_EVALUATIONS:
            raise ExpressionFault(f"More than {MAX_EVALUATIONS} expressions wait for one another")
        pending.append(self._what)

    def __exit__(self, *_: object) -> None:
        self._scope.pending.pop()


def select(value: Any, step: Any) -> Any:
    """One property or element of a value, with Azure's words when there is none."""
    if isinstance(value, dict):
        if not isinstance(step, str):
            raise ExpressionFault(
                f"The template language expression property '{step}' can't be evaluated: "
                f"the name of a property must be a string, not '{kind(step)}'"
            )
        found = find(value, step)
        if found is None:
            raise ExpressionFault(
                f"The language expression property '{step}' doesn't exist, "
                f"available properties are '{joined(list(value)[:50])}'"
            )
        return value[found]
    if isinstance(value, list):
        if not is_int(step):
            raise ExpressionFault(
                f"The language expression property '{step}' can't be evaluated: "
                f"the index of an array must be an integer, not '{kind(step)}'"
            )
        if not 0 <= step < len(value):
            raise ExpressionFault(f"The language expression property array index '{step}' is out of bounds")
        return value[step]
    raise ExpressionFault(
        f"The language expression property '{step}' can't be evaluated: a value of type '{kind(value)}' has no properties"
    )


ENGINE = _Engine()
