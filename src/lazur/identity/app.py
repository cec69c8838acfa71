"""The sign-in endpoints over HTTP: paths, forms, pages, error bodies.

Must never check a credential itself (`signin`), decide a grant (`provider`), or trust a Host header: every URL it hands
out comes from the configured endpoints.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from lazur.identity import pages
from lazur.identity.codes import AuthorizeRequest
from lazur.identity.oauth import Authority, OAuthError, malformed
from lazur.identity.provider import OpenIdProvider

_LARGEST = 64 * 1024
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PRIVATE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Handler = Callable[[Request], Awaitable[Response]]


def routes(provider: OpenIdProvider) -> list[Route]:
    """The routes of the `login.` and `adfs.` hosts; told apart by path alone, so one host may serve both."""
    web = _Web(provider)
    tenant = "/{tenant}"
    table: list[tuple[str, Handler, list[str]]] = [
        ("/common/discovery/instance", web.instance, ["GET"]),
        ("/common/userrealm/{user}", web.realm, ["GET"]),
        # az asks `/adfs/<tenant>/…` when it is told a tenant at an ADFS-like authority.
        ("/adfs/{ignored}/v2.0/.well-known/openid-configuration", web.discovery, ["GET"]),
        ("/adfs/{ignored}/.well-known/openid-configuration", web.discovery, ["GET"]),
        (f"{tenant}/v2.0/.well-known/openid-configuration", web.discovery, ["GET"]),
        (f"{tenant}/.well-known/openid-configuration", web.discovery, ["GET"]),
    ]
    for version in ("", "/v2.0"):
        table += [
            (f"{tenant}/discovery{version}/keys", web.keys, ["GET"]),
            (f"{tenant}/oauth2{version}/token", web.token, ["POST"]),
            (f"{tenant}/oauth2{version}/devicecode", web.start_device, ["POST"]),
            (f"{tenant}/oauth2{version}/authorize", web.authorize, ["GET", "POST"]),
            (f"{tenant}/oauth2{version}/deviceauth", web.device_page, ["GET", "POST"]),
        ]
    return [Route(path, web.guarded(handler), methods=methods) for path, handler, methods in table]


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
        return JSONResponse(body, error.status, headers={**_PRIVATE, "client-request-id": correlation})

    def _authority(self, request: Request) -> Authority:
        return self._provider.authority(_tenant(request), "/v2.0/" in request.url.path)

    async def discovery(self, request: Request) -> Response:
        return JSONResponse(self._provider.discovery(_tenant(request), self._authority(request)))

    async def keys(self, request: Request) -> Response:
        self._authority(request)
        return JSONResponse(self._provider.jwks(), headers={"Cache-Control": "public, max-age=3600"})

    async def realm(self, request: Request) -> Response:
        return JSONResponse(self._provider.realm(unquote(request.path_params["user"])))

    async def instance(self, request: Request) -> Response:
        return JSONResponse(self._provider.instance(request.query_params.get("authorization_endpoint", "")))

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        answer = await self._provider.token(self._authority(request), {**_basic(request), **form})
        return JSONResponse(answer, headers=_PRIVATE)

    async def start_device(self, request: Request) -> Response:
        form = await _form(request)
        return JSONResponse(self._provider.start_device(self._authority(request), form), headers=_PRIVATE)

    async def device_page(self, request: Request) -> Response:
        """First the code, then name and password for the program named on the page."""
        if request.method == "GET":
            return _html(pages.device_code())
        form = await _form(request)
        try:
            device, app = self._provider.device(form.get("user_code", ""))
        except OAuthError as error:
            return _html(pages.device_code(error=error.message), status=400)
        hidden = {"user_code": device.user_code}
        if "password" not in form:
            return _html(pages.sign_in(f"{app.display_name} on your device", hidden))
        name = form.get("username", "")
        try:
            await self._provider.approve_device(device, name, form["password"])
        except OAuthError as error:
            title = f"{app.display_name} on your device"
            return _html(pages.sign_in(title, hidden, hint=name, error=error.message), status=400)
        return _html(pages.message("You are signed in", f"{app.display_name} goes on by itself. Close this page."))

    async def authorize(self, request: Request) -> Response:
        """The sign-in page (GET, or POST of the same parameters), and its answer (POST with the sealed request)."""
        authority = self._authority(request)
        fields = await _form(request) if request.method == "POST" else _query(request)
        if "sealed" in fields:
            return await self._signed_in(authority, fields)
        try:
            asked = self._provider.authorize(authority, fields)
        except OAuthError as error:
            # Nobody proved to be the application: the fault is shown to the person, never sent on.
            return _html(pages.message("This sign-in cannot go on", f"{error.code}: {error.message}"), status=400)
        fault = self._provider.fault(asked, fields)
        if fault is not None:
            said = {"error": fault.error, "error_description": f"{fault.code}: {fault.message}", "state": asked.state}
            return _deliver(asked, said)
        sealed, app = self._provider.page(asked)
        return _html(pages.sign_in(app, {"sealed": sealed}, hint=fields.get("login_hint", "")), asked.redirect_uri)

    async def _signed_in(self, authority: Authority, fields: dict[str, str]) -> Response:
        try:
            asked = self._provider.from_page(fields["sealed"])
        except OAuthError as error:
            return _html(pages.message("This sign-in cannot go on", error.message), status=400)
        name = fields.get("username", "")
        try:
            answer = await self._provider.answer(authority, asked, name, fields.get("password", ""))
        except OAuthError as error:
            sealed, app = self._provider.page(asked)
            again = pages.sign_in(app, {"sealed": sealed}, hint=name, error=error.message)
            return _html(again, asked.redirect_uri, status=400)
        return _deliver(asked, answer)


def _deliver(asked: AuthorizeRequest, fields: dict[str, str]) -> Response:
    """Send an authorize response to the checked redirect address in the mode the client asked for."""
    said = {name: value for name, value in fields.items() if value}
    if asked.response_mode == "form_post":
        return _html(pages.auto_post(asked.redirect_uri, said), asked.redirect_uri)
    mark = "#" if asked.response_mode == "fragment" else "&" if "?" in asked.redirect_uri else "?"
    return RedirectResponse(f"{asked.redirect_uri}{mark}{urlencode(said)}", 302, headers=_PRIVATE)


def _html(page: str, target: str = "", *, status: int = 200) -> Response:
    headers = {
        **_PRIVATE,
        "Content-Security-Policy": pages.policy(target),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(page, status, headers=headers)


def _tenant(request: Request) -> str:
    return str(request.path_params.get("tenant", "adfs"))


def _query(request: Request) -> dict[str, str]:
    return _single(request.url.query)


async def _form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body of at most 64 KiB, each given once."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise malformed("The body must be 'application/x-www-form-urlencoded'.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise malformed("The body is too large.")
    try:
        return _single(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise malformed("The body is not UTF-8.") from None


def _single(encoded: str) -> dict[str, str]:
    pairs = parse_qsl(encoded, keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise malformed("A parameter was given more than once.")
    return fields


def _basic(request: Request) -> dict[str, Any]:
    """Client credentials from HTTP Basic (RFC 6749, 2.3.1), or none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise malformed("The 'Authorization' header is malformed.") from None
    return {"client_id": unquote(name), "client_secret": unquote(secret)}
