"""The ASGI front of ARM: who calls, correlation, errors in ARM's form, artifacts by signed URL.

Must never let anything but a `LazurError` decide what a client reads: an unexpected failure shows its correlation id only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from lazur.api.routes import Request, Response, Routes
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids
from lazur.kernel.log import logger
from lazur.model.rights import Caller

log = logger("api")

_MAX_BODY = 4 * 1024 * 1024
_CORRELATION = re.compile(r"^[0-9A-Za-z-]{1,64}$")

Authenticate = Callable[[str | None], Caller]
"""`Authorization` header -> the caller; raises a `LazurError` with status 401."""

Anonymous = Callable[[HttpRequest], Awaitable[HttpResponse | None]]
"""Answers requests that need no token (metadata, signed artifacts), or returns None."""


class ArmApp:
    """The ARM endpoint as an ASGI application."""

    def __init__(self, routes: Routes, authenticate: Authenticate, anonymous: Anonymous, ids: Ids, challenge: str) -> None:
        self._routes = routes
        self._authenticate = authenticate
        self._anonymous = anonymous
        self._ids = ids
        self._challenge = challenge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        given = http.headers.get("x-ms-correlation-request-id", "")
        correlation = given if _CORRELATION.match(given) else self._ids.uuid()
        response = await self._anonymous(http)
        if response is None:
            response = await self._answer(http, correlation)
        headers = response.headers
        headers["x-ms-request-id"] = self._ids.uuid()
        headers["x-ms-correlation-request-id"] = correlation
        headers["x-ms-routing-request-id"] = f"LAZUR:{correlation}"
        headers["Cache-Control"] = "no-cache"
        headers["X-Content-Type-Options"] = "nosniff"
        client = http.headers.get("x-ms-client-request-id", "")
        if _CORRELATION.match(client):
            headers["x-ms-client-request-id"] = client
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest, correlation: str) -> HttpResponse:
        try:
            caller = self._authenticate(http.headers.get("authorization"))
            raw = await _body(http)
            query = {k.lower(): v for k, v in http.query_params.items()}
            path = re.sub(r"/{2,}", "/", http.url.path)
            request = Request(http.method, path, query, {k.lower(): v for k, v in http.headers.items()}, raw, caller)
            return render(await self._routes.answer(request))
        except LazurError as error:
            return self._refusal(error)
        except Exception:
            log.exception("unexpected failure", correlation=correlation, path=http.url.path)
            message = f"The server encountered an unexpected error. Correlation id: {correlation}."
            return self._refusal(LazurError("InternalServerError", message, status=500))

    def _refusal(self, error: LazurError) -> HttpResponse:
        response = render(Response(error.status, {"error": error.body()}))
        if error.status == 401:
            response.headers["WWW-Authenticate"] = self._challenge
        if error.retryable:
            response.headers["Retry-After"] = "1"
        response.headers["x-ms-failure-cause"] = "gateway" if error.status >= 500 else "client"
        return response


def render(response: Response) -> HttpResponse:
    """The HTTP form of an answer; no body for None, as ARM does."""
    headers = dict(response.headers or {})
    if response.body is None:
        return HttpResponse(b"", response.status, headers)
    content = json.dumps(response.body, ensure_ascii=False, separators=(",", ":")).encode()
    return HttpResponse(content, response.status, headers, media_type="application/json; charset=utf-8")


async def _body(http: HttpRequest) -> bytes:
    """The request body, at most 4 MiB, ARM's own limit."""
    chunks, size = [], 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > _MAX_BODY:
            message = f"The request content size exceeds the maximum size of {_MAX_BODY} bytes."
            raise LazurError("RequestContentTooLarge", message, status=413)
        chunks.append(chunk)
    return b"".join(chunks)
