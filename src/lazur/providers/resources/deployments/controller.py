"""Runs a deployment: every resource whose dependencies are met is submitted, as the caller who asked for the deployment.

Level-driven: each turn looks at what the resources are now. Submitting is a PUT of the same body and therefore harmless when
it is repeated after a crash; progress is kept in the deployment's own status. Must never write a resource past the pipeline.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Failed, Outcome, Plan, Ready, Waiting
from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import FAILED, SUCCEEDED, Record, Reference
from lazur.model.rights import Caller
from lazur.providers.resources.deployments.expansion import expansion_of
from lazur.providers.resources.template import (
    Expansion,
    Facts,
    LookupNeeded,
    Node,
    Question,
    evaluate_body,
    nested_deployment,
    outputs,
    parameters_echo,
)

_RETRYABLE = frozenset({"AnotherOperationInProgress", "Conflict", "ReferencedResourceNotProvisioned", "ServiceUnavailable"})
_PAUSE = 2.0
"""Seconds until a resource that something else held up is tried again."""
_FALLBACK_VERSION = "2024-11-01"


@dataclass
class _Run:
    """One turn of one deployment."""

    context: Context
    record: Record
    expansion: Expansion
    caller: Caller
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Progress by lower-case node id: state, generation, uid, times, error."""
    held: set[str] = field(default_factory=set)
    """Nodes that something else holds up just now; they hold up nothing but what depends on them."""


async def reconcile(context: Context, record: Record) -> Plan:
    """One turn."""
    status = record.status
    if status.get("run") == record.intent["run"] and "ended" in status:
        return Plan(_ended(record))
    if record.allocated.get("run") != record.intent["run"]:
        return _begin(context, record)
    run = _Run(context, record, _expansion(context, record), Caller.from_document(record.changed_by))
    if status.get("run") == record.intent["run"]:
        run.nodes = {k: dict(v) for k, v in status.get("nodes", {}).items()}
    _look(run)
    while ready := _startable(run):
        await asyncio.gather(*(_start(run, node) for node in ready))
        _look(run)
    return await _close(run)


def _ended(record: Record) -> Outcome:
    return Failed(LazurError.from_body(dict(record.error))) if record.error else Ready()


def _begin(context: Context, record: Record) -> Plan:
    """Fix every value that must not change when the run is resumed: defaults with times and random ids."""
    found = _expand(context, record, _given(context, record))
    sealed = context.seal(json.dumps(found.parameters).encode(), f"{record.key}#values")
    allocated = {"run": record.intent["run"], "values": sealed}
    references = [
        Reference(record.key, f"resources[{i}]", context.registry.canonical(ArmId.parse(n.id)).key, blocking=False)
        for i, n in enumerate(found.nodes)
    ]
    return Plan(Waiting("beginning", 0.0), allocated=allocated, references=references, status={})


def _given(context: Context, record: Record) -> dict[str, Any]:
    sealed = record.secrets.get("parameters")
    if sealed is None:
        return {}
    found: dict[str, Any] = json.loads(context.unseal(sealed, f"{record.key}#parameters"))
    return found


def _expansion(context: Context, record: Record) -> Expansion:
    values = json.loads(context.unseal(record.allocated["values"], f"{record.key}#values"))
    return _expand(context, record, values)


def _expand(context: Context, record: Record, parameters: Mapping[str, Any]) -> Expansion:
    group = context.get(record.id.scope)
    if group is None:
        raise LazurError("ResourceGroupNotFound", f"Resource group '{record.id.group}' could not be found.", status=404)
    return expansion_of(record.id, record.properties, parameters, group, context.stamp, context.ids, record.changed)


# -- looking ----------------------------------------------------------------------------------------------------------


def _look(run: _Run) -> None:
    """Bring the progress of every submitted resource up to date."""
    for node in run.expansion.nodes:
        known = run.nodes.get(node.id.lower())
        if known is None or known["state"] != "Running":
            continue
        record = run.context.get(node.id)
        if record is None:
            _finish(run, known, LazurError("ResourceNotFound", f"'{node.id}' was deleted while it was being deployed."))
        elif record.observed >= known["generation"] and record.state == SUCCEEDED:
            _finish(run, known, None)
        elif record.observed >= known["generation"] and record.state == FAILED:
            error = LazurError.from_body(dict(record.error)) if record.error else LazurError("ProvisioningFailed", "Failed.")
            _finish(run, known, error)


def _finish(run: _Run, known: dict[str, Any], error: LazurError | None) -> None:
    known["state"] = FAILED if error else SUCCEEDED
    known["ended"] = rfc3339(run.context.clock.now())
    if error is not None:
        known["error"] = error.body()
        known["status"] = error.status


def _startable(run: _Run) -> list[Node]:
    """Nodes not begun whose dependencies are all met."""
    done = {k for k, v in run.nodes.items() if v["state"] == SUCCEEDED}
    return [
        node
        for node in run.expansion.nodes
        if node.id.lower() not in run.nodes.keys() | run.held and all(d.lower() in done for d in node.depends_on)
    ]


# -- acting -----------------------------------------------------------------------------------------------------------


async def _start(run: _Run, node: Node) -> None:
    """Submit one resource."""
    now = rfc3339(run.context.clock.now())
    known: dict[str, Any] = {"state": "Running", "started": now, "generation": 0, "created": False}
    if node.existing:
        run.nodes[node.id.lower()] = {**known, "state": SUCCEEDED, "ended": now, "existing": True}
        return
    try:
        body = await _body(run, node)
        target = ArmId.parse(node.id)
        record = await run.context.front.submit(run.caller, target, body, node.api_version or _FALLBACK_VERSION)
        # Told from the document, because a turn that was killed may have created it and forgotten that it did.
        known |= {"generation": record.generation, "created": record.created >= run.record.changed}
    except LazurError as error:
        if error.code in _RETRYABLE or error.retryable:
            run.held.add(node.id.lower())
            return
        _finish(run, known, error)
    run.nodes[node.id.lower()] = known


async def _body(run: _Run, node: Node) -> dict[str, Any]:
    facts = Facts()
    while True:
        try:
            body = evaluate_body(node, run.expansion.scope, facts)
            break
        except LookupNeeded as needed:
            facts.put(needed.question, await _answer(run, needed.question))
    if not node.is_deployment:
        return body
    inner = nested_deployment(node, body)
    mode = str(body.get("properties", {}).get("mode", "Incremental"))
    return {"properties": {"mode": mode, "template": inner.template, "parameters": dict(inner.parameters)}}


async def _answer(run: _Run, question: Question) -> dict[str, Any]:
    id = ArmId.parse(question.id)
    if question.action is not None:
        body = json.loads(question.body) if question.body else {}
        found: dict[str, Any] = await run.context.front.ask(run.caller, id, question.action, body)
        return found
    shown = run.context.front.show(run.caller, id)
    if not question.full:
        inner: dict[str, Any] = shown["properties"]
        return inner
    return {**shown, "apiVersion": question.api_version, "resourceId": shown["id"].partition("/providers/")[2]}


# -- telling ----------------------------------------------------------------------------------------------------------


async def _close(run: _Run) -> Plan:
    """The plan of this turn: still waiting, or the end of the run with outputs or all causes."""
    status = _status(run)
    active = [k for k, v in run.nodes.items() if v["state"] == "Running"]
    if active or run.held:
        again = _PAUSE if run.held else None
        return Plan(Waiting(f"waiting for {len(active) + len(run.held)} resources", after=again), status=status)
    failures = [LazurError.from_body(v["error"]) for v in run.nodes.values() if v["state"] == FAILED]
    if not failures:
        try:
            status["outputs"] = await _outputs(run)
        except LazurError as error:
            failures = [error]
    status["ended"] = rfc3339(run.context.clock.now())
    status["duration"] = _duration(run.record.changed, run.context.clock.now())
    if failures:
        message = (
            "At least one resource deployment operation failed. Please list deployment operations for details. "
            "Please see https://aka.ms/arm-deployment-operations for usage details."
        )
        failure = LazurError("DeploymentFailed", message, target=str(run.record.id), details=failures, status=409)
        return Plan(Failed(failure), status=status)
    status["outputResources"] = [{"id": n.id} for n in run.expansion.nodes if not n.existing]
    return Plan(Ready(), status=status)


async def _outputs(run: _Run) -> dict[str, Any]:
    facts = Facts()
    while True:
        try:
            return dict(outputs(run.expansion.template, run.expansion.scope, facts))
        except LookupNeeded as needed:
            facts.put(needed.question, await _answer(run, needed.question))


def _status(run: _Run) -> dict[str, Any]:
    nodes = run.expansion.nodes
    return {
        "run": run.record.intent["run"],
        "nodes": run.nodes,
        "operations": [_operation(run, n) for n in nodes if n.id.lower() in run.nodes and not n.existing],
        "parameters": json.loads(json.dumps(parameters_echo(run.expansion.template, run.expansion.scope))),
        "providers": _providers(run),
        "dependencies": [_dependency(n, {m.id.lower(): m for m in nodes}) for n in nodes if n.depends_on],
    }


def _operation(run: _Run, node: Node) -> dict[str, Any]:
    known = run.nodes[node.id.lower()]
    words = {201: "Created", 200: "OK", 400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}
    properties: dict[str, Any] = {
        "provisioningOperation": "Create",
        "provisioningState": known["state"],
        "timestamp": known.get("ended", known["started"]),
        "duration": "PT0S",
        "trackingId": derived(run.record.uid, node.id.lower(), "tracking"),
        "statusCode": words.get(known.get("status", 201 if known["created"] else 200), "Conflict"),
        "targetResource": {"id": node.id, "resourceType": node.type, "resourceName": node.name},
    }
    if "error" in known:
        properties["statusMessage"] = {"status": "Failed", "error": known["error"]}
    return {"operationId": derived(run.record.uid, node.id.lower()).replace("-", "").upper()[:16], "properties": properties}


def _providers(run: _Run) -> list[dict[str, Any]]:
    found: dict[str, set[str]] = {}
    for node in run.expansion.nodes:
        namespace, _, kind = node.type.partition("/")
        found.setdefault(namespace, set()).add(kind)
    location = run.context.stamp.region
    return [
        {"namespace": n, "resourceTypes": [{"resourceType": k, "locations": [location]} for k in sorted(found[n])]}
        for n in sorted(found)
    ]


def _dependency(node: Node, nodes: Mapping[str, Node]) -> dict[str, Any]:
    def row(one: Node) -> dict[str, Any]:
        return {"id": one.id, "resourceType": one.type, "resourceName": one.name}

    return {**row(node), "dependsOn": [row(nodes[d.lower()]) for d in node.depends_on if d.lower() in nodes]}


def _duration(start: datetime, end: datetime) -> str:
    return f"PT{max(0.0, (end - start).total_seconds()):.7f}S"
