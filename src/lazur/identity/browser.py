"""The pages of a sign-in over HTTP: the sign-in itself, a device's code, the way to an outside provider and back.

Must never take a password from an address, nor from a page that was not shown to the same browser: every page carries a
sealed statement bound to a cookie that other sites cannot set.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from lazur.identity import forms, pages
from lazur.identity.authorize import Interactive, password_version
from lazur.identity.codes import PAGE_LIFE, AuthorizeRequest
from lazur.identity.devices import Device
from lazur.identity.oauth import Authority, OAuthError
from lazur.identity.objects import User
from lazur.identity.provider import OpenIdProvider
from lazur.identity.signin import MustChange

PRIVATE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
COOKIE = "__Host-lazur-signin"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{32,128}")
_DECLINED = {"error": "access_denied", "error_description": "AADSTS65004: The person declined to sign in."}

Handler = Callable[[Request, str], Awaitable[Response]]


def routes(provider: OpenIdProvider) -> list[Route]:
    """The addresses people's browsers are sent to."""
    pages_of = _Pages(provider)
    table: list[Route] = [Route("/common/oauth2/federation", pages_of.shown(pages_of.back), methods=["GET"])]
    for version in ("", "/v2.0"):
        base = f"/{{tenant}}/oauth2{version}"
        table.append(Route(f"{base}/authorize", pages_of.shown(pages_of.authorize), methods=["GET", "POST"]))
        table.append(Route(f"{base}/deviceauth", pages_of.shown(pages_of.device), methods=["GET", "POST"]))
    return table


class _Pages:
    """The handlers; each is given the browser's cookie beside the request."""

    def __init__(self, provider: OpenIdProvider) -> None:
        self._provider = provider
        self._steps: Interactive = provider.interactive
        self._host = urlsplit(provider.endpoints.login).netloc

    def shown(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """`handler` with refusals as pages, and the cookie that binds pages to this browser."""

        async def answer(request: Request) -> Response:
            kept = request.cookies.get(COOKIE, "")
            browser = kept if _COOKIE.fullmatch(kept) else ""
            fresh = browser or self._provider.ids.token(32)
            try:
                # A page posted without the cookie was shown to somebody else, so only a new page may use a new one.
                response = await handler(request, fresh if request.method == "GET" else browser or "")
            except OAuthError as error:
                response = self._message("This sign-in cannot go on", f"{error.code}: {error.message}", error.status)
            response.set_cookie(COOKIE, fresh, max_age=PAGE_LIFE, path="/", secure=True, httponly=True, samesite="lax")
            return response

        return answer

    # --- authorize ------------------------------------------------------------------------------------------------

    async def authorize(self, request: Request, browser: str) -> Response:
        """The sign-in page (GET, or POST of the same parameters), and its answer (POST with the sealed request)."""
        segment = str(request.path_params["tenant"])
        authority = self._provider.authority(segment, "/v2.0/" in request.url.path)
        fields = await forms.form(request) if request.method == "POST" else forms.query(request)
        if request.method == "POST" and "renewal" in fields:
            return await self._renewed(request, browser, fields)
        if request.method == "POST" and "sealed" in fields:
            return await self._posted(request, authority, browser, fields)
        asked = self._steps.authorize(authority, fields)
        fault = self._steps.fault(asked, fields)
        if fault is not None:
            said = {"error": fault.error, "error_description": f"{fault.code}: {fault.message}"}
            return self._deliver(asked, {**said, "state": asked.state})
        if request.method == "POST":
            # An authorize request as a form comes from another site without our cookie: begin again as an address.
            return RedirectResponse(f"{request.url.path}?{urlencode(fields)}", 303, headers=PRIVATE)
        return self._sign_in(authority, asked, browser, hint=fields.get("login_hint", ""))

    async def _posted(self, request: Request, authority: Authority, browser: str, fields: dict[str, str]) -> Response:
        asked = self._steps.from_page(authority, browser, fields["sealed"])
        if "cancel" in fields:
            return self._deliver(asked, {**_DECLINED, "state": asked.state})
        name = fields.get("username", "")
        try:
            if "outside" in fields:
                journey = {"kind": "authorize", "sealed": fields["sealed"]}
                return await self._leave(fields["outside"], authority, browser, journey)
            user = await self._steps.user(authority, name, fields.get("password", ""), forms.source(request))
            return self._deliver(asked, self._steps.answer(asked, user))
        except MustChange as must:
            return self._renew(must.user, browser, {"kind": "authorize", "sealed": fields["sealed"]}, asked.redirect_uri)
        except OAuthError as error:
            return self._sign_in(authority, asked, browser, hint=name, error=error)

    def _sign_in(
        self, authority: Authority, asked: AuthorizeRequest, browser: str, hint: str, error: OAuthError | None = None
    ) -> Response:
        page = pages.SignInPage(
            app=self._steps.app_name(asked.client_id),
            hidden={"sealed": self._steps.page(asked, browser)},
            hint=hint[:256],
            error=error.message if error else "",
            outside=self._provider.federations.offered(authority),
        )
        return _html(page.html(self._frame(authority)), asked.redirect_uri, status=error.status if error else 200)

    def _deliver(self, asked: AuthorizeRequest, fields: dict[str, str]) -> Response:
        """Send an authorize response to the checked redirect address in the mode the client asked for."""
        said = {name: value for name, value in fields.items() if value}
        if asked.response_mode == "form_post":
            return _html(pages.auto_post(self._frame(), asked.redirect_uri, said), asked.redirect_uri)
        mark = "#" if asked.response_mode == "fragment" else "&" if "?" in asked.redirect_uri else "?"
        # 303: whatever brought the browser here, it goes on with GET and without the password.
        return RedirectResponse(f"{asked.redirect_uri}{mark}{urlencode(said)}", 303, headers=PRIVATE)

    # --- devices --------------------------------------------------------------------------------------------------

    async def device(self, request: Request, browser: str) -> Response:
        """First the code, then name and password for the program named on the page."""
        if request.method == "GET":
            return self._ask_code(browser)
        fields = await forms.form(request)
        if "renewal" in fields:
            return await self._renewed(request, browser, fields)
        source = forms.source(request)
        kept = self._steps.statements.from_page("device", browser, fields.get("sealed", ""))
        try:
            device = self._steps.device(kept.get("user_code") or fields.get("user_code", ""), source)
        except OAuthError as error:
            return self._ask_code(browser, error)
        if "user_code" not in kept:
            return self._device_sign_in(device, browser)
        if "cancel" in fields:
            self._steps.decline_device(device)
            return self._message("You did not sign in", "The program was told. Close this page.")
        name, authority = fields.get("username", ""), self._steps.device_authority(device)
        try:
            if "outside" in fields:
                journey = {"kind": "device", "user_code": device.user_code}
                return await self._leave(fields["outside"], authority, browser, journey)
            user = await self._steps.user(authority, name, fields.get("password", ""), source)
            return self._approve(device, user)
        except MustChange as must:
            return self._renew(must.user, browser, {"kind": "device", "user_code": device.user_code})
        except OAuthError as error:
            return self._device_sign_in(device, browser, hint=name, error=error)

    def _ask_code(self, browser: str, error: OAuthError | None = None) -> Response:
        hidden = {"sealed": self._steps.statements.page("device", browser, {})}
        page = pages.device_code(self._frame(), hidden, error=error.message if error else "")
        return _html(page, status=error.status if error else 200)

    def _device_sign_in(
        self, device: Device, browser: str, hint: str = "", error: OAuthError | None = None
    ) -> Response:
        authority = self._steps.device_authority(device)
        page = pages.SignInPage(
            app=f"{self._steps.app_name(device.client_id)} on your device",
            hidden={"sealed": self._steps.statements.page("device", browser, {"user_code": device.user_code})},
            hint=hint[:256],
            error=error.message if error else "",
            device=f"The program runs at {device.source}. Go on only if you started it." if device.source else "",
            outside=self._provider.federations.offered(authority),
        )
        return _html(page.html(self._frame(authority)), status=error.status if error else 200)

    def _approve(self, device: Device, user: User) -> Response:
        self._steps.approve_device(device, user)
        app = self._steps.app_name(device.client_id)
        return self._message("You are signed in", f"{app} goes on by itself. Close this page.")

    # --- outside providers ----------------------------------------------------------------------------------------

    async def _leave(self, key: str, authority: Authority, browser: str, journey: dict[str, Any]) -> Response:
        statements = self._steps.statements
        where = await self._provider.federations.begin(key, authority, statements, browser, journey)
        return _html(pages.onward(self._frame(authority), where, self._provider.federations.name(key)))

    async def back(self, request: Request, browser: str) -> Response:
        """The answer of an outside provider: go on where the person left."""
        statements = self._steps.statements
        user, journey = await self._provider.federations.finish(forms.query(request), statements, browser)
        return self._go_on(request, browser, user, journey)

    def _go_on(self, request: Request, browser: str, user: User, journey: dict[str, Any]) -> Response:
        """Take up what `user`, who has signed in by another page, came for."""
        if journey["kind"] == "device":
            device = self._steps.device(journey["user_code"], forms.source(request))
            self._steps.may(user, self._steps.device_authority(device))
            return self._approve(device, user)
        asked = self._steps.resumed(browser, journey["sealed"])
        self._steps.may(user, self._steps.authority(asked))
        answer = self._deliver(asked, self._steps.answer(asked, user))
        if "location" not in answer.headers:
            return answer
        return _html(pages.onward(self._frame(), answer.headers["location"], self._steps.app_name(asked.client_id)))

    # --- a password that must be changed ----------------------------------------------------------------------------

    def _renew(
        self, user: User, browser: str, journey: dict[str, Any], target: str = "", error: OAuthError | None = None
    ) -> Response:
        kept = {"tenant": user.tenant_id, "user": user.object_id, "old": password_version(user)}
        fields = {**kept, "journey": journey, "target": target}
        hidden = {"renewal": self._steps.statements.page("new-password", browser, fields)}
        page = pages.new_password(self._frame(), hidden, user.upn, error=error.message if error else "")
        return _html(page, target, status=error.status if error else 200)

    async def _renewed(self, request: Request, browser: str, fields: dict[str, str]) -> Response:
        kept = self._steps.statements.from_page("new-password", browser, fields["renewal"])
        user = self._steps.renewing(kept)
        try:
            if fields.get("fresh", "") != fields.get("again", ""):
                raise OAuthError("invalid_request", 50056, "The two are not the same.")
            changed = await self._provider.renew(user, fields.get("fresh", ""))
        except OAuthError as error:
            return self._renew(user, browser, kept["journey"], kept["target"], error)
        return self._go_on(request, browser, changed, kept["journey"])

    # --- pages ----------------------------------------------------------------------------------------------------

    def _frame(self, authority: Authority | None = None) -> pages.Frame:
        tenant = authority.tenant.id if authority and authority.tenant else ""
        return pages.Frame(self._steps.organisation(tenant), self._host)

    def _message(self, title: str, text: str, status: int = 200) -> Response:
        return _html(pages.message(self._frame(), title, text), status=status)


def _html(page: str, *targets: str, status: int = 200) -> Response:
    headers = {
        **PRIVATE,
        "Content-Security-Policy": pages.policy(*targets),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return HTMLResponse(page, status, headers=headers)
