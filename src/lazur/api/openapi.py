"""The OpenAPI 3.1 document of a provider, from its declarations: what a client may ask, and what it is answered.

Pure: `Routes` answers, this only says what it answers. Must never contain the name of a resource type but those of scopes.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from lazur.api.schemas import REF, Schemas
from lazur.model.armid import ArmId
from lazur.model.examples import filled
from lazur.model.registry import AnyResource, Provider, Registry, Route
from lazur.model.resource import Action, Embedded, View

Json = dict[str, Any]
SUBSCRIPTION = "/subscriptions/{subscriptionId}"
GROUP = f"{SUBSCRIPTION}/resourceGroups/{{resourceGroupName}}"
_PARAMETER = re.compile(r"\(\?P<(\w+)>[^)]*\)")
_URI = r"(?:[^/]+/+)+providers(?:/+[^/]+)+"
"""The id of a resource, without its first slash."""
_VERSION = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(-[A-Za-z0-9.]{1,40})?$"
_NOWHERE = "00000000-0000-0000-0000-000000000000"


def documents(registry: Registry) -> dict[str, Json]:
    """The document of each provider by its namespace."""
    return {p.namespace: document(registry, p) for p in registry.providers.values()}


def document(registry: Registry, provider: Provider) -> Json:
    """What one provider offers."""
    types = sorted(provider.types, key=lambda t: t.type)
    schemas = Schemas(types)
    paths: dict[str, Json] = {}
    for declared in types:
        for scope in declared.scopes:
            for path, operations in _Type(registry, schemas, declared, scope).paths():
                paths.setdefault(path, {}).update(operations)
    for route in provider.routes:
        for path, operations in _routed(provider, route):
            # What a stored type answers there is told with the type.
            same = next((p for p in paths if _PLACE.sub("{}", p) == _PLACE.sub("{}", path)), path)
            verb, there = route.method.lower(), paths.setdefault(same, {})
            if verb not in there:
                there.update(operations if same == path else {verb: operations[verb]})
    paths.update(_polls(provider))
    newest = max((v for t in types for v in t.api_versions), default="")
    return {
        "openapi": "3.1.0",
        "info": {"title": provider.namespace, "version": newest,
                 "description": f"The part of Azure Resource Manager below `{provider.namespace}`."},
        "servers": [{"url": "https://management.{region}.{domain}", "variables": {
            "region": {"default": "local"}, "domain": {"default": "lazur.internal"}}}],
        "security": [{"azure_auth": []}],
        "paths": paths,
        "components": {"schemas": schemas.components, **_COMPONENTS},
    }  # fmt: skip


def patterns(document: Json) -> list[tuple[re.Pattern[str], Json]]:
    """What paths of requests look like, with what may be asked there; the ones that say most come first."""
    paths = sorted(document["paths"], key=lambda path: path.count("{") - path.count("/"))
    return [(re.compile(_pattern(path), re.IGNORECASE), document["paths"][path]) for path in paths]


def _pattern(path: str) -> str:
    steps = [s for s in path.split("/") if s]
    forms = [_URI if s == "{resourceUri}" else "[^/]+" if s.startswith("{") else re.escape(s) for s in steps]
    return "".join(f"/+{form}" for form in forms) + "/*"


class _Type:
    """The paths of one stored type at one of its scopes."""

    def __init__(self, registry: Registry, schemas: Schemas, declared: AnyResource, scope: str) -> None:
        self._registry = registry
        self._schemas = schemas
        self._declared = declared
        last = declared.type.rpartition("/")[2]
        several = len(declared.scopes) > 1
        self._group = declared.scopes == ("subscription",)
        self._name = "resourceGroupName" if self._group else f"{_singular(last)}Name"
        self._title = _capital(last)
        self._at_scope = f"At{_capital(scope)}" if several and scope != "group" else ""
        above = _SCOPES[scope]
        self.lists = {f"{above}/providers/{declared.type}": "List"}
        if scope == "group":
            self.lists = {f"{GROUP}/providers/{declared.type}": "ListByResourceGroup"}
            if not several:
                self.lists[f"{SUBSCRIPTION}/providers/{declared.type}"] = "List"
        if self._group:
            self.lists = {f"{SUBSCRIPTION}/resourcegroups": "List"}
        self.one = GROUP if self._group else f"{above}/providers/{declared.type}/{{{self._name}}}"

    def paths(self) -> Iterator[tuple[str, Json]]:
        """Every path with what may be asked there."""
        shown = {"$ref": REF + self._schemas.name(self._declared)}
        for path, verb in self.lists.items():
            yield path, self._at(path, {"get": self._list(verb, _page(shown))})
        yield self.one, self._at(self.one, self._own(shown))
        for action in self._declared.actions:
            path = f"{self.one}/{action.name}"
            yield path, self._at(path, {"post": self._action(action)})
        for view in self._declared.views:
            path = f"{self.one}/{view.name}"
            yield path, self._at(path, {"get": self._view(view)})
        for child in self._declared.embedded:
            yield from self._child(child)

    def _at(self, path: str, operations: Json) -> Json:
        return {"parameters": [self._parameter(n) for n in re.findall(r"\{(\w+)\}", path)], **operations}

    def _parameter(self, name: str) -> Json:
        if name in _COMPONENTS["parameters"] and not (self._group and name == self._name):
            return {"$ref": f"#/components/parameters/{name}"}
        pattern = self._declared.name_pattern if name == self._name else _CHILD
        return _path_parameter(name, {"type": "string", "pattern": pattern})

    def _operation(self, verb: str, what: str, responses: Json, *parameters: str, **more: Any) -> Json:
        named = [{"$ref": f"#/components/parameters/{p}"} for p in ("apiVersion", *parameters)]
        name = f"{self._title}_{verb}{self._at_scope}"
        return {"operationId": name, "summary": what, "tags": [self._title], "parameters": named,
                **more, "responses": {**responses, **_REFUSALS}}  # fmt: skip

    def _list(self, verb: str, schema: Json) -> Json:
        paged, answered = {"x-ms-pageable": {"nextLinkName": "nextLink"}}, {"200": _answer(schema)}
        return self._operation(verb, "List them, page by page.", answered, "filter", "top", "skipToken", **paged)

    def _own(self, shown: Json) -> Json:
        answers, example = self._declared.answers, self._example()
        links = self._links()
        made = {str(s): _answer(shown, links=links) for s in _put_statuses(answers)}
        removed = {str(s): _done(s) for s in sorted({200, 204, answers.delete})}
        if answers.removed:
            removed["200"] = _answer(shown)
        slow = {"x-ms-long-running-operation": True} if answers.asynchronous else {}
        body = {"required": True, "content": {"application/json": {"schema": shown, "example": example}}}
        patch = {"required": True, "content": {"application/json": {"schema": {"type": "object"}, "example": _PATCH}}}
        merged = {
            "patch": self._operation("Update", "Merge into it (RFC 7396).", {"200": _answer(shown)}, "ifMatch",
                                     requestBody=patch, **slow),
        }  # fmt: skip
        return {
            "get": self._operation("Get", "Read it.", {"200": _answer(shown, "ETag")}, "expand"),
            "head": {**self._operation("CheckExistence", "Say whether it is there.", {}),
                     "responses": {s: {"description": _SAID[s]} for s in ("204", "401", "403", "404", "default")}},
            "put": self._operation("CreateOrUpdate", self._declared.__doc__ or "", made, "ifMatch", "ifNoneMatch",
                                   requestBody=body, **slow),
            **(merged if self._declared.patched else {}),
            "delete": self._operation("Delete", "Take it away.", removed, "ifMatch",
                                      **{"x-ms-long-running-operation": True}),
        }  # fmt: skip

    def _links(self) -> Json:
        own = {n: f"$request.path.{n}" for n in re.findall(r"\{(\w+)\}", self.one)}
        own["api-version"] = "$request.query.api-version"
        verbs = ("Get", "Update", "Delete") if self._declared.patched else ("Get", "Delete")
        named = {v: f"{self._title}_{v}{self._at_scope}" for v in verbs}
        return {v: {"operationId": name, "parameters": own} for v, name in named.items()}

    def _example(self) -> Json:
        registry = self._registry
        found: Json = filled(registry, dict(self._declared.example), lambda p: _paper(p.declared, p.number or 1))
        return found

    def _action(self, action: Action) -> Json:
        answered = {"200": {**_answer({}), "description": "Done; what it found, if anything."}}
        if action.reads:
            answered["204"] = {"description": "Done; there is nothing to tell."}
        elif not action.detached:
            answered["202"] = _done(202)
        body = {"content": {"application/json": {"schema": {"type": "object"}}}}
        verb = _capital(action.name)
        return self._operation(verb, action.doc, answered, requestBody=body)

    def _view(self, view: View) -> Json:
        whole = typing.get_type_hints(view.show).get("return")
        schema = {"type": "object"} if typing.get_origin(whole) is dict else _page({"type": "object"})
        return self._operation(f"Get{_capital(view.name)}", view.doc, {"200": _answer(schema)})

    def _child(self, child: Embedded) -> Iterator[tuple[str, Json]]:
        shown = {"$ref": REF + self._schemas.name(self._declared, child)}
        collection, title = f"{self.one}/{child.type}", _capital(child.type)
        name = f"{_singular(child.type)}Name"
        one = f"{collection}/{{{name}}}"
        example = filled(self._registry, dict(child.example), lambda p: _paper(p.declared, p.number or 1))
        content = {"application/json": {"schema": shown, "example": {"properties": example}}}
        made = {str(s): _answer(shown) for s in _put_statuses(self._declared.answers)}
        removed = {str(s): _done(s) for s in sorted({200, 204, self._declared.answers.delete})}
        doc = child.spec.__doc__ or ""
        yield collection, self._at(collection, {"get": self._list(f"List{title}", _page(shown))})
        yield one, self._at(one, {
            "get": self._operation(f"Get{title}", doc, {"200": _answer(shown, "ETag")}),
            "put": self._operation(f"Put{title}", doc, made, "ifMatch", "ifNoneMatch",
                                   requestBody={"required": True, "content": content}),
            "delete": self._operation(f"Delete{title}", doc, removed, "ifMatch"),
        })  # fmt: skip


def _routed(provider: Provider, route: Route) -> Iterator[tuple[str, Json]]:
    tail = _PARAMETER.sub(lambda m: f"{{{m[1]}}}", route.pattern)
    below = tail if tail.startswith("/") else f"/providers/{provider.namespace}/{tail}"
    kind = typing.get_origin(typing.get_type_hints(route.handler).get("return"))
    schema = {"type": "array"} if kind is list else {"type": "object"}
    doc = (route.handler.__doc__ or "").strip()
    for scope in route.scopes:
        if scope in _SCOPES:
            path = f"{_SCOPES[scope]}{below}".rstrip("/")
            more = {} if route.method == "GET" else {"202": _done(202), "204": _done(204)}
            made = {"201": _answer(schema)} if route.method == "PUT" else {}
            answers, verb = {"200": _answer(schema), **made, **more}, route.method.lower()
            yield path, _plain(path, f"Route_{_capital(verb)}{_identifier(scope + path)}", doc, answers, verb)


def _polls(provider: Provider) -> Iterator[tuple[str, Json]]:
    base = f"{SUBSCRIPTION}/providers/{provider.namespace}/locations/{{location}}"
    status = {"200": _answer({"$ref": f"{REF}OperationStatus"})}
    result = {"200": {**_answer({}), "description": "It ended; what it came to."}, "202": _done(202), "204": _done(204)}
    for what, answered in (("operations", status), ("operationResults", result)):
        path = f"{base}/{what}/{{operationId}}"
        yield path, _plain(path, f"{_capital(what)}_Get", f"Poll a long-running operation ({what}).", answered)


def _plain(path: str, operation: str, summary: str, answered: Json, method: str = "get") -> Json:
    known = _COMPONENTS["parameters"]
    own = [
        {"$ref": f"#/components/parameters/{n}"} if n in known else _path_parameter(n, {"type": "string", "minLength": 1})
        for n in re.findall(r"\{(\w+)\}", path)
    ]
    asked = {"operationId": operation, "summary": summary, "parameters": [{"$ref": "#/components/parameters/apiVersion"}],
           "responses": {**answered, **_REFUSALS}}  # fmt: skip
    return {"parameters": own, method: asked}


def _identifier(path: str) -> str:
    words = re.findall(r"\w+", path.replace(SUBSCRIPTION, ""))
    return "".join(_capital(word) for word in words)


def _put_statuses(answers: Any) -> list[int]:
    """A PUT that changes nothing has nothing to wait for."""
    found = {answers.create, answers.update}
    return sorted(found | {200} if 202 in found else found)


def _answer(schema: Json, *headers: str, links: Json | None = None) -> Json:
    named = {h: {"$ref": f"#/components/headers/{h}"} for h in headers}
    out: Json = {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    return {**out, **({"headers": named} if named else {}), **({"links": links} if links else {})}


def _done(status: int) -> Json:
    out: Json = {"description": _SAID[str(status)]}
    if status == 202:
        out["headers"] = {h: {"$ref": f"#/components/headers/{h}"} for h in ("Location", "Retry-After")}
    return out


def _page(item: Json) -> Json:
    properties = {"value": {"type": "array", "items": item}, "nextLink": {"type": "string", "format": "uri"}}
    return {"type": "object", "required": ["value"], "properties": properties, "additionalProperties": False}


def _path_parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: Json, doc: str, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": doc}


def _header(name: str, doc: str) -> Json:
    return {"name": name, "in": "header", "schema": {"type": "string", "minLength": 1}, "description": doc}


def _paper(declared: AnyResource, number: int) -> ArmId:
    """The id of an example that exists in documentation only."""
    if declared.scopes == ("subscription",):
        return ArmId(_NOWHERE, f"x{number}")
    return ArmId(_NOWHERE, "rg").resource(declared.type, f"x{number}")


def _singular(word: str) -> str:
    return word.removesuffix("es") if word.endswith("sses") else word.removesuffix("s")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_PLACE = re.compile(r"\{\w+\}")
_SCOPES = {
    "tenant": "",
    "managementGroup": "/providers/Microsoft.Management/managementGroups/{managementGroupId}",
    "subscription": SUBSCRIPTION,
    "group": GROUP,
    "resource": "/{resourceUri}",
}
_CHILD = r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$"
_PATCH = {"tags": {"environment": "test"}}
_SAID: Mapping[str, str] = {
    "200": "It was done at once.",
    "202": "It was begun: poll `Location`.",
    "204": "There is nothing, or nothing to say.",
    "401": "Nobody known asks.",
    "403": "The right is missing; the same bytes whether or not anything is there.",
    "404": "It is not there.",
    "default": "The request failed.",
}
_REFUSED = {"application/json": {"schema": {"$ref": f"{REF}ErrorResponse"}}}
_REFUSALS: Json = {s: {"description": _SAID[s], "content": _REFUSED} for s in ("401", "403", "404", "default")}
_COMPONENTS: Json = {
    "securitySchemes": {"azure_auth": {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "An access token of this cloud's sign-in service for the audience of its management endpoint."}},
    "headers": {
        "ETag": {"required": True, "schema": {"type": "string"}, "description": "For `If-Match`; changes with the document."},
        "Location": {"schema": {"type": "string", "format": "uri"}, "description": "Where the result will be."},
        "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait before polling."},
    },
    "parameters": {
        "subscriptionId": _path_parameter("subscriptionId", {"type": "string", "format": "uuid"}),
        "resourceGroupName": _path_parameter("resourceGroupName", {"type": "string", "pattern": r"^[\w().-]{0,89}[\w()-]$"}),
        "managementGroupId": _path_parameter("managementGroupId", {"type": "string", "minLength": 1}),
        "resourceUri": {**_path_parameter("resourceUri", {"type": "string"}), "x-ms-skip-url-encoding": True},
        "location": _path_parameter("location", {"type": "string", "minLength": 1}),
        "apiVersion": _query("api-version", {"type": "string", "pattern": _VERSION}, "Any published version.", True),
        "filter": _query("$filter", {"type": "string"}, "An OData filter such as `name eq 'web1'`."),
        "top": _query("$top", {"type": "integer", "minimum": 1}, "At most so many."),
        "skipToken": _query("$skiptoken", {"type": "string"}, "From a `nextLink`."),
        "expand": _query("$expand", {"type": "string"}, "What to show besides."),
        "ifMatch": _header("If-Match", "Only if the document has this ETag; `*`: only if it is there."),
        "ifNoneMatch": _header("If-None-Match", "`*`: only if it is not there yet."),
    },
}  # fmt: skip
