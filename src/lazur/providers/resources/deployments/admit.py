"""Admission of deployments: the whole template is read and expanded before anything is accepted. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids, SeededIds
from lazur.model.armid import ArmId
from lazur.model.documents import TERMINAL, Record
from lazur.model.resource import Act, Decision, Facts, Tools
from lazur.model.rights import Caller
from lazur.model.stamp import Stamp
from lazur.providers.resources.deployments.expansion import expansion_of
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
    group = facts.related[facts.id.scope.key]
    properties = {**body["properties"], "template": spec.template}
    try:
        # Only the form matters here: values that are drawn at random are drawn when the run begins.
        now = facts.old.changed if facts.old else group.created
        expansion_of(facts.id, properties, spec.parameters or {}, group, facts.stamp, SeededIds(0), now)
    except LazurError as error:
        return Decision([error])
    run = facts.old.intent.get("run", 0) + 1 if facts.old else 1
    return Decision(allocated={}, intent={"run": run})


def act(action: str, record: Record, body: Any, query: Mapping[str, str], tools: Tools) -> Act:
    """`exportTemplate`: what was deployed, without the values it was deployed with."""
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
    found = expansion_of(id, spec, properties.get("parameters") or {}, group, front.stamp, front.ids, front.clock.now())
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
