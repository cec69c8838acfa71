"""What happens while a person looks at a page: authorize requests, their answers, and devices waiting for a person.

Must never send anything to an address that is not registered for the application that asked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import SplitResult, urlsplit

from lazur.identity.codes import AuthorizeRequest, Statements
from lazur.identity.devices import DEVICE_INTERVAL, DEVICE_LIFE, Device, Devices
from lazur.identity.directory import LiveDirectory
from lazur.identity.discovery import RESPONSE_MODES
from lazur.identity.endpoints import Endpoints
from lazur.identity.oauth import Audience, Authority, Dialect, Form, OAuthError, malformed, required
from lazur.identity.objects import Tenant, User
from lazur.identity.signin import SignIn

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_SCRIPTS = ("javascript", "data", "vbscript")


class Interactive:
    """The steps of a sign-in in a browser, without HTTP."""

    def __init__(
        self, endpoints: Endpoints, directory: LiveDirectory, signin: SignIn, statements: Statements, devices: Devices
    ) -> None:
        self.endpoints = endpoints
        self.statements = statements
        self._directory = directory
        self._signin = signin
        self._devices = devices

    # --- authorize requests ---------------------------------------------------------------------------------------

    def authorize(self, authority: Authority, query: Form) -> AuthorizeRequest:
        """Check who would receive the answer of an authorize request; only then may anything be sent there.

        What is wrong with the rest of the request (`fault`) is told to that address.
        """
        app = self._signin.application(self._directory.current, required(query, "client_id"), authority.tenant)
        redirect = query.get("redirect_uri", "")
        if not any(_matches(redirect, registered) for registered in app.redirect_uris):
            raise OAuthError(
                "invalid_request", 50011, f"The redirect URI '{redirect}' is not registered for '{app.display_name}'."
            )
        mode = query.get("response_mode") or "query"
        if mode not in RESPONSE_MODES:
            raise malformed(f"The response mode '{mode}' is not supported.")
        return AuthorizeRequest(
            tenant=authority.tenant.id if authority.tenant else "",
            dialect=authority.dialect,
            client_id=app.app_id,
            redirect_uri=redirect,
            response_mode=mode,
            state=query.get("state", ""),
            nonce=query.get("nonce", ""),
            challenge=query.get("code_challenge", ""),
            scope=query.get("scope", ""),
            resource=query.get("resource", ""),
            client_info=query.get("client_info") == "1",
        )

    def fault(self, request: AuthorizeRequest, query: Form) -> OAuthError | None:
        """What is wrong with an authorize request whose receiver is known, or None."""
        directories = self._directory.current
        app = directories.application(request.client_id)
        method = query.get("code_challenge_method", "")
        if "request" in query or "request_uri" in query:
            return OAuthError("request_not_supported", 90015, "Requests as signed objects are not supported.")
        if query.get("response_type") != "code":
            return OAuthError("unsupported_response_type", 700054, "Only the response type 'code' is enabled.")
        if app and app.public and not request.challenge:
            return OAuthError("invalid_request", 9002325, "Proof Key for Code Exchange is required for public clients.")
        if request.challenge and (method != "S256" or not _CHALLENGE.fullmatch(request.challenge)):
            return OAuthError("invalid_request", 501481, "Only the code challenge method 'S256' is supported.")
        if query.get("prompt") == "none":
            return OAuthError("login_required", 50058, "Nobody is signed in: a silent sign-in is not possible.")
        try:
            Audience.asked(query, self.endpoints).check(self.endpoints, directories, self.authority(request).tenant)
        except OAuthError as error:
            return error
        return None

    def authority(self, request: AuthorizeRequest) -> Authority:
        """The address an authorize request was made at."""
        dialect: Dialect = "adfs" if request.dialect == "adfs" else "v2" if request.dialect == "v2" else "v1"
        return Authority(self._directory.current.tenant(request.tenant) if request.tenant else None, dialect)

    def page(self, request: AuthorizeRequest, browser: str) -> str:
        """The sealed request for the sign-in page shown to `browser`."""
        return self.statements.page("authorize", browser, asdict(request))

    def from_page(self, authority: Authority, browser: str, sealed: str) -> AuthorizeRequest:
        """The request behind a sign-in page, which must have been shown to `browser` at `authority`."""
        request = self.resumed(browser, sealed)
        if self.authority(request) != authority:
            raise malformed("The page was made for another tenant.")
        return request

    def resumed(self, browser: str, sealed: str) -> AuthorizeRequest:
        """The request a person left for an outside provider with."""
        return AuthorizeRequest(**self.statements.from_page("authorize", browser, sealed))

    def answer(self, request: AuthorizeRequest, user: User) -> dict[str, str]:
        """The fields of a successful authorize response for `user`, who has signed in."""
        self._signin.application(self._directory.current, request.client_id, self._tenant(user))
        fields = {"code": self.statements.code(user, request), "state": request.state}
        if request.client_info and request.dialect != "adfs":
            fields["client_info"] = client_info(user)
        return fields

    async def user(self, authority: Authority, name: str, password: str, source: str) -> User:
        """The person of that name and password."""
        return await self._signin.user(authority, name, password, source)

    def may(self, user: User, authority: Authority) -> None:
        """Refuse a person who was signed in elsewhere but is disabled here, or belongs to another tenant."""
        self._signin.may(user, authority)

    def renewing(self, kept: Mapping[str, str]) -> User:
        """Whose password a page was made to change; AADSTS70008 when it was changed since."""
        directory = self._directory.current.directory(kept["tenant"])
        user = directory.user(kept["user"]) if directory else None
        if user is None or password_version(user) != kept["old"] or not user.enabled:
            raise OAuthError("invalid_request", 70008, "This page has expired. Start again from your program.")
        return user

    def app_name(self, client_id: str) -> str:
        """What to call an application on a page."""
        app = self._directory.current.application(client_id)
        return app.display_name if app else client_id

    def organisation(self, tenant_id: str) -> str:
        """Whose sign-in page this is."""
        directories = self._directory.current
        return (directories.tenant(tenant_id) or directories.tenants[0]).display_name

    # --- devices --------------------------------------------------------------------------------------------------

    def start_device(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        """Answer a device authorization request (RFC 8628)."""
        directories = self._directory.current
        app = self._signin.application(directories, required(form, "client_id"), authority.tenant)
        Audience.asked(form, self.endpoints).check(self.endpoints, directories, authority.tenant)
        tenant_id = authority.tenant.id if authority.tenant else ""
        asked = {name: form[name] for name in ("scope", "resource") if name in form}
        code, device = self._devices.start(app.app_id, tenant_id, source, asked)
        base = self.endpoints.adfs if authority.dialect == "adfs" else f"{self.endpoints.login}/common"
        page = f"{base}/oauth2/deviceauth"
        return {
            "user_code": device.user_code,
            "device_code": code,
            "verification_uri": page,
            "verification_url": page,  # the v1.0 spelling
            "expires_in": DEVICE_LIFE,
            "interval": DEVICE_INTERVAL,
            "message": f"To sign in, use a web browser to open the page {page} and enter the code {device.user_code}"
            " to authenticate.",
        }

    def device(self, user_code: str, source: str) -> Device:
        """The device that waits under `user_code`; guessing codes is slowed down like guessing passwords."""
        self._signin.check_guesses("device code", source)
        device = self._devices.waiting(user_code)
        if device is None:
            self._signin.guessed("device code", source)
            raise OAuthError("invalid_request", 70020, "That code is not known or has expired.")
        return device

    def device_authority(self, device: Device) -> Authority:
        """Whom a device's sign-in is open to."""
        return Authority(self._directory.current.tenant(device.tenant_id) if device.tenant_id else None, "v2")

    def approve_device(self, device: Device, user: User) -> None:
        """Let `user`, who has signed in, be signed in on `device`."""
        self._signin.application(self._directory.current, device.client_id, self._tenant(user))
        self._devices.approve(device, user)

    def decline_device(self, device: Device) -> None:
        """The person does not want to."""
        self._devices.decline(device)

    def _tenant(self, user: User) -> Tenant | None:
        return self._directory.current.tenant(user.tenant_id)


def password_version(user: User) -> str:
    """Differs once the password was changed, and says nothing about it."""
    return hashlib.sha256(user.password_hash.encode()).hexdigest()


def client_info(user: User) -> str:
    """Who signed in, as MSAL keeps it beside its tokens."""
    info = json.dumps({"uid": user.object_id, "utid": user.tenant_id}).encode()
    return base64.urlsafe_b64encode(info).rstrip(b"=").decode()


def _matches(asked: str, registered: str) -> bool:
    """Exact, but a loopback address may come with any port (RFC 8252, 7.3) and with or without the root's slash."""
    try:
        theirs, ours = urlsplit(asked), urlsplit(registered)
        port = theirs.port
    except ValueError:
        return False
    if theirs.scheme in _SCRIPTS or theirs.fragment:
        return False
    if hmac.compare_digest(asked.encode(), registered.encode()):
        return True
    if ours.hostname not in ("localhost", "127.0.0.1") or ours.scheme != "http" or theirs.username is not None:
        return False
    return _loopback(theirs) == _loopback(ours) and port != 0


def _loopback(url: SplitResult) -> tuple[str, str | None, str, str]:
    return url.scheme, url.hostname, url.path.rstrip("/"), url.query
