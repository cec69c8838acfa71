"""Moves of resources to another group or subscription of the same directory: their ids change and nothing else does.

What they are made of outside is named by their uid, so machines go on running and packets go on flowing. A move is one
transaction, for all of its resources or for none. Must never leave a reference across the two groups that was inside one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError, all_at_once
from lazur.model.armid import ArmId
from lazur.model.documents import SUCCEEDED, Change, Record, Reference
from lazur.model.events import event
from lazur.model.registry import Route
from lazur.model.rights import Caller, denial, is_operators, right

_GROUP = "Microsoft.Resources/subscriptions/resourceGroups"
_MOST = 800
_NAMED = re.compile(r"\[(/[^\]]*)\]")
"""A key in the path of a reference, where a document says what it refers to by the id itself."""


@dataclass(frozen=True)
class _Move:
    """What goes, with everything on and below it, and where to."""

    source: ArmId
    target: ArmId
    roots: Sequence[Record]
    records: Sequence[Record]

    def key(self, key: str) -> str:
        """A key as it will be, when it is of something that goes."""
        for record in self.roots:
            if key == record.key or key.startswith(f"{record.key}/"):
                return self.target.key + key[len(self.source.key) :]
        return key

    def goes(self, key: str) -> bool:
        """Whether it is of something that goes."""
        return self.key(key) != key

    def value(self, value: Any) -> Any:
        """A JSON value with every id of what goes as it will be."""
        if isinstance(value, Mapping):
            return {self.value(k): self.value(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(v) for v in value]
        if isinstance(value, str) and self.goes(value.lower()):
            return f"{self.target}{value[len(str(self.source)) :]}"
        return value


async def move(pipeline: Pipeline, request: Request) -> Response:
    """`moveResources`: done when it is answered."""
    await pipeline.in_turn(request.scope.key, lambda: _moved(pipeline, request))
    return Response(204)


async def _moved(pipeline: Pipeline, request: Request) -> None:
    planned = _planned(pipeline, request, "moveResources")
    await pipeline.store.commit(_change(pipeline, request, planned))


def validate(pipeline: Pipeline, request: Request) -> Response:
    """`validateMoveResources`: whether the same move would be made."""
    _planned(pipeline, request, "validateMoveResources")
    return Response(204)


# -- whether it can be ------------------------------------------------------------------------------------------------


def _planned(pipeline: Pipeline, request: Request, action: str) -> _Move:
    """The move that is asked for; raises every reason against it at once."""
    pipeline.authority.authorise(request.caller, f"{_GROUP}/{action}/action", request.scope)
    body = request.body()
    named = body.get("resources") if isinstance(body, dict) else None
    where = body.get("targetResourceGroup") if isinstance(body, dict) else None
    if not (isinstance(named, list) and named and len(named) <= _MOST and all(isinstance(n, str) for n in named)):
        message = f"'resources' must be a list of 1 to {_MOST} resource ids."
        raise LazurError("InvalidRequestContent", message, target="resources")
    if not isinstance(where, str):
        message = "'targetResourceGroup' must be the id of a group."
        raise LazurError("InvalidRequestContent", message, target="targetResourceGroup")
    target, source = _target(pipeline, request, where), pipeline.stored(request.scope).id
    caller = request.caller
    found = [_root(pipeline, caller, source, text, f"resources[{index}]") for index, text in enumerate(named)]
    faults = [f for f in found if isinstance(f, LazurError)]
    roots = list({r.key: r for r in found if isinstance(r, Record)}.values())
    below = [r for root in roots for r in (root, *pipeline.store.list(prefix=f"{root.key}/"))]
    planned = _Move(source, target, roots, below)
    faults += _against(pipeline, planned)
    if faults:
        raise all_at_once(faults)
    return planned


def _target(pipeline: Pipeline, request: Request, text: str) -> ArmId:
    target = ArmId.parse(text)
    pipeline.authority.authorise(request.caller, f"{_GROUP}/write", target)
    if target.reach != "group" or target.key == request.scope.key:
        message = f"'{text}' is not another resource group."
        raise LazurError("InvalidTargetResourceGroup", message, target="targetResourceGroup")
    if pipeline.authority.tenant_of(target) != pipeline.authority.tenant_of(request.scope):
        message = f"'{text}' lies in another directory; resources stay in theirs."
        raise LazurError("InvalidTargetResourceGroup", message, target="targetResourceGroup")
    group = pipeline.stored(target)
    pipeline.authority.unlocked(group.id)
    if group.deleting:
        raise LazurError("ResourceGroupBeingDeleted", f"'{text}' is being deleted.", target="targetResourceGroup", status=409)
    return group.id


def _root(pipeline: Pipeline, caller: Caller, source: ArmId, text: str, path: str) -> Record | LazurError:
    """One of the resources to move, or why not."""
    try:
        id = pipeline.registry.canonical(ArmId.parse(text))
        declared = pipeline.registry.type_of(id)
    except LazurError as error:
        return LazurError(error.code, error.message, target=path, status=error.status)
    if is_operators(id.type) and not caller.operator:
        return denial(caller, right(id.type, "write"), id)
    record = pipeline.store.get(id.key)
    if not source.contains(id) or record is None:
        message = f"'{text}' is not in the resource group '{source.group}'."
        return LazurError("ResourceNotFound", message, target=path, status=404)
    if len(id.names) > 1 or id.base is not None or not declared.tracked:
        return LazurError("ResourceNotTopLevel", f"'{text}' goes with what it belongs to; it cannot be moved.", target=path)
    if record.deleting or record.state != SUCCEEDED or record.observed < record.generation:
        message = f"'{text}' is in state '{record.state}'; only what is 'Succeeded' and at rest can be moved."
        return LazurError("ResourceMoveFailed", message, target=path, status=409)
    return record


def _against(pipeline: Pipeline, planned: _Move) -> Iterator[LazurError]:
    """What stands against the move as a whole: locks, names that are taken, and references that would be torn."""
    for record in planned.roots:
        try:
            pipeline.authority.unlocked(record.id, removing=True)
        except LazurError as error:
            yield error
        if pipeline.store.get(planned.key(record.key)) is not None:
            message = f"The group '{planned.target.group}' has a resource of the type and name of '{record.id}' already."
            yield LazurError("ResourceMoveTargetExists", message, target=str(record.id), status=409)
    missing: dict[str, list[str]] = {}
    for record in planned.records:
        torn = [r.target for r in pipeline.store.references(record.key) if r.blocking]
        torn += [r.source for r in pipeline.store.referrers(record.key) if r.blocking]
        for key in torn:
            other = pipeline.registry.document_of(ArmId.from_path(key)).key
            if not planned.goes(other) and "/providers/" in other:
                missing.setdefault(other, []).append(str(record.id))
    for key, users in sorted(missing.items()):
        found = pipeline.store.get(key)
        name = str(found.id) if found else key
        message = f"'{name}' and {', '.join(sorted(set(users)))} depend on each other and must be moved together."
        yield LazurError("MissingMoveDependentResources", message, target=name, status=409)


# -- making it so -----------------------------------------------------------------------------------------------------


def _change(pipeline: Pipeline, request: Request, planned: _Move) -> Change:
    now, action = pipeline.clock.now(), right(f"{_GROUP}/moveResources", "action")
    made = [_as_moved(pipeline, planned, record) for record in planned.records]
    rewire = {}
    for before in planned.records:
        key = planned.key(before.key)
        references = [_reference(planned, key, r) for r in pipeline.store.references(before.key)]
        claims = [replace(c, value=_claimed(planned, c.value), owner=key) for c in pipeline.store.held(before.key)]
        rewire[key] = (references, claims)
    return Change(
        records=made,
        removed=[(r.key, r.version) for r in planned.records],
        rewire=rewire,
        requires=[planned.target.key],
        moved={r.key: planned.key(r.key) for r in planned.records},
        events=[event(r, request.caller, action, "POST", SUCCEEDED, now, 204) for r in (*planned.roots, *made)],
    )


def _as_moved(pipeline: Pipeline, planned: _Move, record: Record) -> Record:
    id = ArmId.from_path(f"{planned.target}{record.id.path[len(str(planned.source)) :]}")
    secrets = {p: pipeline.seal(pipeline.unseal(s, f"{record.key}#{p}"), f"{id.key}#{p}") for p, s in record.secrets.items()}
    return record.with_(
        id=id, version=1, secrets=secrets, body=planned.value(record.body), intent=planned.value(record.intent),
        allocated=planned.value(record.allocated), status=planned.value(record.status), changed=pipeline.clock.now(),
    )  # fmt: skip


def _reference(planned: _Move, key: str, reference: Reference) -> Reference:
    path = _NAMED.sub(lambda found: f"[{planned.key(found[1])}]", reference.path)
    return replace(reference, source=key, path=path, target=planned.key(reference.target))


def _claimed(planned: _Move, value: str) -> str:
    """A claimed value, which may be made of keys joined by bars."""
    return "|".join(map(planned.key, value.split("|")))


ROUTES = (
    Route("POST", ("group",), "/moveResources", None, move),
    Route("POST", ("group",), "/validateMoveResources", None, validate),
)
