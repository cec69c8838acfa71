"""ARM's URL space: a handful of generic patterns; which types there are comes from the registry alone.

Must never contain the name of a resource type, and must authorise before it looks anything up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lazur.api.pipeline import Accepted, Pipeline
from lazur.api.queries import page, parse_filter
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Operation, Record
from lazur.model.registry import AnyResource, DataRoute, check_api_version
from lazur.model.rights import Caller, right

RESOURCE_GROUPS = "Microsoft.Resources/resourceGroups"
# A segment must be one in every form it may be decoded to.
_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[^/?#%\\\x00-\x1f\x7f]{1,260}")
_DEEPEST = 100
_POLLED = {"operations": "operations", "operationresults": "operationResults"}


@dataclass(frozen=True)
class Request:
    """One authenticated request, already read."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    caller: Caller


@dataclass(frozen=True)
class Response:
    """Status, JSON body (None: empty), extra headers; `text` is a body that is JSON already."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None
    text: str | None = None


class Routes:
    """Answers ARM requests."""

    def __init__(self, pipeline: Pipeline, subscriptions: Callable[[Caller], list[dict[str, Any]]]) -> None:
        self._pipeline = pipeline
        self._registry = pipeline.registry
        self._store = pipeline.store
        self._stamp = pipeline.stamp
        self._subscriptions = subscriptions

    async def answer(self, request: Request) -> Response:
        """The response to `request`; raises `LazurError` for everything that goes wrong."""
        parts = [p for p in request.path.split("/") if p]
        if not all(_SEGMENT.fullmatch(p) for p in parts):
            raise LazurError("InvalidResourceId", f"The path {request.path[:300]!r} has a segment that names nothing.")
        lowered = [p.lower() for p in parts]
        check_api_version(request.query.get("api-version"))
        if lowered[:1] in (["subscriptions"], ["tenants"]) and len(parts) == 1:
            _only(request, "GET")
            return Response(200, {"value": self._accounts(request, lowered[0])})
        if lowered[:1] == ["providers"] and len(parts) <= 2:
            return self._providers(request, ArmId(), parts[1:])
        if lowered[:1] != ["subscriptions"] or len(parts) < 2:
            raise _no_route(request)
        scope, rest = ArmId(parts[1]), parts[2:]
        if lowered[2:3] == ["resourcegroups"]:
            return await self._in_groups(request, scope, rest[1:])
        return await self._in_subscription(request, scope, rest)

    # -- scopes -------------------------------------------------------------------------------------------------------

    def _accounts(self, request: Request, what: str) -> list[dict[str, Any]]:
        if what == "tenants":
            item = {
                "id": f"/tenants/{request.caller.tenant}",
                "tenantId": request.caller.tenant,
                "displayName": self._stamp.domain,
                "defaultDomain": f"{self._stamp.region}.{self._stamp.domain}",
                "tenantType": "AAD",
                "domains": [f"{self._stamp.region}.{self._stamp.domain}"],
            }
            return [item]
        return self._subscriptions(request.caller)

    async def _in_subscription(self, request: Request, scope: ArmId, rest: list[str]) -> Response:
        head = rest[0].lower() if rest else ""
        if head in ("", "locations", "resources") and len(rest) <= 1:
            _only(request, "GET")
        if not rest:
            self._pipeline.authorise(request.caller, "Microsoft.Resources/subscriptions/read", scope)
            found = [
                s for s in self._subscriptions(request.caller) if s["subscriptionId"] == (scope.subscription or "").lower()
            ]
            if not found:
                message = f"The subscription '{scope.subscription}' could not be found."
                raise LazurError("SubscriptionNotFound", message, status=404)
            return Response(200, found[0])
        if head == "locations" and len(rest) == 1:
            self._pipeline.authorise(request.caller, "Microsoft.Resources/subscriptions/locations/read", scope)
            return Response(200, {"value": [self._location(scope)]})
        if head == "resources" and len(rest) == 1:
            return self._resources(request, scope)
        if head == "providers" and len(rest) <= 3:
            known = len(rest) == 3 and rest[2].lower() not in ("register", "unregister")
            return await self._resource(request, scope, rest[1:]) if known else self._providers(request, scope, rest[1:])
        if head == "providers":
            return await self._resource(request, scope, rest[1:])
        raise _no_route(request)

    def _location(self, scope: ArmId) -> dict[str, Any]:
        name = self._stamp.region
        return {
            "id": f"{scope}/locations/{name}",
            "name": name,
            "displayName": name.capitalize(),
            "regionalDisplayName": name.capitalize(),
            "type": "Region",
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "pairedRegion": []},
        }

    async def _in_groups(self, request: Request, scope: ArmId, rest: list[str]) -> Response:
        if not rest:
            _only(request, "GET")
            self._pipeline.authorise(request.caller, right(RESOURCE_GROUPS, "read"), scope)
            records = self._store.list(prefix=scope.key + "/resourcegroups/", type=RESOURCE_GROUPS)
            return self._listed(request, list(filter(_chosen(request), records)))
        group = ArmId(scope.subscription, rest[0])
        if len(rest) == 1:
            return await self._one(request, group)
        head = rest[1].lower()
        if head == "resources" and len(rest) == 2:
            _only(request, "GET")
            return self._resources(request, group)
        if head == "providers" and len(rest) > 2:
            return await self._resource(request, group, rest[2:])
        if request.method == "POST" and len(rest) == 2:
            return await self._action(request, group, rest[1])
        if len(rest) >= 3:
            # az lists deployment operations below the group without the provider segment.
            return await self._resource(request, group, ["Microsoft.Resources", *rest[1:]])
        raise _no_route(request)

    def _resources(self, request: Request, scope: ArmId) -> Response:
        self._pipeline.authorise(request.caller, "Microsoft.Resources/subscriptions/resources/read", scope)
        declared = {t.type.lower() for t in self._registry.types() if t.tracked and t.type != RESOURCE_GROUPS}
        keep, chosen = _chosen(request), []
        for record in self._store.list(prefix=scope.key + "/"):
            if record.type in declared and keep(record):
                shown = self._pipeline.presenter.show(record, times=True)
                chosen.append({k: v for k, v in shown.items() if k not in ("properties", "etag")})
        return Response(200, page(chosen, request.query, self._stamp.url(request.path)))

    # -- providers ----------------------------------------------------------------------------------------------------

    def _providers(self, request: Request, scope: ArmId, rest: list[str]) -> Response:
        registers = len(rest) == 2
        _only(request, "POST" if registers else "GET")
        # At the root it is the same for everybody who is signed in.
        if scope != ArmId():
            action = "Microsoft.Resources/subscriptions/providers/read"
            if registers:
                action = f"{self._namespace(rest[0])}/{rest[1].lower()}/action"
            self._pipeline.authorise(request.caller, action, scope)
        if not rest:
            return Response(200, {"value": [self._provider(scope, ns) for ns in self._registry.providers]})
        return Response(200, self._provider(scope, self._namespace(rest[0]).lower()))

    def _namespace(self, name: str) -> str:
        """A namespace in Azure's spelling."""
        if name.lower() not in self._registry.providers:
            raise LazurError("InvalidResourceNamespace", f"The resource namespace '{name}' is invalid.", status=404)
        return self._registry.providers[name.lower()].namespace

    def _provider(self, scope: ArmId, namespace: str) -> dict[str, Any]:
        provider = self._registry.providers[namespace]
        locations = [self._stamp.region.capitalize()]
        return {
            "id": f"{'' if scope == ArmId() else scope}/providers/{provider.namespace}",
            "namespace": provider.namespace,
            "registrationState": "Registered",
            "registrationPolicy": "RegistrationFree",
            "resourceTypes": [
                {
                    "resourceType": name,
                    "locations": locations,
                    "apiVersions": list(declared.api_versions),
                    "zoneMappings": [],
                    "capabilities": "SupportsTags, SupportsLocation" if declared.tracked else "None",
                }
                for declared in provider.types
                for name in [declared.type.split("/", 1)[1]]
                + [f"{declared.type.split('/', 1)[1]}/{e.type}" for e in declared.embedded]
            ],
        }

    # -- resources ----------------------------------------------------------------------------------------------------

    async def _resource(self, request: Request, scope: ArmId, rest: list[str]) -> Response:
        """Below `…/providers/`: a resource, a list, an action, a view, a data route or an operation to poll."""
        polls = len(rest) == 5 and rest[1].lower() == "locations" and rest[3].lower() in _POLLED
        if polls:
            _only(request, "GET")
            return self._poll(request, scope, rest)
        if request.method == "GET":
            answer = self._data(request, scope, rest)
            if answer is not None:
                return answer
        if len(rest) % 2:
            return await self._one(
                request, ArmId(scope.subscription, scope.group, rest[0], tuple(rest[1::2]), tuple(rest[2::2]))
            )
        above = ArmId(scope.subscription, scope.group, rest[0], tuple(rest[1:-1:2]), tuple(rest[2::2]))
        if request.method == "POST":
            return await self._action(request, above, rest[-1])
        if request.method != "GET":
            raise _not_allowed(request)
        return self._collection(request, scope, above, rest[-1])

    def _data(self, request: Request, scope: ArmId, rest: list[str]) -> Response | None:
        if scope.group is not None:
            return None
        provider = self._registry.providers.get(rest[0].lower())
        tail = "/".join(rest[1:])
        for route in provider.data_routes if provider else ():
            pattern = f"locations/(?P<location>[^/]+)/{route.pattern}" if route.scope == "location" else route.pattern
            match = re.fullmatch(pattern, tail, re.IGNORECASE)
            if match:
                return self._answer_data(request, scope, route, match)
        return None

    def _answer_data(self, request: Request, scope: ArmId, route: DataRoute, match: re.Match[str]) -> Response:
        self._pipeline.authorise(request.caller, route.right, scope)
        found = match.groupdict()
        location = found.pop("location", self._stamp.region)
        if location.replace(" ", "").lower() != self._stamp.region.lower():
            message = f"The location '{location}' is not one of this cloud: '{self._stamp.region}'."
            raise LazurError("NoRegisteredProviderFound", message)
        return Response(200, route.handler(self._stamp, scope, dict(request.query), **found))

    def _collection(self, request: Request, scope: ArmId, above: ArmId, last: str) -> Response:
        probe = above.child(last, "-")
        if above.names:
            for view in self._declared(above).views if self._registry.find(above.type) else ():
                if view.name.lower() == last.lower():
                    record = self._pipeline.existing(request.caller, above, view.name)
                    shown = view.show(record)
                    if isinstance(shown, dict):
                        return Response(200, shown)
                    return Response(200, page(shown, request.query, self._stamp.url(request.path)))
            embedded = self._registry.embedded(probe)
            if embedded is not None:
                record = self._pipeline.existing(request.caller, above, embedded[1].type)
                items = self._pipeline.presenter.children(record, embedded[1])
                return Response(200, page(items, request.query, self._stamp.url(request.path)))
        declared = self._declared(probe)
        if declared.type == RESOURCE_GROUPS:
            raise self._registry.unknown(probe)
        self._pipeline.authorise(request.caller, right(declared.type, "read"), scope)
        if scope.group is not None and self._store.get(scope.key) is None:
            raise LazurError("ResourceGroupNotFound", f"Resource group '{scope.group}' could not be found.", status=404)
        records = self._store.list(prefix=scope.key + "/", type=declared.type)
        return self._listed(request, list(filter(_chosen(request), records)))

    def _listed(self, request: Request, records: list[Record]) -> Response:
        expand = request.query.get("$expand", "")
        shown = [self._pipeline.presenter.show(r, expand) for r in records]
        return Response(200, page(shown, request.query, self._stamp.url(request.path)))

    def _declared(self, id: ArmId) -> AnyResource:
        return self._registry.type_of(id)

    async def _one(self, request: Request, id: ArmId) -> Response:
        methods: dict[str, Callable[[Request, ArmId], Awaitable[Response]]] = {
            "GET": self._get, "HEAD": self._head, "PUT": self._put, "PATCH": self._put, "DELETE": self._delete,
        }  # fmt: skip
        if request.method not in methods:
            raise _not_allowed(request)
        self._registry.holder_of(id)
        return await methods[request.method](request, id)

    async def _get(self, request: Request, id: ArmId) -> Response:
        record = self._pipeline.existing(request.caller, id)
        embedded = self._registry.embedded(id)
        if embedded is None:
            text = self._pipeline.presenter.text(record, request.query.get("$expand", ""))
            return Response(200, text=text, headers={"ETag": f'W/"{record.etag}"'})
        child = self._pipeline.presenter.child(record, embedded[1], id.name)
        if child is None:
            message = f"Resource {id} not found."
            raise LazurError("NotFound", message, status=404)
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
        declared = self._registry.type_of(self._registry.document_of(id))
        version = request.query["api-version"]
        body = self._read(request, declared)
        match = request.headers.get("if-match", "")
        if request.method == "PATCH":
            accepted = await self._pipeline.patch(request.caller, id, body, version, if_match=match)
        else:
            none = request.headers.get("if-none-match", "")
            accepted = await self._pipeline.put(request.caller, id, body, version, if_match=match, if_none_match=none)
        assert accepted.record is not None
        shown = accepted.body or self._pipeline.presenter.show(accepted.record)
        status = declared.answers.create if accepted.created else declared.answers.update
        if request.method == "PATCH":
            status = 200
        headers = self._async_headers(request, accepted.operation, "POST" if status == 202 else "PUT")
        return Response(status if accepted.operation or status != 202 else 200, shown, headers)

    async def _delete(self, request: Request, id: ArmId) -> Response:
        declared = self._registry.type_of(self._registry.document_of(id))
        match = request.headers.get("if-match", "")
        accepted = await self._pipeline.delete(request.caller, id, request.query["api-version"], if_match=match)
        if accepted.record is None:
            return Response(204)
        if accepted.operation is None:
            return Response(200)
        return Response(declared.answers.delete, None, self._async_headers(request, accepted.operation, "DELETE"))

    async def _action(self, request: Request, id: ArmId, name: str) -> Response:
        declared = self._registry.type_of(id)
        body = self._read(request, declared) if request.raw.strip() else {}
        found = next((a for a in declared.actions if a.name.lower() == name.lower()), None)
        if found is not None and found.detached:
            return await self._preview(request, declared, id, found.name, body)
        accepted = await self._pipeline.act(request.caller, id, name, body, request.query)
        if accepted.operation is not None:
            return Response(202, None, self._async_headers(request, accepted.operation, "POST"))
        return Response(200, accepted.body)

    async def _preview(self, request: Request, declared: AnyResource, id: ArmId, name: str, body: Any) -> Response:
        self._registry.holder_of(id)
        self._pipeline.authorise(request.caller, right(declared.type, f"{name}/action"), id)
        module = self._registry.behaviour(declared, "admit")
        assert module is not None
        return Response(200, await module.preview(name, request.caller, id, body, self._pipeline))

    def _read(self, request: Request, declared: AnyResource) -> Any:
        try:
            return _sound(declared.reads_body(request.raw or b"{}"))
        except (ValueError, RecursionError) as error:
            message = f"The request content was invalid and could not be deserialized: '{error}'."
            raise LazurError("InvalidRequestContent", message) from error

    # -- long-running operations --------------------------------------------------------------------------------------

    def _async_headers(self, request: Request, operation: Operation | None, verb: str) -> dict[str, str]:
        """Where to poll. A PUT gets the operation alone, DELETE and POST the result's location as well."""
        if operation is None:
            return {}
        namespace = ArmId.parse(operation.key).namespace or "Microsoft.Resources"
        base = f"/subscriptions/{operation.subscription}/providers/{namespace}/locations/{self._stamp.region}"
        version = request.query["api-version"]
        status = self._stamp.url(f"{base}/operations/{operation.id}?api-version={version}")
        headers = {"Azure-AsyncOperation": status, "Retry-After": "1"}
        if verb != "PUT":
            headers["Location"] = self._stamp.url(f"{base}/operationResults/{operation.id}?api-version={version}")
        return headers

    def _poll(self, request: Request, scope: ArmId, rest: list[str]) -> Response:
        """How an operation goes, for whoever holds the right in the subscription or over the resource it works on."""
        namespace, what, id = self._namespace(rest[0]), rest[3].lower(), rest[4]
        action = f"{namespace}/locations/{_POLLED[what]}/read"
        operation = self._store.operation(id)
        if operation is not None and operation.subscription.lower() != (scope.subscription or "").lower():
            operation = None
        if operation is None or not self._pipeline.may(request.caller, action, ArmId.parse(operation.key)):
            # What is not there is answered like what is not theirs.
            self._pipeline.authorise(request.caller, action, scope)
            raise LazurError("OperationNotFound", f"The operation '{id}' was not found.", status=404)
        if what == "operations":
            return Response(200, operation_body(operation), {} if operation.ended else {"Retry-After": "1"})
        if operation.ended is None:
            location = self._stamp.url(f"{quote(request.path)}?api-version={request.query['api-version']}")
            return Response(202, None, {"Location": location, "Retry-After": "1"})
        if operation.error is not None:
            raise LazurError.from_body(dict(operation.error))
        record = self._store.get(operation.key)
        if operation.verb == "PUT" and record is not None:
            return Response(200, self._pipeline.presenter.show(record))
        return Response(200, operation.output) if operation.output is not None else Response(204)


def operation_body(operation: Operation) -> dict[str, Any]:
    """The body an `Azure-AsyncOperation` URL answers with."""
    out: dict[str, Any] = {"name": operation.id, "status": operation.status, "startTime": operation.started.isoformat()}
    if operation.ended:
        out["endTime"] = operation.ended.isoformat()
    if operation.error is not None:
        out["error"] = operation.error
    if operation.output is not None:
        out["properties"] = {"output": operation.output}
    return out


def _chosen(request: Request) -> Callable[[Record], bool]:
    text = request.query.get("$filter", "").strip()
    return parse_filter(text) if text else lambda _: True


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise _not_allowed(request)


def _sound(body: Any) -> Any:
    """`body`, when it is what JSON can say and the store can keep; `ValueError` otherwise."""
    layer, depth = [body], 0
    while layer:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        below: list[Any] = []
        for value in layer:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not value.isascii():
                value.encode()
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("it has a number that JSON has no form for")
        layer, depth = below, depth + 1
    return body


def _no_route(request: Request) -> LazurError:
    message = f"No route matches '{request.path[:300]}'."
    return LazurError("InvalidResourceNamespace", message, status=404)


def _not_allowed(request: Request) -> LazurError:
    message = f"The requested resource does not support http method '{request.method}'."
    return LazurError("UnsupportedMediaType" if request.method == "TRACE" else "MethodNotAllowed", message, status=405)


__all__ = ["Accepted", "Request", "Response", "Routes", "operation_body"]
