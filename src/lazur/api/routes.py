"""ARM's URL space: a scope, then a resource, a list, an action, or a route that a provider declares.

Which types and routes there are comes from the registry alone. Must never contain the name of a resource type, and must
authorise before it looks anything up.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from lazur.api.lists import listed, paged, prefix_of
from lazur.api.message import Request, Response
from lazur.api.operations import POLLED, async_headers, poll
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource, Registry, Route, check_api_version
from lazur.model.rights import right

# Every segment must be one in every form it may be decoded to.
_PATH = re.compile(r"(/+(?!\.{1,2}(/|\Z))[^/?#%\\\x00-\x1f\x7f]{1,260})*/*")
_LONGEST = 4096
"""Longer than any path there is; what is longer must not be kept in memory."""


@dataclass(frozen=True)
class _Place:
    """What a path names, as far as the path alone says it: the scope it begins with and what follows, the declared routes that
    fit, whatever their method, and the one resource it is the id of, if it is one."""

    scope: ArmId
    rest: Sequence[str]
    fits: Sequence[tuple[Route, Mapping[str, str]]]
    id: ArmId | None


class Routes:
    """Answers ARM requests."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._registry = pipeline.registry
        self._store = pipeline.store
        self._stamp = pipeline.stamp
        self.declared = _compiled(pipeline.registry)
        # The same paths are asked for again and again, and what one names never changes.
        self._known = lru_cache(maxsize=4096)(self._place)

    async def answer(self, request: Request) -> Response:
        """The response to `request`; raises `LazurError` for everything that goes wrong."""
        find = self._known if len(request.path) <= _LONGEST else self._place
        place = find(request.path, request.caller.tenant)
        scope, rest = place.scope, place.rest
        check_api_version(request.query.get("api-version"))
        if scope.namespace is not None:
            self._registry.holder_of(scope)
        self._of_its_directory(request, scope)
        for route, found in place.fits:
            if route.method == request.method:
                return await self._handled(request, scope, route, dict(found))
        if place.fits and not self._generic(rest):
            raise _not_allowed(request)
        if place.id is not None:
            return await self._one(request, place.id)
        if len(rest) > 2 and rest[0].lower() == "providers":
            return await self._below(request, scope, rest[1:])
        if request.method == "POST" and len(rest) == 1 and scope.group is not None and scope.namespace is None:
            return await self._action(request, scope, rest[0])
        raise _no_route(request)

    def _place(self, path: str, tenant: str) -> _Place:
        if not _PATH.fullmatch(path):
            raise LazurError("InvalidResourceId", f"The path {path[:300]!r} has a segment that names nothing.")
        scope, rest = address([p for p in path.split("/") if p], tenant)
        fits = tuple(self._fitting(scope, rest))
        if not fits and scope.group is not None and scope.namespace is None and len(rest) > 1:
            # az lists deployment operations below the group without the provider segment.
            namespace = scope.type.partition("/")[0]
            rest = ["providers", namespace, *rest] if self._registry.find(f"{namespace}/{rest[0]}") else rest
        return _Place(scope, rest, fits, _named(scope, rest))

    def _of_its_directory(self, request: Request, scope: ArmId) -> None:
        """Refuse a token of another directory than the subscription's, as Azure does: clients then ask at the right one."""
        tenant, own = self._pipeline.authority.tenant_of(scope), request.caller.tenant
        if tenant not in ("", own):
            message = (
                f"The access token is from the wrong issuer. It must match the tenant '{tenant}' associated with this "
                f"subscription; it is of '{own}'."
            )
            raise LazurError("InvalidAuthenticationTokenTenant", message, status=401)

    # -- routes that providers declare --------------------------------------------------------------------------------

    def _fitting(self, scope: ArmId, rest: Sequence[str]) -> Iterator[tuple[Route, Mapping[str, str]]]:
        text = "/" + "/".join(rest)
        namespace = rest[1].lower() if len(rest) > 1 and rest[0].lower() == "providers" else ""
        for key in (namespace, "") if namespace else ("",):
            for pattern, route in self.declared.get((scope.reach, key), ()):
                match = pattern.fullmatch(text)
                if match is not None:
                    yield route, match.groupdict()

    def _generic(self, rest: Sequence[str]) -> bool:
        """Whether a stored type may answer where only other methods of a declared route fit."""
        if len(rest) < 3 or rest[0].lower() != "providers":
            return False
        return self._registry.find("/".join((rest[1], *rest[2::2]))) is not None

    async def _handled(self, request: Request, scope: ArmId, route: Route, found: dict[str, Any]) -> Response:
        if route.action is not None:
            self._pipeline.authority.authorise(request.caller, route.action, scope)
        location = found.pop("location", self._stamp.region)
        if location.replace(" ", "").lower() != self._stamp.region.lower():
            message = f"The location '{location}' is not one of this cloud: '{self._stamp.region}'."
            raise LazurError("NoRegisteredProviderFound", message)
        answer = route.handler(self._pipeline, replace(request, scope=scope), **found)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer if isinstance(answer, Response) else Response(200, answer)

    # -- resources ----------------------------------------------------------------------------------------------------

    async def _below(self, request: Request, scope: ArmId, rest: Sequence[str]) -> Response:
        """Below `…/providers/` and no resource: a list, an action, a view or an operation to poll."""
        if _polled(rest):
            _only(request, "GET")
            namespace = self._registry.namespace(rest[0])
            return poll(self._pipeline, request, scope, namespace, rest[3].lower(), rest[4])
        above = scope.resource("/".join((rest[0], *rest[1:-1:2])), *rest[2::2])
        if request.method == "POST":
            return await self._action(request, above, rest[-1])
        if request.method != "GET":
            raise _not_allowed(request)
        return await self._collection(request, scope, above, rest[-1])

    async def _collection(self, request: Request, scope: ArmId, above: ArmId, last: str) -> Response:
        probe = above.child(last, "-")
        if above.names:
            parent = self._registry.find(above.type)
            for view in parent.views if parent else ():
                if view.name.lower() == last.lower():
                    record = self._pipeline.existing(request.caller, above, view.name)
                    shown = view.show(record)
                    return Response(200, shown) if isinstance(shown, dict) else paged(self._pipeline, request, list(shown))
            embedded = self._registry.embedded(probe)
            if embedded is not None:
                record = self._pipeline.existing(request.caller, above, embedded[1].type)
                return paged(self._pipeline, request, self._pipeline.presenter.children(record, embedded[1]))
        declared = self._registry.listed(probe)
        self._pipeline.authority.authorise(request.caller, right(declared.type, "read"), scope)
        self._pipeline.has_container(probe)
        if above.names:
            return await listed(self._pipeline, request, above.key + "/", declared)
        return await listed(self._pipeline, request, prefix_of(scope, declared), declared)

    async def _one(self, request: Request, id: ArmId) -> Response:
        methods: dict[str, Callable[[Request, ArmId], Awaitable[Response]]] = {
            "GET": self._get, "HEAD": self._head, "PUT": self._put, "PATCH": self._put, "DELETE": self._delete,
        }  # fmt: skip
        if request.method not in methods:
            raise _not_allowed(request)
        if request.method == "GET" and (shown := self._in_view(request, id)) is not None:
            return Response(200, shown)
        return await methods[request.method](request, id)

    def _in_view(self, request: Request, id: ArmId) -> Any:
        """One item of a view, such as an operation of a deployment; None when `id` is none."""
        parent = self._registry.find(id.parent.type) if len(id.types) > 1 else None
        view = next((v for v in parent.views if v.name.lower() == id.types[-1].lower()), None) if parent else None
        if view is None:
            return None
        items = view.show(self._pipeline.existing(request.caller, id.parent, view.name))
        for item in items if isinstance(items, list) else ():
            if item["id"].rpartition("/")[2].lower() == id.name.lower():
                return item
        raise self._registry.missing(id)

    async def _get(self, request: Request, id: ArmId) -> Response:
        record = self._pipeline.existing(request.caller, id)
        embedded = self._registry.embedded(id)
        if embedded is None:
            text = self._pipeline.presenter.text(record, request.query.get("$expand", ""))
            return Response(200, text=text, headers={"ETag": f'W/"{record.etag}"'})
        child = self._pipeline.presenter.child(record, embedded[1], id.name)
        if child is None:
            raise self._registry.missing(id)
        return Response(200, child, {"ETag": child["etag"]})

    async def _head(self, request: Request, id: ArmId) -> Response:
        try:
            self._pipeline.existing(request.caller, id)
        except LazurError as error:
            if error.status == 404:
                return Response(404)
            raise
        return Response(204)

    async def _put(self, request: Request, id: ArmId) -> Response:
        declared = self._registry.holder_of(id)
        if request.method == "PATCH" and (not declared.patched or self._registry.embedded(id) is not None):
            raise _not_allowed(request)
        body = await request.read(declared.reads_body)
        match = request.headers.get("if-match", "")
        if request.method == "PATCH":
            accepted = await self._pipeline.patch(request.caller, id, body, request.api_version, if_match=match)
        else:
            none = request.headers.get("if-none-match", "")
            accepted = await self._pipeline.put(
                request.caller, id, body, request.api_version, if_match=match, if_none_match=none
            )
        assert accepted.record is not None
        shown = accepted.body or self._pipeline.presenter.show(accepted.record)
        status = declared.answers.create if accepted.created else declared.answers.update
        if request.method == "PATCH":
            status = 200
        headers = async_headers(self._stamp, request.api_version, accepted.operation, "POST" if status == 202 else "PUT")
        return Response(status if accepted.operation or status != 202 else 200, shown, headers)

    async def _delete(self, request: Request, id: ArmId) -> Response:
        declared = self._registry.holder_of(id)
        match = request.headers.get("if-match", "")
        accepted = await self._pipeline.delete(request.caller, id, request.api_version, if_match=match)
        if accepted.record is None:
            return Response(204)
        if accepted.operation is None:
            return Response(200 if declared.answers.asynchronous else declared.answers.delete, accepted.body)
        headers = async_headers(self._stamp, request.api_version, accepted.operation, "DELETE")
        return Response(declared.answers.delete, None, headers)

    async def _action(self, request: Request, id: ArmId, name: str) -> Response:
        declared = self._registry.type_of(id)
        body = await request.read(declared.reads_body)
        found = next((a for a in declared.actions if a.name.lower() == name.lower()), None)
        if found is not None and found.detached:
            return await self._preview(request, declared, id, found.name, body)
        accepted = await self._pipeline.act(request.caller, id, name, body, request.query)
        if accepted.operation is not None:
            return Response(202, None, async_headers(self._stamp, request.api_version, accepted.operation, "POST"))
        return Response(204 if accepted.body is None else 200, accepted.body)

    async def _preview(self, request: Request, declared: AnyResource, id: ArmId, name: str, body: Any) -> Response:
        self._registry.holder_of(id)
        self._pipeline.authority.authorise(request.caller, right(declared.type, f"{name}/action"), id)
        module = self._registry.behaviour(declared, "admit")
        assert module is not None
        return Response(200, await module.preview(name, request.caller, id, body, self._pipeline))


def address(parts: list[str], tenant: str) -> tuple[ArmId, list[str]]:
    """The scope that a path begins with, and what follows: the last `providers/…`, or words right below the scope."""
    lowered = [p.lower() for p in parts[:3]]
    subscription = group = None
    if lowered[:1] == ["subscriptions"] and len(parts) > 1:
        subscription = parts[1]
        group = parts[3] if lowered[2:] == ["resourcegroups"] and len(parts) > 3 else None
    scope = ArmId(subscription, group, tenant="" if subscription else tenant)
    rest = parts[4:] if group else parts[2:] if subscription else parts
    while rest and rest[0].lower() == "providers":
        end = next((i for i in range(4, len(rest), 2) if rest[i].lower() == "providers"), None)
        if end is None:
            break
        scope = scope.resource("/".join((rest[1], *rest[2:end:2])), *rest[3:end:2])
        rest = rest[end:]
    return scope, rest


def _named(scope: ArmId, rest: Sequence[str]) -> ArmId | None:
    """The resource that a path is the id of; None for a list, an action, a route, an operation."""
    if not rest:
        return scope if scope.group is not None else None
    if rest[0].lower() != "providers" or len(rest) < 4 or len(rest) % 2 or _polled(rest[1:]):
        return None
    return scope.resource("/".join((rest[1], *rest[2::2])), *rest[3::2])


def _polled(rest: Sequence[str]) -> bool:
    return len(rest) == 5 and rest[1].lower() == "locations" and rest[3].lower() in POLLED


def _compiled(registry: Registry) -> dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]]:
    """Declared routes by the level of their scope and the namespace they stand below ("" directly below the scope)."""
    found: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
    for name, provider in registry.providers.items():
        for route in provider.routes:
            direct = route.pattern.startswith("/")
            text = route.pattern if direct else f"/providers/{re.escape(provider.namespace)}/{route.pattern}"
            for level in route.scopes:
                compiled = re.compile(text, re.IGNORECASE)
                found.setdefault((level, "" if direct else name), []).append((compiled, route))
    return found


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise _not_allowed(request)


def _no_route(request: Request) -> LazurError:
    message = f"No route matches '{request.path[:300]}'."
    return LazurError("InvalidResourceNamespace", message, status=404)


def _not_allowed(request: Request) -> LazurError:
    message = f"The requested resource does not support http method '{request.method}'."
    return LazurError("UnsupportedMediaType" if request.method == "TRACE" else "MethodNotAllowed", message, status=405)


__all__ = ["Routes", "address"]
