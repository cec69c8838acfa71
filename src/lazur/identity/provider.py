"""The OpenID provider without HTTP: discovery documents and the token endpoint's grants.

Must never issue a token before the client, the person, the tenant and the audience were all checked.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from lazur.identity import audit, discovery
from lazur.identity.authorize import Interactive, client_info
from lazur.identity.codes import CodeReplayed, Refresh, Statements
from lazur.identity.devices import Devices
from lazur.identity.directory import LiveDirectory
from lazur.identity.endpoints import Endpoints
from lazur.identity.federation import Federations
from lazur.identity.firstparty import FAMILY
from lazur.identity.grants import Grants
from lazur.identity.keys import KeyRing
from lazur.identity.oauth import ADFS, Audience, Authority, Form, OAuthError, malformed, required, unknown_app
from lazur.identity.objects import ServicePrincipal, User
from lazur.identity.onbehalf import check_consent, presented
from lazur.identity.outside import Issuers
from lazur.identity.passwords import RULES, check_password, complies
from lazur.identity.sealing import StampKey
from lazur.identity.signin import Client, SignIn
from lazur.identity.tokens import LIFETIME, Issuer, Subject, Verifier
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids


class OpenIdProvider:
    """One stamp's OpenID provider; all its answers follow from the arguments, the directory and the keys."""

    def __init__(
        self,
        endpoints: Endpoints,
        directory: LiveDirectory,
        keys: KeyRing,
        grants: Grants,
        verifier: Verifier,
        federations: Federations,
        issuers: Issuers,
        stamp_key: StampKey,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.endpoints = endpoints
        self.clock = clock
        self.ids = ids
        self.federations = federations
        self._directory = directory
        self._keys = keys
        self._ended = grants
        self._verifier = verifier
        self._issuer = Issuer(endpoints, keys, clock, ids)
        self.signin = SignIn(endpoints, directory, issuers, clock)
        self._statements = Statements(stamp_key, clock, ids)
        self._devices = Devices(clock, ids)
        self.interactive = Interactive(endpoints, directory, self.signin, self._statements, self._devices)
        self._grants = {
            "client_credentials": self._by_client,
            "password": self._by_password,
            "refresh_token": self._by_refresh,
            "authorization_code": self._by_code,
            discovery.DEVICE_GRANT: self._by_device,
            "device_code": self._by_device,  # the v1.0 spelling
            discovery.ON_BEHALF_OF: self._on_behalf_of,
        }

    # --- what is published ----------------------------------------------------------------------------------------

    def authority(self, segment: str, v2: bool) -> Authority:
        """Whom a path's first segment addresses; AADSTS90002 for an unknown tenant."""
        return Authority.named(segment, v2, self._directory.current)

    def discovery(self, segment: str, authority: Authority, told: str = "") -> dict[str, Any]:
        """The OpenID configuration served at `segment`; `told` is the tenant an ADFS-like authority was asked about."""
        directories = self._directory.current
        home = Authority.named(told, v2=False, directories=directories).tenant if told else None
        return discovery.configuration(self.endpoints, segment, authority, (home or directories.tenants[0]).id)

    def jwks(self) -> dict[str, Any]:
        """The public signing keys."""
        return self._keys.published()

    def realm(self, user: str) -> dict[str, Any]:
        """How a user's domain signs in."""
        known = self._directory.current.tenant(user.rpartition("@")[2]) is not None
        return discovery.realm(self.endpoints, user, known)

    def instance(self, authorization_endpoint: str) -> dict[str, Any]:
        """Instance discovery."""
        return discovery.instance(self.endpoints, authorization_endpoint)

    async def renew(self, user: User, password: str) -> User:
        """Give `user`, who has just signed in with a password that must be changed, the new one they chose."""
        waived = "DisableStrongPassword" in str(user.properties.get("passwordPolicies") or "")
        if not complies(password, waived=waived):
            raise OAuthError("invalid_request", 50056, f"A password has {RULES}.")
        if await asyncio.to_thread(check_password, password, user.password_hash):
            raise OAuthError("invalid_request", 50056, "Choose another password than the old one.")
        now = int(self.clock.now().timestamp())
        await self._directory.set_password(user.object_id, password, self.ids, now)
        audit.renewed(user.tenant_id, user.object_id)
        return self._user(user.object_id, user.tenant_id)

    # --- token endpoint -------------------------------------------------------------------------------------------

    async def token(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        """Answer a token request from the address `source`; refusals are `OAuthError`."""
        kind = required(form, "grant_type")
        grant = self._grants.get(kind)
        if grant is None:
            raise OAuthError("unsupported_grant_type", 70003, f"The grant type '{kind[:100]}' is not supported.")
        return await grant(authority, form, source)

    def managed_identity(self, principal: ServicePrincipal, resource: str, arm_id: str) -> dict[str, Any]:
        """A token for the resource's identity `principal`, in the form the instance metadata service answers with.

        Whoever calls this has made sure which resource (`arm_id`) asks.
        """
        directories = self._directory.current
        tenant = directories.tenant(principal.tenant_id)
        if not principal.enabled:
            raise OAuthError("unauthorized_client", 7000112, f"The identity '{principal.app_id}' is disabled.")
        asked = Audience.asked({"resource": resource}, self.endpoints).check(self.endpoints, directories, tenant)
        token = self._issuer.access(Subject.of_managed_identity(principal, arm_id), asked.resource)
        audit.signed_in("managedIdentity", principal.tenant_id, principal.object_id, principal.app_id)
        return {**self._times(asked, token), "client_id": principal.app_id}

    async def _by_client(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        directories, tenant = self._directory.current, authority.tenant
        if authority.dialect == ADFS:
            app_id = required(form, "client_id")
            tenant = directories.home_of(app_id)
            if tenant is None:
                raise unknown_app(app_id, ADFS)
        if tenant is None:
            raise OAuthError("invalid_request", 50059, "An application signs in at a tenant: name its id or domain.")
        client = await self.signin.client(directories, form, tenant, source)
        if client.strength == 0:
            raise OAuthError(
                "unauthorized_client", 700016, "A public client has no identity of its own to sign in with."
            )
        directories = self._directory.current  # an outside issuer may have taken its time
        principal = directories.principal(client.app_id, tenant.id)
        if principal is None or not principal.enabled:
            raise OAuthError("unauthorized_client", 7000112, f"Application '{client.app_id}' is disabled here.")
        asked = Audience.asked(form, self.endpoints).check(self.endpoints, directories, tenant)
        subject = Subject.of_service(principal, client.strength, client.credential)
        token = self._issuer.access(subject, asked.resource, asked.capabilities)
        audit.signed_in("client", tenant.id, principal.object_id, client.app_id)
        return self._times(asked, token)

    async def _by_password(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        client = await self.signin.client(self._directory.current, form, authority.tenant, source)
        asked = Audience.asked(form, self.endpoints)
        name, password = required(form, "username"), required(form, "password")
        user = await self.signin.user(authority, name, password, source)
        return self._for_user(authority, form, client, user, asked, "password", self._statements.grant())

    async def _by_refresh(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        client = await self.signin.client(self._directory.current, form, authority.tenant, source)
        refresh = self._statements.refreshed(required(form, "refresh_token"), client.app_id)
        user = self._still(refresh)
        asked = Audience.asked(form, self.endpoints)
        return self._for_user(authority, form, client, user, asked, "refresh", refresh.grant)

    def _still(self, refresh: Refresh) -> User:
        """Whom a refresh token speaks for, if nothing was taken back since it was issued."""
        user = self._user(refresh.user_id, refresh.tenant_id)
        if refresh.issued < user.sessions_from or self._ended.ended(refresh.grant):
            raise OAuthError("invalid_grant", 50173, "The grant was revoked, by a new password say. Sign in again.")
        return user

    def _user(self, object_id: str, tenant_id: str) -> User:
        directory = self._directory.current.directory(tenant_id)
        user = directory.user(object_id) if directory else None
        if user is None:
            raise OAuthError("invalid_grant", 50034, "The user account does not exist any more.")
        return user

    async def _by_code(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        client = await self.signin.client(self._directory.current, form, authority.tenant, source)
        try:
            code = self._statements.redeem(
                required(form, "code"), client.app_id, form.get("redirect_uri", ""), form.get("code_verifier", "")
            )
        except CodeReplayed as replay:
            audit.ended(replay.grant, "its authorization code came a second time")
            await self._ended.end(replay.grant)
            raise
        user = self._still(Refresh(code.user_id, code.tenant_id, client.app_id, code.issued, code.grant))
        # The client may repeat the scope here or leave it to the authorize request.
        defaults = {"scope": code.request.scope} | (
            {"resource": code.request.resource} if code.request.resource else {}
        )
        asked = Audience.asked({**defaults, **form}, self.endpoints).granted(code.request.scope)
        nonce = code.request.nonce or None
        return self._for_user(authority, form, client, user, asked, "code", code.grant, nonce)

    async def _by_device(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        client = await self.signin.client(self._directory.current, form, authority.tenant, source)
        code = form.get("device_code") or required(form, "code")
        device = self._devices.poll(code, client.app_id, authority.tenant.id if authority.tenant else "")
        grant = self._statements.grant()
        user = self._still(Refresh(device.user_id, device.home_id, client.app_id, device.approved, grant))
        asked = Audience.asked({**device.asked, **form}, self.endpoints).granted(device.asked.get("scope", ""))
        return self._for_user(authority, form, client, user, asked, "device", grant)

    async def _on_behalf_of(self, authority: Authority, form: Form, source: str) -> dict[str, Any]:
        """A program that a person called with a token calls another one for that person."""
        if form.get("requested_token_use") != "on_behalf_of":
            raise malformed("'requested_token_use' must be 'on_behalf_of'.")
        client = await self.signin.client(self._directory.current, form, authority.tenant, source)
        if client.app is None or client.strength == 0:
            raise OAuthError("unauthorized_client", 7000114, "This program cannot make on-behalf-of calls: it has no secret.")
        caller = presented(self._verifier, client.app, required(form, "assertion"))
        user = self._user(caller.object_id, caller.tenant_id)
        # What is consented to is one other program: a refresh token would open them all.
        asked = replace(Audience.asked(form, self.endpoints), offline=False)
        check_consent(self._directory.current, self.endpoints, client.app, user, asked)
        return self._for_user(authority, form, client, user, asked, "onBehalfOf", str(caller.claims["sid"]))

    def _for_user(
        self,
        authority: Authority,
        form: Form,
        client: Client,
        user: User,
        asked: Audience,
        flow: str,
        grant: str,
        nonce: str | None = None,
    ) -> dict[str, Any]:
        directories = self._directory.current
        self.signin.may(user, authority)
        # At `common` application and audience could only be looked up; now the tenant is known.
        tenant = directories.tenant(user.tenant_id)
        app = self.signin.application(directories, client.app_id, tenant)
        asked.check(self.endpoints, directories, tenant)
        subject = Subject.of_user(user, app, grant, client.strength)
        answer = {
            **self._times(asked, self._issuer.access(subject, asked.resource, asked.capabilities)),
            "scope": asked.scope,
        }
        if asked.offline:
            answer["refresh_token"] = self._statements.refresh(user, app.app_id, grant)
            if app.app_id in FAMILY and authority.dialect != ADFS:
                answer["foci"] = "1"  # the family's name, by which client libraries keep the token
        if asked.openid:
            answer["id_token"] = self._issuer.identity(subject, authority.issuer(self.endpoints, user.tenant_id), nonce)
        if form.get("client_info") == "1" and authority.dialect != "adfs":
            answer["client_info"] = client_info(user)
        audit.signed_in(flow, user.tenant_id, user.object_id, app.app_id)
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
