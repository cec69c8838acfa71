"""Tags of any scope as a resource of their own, and the names and values that are in use in a subscription.

A resource's and a group's tags are those of its document; a subscription's stand in the document of all subscriptions. Must
never keep a second copy of a tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from lazur.api.authority import SUBSCRIPTIONS
from lazur.api.lists import paged
from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Document, Record
from lazur.model.fields import Caseless, Model
from lazur.model.registry import Route

_TYPE = "Microsoft.Resources/tags"
_MOST = 50
_Kept = dict[str, list[str]]
_Decide = Callable[[Mapping[str, str]], dict[str, str]]


class _Tags(Model):
    tags: dict[str, Annotated[str, Field(max_length=256)]] = {}


class _Asked(Model):
    operation: Annotated[Literal["Replace", "Merge", "Delete"], Caseless()] = "Replace"
    properties: _Tags = _Tags()


def read(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`tags/default` of a scope."""
    return _shown(request.scope, _of(pipeline, request.scope))


async def replace(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """Make these the tags of a scope, all of them."""
    tags = dict(_asked(request).properties.tags)
    return _shown(request.scope, await _put(pipeline, request, lambda now: tags))


async def update(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """Replace the tags, merge some into them, or take some away: those with just these values."""
    asked = _asked(request)
    return _shown(request.scope, await _put(pipeline, request, lambda now: _updated(now, asked)))


def _updated(before: Mapping[str, str], asked: _Asked) -> dict[str, str]:
    given, now = asked.properties.tags, dict(before)
    if asked.operation == "Replace":
        return dict(given)
    spelled = {name.lower(): name for name in now}
    for name, value in given.items():
        known = spelled.get(name.lower(), name)
        if asked.operation == "Merge":
            now[known] = value
        elif now.get(known) == value:
            del now[known]
    return now


async def remove(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """Take all tags of a scope away. Azure's clients know no 204 here."""
    return _shown(request.scope, await _put(pipeline, request, lambda now: {}, "delete"))


def _asked(request: Request) -> _Asked:
    asked = request.read_as(_Asked)
    _few(asked.properties.tags)
    return asked


def _few(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _MOST:
        message = f"The maximum number of tags is {_MOST}; there would be {len(tags)}."
        raise LazurError("InvalidTags", message, target="properties.tags")
    return tags


def _of(pipeline: Pipeline, scope: ArmId) -> Mapping[str, str]:
    if scope.reach == "subscription":
        rows = pipeline.store.document(SUBSCRIPTIONS).content or ()
        own = (scope.subscription or "").lower()
        tags: Mapping[str, str] = next((row.get("tags", {}) for row in rows if row["id"] == own), {})
    else:
        _has_tags(pipeline, scope)
        tags = pipeline.stored(scope).body.get("tags") or {}
    return tags


def _has_tags(pipeline: Pipeline, scope: ArmId) -> None:
    if pipeline.registry.embedded(scope) is not None or not pipeline.registry.type_of(scope).tracked:
        raise LazurError("TagsNotSupported", f"'{scope}' is of a type that has no tags.")


async def _put(pipeline: Pipeline, request: Request, decide: _Decide, verb: str = "write") -> Mapping[str, str]:
    """Make the tags what `decide` makes of those there are when it is written; the tags after it."""
    scope = request.scope
    pipeline.authority.unlocked(scope)
    if scope.reach == "subscription":
        return await pipeline.in_turn(SUBSCRIPTIONS, lambda: _put_subscription(pipeline, scope, decide))
    _has_tags(pipeline, scope)

    def body(record: Record) -> dict[str, Any]:
        return {"tags": decide(record.body.get("tags") or {})}

    await pipeline.patch(request.caller, scope, body, request.api_version, needs=[(f"{_TYPE}/{verb}", scope)])
    return _of(pipeline, scope)


async def _put_subscription(pipeline: Pipeline, scope: ArmId, decide: _Decide) -> Mapping[str, str]:
    document, tags = pipeline.store.document(SUBSCRIPTIONS), _few(decide(_of(pipeline, scope)))
    own = (scope.subscription or "").lower()
    rows = [{**row, "tags": tags} if row["id"] == own else row for row in document.content or ()]
    await pipeline.store.commit(Change(documents=[Document(SUBSCRIPTIONS, document.version + 1, rows)]))
    return tags


def _shown(scope: ArmId, tags: Mapping[str, str]) -> dict[str, Any]:
    id = str(scope.resource(_TYPE, "default"))
    return {"id": id, "name": "default", "type": _TYPE, "properties": {"tags": dict(tags)}}


# -- names in use -----------------------------------------------------------------------------------------------------


def names(pipeline: Pipeline, request: Request) -> Response:
    """`tagNames`: the names and values in use in a subscription and those kept for use, with how many resources have them."""
    used: Counter[tuple[str, str]] = Counter()
    for record in pipeline.store.list(prefix=f"{request.scope.key}/"):
        used.update((record.body.get("tags") or {}).items())
    kept = pipeline.store.document(_document(request.scope)).content or {}
    known = {name: set(values) for name, values in kept.items()}
    for name, value in used:
        known.setdefault(name, set()).add(value)
    return paged(pipeline, request, [_name(request.scope, n, sorted(known[n]), used) for n in sorted(known)])


def _name(scope: ArmId, name: str, values: list[str], used: Counter[tuple[str, str]]) -> dict[str, Any]:
    id = f"{scope}/tagNames/{name}"
    shown = [{"id": f"{id}/tagValues/{v}", "tagValue": v, "count": _count(used[name, v])} for v in values]
    return {"id": id, "tagName": name, "count": _count(sum(used[name, v] for v in values)), "values": shown}


def _count(value: int) -> dict[str, Any]:
    return {"type": "Total", "value": value}


async def keep(pipeline: Pipeline, request: Request, name: str, value: str = "") -> dict[str, Any]:
    """Keep a name, or a value of it, for use."""

    def more(kept: _Kept) -> None:
        values = kept.setdefault(name, [])
        if value and value not in values:
            values.append(value)

    kept = await _keep(pipeline, request.scope, more)
    shown = _name(request.scope, name, kept[name], Counter())
    return shown if not value else next(v for v in shown["values"] if v["tagValue"] == value)


async def forget(pipeline: Pipeline, request: Request, name: str, value: str = "") -> Response:
    """Keep a name, or a value of it, no longer; resources that have it keep it."""

    def less(kept: _Kept) -> None:
        if not value:
            kept.pop(name, None)
        elif value in kept.get(name, ()):
            kept[name].remove(value)

    await _keep(pipeline, request.scope, less)
    return Response(204)


async def _keep(pipeline: Pipeline, scope: ArmId, change: Callable[[_Kept], None]) -> _Kept:
    """The names and values a subscription keeps for use, after `change`."""

    async def step() -> _Kept:
        document = pipeline.store.document(_document(scope))
        kept = {n: list(v) for n, v in (document.content or {}).items()}
        change(kept)
        if kept != (document.content or {}):
            await pipeline.store.commit(Change(documents=[Document(document.name, document.version + 1, kept)]))
        return kept

    return await pipeline.in_turn(_document(scope), step)


def _document(scope: ArmId) -> str:
    return f"tag-names/{(scope.subscription or '').lower()}"


_SCOPES = ("subscription", "group", "resource")
_NAME = "/tagNames/(?P<name>[^/]+)"
_VALUE = f"{_NAME}/tagValues/(?P<value>[^/]+)"
_NAMES = "Microsoft.Resources/subscriptions/tagNames"
ROUTES = (
    Route("GET", _SCOPES, "tags/default", f"{_TYPE}/read", read),
    Route("PUT", _SCOPES, "tags/default", f"{_TYPE}/write", replace),
    Route("PATCH", _SCOPES, "tags/default", f"{_TYPE}/write", update),
    Route("DELETE", _SCOPES, "tags/default", f"{_TYPE}/delete", remove),
    Route("GET", ("subscription",), "/tagNames", f"{_NAMES}/read", names),
    Route("PUT", ("subscription",), _NAME, f"{_NAMES}/write", keep),
    Route("DELETE", ("subscription",), _NAME, f"{_NAMES}/delete", forget),
    Route("PUT", ("subscription",), _VALUE, f"{_NAMES}/tagValues/write", keep),
    Route("DELETE", ("subscription",), _VALUE, f"{_NAMES}/tagValues/delete", forget),
)
