"""Checks credentials: passwords of people, secrets and assertions of applications. Slows guessing down.

Must never say whether a user exists, and never compare a secret in a way that leaks it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lazur.identity import audit
from lazur.identity.assertions import Assertions
from lazur.identity.directory import Directories, LiveDirectory
from lazur.identity.endpoints import Endpoints
from lazur.identity.lockout import Lockout
from lazur.identity.oauth import Authority, Form, OAuthError, malformed, required, unknown_app
from lazur.identity.objects import Application, Secret, ServicePrincipal, Tenant, User
from lazur.identity.outside import Issuers
from lazur.identity.passwords import NOBODY, check_password
from lazur.kernel.clock import Clock

# Each check takes 16 MiB and a fifth of a second: two at a time keep a flood from starving the process, and whoever
# would have to wait longer than some seconds is told so.
_CHECKS_AT_ONCE = 2
_CHECKS_WAITING = 40
_LONGEST_PASSWORD = 1024
WRONG_PASSWORD = 50126
"""Entra's number for a wrong name or password."""


class MustChange(OAuthError):
    """The password is right, and has to be changed first: there is a page for that."""

    def __init__(self, user: User) -> None:
        super().__init__("invalid_grant", 50055, "The password has expired. Sign in with a browser to choose a new one.")
        self.user = user


@dataclass(frozen=True)
class Client:
    """A program that proved who it is: `strength` 0 public, 1 by secret, 2 by assertion (`appidacr`), `credential` the
    id of what it proved itself with. `app` is None for a managed identity, which is a service principal alone."""

    app_id: str
    app: Application | None
    strength: int
    credential: str = ""


class SignIn:
    """The one place where credentials are checked."""

    def __init__(self, endpoints: Endpoints, directory: LiveDirectory, issuers: Issuers, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._lockout = Lockout(clock)
        self._assertions = Assertions(endpoints, issuers, clock)
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._waiting = 0

    async def user(self, authority: Authority, upn: str, password: str, source: str) -> User:
        """The person of that name and password, if `authority` speaks for their tenant.

        AADSTS50126 for a wrong name or password, 50053 while locked, 50057 for a disabled account, 50055 for a password
        that must be changed, 50020 for a person of another tenant (all told only to those who know the password).
        """
        name = upn.strip().lower()
        if "\x00" in name or len(name) > 256 or len(password) > _LONGEST_PASSWORD:
            raise _wrong()
        checked = self._named(name)
        await self._check_password(name, checked, password, source)
        user = self._named(name)
        if user is None or checked is None or user.password_hash != checked.password_hash:
            raise _wrong()  # another one was set while this one was looked at
        self.may(user, authority)
        if user.change_password:
            raise MustChange(user)
        return user

    async def proved(self, user: User, password: str, source: str) -> None:
        """Whether somebody who has signed in knows the password of theirs, refused as it would be at sign-in."""
        if len(password) > _LONGEST_PASSWORD:
            raise _wrong()
        await self._check_password(user.upn.lower(), user, password, source)

    def _named(self, upn: str) -> User | None:
        return self._directory.current.user(upn) if "@" in upn else None

    async def _check_password(self, name: str, user: User | None, password: str, source: str) -> None:
        if self._waiting >= _CHECKS_WAITING:
            raise OAuthError("temporarily_unavailable", 90033, "Too many sign-ins are waiting. Try again.", status=503)
        self._waiting += 1
        try:
            async with self._checks:
                self._lockout.check(name, source)
                hashed = (user.password_hash if user else "") or NOBODY
                if await asyncio.to_thread(check_password, password, hashed) and hashed != NOBODY:
                    self._lockout.succeeded(name, source)
                    return
                self._note_failure(name, user, source)
        except OAuthError as error:
            audit.refused("password", error, source, **_named(user))
            raise
        finally:
            self._waiting -= 1

    def _note_failure(self, name: str, user: User | None, source: str) -> None:
        if self._lockout.failed(name, source):
            audit.locked(source, user.object_id if user else "")
        raise _wrong()

    def guessed(self, what: str, source: str) -> None:
        """Count a wrong guess of something else than a password, a device's code say. It is nobody's account: each place
        is counted by itself, so that none can shut the others out."""
        self._lockout.failed(_guess(what, source), source)

    def check_guesses(self, what: str, source: str) -> None:
        """Raise AADSTS50053 when there were too many of them."""
        self._lockout.check(_guess(what, source), source)

    @staticmethod
    def may(user: User, authority: Authority) -> None:
        """Whether a known person may sign in at `authority` now."""
        if not user.enabled:
            raise OAuthError("invalid_grant", 50057, "The user account is disabled.")
        if not authority.accepts(user.tenant_id):
            raise OAuthError(
                "invalid_grant", 50020, f"User account '{user.upn}' does not exist in the tenant asked for."
            )

    def application(self, directories: Directories, app_id: str, tenant: Tenant | None) -> Application:
        """The registered application usable in `tenant` (None: not decided yet), or AADSTS700016."""
        if tenant is None:
            app = directories.application(app_id)
            if app is None:
                raise unknown_app(app_id, "common")
            return app
        app = directories.usable(app_id, tenant.id)
        if app is None:
            raise unknown_app(app_id, tenant.display_name)
        principal = directories.principal(app.app_id, tenant.id)
        if principal is None:
            raise OAuthError("invalid_grant", 65001, f"No administrator has consented to use '{app.display_name}'.")
        if not principal.enabled:
            raise OAuthError("unauthorized_client", 7000112, f"Application '{app.app_id}' is disabled here.")
        return app

    async def client(self, directories: Directories, form: Form, tenant: Tenant | None, source: str) -> Client:
        """The application a token request comes from, authenticated as its registration demands."""
        app_id = required(form, "client_id")
        try:
            return await self._client(directories, app_id, form, tenant)
        except OAuthError as error:
            audit.refused("client", error, source, tenant=tenant.id if tenant else "")
            raise

    async def _client(self, directories: Directories, app_id: str, form: Form, tenant: Tenant | None) -> Client:
        principal = directories.principal(app_id, tenant.id) if tenant else None
        if principal and principal.enabled and principal.type == "ManagedIdentity":
            return await self._prove(principal.app_id, None, principal, form, tenant)
        app = self.application(directories, app_id, tenant)
        if app.public and not ("client_assertion" in form or form.get("client_secret")):
            return Client(app.app_id, app, 0)
        if app.public and not (app.secrets or app.certificates or app.federated):
            raise OAuthError(
                "invalid_client", 700025, "The client is public: it may present no secret and no assertion.", status=401
            )
        return await self._prove(app.app_id, app, principal, form, tenant)

    async def _prove(
        self, app_id: str, app: Application | None, principal: ServicePrincipal | None, form: Form, tenant: Tenant | None
    ) -> Client:
        holders: list[Application | ServicePrincipal] = [holder for holder in (app, principal) if holder is not None]
        if "client_assertion" in form:
            if form.get("client_secret"):
                raise malformed("The client authenticates by secret and by assertion: use one of the two.")
            certificates = [kept for holder in holders for kept in holder.certificates]
            federated = [kept for holder in holders for kept in holder.federated]
            return Client(app_id, app, 2, await self._assertions.check(app_id, certificates, federated, tenant, form))
        if not form.get("client_secret"):
            raise OAuthError(
                "invalid_client",
                7000218,
                "The request body must contain: 'client_assertion' or 'client_secret'.",
                status=401,
            )
        secrets = [kept for holder in holders for kept in holder.secrets]
        return Client(app_id, app, 1, self._check_secret(app_id, secrets, form["client_secret"]))

    def _check_secret(self, app_id: str, secrets: list[Secret], secret: str) -> str:
        # No lock-out here: generated secrets cannot be guessed, and one stale job must not lock an application's others.
        matching = [kept for kept in secrets if kept.matches(secret)]
        if not matching:
            raise OAuthError("invalid_client", 7000215, f"Invalid client secret provided for app '{app_id}'.", status=401)
        now = self._clock.now().timestamp()
        valid = [kept for kept in matching if kept.starts <= now and not (kept.expires and kept.expires <= now)]
        if not valid:
            raise OAuthError("invalid_client", 7000222, f"The client secret of app '{app_id}' has expired.", status=401)
        return valid[0].key_id


def _guess(what: str, source: str) -> str:
    return f"{what} from {source}"


def _wrong() -> OAuthError:
    return OAuthError("invalid_grant", WRONG_PASSWORD, "Error validating credentials due to invalid username or password.")


def _named(user: User | None) -> dict[str, str]:
    return {"tenant": user.tenant_id, "principal": user.object_id} if user else {}
