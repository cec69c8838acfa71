"""Submits one resource of a deployment as the recorded caller, and answers what its template asks of live resources.

Submitting is a PUT of the same body and therefore harmless when it is repeated after a crash. Must never write a resource
past the pipeline.
"""

from __future__ import annotations

import json
from typing import Any

from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import SUCCEEDED, Record
from lazur.providers.resources.deployments.hiding import hidden, texts
from lazur.providers.resources.deployments.run import CREATE, READ, Run, Step, nested_seal, unsealed
from lazur.providers.resources.template import (
    Facts,
    LookupNeeded,
    Node,
    Question,
    evaluate_body,
    nested_deployment,
    outputs,
)

_FALLBACK_VERSION = "2024-11-01"
_TELLING = 8
"""A text of an answer that is shorter is a word, and no secret."""


async def start(run: Run, node: Node) -> None:
    """Submit one resource; what the refusal was stands in its step."""
    step = run.step(node.id, READ if node.existing else CREATE)
    try:
        if node.existing or (node.only_new and not step.held and _there(run, node)):
            run.finish(step)
            return
        body = await _body(run, node)
        record = _own(run, node) if node.is_deployment else None
        if record is None:
            version = node.api_version or _FALLBACK_VERSION
            record = await run.context.front.submit(run.caller, run.id(node.id), body, version)
    except LazurError as error:
        run.refused(step, error)
        return
    submitted(run, step, record)


def _there(run: Run, node: Node) -> bool:
    """Whether a resource exists; refused, whether or not, to a caller who may not read it."""
    try:
        run.context.front.show(run.caller, run.id(node.id))
    except LazurError as error:
        if error.status == 404:
            return False
        raise
    return True


def submitted(run: Run, step: Step, record: Record) -> None:
    """`step` was accepted as `record`."""
    step.held, step.error, step.code = "", None, 0
    step.generation, step.uid = record.generation, record.uid
    step.started = rfc3339(run.context.clock.now())
    # Told from the document, because a turn that was killed may have created it and forgotten that it did.
    step.created = record.created >= run.began
    run.seen(step, record)


def adopt(run: Run) -> None:
    """Find what an interrupted turn had submitted: to be asked before a run that is canceled begins nothing more."""
    for node in run.startable(set()):
        record = run.get(node.id)
        known = run.steps.get(node.id.lower())
        if record is None or node.existing or known is not None or record.changed < run.began:
            continue
        if record.changed_by.get("object_id") == run.asker.object_id:
            submitted(run, run.step(node.id, CREATE), record)


def _own(run: Run, node: Node) -> Record | None:
    """The nested deployment of this very run, when an interrupted turn had made it."""
    record = run.get(node.id)
    nested = record.properties.get("nested") if record is not None else None
    return record if nested and nested["parent"] == _mark(run) else None


def _mark(run: Run) -> str:
    return f"{run.record.uid}/{run.record.intent['run']}"


async def _body(run: Run, node: Node) -> dict[str, Any]:
    facts = Facts()
    while True:
        try:
            body = await run.worked_out(lambda: evaluate_body(node, run.expansion.scope, facts))
            break
        except LookupNeeded as needed:
            facts.put(needed.question, await answer(run, needed.question))
    return _nested(run, node, body) if node.is_deployment else body


def _nested(run: Run, node: Node, body: dict[str, Any]) -> dict[str, Any]:
    """The request that makes a nested deployment; secrets the parent's values brought into its template are sealed."""
    inner = nested_deployment(node, body)
    if inner.mode.lower() != "incremental":
        message = f"The nested deployment '{node.name}' has the mode '{inner.mode}'; only the outermost may be so deployed."
        raise LazurError("InvalidTemplate", message, target=f"{node.path}.properties.mode")
    secrets, bound = run.secrets(), nested_seal(run.id(node.id).key)
    nesting = run.expansion.scope.context.nesting + 1
    part = {"template": inner.template, "secrets": secrets, "nesting": nesting, "link": _link(run)}
    properties = {
        "mode": "Incremental",
        "template": hidden(inner.template, secrets),
        "templateLink": inner.template_link,
        "parameters": dict(inner.parameters),
        "nested": {"parent": _mark(run), "sealed": run.context.seal(json.dumps(part).encode(), bound)},
    }
    return {"location": inner.location, "properties": properties}


def _link(run: Run) -> dict[str, str] | None:
    """Where this deployment's own template came from, which its relative links go out from."""
    link = run.record.properties.get("templateLink")
    if not link:
        return None
    return {"uri": link["uri"], "query": unsealed(run.context, run.record, "templateLink.queryString") or ""}


async def answer(run: Run, question: Question) -> dict[str, Any]:
    """What a template asked of a live resource, as far as the caller may know it."""
    id = run.id(question.id)
    if question.action is not None:
        body = json.loads(question.body) if question.body else {}
        found: dict[str, Any] = await run.context.front.ask(run.caller, id, question.action, body)
        run.learned |= {text for text in texts(found) if len(text) >= _TELLING}
        return found
    shown = run.context.front.show(run.caller, id)
    if not question.full:
        inner: dict[str, Any] = shown["properties"]
        return inner
    return {**shown, **_whereabouts(run, id), "apiVersion": question.api_version,
            "resourceId": shown["id"].partition("/providers/")[2]}  # fmt: skip


def _whereabouts(run: Run, id: ArmId) -> dict[str, str]:
    """What else a whole reference tells: where the resource lies, and for a deployment its scope."""
    named = {"subscriptionId": id.subscription, "resourceGroupName": id.group}
    named["scope"] = str(id.scope) if id.type.lower() == run.record.type else None
    return {name: value for name, value in named.items() if value}


async def all_outputs(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The outputs of the template as they are shown, and the values of secure ones by name."""
    facts, made = Facts(), run.expansion
    while True:
        try:
            found = await run.worked_out(lambda: outputs(made.template, made.scope, facts, secure=True))
            break
        except LookupNeeded as needed:
            facts.put(needed.question, await answer(run, needed.question))
    secure = {n: v.pop("value", None) for n, v in found.items() if v["type"].lower().startswith("secure")}
    return found, secure


async def pass_on(run: Run) -> None:
    """A canceled run ends the nested deployments it made as well, where the caller may."""
    for step in run.steps.values():
        record = run.get(step.id) if step.ongoing else None
        if record is not None and record.type == run.record.type and record.state != SUCCEEDED:
            try:
                await run.context.front.ask(run.caller, record.id, "cancel", {})
            except LazurError:
                continue
