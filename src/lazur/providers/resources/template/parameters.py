"""Parameter values: given ones checked, missing ones from their defaults, and what may be shown of them.

All faults of a request are reported at once. A value of a secure type never appears in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.evaluate import ENGINE, evaluate_value, new_frame
from lazur.providers.resources.template.faults import ExpressionFault, invalid, joined, refuse
from lazur.providers.resources.template.frame import Phase
from lazur.providers.resources.template.schema import SHOWN, Parameter, Template
from lazur.providers.resources.template.scope import Context, Scope
from lazur.providers.resources.template.types import problems
from lazur.providers.resources.template.values import find, get

_FILE = "Please see https://aka.ms/arm-create-parameter-file for usage details."


def bind(template: Template, given: Mapping[str, Any], context: Context) -> Scope:
    """A scope with every parameter's value; `given` is `{"name": {"value": ...}}` as requests have it."""
    scope = Scope(context, template)
    faults: list[LazurError] = []
    _superfluous(template, given, faults)
    waiting: list[Parameter] = []
    for key, declared in template.parameters.items():
        try:
            value = _given(declared, get(given, declared.name), scope)
        except ExpressionFault as e:
            faults.append(_invalid(template, declared, e.message))
            continue
        if value is None and declared.has_default:
            waiting.append(declared)
        elif value is None and not declared.nullable:
            faults.append(_missing(template, declared))
        else:
            scope.parameters[key] = value
    given_names = set(scope.parameters)
    _defaults(scope, waiting, faults)
    for key, value in scope.parameters.items():
        declared = template.parameters[key]
        if value is None and (declared.nullable or key not in given_names):
            continue
        for problem in problems(value, declared.definition, template, secret=declared.secure):
            faults.append(_invalid(template, declared, problem))
    refuse(faults)
    return scope


def parameters_echo(template: Template, scope: Scope) -> dict[str, Any]:
    """What a deployment shows of its parameters: type and value, secure ones without their value."""
    out: dict[str, Any] = {}
    for key, declared in template.parameters.items():
        shown: dict[str, Any] = {"type": SHOWN[declared.type]}
        if not declared.secure and key in scope.parameters:
            shown["value"] = scope.parameters[key]
        out[declared.name] = shown
    return out


def _superfluous(template: Template, given: Mapping[str, Any], faults: list[LazurError]) -> None:
    unknown = [name for name in given if name.lower() not in template.parameters]
    if unknown:
        known = joined([declared.name for declared in template.parameters.values()])
        faults.append(
            invalid(
                f"The template parameters '{joined(unknown)}' in the parameters file are not valid; they are not present "
                "in the original template and can therefore not be provided at deployment time. The only supported "
                f"parameters for this template are '{known}'. {_FILE}",
                "parameters",
            )
        )


def _missing(template: Template, declared: Parameter) -> LazurError:
    path = f"parameters.{declared.name}"
    line, column = template.locate(path)
    return invalid(
        f"The value for the template parameter '{declared.name}' at line '{line}' and column '{column}' is not provided. "
        f"{_FILE}",
        path,
        template.locate,
    )


def _invalid(template: Template, declared: Parameter, problem: str) -> LazurError:
    path = f"parameters.{declared.name}"
    line, column = template.locate(path)
    return invalid(
        f"The provided value for the template parameter '{declared.name}' at line '{line}' and column '{column}' is not "
        f"valid. {problem}. {_FILE}",
        path,
        template.locate,
    )


def _given(declared: Parameter, wrapped: Any, scope: Scope) -> Any:
    if wrapped is None:
        return None
    if not isinstance(wrapped, dict):
        raise ExpressionFault("It must be an object with a 'value' or a 'reference'")
    if find(wrapped, "value") is not None:
        return get(wrapped, "value")
    if find(wrapped, "expression") is not None:
        frame = new_frame(scope, Phase.PARAMETER)
        value = evaluate_value(get(wrapped, "expression"), frame, f"parameters.{declared.name}.expression")
        frame.budget.weigh(value)
        return value
    reference = get(wrapped, "reference")
    if reference is None:
        return None
    context = scope.context
    if context.secret is None or not isinstance(reference, dict):
        raise ExpressionFault("A reference to a key vault can't be followed: this cloud has none; give the value itself")
    if not declared.secure:
        raise ExpressionFault("Only a parameter of type 'secureString' or 'secureObject' can refer to a key vault")
    return context.secret(reference)


def _defaults(scope: Scope, waiting: list[Parameter], faults: list[LazurError]) -> None:
    frame = new_frame(scope, Phase.DEFAULT)
    for declared in waiting:
        if declared.name.lower() in scope.parameters:
            continue
        try:
            ENGINE.default(declared.name, frame)
        except ExpressionFault as e:
            path = e.target or f"parameters.{declared.name}.defaultValue"
            text = f"The default value of the template parameter '{declared.name}' is not valid: {e.message}"
            faults.append(invalid(text, path, scope.template.locate))
