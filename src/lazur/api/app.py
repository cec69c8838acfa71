"""The ASGI front of ARM: who calls, correlation, errors in ARM's form, artifacts by signed URL.

Must never let anything but a `LazurError` decide what a client reads: an unexpected failure shows its correlation id only.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from lazur.api.message import Request, Response
from lazur.api.routes import Routes
from lazur.api.throttle import Throttle
from lazur.kernel.compact import compact
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids
from lazur.kernel.log import logger
from lazur.model.rights import Caller

log = logger("api")

_MAX_BODY = 4 * 1024 * 1024
_SLASHES = re.compile(r"/{2,}")
JSON = "application/json; charset=utf-8"
_ALWAYS = ((b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff"))
_WITHOUT_LENGTH = (204, 304)
_CORRELATION = re.compile(r"^[0-9A-Za-z-]{1,64}$")

Authenticate = Callable[[str | None], Caller]
"""`Authorization` header -> the caller; raises a `LazurError` with status 401."""

Challenge = Callable[[str, LazurError], str]
"""Path and refusal -> `WWW-Authenticate`: where to get a token for what lies there, and which."""

Anonymous = Callable[[HttpRequest], Awaitable[HttpResponse | None]]
"""Answers requests that need no token (metadata, signed artifacts), or returns None."""


class ArmApp:
    """The ARM endpoint as an ASGI application."""

    def __init__(
        self, routes: Routes, authenticate: Authenticate, anonymous: Anonymous, ids: Ids, challenge: Challenge,
        throttle: Throttle | None = None,
    ) -> None:
        self._routes = routes
        self._authenticate = authenticate
        self._anonymous = anonymous
        self._ids = ids
        self._challenge = challenge
        self.throttle = throttle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = self._ids.uuid()
        # A request that names no correlation begins one under its own id, as ARM has it.
        correlation = given.get("x-ms-correlation-request-id", "")
        correlation = correlation if _CORRELATION.match(correlation) else request_id
        begun = correlation.encode()
        marks = [
            *_ALWAYS,
            (b"x-ms-request-id", request_id.encode()),
            (b"x-ms-correlation-request-id", begun),
            (b"x-ms-routing-request-id", b"LAZUR:" + begun),
        ]
        client = given.get("x-ms-client-request-id", "")
        if _CORRELATION.match(client):
            marks.append((b"x-ms-client-request-id", client.encode()))
        # Nothing below a subscription is for everybody.
        below = scope["path"].startswith("/subscriptions/")
        open_to_all = None if below else await self._anonymous(HttpRequest(scope, receive))
        if open_to_all is not None:
            open_to_all.raw_headers += marks
            await open_to_all(scope, receive, send)
            return
        answer = await self._answer(scope, receive, given, correlation)
        body = content(answer)
        if body:
            marks.append((b"content-type", JSON.encode()))
        if answer.status not in _WITHOUT_LENGTH:
            marks.append((b"content-length", b"%d" % len(body)))
        marks += [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in (answer.headers or {}).items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": marks})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, given: Mapping[str, str], correlation: str) -> Response:
        path: str = scope["path"]
        path = _SLASHES.sub("/", path) if "//" in path else path
        try:
            caller = self._authenticate(given.get("authorization")).asking(correlation)
            left = await self._admitted(caller, scope["method"], path)
            raw = await _body(receive)
            request = Request(scope["method"], path, _query(scope["query_string"]), given, raw, caller)
            answer = await self._routes.answer(request)
            return replace(answer, headers={**(answer.headers or {}), **left}) if left else answer
        except LazurError as error:
            return self._refusal(error, path)
        except ClientDisconnect:
            # Who has gone hears no answer, and it is no failure of ours.
            return Response(400)
        except Exception:
            log.exception("unexpected failure", correlation=correlation, path=path)
            message = f"The server encountered an unexpected error. Correlation id: {correlation}."
            return self._refusal(LazurError("InternalServerError", message, status=500), path)

    async def _admitted(self, caller: Caller, method: str, path: str) -> dict[str, str]:
        """Count the request against the caller's limits; the header that says what is left of them."""
        if self.throttle is None:
            return {}
        parts = path.split("/", 3)
        subscription = parts[2].lower() if len(parts) > 2 and parts[1].lower() == "subscriptions" else ""
        name, left = await self.throttle.admit(method, caller.tenant, subscription, caller.object_id)
        return {name: left}

    def _refusal(self, error: LazurError, path: str) -> Response:
        headers = {"x-ms-failure-cause": "gateway" if error.status >= 500 else "client"}
        if error.status == 401:
            headers["WWW-Authenticate"] = self._challenge(path, error)
        if error.retryable:
            headers["Retry-After"] = str(error.retry_after)
        return Response(error.status, {"error": error.body()}, headers)


def content(response: Response) -> bytes:
    """The body as it is sent; empty for None, as ARM does."""
    if response.text is not None:
        return response.text.encode()
    return b"" if response.body is None else compact(response.body).encode()


@lru_cache(maxsize=512)
def _query(text: bytes) -> Mapping[str, str]:
    """The query's parameters by lower-case name. Nearly every request asks with the same few api-versions alone."""
    return {k.lower(): v for k, v in parse_qsl(text.decode("latin-1"), keep_blank_values=True)}


async def _body(receive: Receive) -> bytes:
    """The request body, at most 4 MiB, ARM's own limit."""
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > _MAX_BODY:
            text = f"The request content size exceeds the maximum size of {_MAX_BODY} bytes."
            raise LazurError("RequestContentTooLarge", text, status=413)
        chunks.append(chunk)
    return b"".join(chunks)
