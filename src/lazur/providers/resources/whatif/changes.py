"""From the resources of a deployment and the documents there are to the changes that `whatIf` answers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import Notice, Step, Steps
from lazur.providers.resources.whatif.delta import delta, no_effect
from lazur.providers.resources.whatif.shapes import Shapes

Current: TypeAlias = Callable[[str], Mapping[str, Any] | None]
"""From an id to the customer's document of that resource (`location`, `tags`, `properties`, …), None when there is none."""

Foresee: TypeAlias = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""From an id and the body of a PUT to the document that would be kept: with names and sizes the service fills in."""

_UNANALYZABLE = "https://aka.ms/WhatIfUnanalyzableResourceId"
_OWN = frozenset({"id", "name", "type", "apiversion", "etag"})


def what_if(
    found: Steps,
    current: Current,
    shapes: Shapes,
    *,
    others: Iterable[tuple[str, Mapping[str, Any]]] = (),
    complete: bool = False,
    full: bool = True,
    foresee: Foresee = lambda _, body: body,
) -> dict[str, Any]:
    """The answer of `whatIf`.

    `others` are the resources of the deployment's group with their documents: those the deployment does not mention are
    ignored or, when it is `complete`, deleted. Without `full` only ids and kinds of changes are told.
    """
    if found.faults:
        return failed(found.faults)
    changes = []
    mentioned: set[str] = set()
    apart = {place for step in found.resources if (place := shapes.place(step.node.id)) is not None}
    for step in found.resources:
        mentioned.add(step.node.id.lower())
        changes.append(_told(step, _without(apart, current), shapes, full, _foreseen_without(apart, foresee)))
    for id, document in others:
        if id.lower() not in mentioned:
            before = _document(id, document, shapes, document.get("apiVersion", "")) if full else None
            kind = "Delete" if complete else "Ignore"
            changes.append(_change(id, kind, before=before))
    changes.sort(key=lambda change: str(change["resourceId"]).lower())
    return {
        "status": "Succeeded",
        "properties": {
            "changes": changes,
            "potentialChanges": [],
            "diagnostics": [_diagnostic(notice) for notice in found.notices],
        },
    }


def failed(faults: Iterable[LazurError]) -> dict[str, Any]:
    """The answer when the template itself is wrong; `whatIf` itself succeeds then."""
    listed = list(faults)
    if len(listed) == 1 and listed[0].code in ("InvalidTemplate", "InvalidTemplateDeployment"):
        return {"status": "Failed", "error": listed[0].body()}
    error = LazurError(
        "InvalidTemplateDeployment",
        "The template deployment is not valid according to the validation procedure. See inner errors for details.",
        details=listed,
    )
    return {"status": "Failed", "error": error.body()}


def _change(id: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"resourceId": id, "changeType": kind, **{name: value for name, value in more.items() if value is not None}}


def _told(step: Step, current: Current, shapes: Shapes, full: bool, foresee: Foresee) -> dict[str, Any]:
    node = step.node
    about = {"deploymentId": step.deployment_id, "symbolicName": node.symbol or None}
    if step.unknown:
        line, column = step.scope.template.locate(node.path)
        reason = (
            f"Changes to the resource declared at '{node.path}' on line {line} and column {column} cannot be analyzed "
            "because its resource ID or API version cannot be calculated until the deployment is under way. "
            f"Please see {_UNANALYZABLE} for more guidance."
        )
        return _change(node.id, "Unsupported", unsupportedReason=reason, **about)
    there = current(node.id)
    if not full:
        return _change(node.id, "Create" if there is None else "Deploy", **about)
    after = _hidden(_document(node.id, step.body, shapes, node.api_version), step)
    if there is None:
        return _change(node.id, "Create", after=after, **about)
    before = _hidden(_document(node.id, there, shapes, node.api_version), step)
    changed = delta(_essence(node.id, there, shapes), _essence(node.id, foresee(node.id, step.body), shapes))
    ignored = [no_effect(path, value) for path, value in shapes.ignored(node.id, _properties(step.body))]
    kind = "Modify" if changed else "NoChange"
    return _change(node.id, kind, before=before, after=after, delta=_hidden([*changed, *ignored], step) or None, **about)


def _without(apart: set[tuple[str, str, str]], current: Current) -> Current:
    """`current` without the children that the deployment deploys apart from their parents: they come again by themselves."""

    def document(id: str) -> Mapping[str, Any] | None:
        found = current(id)
        return None if found is None else _stripped(apart, id, found)

    return document


def _foreseen_without(apart: set[tuple[str, str, str]], foresee: Foresee) -> Foresee:
    """The same of what a PUT would leave, as a parent may keep children that its body does not mention."""
    return lambda id, body: _stripped(apart, id, foresee(id, body))


def _stripped(apart: set[tuple[str, str, str]], id: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    lists = {(name, child) for parent, name, child in apart if parent == id.lower()}
    if not lists:
        return found
    properties = dict(_properties(found))
    for name in {name for name, _ in lists} & set(properties):
        kept = [item for item in properties[name] if (name, str(item.get("name", "")).lower()) not in lists]
        properties[name] = kept
    return {**found, "properties": properties}


def _properties(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("properties")
    return found if isinstance(found, Mapping) else {}


def _document(id: str, body: Mapping[str, Any], shapes: Shapes, api_version: str) -> dict[str, Any]:
    """A resource as `before` and `after` show it, its parts in alphabetical order."""
    segments = id.rsplit("/providers/", 1)[-1].split("/")
    out = {name: value for name, value in body.items() if value is not None and name.lower() not in _OWN}
    out |= {"id": id, "apiVersion": api_version}
    if "/providers/" in id:
        out |= {"type": "/".join([segments[0], *segments[1::2]]), "name": "/".join(segments[2::2])}
    else:
        out |= {"type": "Microsoft.Resources/resourceGroups", "name": id.rsplit("/", 1)[-1]}
    if "properties" in out:
        out["properties"] = shapes.shown(id, _properties(body))
    return dict(sorted(out.items()))


def _essence(id: str, body: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """What of a document is compared."""
    # A child lies where its parent lies, whatever templates say.
    own = _OWN if shapes.place(id) is None else _OWN | {"location"}
    out = {name: value for name, value in body.items() if name.lower() not in own and value not in (None, {}, [])}
    properties = shapes.essence(id, _properties(body))
    out.pop("properties", None)
    return {**out, "properties": properties} if properties else out


def _hidden(value: Any, step: Step) -> Any:
    """`value` without the secrets of the template it comes from."""
    if isinstance(value, str):
        return step.scope.hiding(value)
    if isinstance(value, Mapping):
        return {step.scope.hiding(key): _hidden(item, step) for key, item in value.items()}
    return [_hidden(item, step) for item in value] if isinstance(value, list) else value


def _diagnostic(notice: Notice) -> dict[str, Any]:
    return {"level": notice.level, "code": notice.code, "message": notice.message, "target": notice.target}
