"""Admission of deployments: the whole template is read and expanded before anything is accepted. Pure, but for what is
prepared and previewed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import TERMINAL, Claim, Record
from lazur.model.resource import Act, Decision, Facts, Tools
from lazur.providers.resources.deployments.judging import judged
from lazur.providers.resources.deployments.linking import resolved
from lazur.providers.resources.deployments.preview import preview
from lazur.providers.resources.deployments.resource import DeploymentSpec, Placed
from lazur.providers.resources.deployments.shown import secure_outputs

_MOST = 800
"""Deployments the history of one scope holds."""


def admit(spec: DeploymentSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Refuse a template that cannot be expanded, and a second run while one goes on; every PUT is a new run."""
    if facts.old is not None and facts.old.state not in TERMINAL:
        message = (
            f"Unable to edit or replace deployment '{facts.id.name}': previous deployment is still active (state "
            f"'{facts.old.state}')."
        )
        return Decision([LazurError("DeploymentActive", message, status=409)])
    known = facts.pools.claims(history_pool(facts.id))
    faults = [*_on_error(spec, facts.id), *_too_many(facts.id, known)]
    if spec.nested is None:
        faults += _template(spec)
    if faults:
        return Decision(faults)
    run = facts.old.intent.get("run", 0) + 1 if facts.old else 1
    held = [Claim(history_pool(facts.id), facts.id.name.lower(), facts.id.key)]
    return Decision(allocated={}, intent={"run": run}, claims=held)


def _template(spec: DeploymentSpec) -> Iterator[LazurError]:
    """What was found wrong with the template when the request was prepared."""
    if spec.template is None:
        message = "The request content is missing the required property 'properties.template'."
        yield LazurError("InvalidRequestContent", message, target="properties.template")
    elif isinstance(spec.template, Placed) and spec.template.fault is not None:
        yield spec.template.fault


def _on_error(spec: DeploymentSpec, id: ArmId) -> Iterator[LazurError]:
    asked = spec.on_error_deployment
    if (asked is not None or spec.mode == "Complete") and id.scope.reach != "group":
        message = "Mode 'Complete' and 'onErrorDeployment' are for deployments to resource groups only."
        yield LazurError("InvalidDeployment", message, target="properties.mode")
    if asked is not None and (asked.type == "SpecificDeployment") != bool(asked.deployment_name):
        message = "'deploymentName' belongs to the type 'SpecificDeployment', and to no other."
        yield LazurError("InvalidOnErrorDeployment", message, target="properties.onErrorDeployment.deploymentName")


def _too_many(id: ArmId, known: Mapping[str, str]) -> Iterator[LazurError]:
    if len(known.keys() - {id.name.lower()}) >= _MOST:
        message = (
            f"Creating the deployment '{id.name}' would exceed the quota of '{_MOST}'. The current deployment count is "
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
    if action == "listOutputsWithSecureValues":
        sealed = record.status.get("secureOutputs")
        return Act(body=json.loads(tools.unseal(sealed, secure_outputs(record.key))) if sealed else {})
    return Act(body={"template": record.properties.get("template")})


async def prepare(id: ArmId, body: Any, front: Pipeline) -> Any:
    """The request with what its links name in their place, and with what is wrong with its template."""
    return await judged(id, await resolved(id, body, front), front)


__all__ = ["act", "admit", "history_pool", "prepare", "preview"]
