"""Graph over HTTP: which request goes to which handler, who asks, and what an answer looks like on the wire.

Must never let a request reach a handler without a token for Graph, and never trust a Host header: URLs handed out come
from the configured endpoints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lazur.identity.forms import source
from lazur.identity.graph import applications, credentials, directory, grants, groups, links, principals, roles, users
from lazur.identity.graph.errors import bad, body, no_segment
from lazur.identity.graph.query import Query
from lazur.identity.graph.request import Answer, Asked, Stage
from lazur.identity.graph.scene import Scene
from lazur.identity.objects import Application, DirectoryObject, Group, ServicePrincipal, User
from lazur.identity.tokens import Verifier, bearer
from lazur.kernel.errors import LazurError
from lazur.kernel.log import logger

log = logger("graph")

_LARGEST = 1024 * 1024
_VERSIONS = ("v1.0", "beta")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KEYED = re.compile(r"([A-Za-z]+)\((?:([A-Za-z]+)=)?'([^']*)'\)")
_JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

Handler = Callable[..., Awaitable[Answer]]
_KINDS: Mapping[str, tuple[directory.Kind, Callable[[Scene, str], DirectoryObject]]] = {
    "users": (User, Scene.user),
    "groups": (Group, Scene.group),
    "applications": (Application, Scene.application),
    "serviceprincipals": (ServicePrincipal, Scene.principal),
}
# What every kind of object has alike.
_ALIKE: Sequence[tuple[str, str, Handler]] = tuple(
    row
    for name, (kind, find) in _KINDS.items()
    for row in (
        ("GET", name, partial(directory.listed, kind)),
        ("GET", f"{name}/$count", partial(directory.counted, kind)),
        ("DELETE", f"{name}/{{}}", partial(directory.deleted, kind, find)),
    )
)
# Segments in small letters; `{}` is handed to the handler, in order.
_TABLE: Sequence[tuple[str, str, Handler]] = (
    ("POST", "users", users.created),
    ("GET", "users/{}", users.got),
    ("PATCH", "users/{}", users.updated),
    ("POST", "users/{}/revokesigninsessions", users.revoked),
    ("POST", "users/{}/changepassword", users.password_changed),
    ("GET", "users/{}/manager", links.manager),
    ("PUT", "users/{}/manager/$ref", links.manager_set),
    ("DELETE", "users/{}/manager/$ref", links.manager_removed),
    ("POST", "groups", groups.created),
    ("GET", "groups/{}", groups.got),
    ("PATCH", "groups/{}", groups.updated),
    ("POST", "applications", applications.created),
    ("GET", "applications/{}", applications.got),
    ("PATCH", "applications/{}", applications.updated),
    ("GET", "applications/{}/federatedidentitycredentials", applications.federated_listed),
    ("POST", "applications/{}/federatedidentitycredentials", applications.federated_created),
    ("GET", "applications/{}/federatedidentitycredentials/{}", applications.federated_got),
    ("PATCH", "applications/{}/federatedidentitycredentials/{}", applications.federated_updated),
    ("DELETE", "applications/{}/federatedidentitycredentials/{}", applications.federated_deleted),
    ("POST", "serviceprincipals", principals.created),
    ("GET", "serviceprincipals/{}", principals.got),
    ("PATCH", "serviceprincipals/{}", principals.updated),
    ("GET", "serviceprincipals/{}/approleassignedto", principals.assigned_to),
    ("POST", "directoryobjects/getbyids", directory.by_ids),
    ("GET", "directoryobjects/{}", directory.object_got),
    ("DELETE", "directoryobjects/{}", directory.object_deleted),
    ("GET", "directoryroles", roles.roles),
    ("POST", "directoryroles", roles.activated),
    ("GET", "directoryroles/{}", roles.role),
    ("GET", "directoryroles/{}/members", roles.role_members),
    ("POST", "directoryroles/{}/members/$ref", roles.role_given),
    ("DELETE", "directoryroles/{}/members/{}/$ref", roles.role_taken),
    ("GET", "directoryroletemplates", roles.templates),
    ("GET", "directoryroletemplates/{}", roles.template),
    ("GET", "rolemanagement/directory/roledefinitions", roles.definitions),
    ("GET", "rolemanagement/directory/roledefinitions/{}", roles.definition),
    ("GET", "rolemanagement/directory/roleassignments", roles.assignments),
    ("POST", "rolemanagement/directory/roleassignments", roles.assignment_made),
    ("GET", "rolemanagement/directory/roleassignments/{}", roles.assignment),
    ("DELETE", "rolemanagement/directory/roleassignments/{}", roles.assignment_removed),
    ("GET", "organization", directory.organizations),
    ("POST", "organization", directory.founded),
    ("GET", "organization/{}", directory.organization),
    ("GET", "domains", directory.domains),
    ("POST", "domains", directory.no_new_domain),
    ("GET", "domains/{}", directory.domain),
    ("GET", "oauth2permissiongrants", grants.listed),
    ("POST", "oauth2permissiongrants", grants.created),
    ("GET", "oauth2permissiongrants/{}", grants.got),
    ("PATCH", "oauth2permissiongrants/{}", grants.updated),
    ("DELETE", "oauth2permissiongrants/{}", grants.deleted),
    ("GET", "directory/deleteditems/{}", directory.nothing_deleted),
    ("DELETE", "directory/deleteditems/{}", directory.not_deleted),
    ("POST", "directory/deleteditems/{}/restore", directory.not_deleted),
)
_ROUTES = [(method, tuple(pattern.split("/")), handler) for method, pattern, handler in (*_ALIKE, *_TABLE)]
# What follows `{set}/{id}/` for every object: handlers take the object and the segments after the name.
_ACTIONS: Mapping[str, tuple[tuple[type, ...], Handler]] = {
    "getmembergroups": ((User, Group, ServicePrincipal), directory.member_groups),
    "getmemberobjects": ((User, Group, ServicePrincipal), directory.member_groups),
    "checkmembergroups": ((User, Group, ServicePrincipal), directory.checked_groups),
    "checkmemberobjects": ((User, Group, ServicePrincipal), directory.checked_groups),
    "addpassword": ((Application, ServicePrincipal), credentials.password_added),
    "removepassword": ((Application, ServicePrincipal), credentials.password_removed),
    "addkey": ((Application, ServicePrincipal), credentials.key_added),
    "removekey": ((Application, ServicePrincipal), credentials.key_removed),
}
_FIND: Mapping[str, tuple[tuple[type, ...], Callable[[Scene, str], DirectoryObject]]] = {
    **{name: ((kind,), find) for name, (kind, find) in _KINDS.items()},
    "directoryobjects": ((User, Group, Application, ServicePrincipal), Scene.object),
}


class MethodNotAllowed(LazurError):
    """405."""

    def __init__(self) -> None:
        message = "Specified HTTP method is not allowed for the request target."
        super().__init__("Request_BadRequest", message, status=405)


def routes(stage: Stage, verifier: Verifier) -> list[Route]:
    """The routes of the `graph.` host; below the endpoint's own path, where it has one."""
    web = _Web(stage, verifier)
    prefix = urlsplit(stage.endpoints.graph).path
    return [Route(f"{prefix}/{{path:path}}", web.serve, methods=_METHODS)]


class _Web:
    """HTTP in, HTTP out."""

    def __init__(self, stage: Stage, verifier: Verifier) -> None:
        self._stage = stage
        self._verifier = verifier

    async def serve(self, http: Request) -> Response:
        """One request."""
        version, _, path = str(http.path_params["path"]).strip("/").partition("/")
        if version.lower() not in _VERSIONS:
            return self._legacy(http)
        try:
            answer = await self._answer(http, version.lower(), path)
        except LazurError as error:
            return self._refusal(http, error)
        except RecursionError:
            return self._refusal(http, bad("The request body is nested too deeply."))
        except Exception:
            log.exception("unexpected failure", path=path)
            message = "The server encountered an unexpected error."
            return self._refusal(http, LazurError("InternalServerError", message, status=500))
        return self._response(http, answer.status, answer.body, answer.headers)

    async def _answer(self, http: Request, version: str, path: str) -> Answer:
        try:
            asker = self._verifier.verify(bearer(http.headers.get("authorization")), self._stage.endpoints.accepted_by_graph)
        except LazurError as error:
            message = f"Access token validation failure. {error.message}"
            raise LazurError("InvalidAuthenticationToken", message, status=401) from None
        scene = self._stage.scene(asker, version)
        segments = _segments(path, scene)
        asked = Asked(
            self._stage, scene, http.method, "/".join(part for part in path.split("/") if part), Query.of(http.query_params),
            await _object(http), beta=version == "beta",
            representation="return=representation" in http.headers.get("prefer", ""), source=source(http),
        )  # fmt: skip
        return await dispatch(asked, segments)

    def _legacy(self, http: Request) -> Response:
        """Azure AD Graph, which Microsoft Graph replaced, answered in its own form; anything else has no version."""
        if "api-version" in http.query_params:
            message = "Azure AD Graph is retired and not served here. Use Microsoft Graph (v1.0 or beta) at this address."
            said = {"odata.error": {"code": "NotSupported", "message": {"lang": "en", "value": message}}}
            return self._response(http, 410, said, {})
        return self._refusal(http, bad(f"Invalid version. Use one of: {', '.join(_VERSIONS)}."))

    def _refusal(self, http: Request, error: LazurError) -> Response:
        ids = self._ids(http)
        said = body(error, self._stage.clock.now(), *ids)
        extra = {"WWW-Authenticate": f'Bearer realm="", authorization_uri="{self._authority()}"'} if error.status == 401 else {}
        return self._response(http, error.status, said, extra, ids)

    def _authority(self) -> str:
        endpoints = self._stage.endpoints
        return endpoints.adfs if endpoints.use_adfs else f"{endpoints.login}/common/oauth2/authorize"

    def _ids(self, http: Request) -> tuple[str, str]:
        """The request's id, and the client's own for it."""
        id = self._stage.ids.uuid()
        theirs = http.headers.get("client-request-id", "")
        return id, theirs if _GUID.fullmatch(theirs) else id

    def _response(
        self, http: Request, status: int, said: Mapping[str, Any] | str | None, extra: Mapping[str, str],
        ids: tuple[str, str] | None = None,
    ) -> Response:  # fmt: skip
        request_id, client_id = ids or self._ids(http)
        headers = {
            "Cache-Control": "no-cache", "OData-Version": "4.0", "request-id": request_id, "client-request-id": client_id,
            **extra,
        }  # fmt: skip
        if said is None:
            return Response(status_code=status, headers=headers)
        if isinstance(said, str):
            return Response(said, status, headers, "text/plain")
        return Response(json.dumps(said), status, headers, _JSON)


def _segments(path: str, scene: Scene) -> list[str]:
    """The path's parts: `users('x')` becomes `users`, `x`; the asker's own tenant in front says nothing; `me` is a user."""
    parts: list[str] = []
    for part in path.split("/"):
        found = _KEYED.fullmatch(part)
        if found is None:
            parts += [part] if part else []
        else:
            parts += [found[1], f"{found[2]}={found[3]}" if found[2] and found[2] != "id" else found[3]]
    if parts and parts[0].lower() in (scene.tenant_id, "myorganization"):
        del parts[0]
    if parts and parts[0].lower() == "me":
        if not isinstance(scene.me, User):
            raise LazurError("BadRequest", "/me request is only valid with delegated authentication flow.")
        parts[:1] = ["users", scene.me.object_id]
    if not parts:
        raise no_segment("")
    return parts


async def _object(http: Request) -> Mapping[str, Any]:
    """The JSON object of the body; an empty one when there is none."""
    content = bytearray()
    async for chunk in http.stream():
        content += chunk
        if len(content) > _LARGEST:
            raise LazurError("RequestEntityTooLarge", "The request body is too large.", status=413)
    if not content:
        return {}
    try:
        found = json.loads(bytes(content))
    except (ValueError, RecursionError):
        raise LazurError("BadRequest", "Unable to read JSON request payload.") from None
    if not isinstance(found, dict):
        raise LazurError("BadRequest", "The JSON request payload must be an object.")
    # What kind of object it is, and where it was read, is known from the path.
    return {name: value for name, value in found.items() if name not in ("@odata.type", "@odata.context")}


async def dispatch(asked: Asked, segments: Sequence[str]) -> Answer:
    """The answer of whatever serves that method and path."""
    names = [part.lower().removeprefix("microsoft.graph.") for part in segments]
    known = False
    for method, pattern, handler in _ROUTES:
        if len(pattern) == len(names) and all(p in ("{}", name) for p, name in zip(pattern, names, strict=True)):
            if method == asked.method:
                return await handler(asked, *(part for p, part in zip(pattern, segments, strict=True) if p == "{}"))
            known = True
    if len(segments) > 2 and names[0] in _FIND:
        answer = await _about(asked, segments, names)
        if answer is not None:
            return answer
        known = known or asked.method != "GET"
    if known:
        raise MethodNotAllowed
    raise no_segment(segments[2] if names[0] in _FIND and len(segments) > 2 else segments[0])


async def _about(asked: Asked, segments: Sequence[str], names: Sequence[str]) -> Answer | None:
    """What follows an object: actions, app role assignments, relations; None when there is no such thing."""
    kinds, find = _FIND[names[0]]
    if segments[1].lower() != asked.scene.me.object_id or asked.scene.is_limited:
        asked.scene.need_to_read(*kinds)
    thing = find(asked.scene, segments[1])
    name, rest = names[2], list(segments[3:])
    if name in _ACTIONS and asked.method == "POST" and not rest and isinstance(thing, _ACTIONS[name][0]):
        return await _ACTIONS[name][1](asked, thing)
    if name in ("approleassignments", "approleassignedto") and not isinstance(thing, Application):
        return await _assignments(asked, thing, rest)
    if name == "oauth2permissiongrants" and asked.method == "GET" and not rest and isinstance(thing, User | ServicePrincipal):
        return await grants.of(asked, thing)
    found = links.relation(thing, name)
    if found is None:
        return None
    match asked.method, [part.lower() for part in rest]:
        case "GET", _:
            return await links.listed(asked, thing, found, rest)
        case "POST", ["$ref"]:
            return await links.added(asked, thing, found)
        case "DELETE", [id, "$ref"]:
            return await links.removed(asked, thing, found, id)
    return None


async def _assignments(asked: Asked, thing: DirectoryObject, rest: Sequence[str]) -> Answer | None:
    match asked.method, rest:
        case "GET", []:
            return await principals.assignments(asked, thing)
        case "POST", []:
            return await principals.assigned(asked, thing)
        case "GET", [key]:
            return await principals.assignment_got(asked, thing, key)
        case "DELETE", [key]:
            return await principals.unassigned(asked, thing, key)
    return None
