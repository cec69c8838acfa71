"""Admission of deployments: the whole template is read and expanded before anything is accepted. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids, SeededIds
from lazur.model.armid import ArmId
from lazur.model.documents import TERMINAL, Claim, Record
from lazur.model.resource import Act, Decision, Facts, Tools
from lazur.model.rights import Caller
from lazur.model.stamp import Stamp
from lazur.providers.resources.deployments.expansion import expansion_of, surroundings_of
from lazur.providers.resources.deployments.resource import DeploymentSpec
from lazur.providers.resources.template import (
    Expansion,
    LookupNeeded,
    evaluate_body,
    parameters_echo,
)
from lazur.providers.resources.template import (
    Facts as Answers,
)

_MOST = 800
"""Deployments the history of one scope holds."""


class Front(Protocol):
    """What a validation may use of the request pipeline."""

    stamp: Stamp
    clock: Clock
    ids: Ids

    def check(self, caller: Caller, id: ArmId, body: Any) -> list[LazurError]:
        """Faults of a body by itself."""
        ...

    def has_container(self, id: ArmId) -> Record | None:
        """The group `id` lies in; refused when it is not there."""
        ...


def admit(spec: DeploymentSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Refuse a template that cannot be expanded, and a second run while one goes on; every PUT is a new run."""
    if facts.old is not None and facts.old.state not in TERMINAL:
        message = (
            f"Unable to edit or replace deployment '{facts.id.name}': previous deployment is still active (state "
            f"'{facts.old.state}')."
        )
        return Decision([LazurError("DeploymentActive", message, status=409)])
    faults = [*_on_error(spec), *_too_many(facts)]
    if spec.nested is None:
        try:
            _form(spec, body, facts)
        except LazurError as error:
            faults.append(error)
    if faults:
        return Decision(faults)
    run = facts.old.intent.get("run", 0) + 1 if facts.old else 1
    held = [Claim(history_pool(facts.id), facts.id.name.lower(), facts.id.key)]
    return Decision(allocated={}, intent={"run": run}, claims=held)


def _form(spec: DeploymentSpec, body: dict[str, Any], facts: Facts) -> None:
    """Only the form matters here: values that are drawn at random are drawn when the run begins."""
    group = facts.related[facts.id.scope.key]
    around = surroundings_of(facts.id, group, facts.stamp)
    properties = {**body["properties"], "template": spec.template}
    now = facts.old.changed if facts.old else group.created
    expansion_of(facts.id, properties, spec.parameters or {}, around, SeededIds(0), now)


def _on_error(spec: DeploymentSpec) -> Iterator[LazurError]:
    asked = spec.on_error_deployment
    if asked is not None and (asked.type == "SpecificDeployment") != bool(asked.deployment_name):
        message = "'deploymentName' belongs to the type 'SpecificDeployment', and to no other."
        yield LazurError("InvalidOnErrorDeployment", message, target="properties.onErrorDeployment.deploymentName")


def _too_many(facts: Facts) -> Iterator[LazurError]:
    known = facts.pools.claims(history_pool(facts.id))
    if len(known) >= _MOST and facts.id.name.lower() not in known:
        message = (
            f"Creating the deployment '{facts.id.name}' would exceed the quota of '{_MOST}'. The current deployment count is "
            f"'{len(known)}'. Please delete some deployments before creating a new one. Please see "
            "https://aka.ms/arm-deploy for usage details."
        )
        yield LazurError("DeploymentQuotaExceeded", message, status=409)


def history_pool(id: ArmId) -> str:
    """The pool of the names that the history of a deployment's scope holds."""
    return f"history|{id.key.rpartition('/')[0]}"


def act(action: str, record: Record, body: Any, query: Mapping[str, str], tools: Tools) -> Act:
    """`exportTemplate`: what was deployed, without the values it was deployed with. `cancel`: begin nothing more."""
    if action == "cancel":
        if record.state in TERMINAL:
            message = f"The deployment '{record.id.name}' cannot be cancelled: it is '{record.state}' already."
            raise LazurError("DeploymentCannotBeCancelled", message, status=409)
        if record.intent.get("canceled") == record.intent["run"]:
            return Act()
        return Act(intent={**record.intent, "canceled": record.intent["run"]})
    return Act(body={"template": record.properties.get("template")})


async def preview(action: str, caller: Caller, id: ArmId, body: Any, front: Front) -> dict[str, Any]:
    """`validate`: the template's own faults, and those of every resource body that can be known beforehand."""
    group = front.has_container(id)
    assert group is not None, "a deployment lies in a group"
    if not isinstance(body, dict) or not isinstance(body.get("properties"), dict):
        message = "The request content must be an object with 'properties'."
        raise LazurError("InvalidRequestContent", message)
    properties = {k: v for k, v in body["properties"].items() if v is not None}
    mode = str(properties.get("mode", "Incremental")).capitalize()
    spec = {**properties, "mode": mode}
    around = surroundings_of(id, group, front.stamp, caller)
    found = expansion_of(id, spec, properties.get("parameters") or {}, around, front.ids, front.clock.now())
    faults = [f for node in found.nodes for f in _preflight(found, node, caller, front)]
    if faults:
        message = "The template deployment is not valid according to the validation procedure. See inner errors for details."
        raise LazurError("InvalidTemplateDeployment", message, details=faults)
    return {
        "id": str(id),
        "name": id.name,
        "type": "Microsoft.Resources/deployments",
        "properties": {
            "mode": mode,
            "provisioningState": "Succeeded",
            "correlationId": front.ids.uuid(),
            "timestamp": front.clock.now().isoformat(),
            "duration": "PT0S",
            "parameters": json.loads(json.dumps(parameters_echo(found.template, found.scope))),
            "validatedResources": [{"id": n.id} for n in found.nodes if not n.existing],
        },
    }


def _preflight(found: Expansion, node: Any, caller: Caller, front: Front) -> list[LazurError]:
    if node.existing or node.is_deployment:
        return []
    try:
        body = evaluate_body(node, found.scope, Answers())
    except LookupNeeded:
        return []
    except LazurError as error:
        return [error]
    try:
        return front.check(caller, ArmId.parse(node.id), body)
    except LazurError as error:
        return [error]
