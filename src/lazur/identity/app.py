"""The sign-in endpoints over HTTP: paths, forms, error bodies. The pages are `browser`'s.

Must never check a credential itself (`signin`), decide a grant (`provider`), or trust a Host header: every URL it hands
out comes from the configured endpoints.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lazur.identity import browser, forms
from lazur.identity.browser import PRIVATE
from lazur.identity.oauth import Authority, OAuthError
from lazur.identity.provider import OpenIdProvider

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Handler = Callable[[Request], Awaitable[Response]]


def routes(provider: OpenIdProvider) -> list[Route]:
    """The routes of the `login.` and `adfs.` hosts; told apart by path alone, so one host may serve both."""
    web = _Web(provider)
    tenant = "/{tenant}"
    table: list[tuple[str, Handler, list[str]]] = [
        ("/common/discovery/instance", web.instance, ["GET"]),
        ("/common/userrealm/{user}", web.realm, ["GET"]),
        # az asks `/adfs/<tenant>/…` when it is told a tenant at an ADFS-like authority.
        ("/adfs/{told}/v2.0/.well-known/openid-configuration", web.discovery, ["GET"]),
        ("/adfs/{told}/.well-known/openid-configuration", web.discovery, ["GET"]),
        (f"{tenant}/v2.0/.well-known/openid-configuration", web.discovery, ["GET"]),
        (f"{tenant}/.well-known/openid-configuration", web.discovery, ["GET"]),
    ]
    for version in ("", "/v2.0"):
        table += [
            (f"{tenant}/discovery{version}/keys", web.keys, ["GET"]),
            (f"{tenant}/oauth2{version}/token", web.token, ["POST"]),
            (f"{tenant}/oauth2{version}/devicecode", web.start_device, ["POST"]),
        ]
    plain = [Route(path, web.guarded(handler), methods=methods) for path, handler, methods in table]
    return [*plain, *browser.routes(provider)]


class _Web:
    """The handlers of one provider."""

    def __init__(self, provider: OpenIdProvider) -> None:
        self._provider = provider

    def guarded(self, handler: Handler) -> Handler:
        """`handler` with refusals answered in OAuth's form."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except OAuthError as error:
                return self._refusal(request, error)

        return answer

    def _refusal(self, request: Request, error: OAuthError) -> Response:
        asked = request.headers.get("client-request-id", "")
        correlation = asked if _GUID.fullmatch(asked) else self._provider.ids.uuid()
        body = error.answer(self._provider.clock.now(), self._provider.ids.uuid(), correlation)
        headers = {**PRIVATE, "client-request-id": correlation}
        if error.error == "invalid_client" and "authorization" in request.headers:
            headers["WWW-Authenticate"] = "Basic"  # RFC 6749, 5.2
        return JSONResponse(body, error.status, headers=headers)

    def _authority(self, request: Request) -> Authority:
        return self._provider.authority(_tenant(request), "/v2.0/" in request.url.path)

    async def discovery(self, request: Request) -> Response:
        told = str(request.path_params.get("told", ""))
        return JSONResponse(self._provider.discovery(_tenant(request), self._authority(request), told))

    async def keys(self, request: Request) -> Response:
        self._authority(request)
        return JSONResponse(self._provider.jwks(), headers={"Cache-Control": "public, max-age=3600"})

    async def realm(self, request: Request) -> Response:
        return JSONResponse(self._provider.realm(unquote(request.path_params["user"])))

    async def instance(self, request: Request) -> Response:
        return JSONResponse(self._provider.instance(request.query_params.get("authorization_endpoint", "")))

    async def token(self, request: Request) -> Response:
        form = await forms.credentials(request)
        answer = await self._provider.token(self._authority(request), form, forms.source(request))
        return JSONResponse(answer, headers=PRIVATE)

    async def start_device(self, request: Request) -> Response:
        form = await forms.form(request)
        answer = self._provider.interactive.start_device(self._authority(request), form, forms.source(request))
        return JSONResponse(answer, headers=PRIVATE)


def _tenant(request: Request) -> str:
    return str(request.path_params.get("tenant", "adfs"))
