"""Runs a deployment: every resource whose dependencies are met is submitted, as the caller who asked for the deployment.

Level-driven: each turn looks at what the resources are now; progress is kept in the deployment's own status. Must never
write a resource past the pipeline.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Canceled, Failed, Outcome, Plan, Ready, Waiting
from lazur.kernel.apart import apart
from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.model.documents import CANCELED, Record
from lazur.model.rights import Caller
from lazur.providers.resources.deployments import history, removal, rollback
from lazur.providers.resources.deployments.aside import is_large
from lazur.providers.resources.deployments.expansion import Surroundings, surroundings_of
from lazur.providers.resources.deployments.run import (
    ACCEPTED,
    PATIENCE,
    PAUSE,
    RUNNING,
    Run,
    expand_record,
    given_parameters,
    nested_part,
    passing,
    references,
    remember,
)
from lazur.providers.resources.deployments.shown import duration, providers, secure_outputs, template_hash
from lazur.providers.resources.deployments.steps import adopt, all_outputs, pass_on, start
from lazur.providers.resources.template import Node, parameters_echo


async def reconcile(context: Context, record: Record) -> Plan:
    """One turn."""
    status = record.status
    if status.get("run") == record.intent["run"] and "ended" in status:
        return Plan(_ended(record))
    # A run that an earlier version of the cloud began, with less written down, is begun again.
    if record.allocated.get("run") != record.intent["run"] or "around" not in record.allocated:
        try:
            return await _begin(context, record)
        except LazurError as error:
            if error.retryable:
                raise
            return _never_begun(context, record, error)
    run = await Run.of(context, record)
    run.look()
    tried: set[str] = set()
    while not (canceled := run.canceled) and (ready := run.startable(tried)):
        tried |= {n.id.lower() for n in ready}
        # Nothing may go on behind the back of a turn that fails.
        async with asyncio.TaskGroup() as starting:
            for node in ready:
                starting.create_task(start(run, node))
        run.look()
    await (_cancel(run) if canceled else removal.advance(run))
    return await _close(run, canceled)


def _ended(record: Record) -> Outcome:
    error = LazurError.from_body(dict(record.error)) if record.error else None
    if record.state == CANCELED and error:
        return Canceled(error)
    return Failed(error) if error else Ready()


async def _begin(context: Context, record: Record) -> Plan:
    """Fix every value that must not change when the run is resumed: defaults with times and random ids, the place."""
    caller = Caller.from_document(record.changed_by)
    around = _around(context, record, caller)
    found = await expand_record(context, record, given_parameters(context, record), around, record.changed)
    on_error = rollback.chosen(context, record)
    sealed = context.seal(json.dumps(found.parameters).encode(), f"{record.key}#values")
    remember(context, record, sealed, found)
    template = record.properties.get("template")
    hashed = await apart(lambda: template_hash(template)) if is_large(template) else template_hash(template)
    allocated = {
        "run": record.intent["run"],
        "values": sealed,
        "around": asdict(around),
        "started": record.changed.isoformat(),
        "templateHash": hashed,
    }
    await history.prune(context, record, caller)
    ids = [n.id for n in found.nodes]
    return Plan(Waiting("beginning", 0.0), allocated=allocated, references=references(context, record, ids, caller.tenant),
                status={"onError": on_error} if on_error else {})  # fmt: skip


def _around(context: Context, record: Record, caller: Caller) -> Surroundings:
    """The place of a deployment as it is when the run begins."""
    scope = record.id.scope
    group = context.get(scope) if scope.reach == "group" else None
    if group is None and scope.reach == "group":
        raise LazurError("ResourceGroupNotFound", f"Resource group '{scope.group}' could not be found.", status=404)
    rows = context.store.document("subscriptions").content or ()
    named = next((row["name"] for row in rows if row["id"] == (scope.subscription or "").lower()), "")
    nesting = nested_part(context, record).get("nesting", 0)
    location = record.body.get("location")
    return surroundings_of(scope, context.stamp, caller, group=group, subscription=named, location=location, nesting=nesting)


def _never_begun(context: Context, record: Record, error: LazurError) -> Plan:
    """The end of a run whose template became impossible between the request and its beginning."""
    run = record.intent["run"]
    return Plan(Failed(error), status={"run": run, "ended": rfc3339(context.clock.now())}, allocated={"run": run})


async def _cancel(run: Run) -> None:
    """Nothing begins any more: what waits is given up, what runs is waited for."""
    adopt(run)
    run.look()
    for step in run.steps.values():
        if step.held or step.state == ACCEPTED:
            message = "The deployment was canceled before this could begin."
            run.finish(step, LazurError("DeploymentCanceled", message, status=409), CANCELED)
    await pass_on(run)


async def _close(run: Run, canceled: bool) -> Plan:
    """The plan of this turn: still waiting, or the end of the run with outputs or all causes."""
    status = _status(run)
    if (waiting := _waiting(run)) is not None:
        return Plan(waiting, status=status, references=run.references() if run.chose else None)
    if canceled:
        message = f"The deployment '{run.record.id.name}' was canceled."
        error = LazurError("DeploymentCanceled", message, target=str(run.record.id), status=409)
        return _end(run, status, Canceled(error))
    failures = run.failures()
    if not failures:
        try:
            status["outputs"], secure = await all_outputs(run)
            if secure:
                status["secureOutputs"] = run.context.seal(json.dumps(secure).encode(), secure_outputs(run.record.key))
        except LazurError as error:
            if (again := _outputs_later(run, status, error)) is not None:
                return again
            failures = [LazurError.from_body(run.hiding(error.body()))]
    if failures and (plan := await rollback.turn(run, status)) is not None:
        return plan
    if failures:
        return _end(run, status, Failed(_failure(run, failures)))
    status["outputResources"] = [{"id": n.id} for n in run.nodes if not n.existing]
    return _end(run, status, Ready())


def _waiting(run: Run) -> Waiting | None:
    steps = [s for s in run.steps.values() if s.held or s.state in (ACCEPTED, RUNNING)]
    if not steps:
        return None
    after = 0.0 if run.chose else PAUSE if any(s.held for s in steps) else None
    return Waiting(f"waiting for {len(steps)} resources", after)


def _outputs_later(run: Run, status: dict[str, Any], error: LazurError) -> Plan | None:
    """Wait when what keeps the outputs from being known will pass; not for ever."""
    now = run.context.clock.now()
    since = run.record.status.get("outputsHeld", now.isoformat())
    if not passing(error) or now - datetime.fromisoformat(since) >= PATIENCE:
        return None
    status["outputsHeld"] = since
    return Plan(Waiting("waiting for outputs", PAUSE), status=status)


def _failure(run: Run, failures: list[LazurError]) -> LazurError:
    message = (
        "At least one resource deployment operation failed. Please list deployment operations for details. "
        "Please see https://aka.ms/arm-deployment-operations for usage details."
    )
    return LazurError("DeploymentFailed", message, target=str(run.record.id), details=failures, status=409)


def _end(run: Run, status: dict[str, Any], outcome: Outcome) -> Plan:
    """The end of a run. What it made need not wake it any more."""
    now = run.context.clock.now()
    status |= {"ended": rfc3339(now), "duration": duration(run.began, now)}
    return Plan(outcome, status=status, references=())


def _status(run: Run) -> dict[str, Any]:
    before = run.record.status
    kept = {k: before[k] for k in ("onError", "removing") if k in before}
    if run.chose:
        kept["removing"] = True
    nodes = run.nodes
    return {
        **kept,
        "run": run.record.intent["run"],
        "steps": {k: s.document() for k, s in run.steps.items()},
        "parameters": json.loads(json.dumps(parameters_echo(run.expansion.template, run.expansion.scope))),
        "providers": providers([n.type for n in nodes], run.context.stamp.region),
        "dependencies": [_dependency(n, {m.id.lower(): m for m in nodes}) for n in nodes if n.depends_on],
    }


def _dependency(node: Node, nodes: Mapping[str, Node]) -> dict[str, Any]:
    def row(one: Node) -> dict[str, Any]:
        return {"id": one.id, "resourceType": one.type, "resourceName": one.name}

    return {**row(node), "dependsOn": [row(nodes[d.lower()]) for d in node.depends_on if d.lower() in nodes]}
