"""The OpenID provider without HTTP: discovery documents, the token endpoint's grants, the steps of a sign-in page.

Must never issue a token before the client, the person, the tenant and the audience were all checked.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any
from urllib.parse import SplitResult, urlsplit

from lazur.identity.codes import DEVICE_INTERVAL, DEVICE_LIFE, AuthorizeRequest, Device, Devices, Statements
from lazur.identity.directory import LiveDirectory
from lazur.identity.endpoints import Endpoints
from lazur.identity.keys import ALGORITHM, KeyRing
from lazur.identity.oauth import Audience, Authority, Form, OAuthError, malformed, required
from lazur.identity.objects import Application, User
from lazur.identity.sealing import StampKey
from lazur.identity.signin import Client, SignIn
from lazur.identity.tokens import LIFETIME, Issuer, Subject
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids
from lazur.kernel.log import logger

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
RESPONSE_MODES = ("query", "fragment", "form_post")
_log = logger("identity")


class OpenIdProvider:
    """One stamp's OpenID provider; all its answers follow from the arguments, the directory and the keys."""

    def __init__(
        self,
        endpoints: Endpoints,
        directory: LiveDirectory,
        keys: KeyRing,
        stamp_key: StampKey,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.endpoints = endpoints
        self.clock = clock
        self.ids = ids
        self._directory = directory
        self._keys = keys
        self._issuer = Issuer(endpoints, keys, clock, ids)
        self._signin = SignIn(endpoints, clock)
        self._statements = Statements(stamp_key, clock, ids)
        self._devices = Devices(clock, ids)
        self._grants = {
            "client_credentials": self._by_client,
            "password": self._by_password,
            "refresh_token": self._by_refresh,
            "authorization_code": self._by_code,
            DEVICE_GRANT: self._by_device,
            "device_code": self._by_device,  # the v1.0 spelling
        }

    def authority(self, segment: str, v2: bool) -> Authority:
        """Whom a path's first segment addresses; AADSTS90002 for an unknown tenant."""
        return Authority.named(segment, v2, self._directory.current)

    def discovery(self, segment: str, authority: Authority) -> dict[str, Any]:
        """The OpenID configuration served at `segment`."""
        if authority.dialect == "adfs":
            base, issuer = self.endpoints.adfs, authority.issuer(self.endpoints, self._home())
            oauth, keys = f"{base}/oauth2", f"{base}/discovery/keys"
        else:
            base = f"{self.endpoints.login}/{authority.tenant.id if authority.tenant else segment.lower()}"
            issuer = authority.issuer(self.endpoints, authority.tenant.id if authority.tenant else "{tenantid}")
            version = "/v2.0" if authority.dialect == "v2" else ""
            oauth, keys = f"{base}/oauth2{version}", f"{base}/discovery{version}/keys"
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{oauth}/authorize",
            "token_endpoint": f"{oauth}/token",
            "device_authorization_endpoint": f"{oauth}/devicecode",
            "jwks_uri": keys,
            "response_types_supported": ["code"],
            "response_modes_supported": list(RESPONSE_MODES),
            "grant_types_supported": [name for name in self._grants if name != "device_code"],
            "subject_types_supported": ["pairwise"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": [
                "aud",
                "exp",
                "iat",
                "iss",
                "name",
                "nonce",
                "oid",
                "preferred_username",
                "sub",
                "tid",
            ],
            "cloud_instance_name": urlsplit(self.endpoints.login).netloc,
        }

    def jwks(self) -> dict[str, Any]:
        """The public signing keys."""
        return self._keys.published()

    def realm(self, user: str) -> dict[str, Any]:
        """How a user's domain signs in: by password here, when a tenant has that domain."""
        domain = user.rpartition("@")[2]
        known = self._directory.current.tenant(domain) is not None
        return {
            "ver": "1.0",
            "account_type": "Managed" if known else "Unknown",
            "domain_name": domain,
            "cloud_instance_name": urlsplit(self.endpoints.login).netloc,
            "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        }

    def instance(self, authorization_endpoint: str) -> dict[str, Any]:
        """Instance discovery: our own authority is known, any other is AADSTS50049."""
        asked, ours = urlsplit(authorization_endpoint), urlsplit(self.endpoints.login)
        if asked.scheme != "https" or asked.netloc.lower() != ours.netloc:
            raise OAuthError("invalid_instance", 50049, "Unknown or invalid instance.")
        segment = asked.path.strip("/").partition("/")[0] or "common"
        host = ours.netloc
        return {
            "tenant_discovery_endpoint": f"{self.endpoints.login}/{segment}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }

    # --- token endpoint -------------------------------------------------------------------------------------------

    async def token(self, authority: Authority, form: Form) -> dict[str, Any]:
        """Answer a token request; refusals are `OAuthError`."""
        kind = required(form, "grant_type")
        grant = self._grants.get(kind)
        if grant is None:
            raise OAuthError("unsupported_grant_type", 70003, f"The grant type '{kind}' is not supported.")
        return await grant(authority, form)

    async def _by_client(self, authority: Authority, form: Form) -> dict[str, Any]:
        directory = self._directory.current
        tenant = authority.tenant
        if tenant is None:
            raise OAuthError("invalid_request", 50059, "An application signs in at a tenant: name its id or domain.")
        client = self._signin.client(directory, form, tenant)
        if client.strength == 0:
            raise OAuthError(
                "unauthorized_client", 700016, "A public client has no identity of its own to sign in with."
            )
        principal = directory.principal(client.app.app_id, tenant.id)
        if principal is None or not principal.enabled:
            raise OAuthError("unauthorized_client", 7000112, f"Application '{client.app.app_id}' is disabled here.")
        asked = Audience.asked(form, self.endpoints, directory)
        token = self._issuer.access(Subject.of_service(principal), asked.resource, asked.capabilities, client.strength)
        _log.info("signed in", flow="client", tenant=tenant.id, object=principal.object_id, app=client.app.app_id)
        return self._times(asked, token)

    async def _by_password(self, authority: Authority, form: Form) -> dict[str, Any]:
        directory = self._directory.current
        client = self._signin.client(directory, form, authority.tenant)
        asked = Audience.asked(form, self.endpoints, directory)
        name, password = required(form, "username"), required(form, "password")
        user = await self._signin.user(directory, authority, name, password)
        return self._for_user(authority, form, client, user, asked, "password")

    async def _by_refresh(self, authority: Authority, form: Form) -> dict[str, Any]:
        directory = self._directory.current
        client = self._signin.client(directory, form, authority.tenant)
        user = self._statements.refreshed(required(form, "refresh_token"), client.app.app_id, directory)
        asked = Audience.asked(form, self.endpoints, directory)
        return self._for_user(authority, form, client, user, asked, "refresh")

    async def _by_code(self, authority: Authority, form: Form) -> dict[str, Any]:
        directory = self._directory.current
        client = self._signin.client(directory, form, authority.tenant)
        code = self._statements.redeem(
            required(form, "code"), client.app.app_id, form.get("redirect_uri", ""), form.get("code_verifier", "")
        )
        user = directory.user(code.user_id)
        if user is None or not user.enabled:
            raise OAuthError("invalid_grant", 50034, "The user account does not exist any more.")
        # The client may repeat the scope here or leave it to the authorize request.
        defaults = {"scope": code.request.scope} | (
            {"resource": code.request.resource} if code.request.resource else {}
        )
        asked = Audience.asked({**defaults, **form}, self.endpoints, directory)
        return self._for_user(authority, form, client, user, asked, "code", code.request.nonce or None)

    async def _by_device(self, authority: Authority, form: Form) -> dict[str, Any]:
        directory = self._directory.current
        client = self._signin.client(directory, form, authority.tenant)
        code = form.get("device_code") or required(form, "code")
        device = self._devices.poll(code, client.app.app_id)
        user = directory.user(device.user_id)
        if user is None or not user.enabled:
            raise OAuthError("invalid_grant", 50034, "The user account does not exist any more.")
        asked = Audience.asked(form, self.endpoints, directory)
        return self._for_user(authority, form, client, user, asked, "device")

    def _for_user(
        self,
        authority: Authority,
        form: Form,
        client: Client,
        user: User,
        asked: Audience,
        flow: str,
        nonce: str | None = None,
    ) -> dict[str, Any]:
        directory = self._directory.current
        if not authority.accepts(user.tenant_id):
            raise OAuthError(
                "invalid_grant", 50020, f"User account '{user.upn}' does not exist in the tenant asked for."
            )
        # At `common` the application could only be looked up; now the tenant is known.
        self._signin.application(directory, client.app.app_id, directory.tenant(user.tenant_id))
        subject = Subject.of_user(user, client.app)
        token = self._issuer.access(subject, asked.resource, asked.capabilities, client.strength)
        answer = {**self._times(asked, token), "scope": asked.scope}
        if asked.offline:
            answer["refresh_token"] = self._statements.refresh(user, client.app.app_id)
        if asked.openid:
            issuer = authority.issuer(self.endpoints, user.tenant_id)
            answer["id_token"] = self._issuer.identity(subject, issuer, nonce)
        if form.get("client_info") == "1" and authority.dialect != "adfs":
            info = json.dumps({"uid": user.object_id, "utid": user.tenant_id}).encode()
            answer["client_info"] = base64.urlsafe_b64encode(info).rstrip(b"=").decode()
        _log.info("signed in", flow=flow, tenant=user.tenant_id, object=user.object_id, app=client.app.app_id)
        return answer

    def _times(self, asked: Audience, token: str) -> dict[str, Any]:
        answer: dict[str, Any] = {"token_type": "Bearer", "access_token": token}
        if not asked.v1:
            return answer | {"expires_in": LIFETIME, "ext_expires_in": LIFETIME}
        # v1.0 writes its numbers as strings.
        now = int(self.clock.now().timestamp())
        return answer | {
            "expires_in": str(LIFETIME),
            "ext_expires_in": str(LIFETIME),
            "expires_on": str(now + LIFETIME),
            "not_before": str(now),
            "resource": asked.resource,
        }

    # --- device sign-in -------------------------------------------------------------------------------------------

    def start_device(self, authority: Authority, form: Form) -> dict[str, Any]:
        """Answer a device authorization request (RFC 8628)."""
        directory = self._directory.current
        app = self._signin.application(directory, required(form, "client_id"), authority.tenant)
        Audience.asked(form, self.endpoints, directory)
        code, device = self._devices.start(app.app_id, authority.tenant.id if authority.tenant else None)
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

    def device(self, user_code: str) -> tuple[Device, Application]:
        """The device that waits under `user_code` and the application on it."""
        device = self._devices.waiting(user_code)
        app = self._directory.current.application(device.client_id) if device else None
        if device is None or app is None:
            raise OAuthError("invalid_request", 70020, "That code is not known or has expired.")
        return device, app

    async def approve_device(self, device: Device, upn: str, password: str) -> None:
        """Let the person of that name and password sign in on `device`."""
        directory = self._directory.current
        tenant = directory.tenant(device.tenant_id) if device.tenant_id else None
        user = await self._signin.user(directory, Authority(tenant, "v2"), upn, password)
        device.user_id = user.object_id

    # --- sign-in page ---------------------------------------------------------------------------------------------

    def authorize(self, authority: Authority, query: Form) -> AuthorizeRequest:
        """Check who would receive the answer of an authorize request; only then may anything be sent there.

        What is wrong with the rest of the request (`fault`) is told to that address.
        """
        directory = self._directory.current
        app = self._signin.application(directory, required(query, "client_id"), authority.tenant)
        redirect = query.get("redirect_uri", "")
        if not any(_matches(redirect, registered) for registered in app.redirect_uris):
            raise OAuthError(
                "invalid_request", 50011, f"The redirect URI '{redirect}' is not registered for '{app.display_name}'."
            )
        mode = query.get("response_mode") or "query"
        if mode not in RESPONSE_MODES:
            raise malformed(f"The response mode '{mode}' is not supported.")
        return AuthorizeRequest(
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
        directory = self._directory.current
        app = directory.application(request.client_id)
        if query.get("response_type") != "code":
            return OAuthError("unsupported_response_type", 700054, "Only the response type 'code' is enabled.")
        if app and app.public and not request.challenge:
            return OAuthError("invalid_request", 9002325, "Proof Key for Code Exchange is required for public clients.")
        if request.challenge and query.get("code_challenge_method") != "S256":
            return OAuthError("invalid_request", 501491, "Only the code challenge method 'S256' is supported.")
        if query.get("prompt") == "none":
            return OAuthError("login_required", 50058, "Nobody is signed in: a silent sign-in is not possible.")
        try:
            Audience.asked(query, self.endpoints, directory)
        except OAuthError as error:
            return error
        return None

    def page(self, request: AuthorizeRequest) -> tuple[str, str]:
        """The sealed request for the sign-in page and the name of the application to show on it."""
        app = self._directory.current.application(request.client_id)
        return self._statements.page(request), app.display_name if app else ""

    def from_page(self, sealed: str) -> AuthorizeRequest:
        """The request behind a sign-in page."""
        return self._statements.from_page(sealed)

    async def answer(self, authority: Authority, request: AuthorizeRequest, upn: str, password: str) -> dict[str, str]:
        """The fields of a successful authorize response for the person of that name and password."""
        user = await self._signin.user(self._directory.current, authority, upn, password)
        fields = {"code": self._statements.code(user, request), "state": request.state}
        if request.client_info and authority.dialect != "adfs":
            info = json.dumps({"uid": user.object_id, "utid": user.tenant_id}).encode()
            fields["client_info"] = base64.urlsafe_b64encode(info).rstrip(b"=").decode()
        return {name: value for name, value in fields.items() if value}

    def _home(self) -> str:
        return self._directory.current.tenants[0].id


def _matches(asked: str, registered: str) -> bool:
    """Exact, but a loopback address may come with any port (RFC 8252, 7.3) and with or without the root's slash."""
    if hmac.compare_digest(asked.encode(), registered.encode()):
        return True
    theirs, ours = urlsplit(asked), urlsplit(registered)
    if ours.hostname not in ("localhost", "127.0.0.1") or ours.scheme != "http" or theirs.username is not None:
        return False
    return _loopback(theirs) == _loopback(ours) and not theirs.fragment


def _loopback(url: SplitResult) -> tuple[str, str | None, str, str]:
    return url.scheme, url.hostname, url.path.rstrip("/"), url.query
