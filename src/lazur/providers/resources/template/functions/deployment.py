"""deployer, deployment, environment, externalInputs, fail, parameters, variables."""

from __future__ import annotations

from typing import Any

from lazur.providers.resources.template.faults import ExpressionFault
from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.functions.registry import function, text
from lazur.providers.resources.template.values import find, get

_OUTSIDE = (Phase.DEFAULT, Phase.COMPILE, Phase.RUNTIME)


@function("parameters", 1)
def parameter(frame: Frame, args: list[Any]) -> Any:
    """The value of a parameter of the template, or of the user's function around."""
    name = text("parameters", args[0])
    if frame.local is not None:
        if name.lower() in frame.local:
            return frame.local[name.lower()]
    elif name.lower() in frame.scope.parameters:
        return frame.scope.parameters[name.lower()]
    elif frame.phase is Phase.DEFAULT and name.lower() in frame.scope.template.parameters:
        return frame.engine.default(name, frame)
    raise ExpressionFault(
        f"The template parameter '{name}' is not found. "
        "Please see https://aka.ms/arm-syntax-parameters for usage details"
    )


@function("externalInputs", 1)
def external_input(frame: Frame, args: list[Any]) -> Any:
    """A value that the tool which sends the deployment gave for a parameter's expression."""
    frame.only("externalInputs", Phase.PARAMETER)
    name = text("externalInputs", args[0])
    given = frame.scope.context.external_inputs
    found = find(given, name)
    value = given[found] if found is not None else None
    if not isinstance(value, dict) or find(value, "value") is None:
        raise ExpressionFault(f"The external input '{name}' is not given")
    return get(value, "value")


@function("variables", 1)
def variable(frame: Frame, args: list[Any]) -> Any:
    """The value of a variable of the template."""
    frame.only("variables", Phase.COMPILE, Phase.RUNTIME)
    return frame.engine.variable(text("variables", args[0]), frame)


@function("deployment", 0)
def deployment(frame: Frame, args: list[Any]) -> Any:
    """The deployment itself: name, location above resource groups, and its template and parameters without secrets."""
    frame.only("deployment", *_OUTSIDE)
    scope = frame.scope
    values = {
        declared.name: {"value": scope.parameters[key]}
        for key, declared in scope.template.parameters.items()
        if key in scope.parameters and not declared.secure
    }
    out: dict[str, Any] = {"name": scope.context.deployment_name}
    if scope.context.location is not None:
        out["location"] = scope.context.location
    out["properties"] = {
        "template": scope.template.raw,
        "parameters": values,
        "mode": scope.context.mode,
        "provisioningState": "Accepted",
    }
    return out


@function("deployer", 0)
def deployer(frame: Frame, args: list[Any]) -> Any:
    """Who deploys: `objectId`, `tenantId`, `userPrincipalName`."""
    frame.only("deployer", *_OUTSIDE)
    return dict(frame.scope.context.deployer)


@function("environment", 0)
def environment(frame: Frame, args: list[Any]) -> Any:
    """The endpoints of this cloud."""
    return dict(frame.scope.context.environment)


@function("fail", 1)
def fail(frame: Frame, args: list[Any]) -> Any:
    """Ends the deployment with a message."""
    raise ExpressionFault(text("fail", args[0]))
