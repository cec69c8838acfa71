"""`onErrorDeployment`: when a deployment fails, an earlier one that succeeded is deployed again, in mode Complete.

Which one is settled before anything is deployed. It is submitted like any deployment, as the recorded caller.
"""

from __future__ import annotations

from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Plan, Waiting
from lazur.kernel.errors import LazurError
from lazur.model.documents import FAILED, SUCCEEDED, TERMINAL, Record
from lazur.providers.resources.deployments.history import deployments_at
from lazur.providers.resources.deployments.run import PAUSE, RUNNING, Run, given_parameters, passing


def chosen(context: Context, record: Record) -> dict[str, Any] | None:
    """What to go back to, None when nothing was asked; raises when there is nothing to go back to."""
    asked = record.properties.get("onErrorDeployment")
    if not asked:
        return None
    name = asked.get("deploymentName")
    found = [r for r in deployments_at(context, record.id) if r.state == SUCCEEDED and not r.properties.get("nested")]
    others = [r for r in found if r.key != record.key]
    if asked["type"] == "SpecificDeployment":
        others = [r for r in others if r.id.name.lower() == str(name).lower()]
    if not others:
        what = f"'{name}'" if name else "that succeeded"
        message = f"There is no earlier deployment {what} to go back to on an error: it must have succeeded and be outermost."
        raise LazurError("DeploymentNotFound", message, target="properties.onErrorDeployment", status=404)
    last = max(others, key=lambda r: r.changed)
    return {"type": asked["type"], "deploymentName": last.id.name}


async def turn(run: Run, status: dict[str, Any]) -> Plan | None:
    """The next step back, or None when there is none (any more)."""
    asked = status.get("onError")
    if asked is None:
        return None
    target = run.record.id.parent.resource(run.record.id.type, asked["deploymentName"])
    state = asked.get("provisioningState")
    if state is None:
        status["onError"] = {**asked, "provisioningState": "Accepted"}
        run.also.append(str(target))
        return Plan(Waiting("going back", 0.0), status=status, references=run.references())
    if state == "Accepted":
        try:
            record = await _submit(run, target.key)
        except LazurError as error:
            if passing(error):
                return Plan(Waiting("going back", PAUSE), status=status)
            status["onError"] = {**asked, "provisioningState": FAILED, "error": run.hiding(error.body())}
            return None
        status["onError"] = {**asked, "provisioningState": RUNNING, "generation": record.generation}
        return Plan(Waiting("going back"), status=status)
    if state == RUNNING:
        now = run.context.store.get(target.key)
        if now is not None and (now.observed < asked["generation"] or now.state not in TERMINAL):
            return Plan(Waiting("going back"), status=status)
        status["onError"] = {**asked, "provisioningState": FAILED if now is None else now.state}
    return None


async def _submit(run: Run, key: str) -> Record:
    earlier = run.context.store.get(key)
    if earlier is None:
        raise LazurError("DeploymentNotFound", "The deployment to go back to was deleted meanwhile.", status=404)
    given = given_parameters(run.context, earlier)
    properties = {"mode": "Complete", "template": earlier.properties["template"], "parameters": given}
    return await run.context.front.submit(run.caller, earlier.id, {"properties": properties}, earlier.api_version)
