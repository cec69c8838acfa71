"""Resource bodies and outputs: the part of a template that is evaluated while it is deployed.

Here `reference` and the list functions are allowed and answered by a `Lookup`. A secure output never shows its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template.evaluate import evaluate_copy, evaluate_value, new_frame
from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.graph import is_inner
from lazur.providers.resources.template.nested import evaluate_outer
from lazur.providers.resources.template.nodes import Node
from lazur.providers.resources.template.schema import SECURE, SHOWN, Output, Template
from lazur.providers.resources.template.scope import Lookup, Scope
from lazur.providers.resources.template.types import problems
from lazur.providers.resources.template.values import find, get


def evaluate_body(node: Node, scope: Scope, lookup: Lookup, *, preview: bool = False) -> dict[str, Any]:
    """What to PUT at `node.id`: location, tags, properties and whatever else the template gives, nulls kept.

    A `preview` keeps expressions as they are written when the lookup raises `Unanswerable`.
    """
    frame = new_frame(scope, Phase.RUNTIME, lookup=lookup)
    frame = replace(frame, loops=node.loops, loop=node.loop, preview=preview)
    try:
        body = _deployment(node, frame) if node.is_deployment else evaluate_value(dict(node.body), frame, node.path)
        frame.budget.weigh(body)
    except ExpressionFault as e:
        path = e.target or node.path
        line, column = scope.template.locate(path)
        raise LazurError(
            "InvalidTemplate",
            f"Unable to process template language expressions for resource '{node.id}' at line '{line}' and column "
            f"'{column}'. '{e.message.rstrip('.')}.'",
            target=path,
        ) from None
    return dict(body)


def _deployment(node: Node, frame: Frame) -> dict[str, Any]:
    """The body of a nested deployment: its template stays as it is, or is evaluated in this scope and escaped again."""
    body = dict(node.body)
    name = find(body, "properties")
    properties = body.get(name) if name is not None else None
    if name is None or not isinstance(properties, dict):
        return dict(evaluate_value(body, frame, node.path))
    template_key = find(properties, "template")
    rest = {key: value for key, value in properties.items() if key != template_key}
    out: dict[str, Any] = dict(evaluate_value({**body, name: rest}, frame, node.path))
    if template_key is not None:
        template = properties[template_key]
        path = f"{node.path}.{name}.{template_key}"
        out[name][template_key] = template if is_inner(properties) else evaluate_outer(template, frame, path)
    return out


@dataclass(frozen=True)
class NestedDeployment:
    """What a nested deployment asks for; give it to `parse_template` and `expand` with a context of its own."""

    name: str
    scope_id: str
    template: Mapping[str, Any] | None
    """None when it is linked."""
    template_link: Mapping[str, Any] | None
    parameters: Mapping[str, Any]
    mode: str
    location: str | None


def nested_deployment(node: Node, body: Mapping[str, Any]) -> NestedDeployment:
    """The nested deployment that the evaluated body of a deployments node describes."""
    properties = get(body, "properties")
    if not isinstance(properties, dict):
        raise LazurError("InvalidTemplate", f"The deployment '{node.name}' has no properties.", target=node.path)
    template, link = get(properties, "template"), get(properties, "templateLink")
    if (template is None) == (link is None):
        raise LazurError(
            "InvalidTemplate",
            f"The deployment '{node.name}' must have either a template or a template link.",
            target=node.path,
        )
    given = get(properties, "parameters")
    location = get(body, "location")
    return NestedDeployment(
        name=node.name,
        scope_id=node.scope_id,
        template=template,
        template_link=link,
        parameters=given if isinstance(given, dict) else {},
        mode=str(get(properties, "mode") or "Incremental"),
        location=location if isinstance(location, str) else None,
    )


def outputs(template: Template, scope: Scope, lookup: Lookup, *, secure: bool = False) -> dict[str, dict[str, Any]]:
    """Type and value of every output; secure ones without value, those with a false condition left out.

    With `secure` the values of secure ones stand too: for `listOutputsWithSecureValues`, and to be kept sealed only.
    All outputs that fail are reported at once as `DeploymentOutputEvaluationFailed`.
    """
    out: dict[str, dict[str, Any]] = {}
    faults: list[LazurError] = []
    base = new_frame(scope, Phase.RUNTIME, lookup=lookup)
    for name, declared in template.outputs.items():
        try:
            if not _wanted(declared, base):
                continue
            value = _output(declared, base)
            base.budget.weigh(value)
            wrong = next(problems(value, declared.definition, template, secret=declared.type in SECURE), None)
            if wrong and not (value is None and get(declared.definition, "nullable") is True):
                raise ExpressionFault(f"The template output '{name}' is not valid: {wrong}")
        except LazurError as e:
            if e.retryable:
                raise
            faults.append(LazurError(e.code, e.message, target=name, details=e.details, info=e.info))
            continue
        shown: dict[str, Any] = {"type": SHOWN[declared.type]}
        if secure or declared.type not in SECURE:
            shown["value"] = value
        out[name] = shown
    if faults:
        names = ",".join(str(fault.target) for fault in faults)
        raise LazurError(
            "DeploymentOutputEvaluationFailed",
            f"Unable to evaluate template outputs: '{names}'. Please see error details and deployment operations. "
            "Please see https://aka.ms/arm-common-errors for usage details.",
            details=faults,
        )
    return out


def _wanted(declared: Output, frame: Frame) -> bool:
    raw = get(declared.definition, "condition")
    if raw is None:
        return True
    value = evaluate_value(raw, replace(frame, phase=Phase.COMPILE), f"outputs.{declared.name}.condition")
    if not isinstance(value, bool):
        raise ExpressionFault("The condition of an output must be a boolean")
    return value


def _output(declared: Output, frame: Frame) -> Any:
    loop = get(declared.definition, "copy")
    path = f"outputs.{declared.name}"
    if loop is not None:
        named = {"name": declared.name, **loop}
        return evaluate_copy(named, frame, f"{path}.copy")[1]
    return evaluate_value(get(declared.definition, "value"), frame, f"{path}.value")
