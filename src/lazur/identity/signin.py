"""Checks credentials: passwords of people, secrets and assertions of applications. Slows guessing down.

Must never say whether a user exists, and never compare a secret in a way that leaks it.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import extract_compact

from lazur.identity.directory import Directories
from lazur.identity.endpoints import Endpoints
from lazur.identity.oauth import Authority, Form, OAuthError, malformed, required, unknown_app
from lazur.identity.objects import Application, Tenant, User
from lazur.identity.passwords import NOBODY, check_password
from lazur.kernel.clock import Clock

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ATTEMPTS = 10
LOCKED_FOR = 60.0
LOCKED_AT_MOST = 3600.0
_TRACKED = 10_000
# Each check takes 16 MiB and a fifth of a second: two at a time keep a flood from starving the process.
_CHECKS_AT_ONCE = 2
ASSERTION_AT_MOST = 3600


@dataclass
class _Failures:
    count: int = 0
    locked_until: float = 0.0
    last: float = 0.0


class Lockout:
    """Counts failures per name, whether the name exists or not: after 10 the name is locked for a minute, then longer.

    Kept in memory: a restart of the process forgives.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    def check(self, name: str) -> None:
        """Raise AADSTS50053 while `name` is locked."""
        failures = self._failures.get(name)
        if failures and failures.locked_until > self._clock.monotonic():
            raise OAuthError(
                "invalid_grant",
                50053,
                "The account is locked because it was tried too many times with a wrong password. Try again later.",
            )

    def failed(self, name: str) -> None:
        """Count a failure; the tenth locks for a minute, each further one for twice as long, at most an hour."""
        now = self._clock.monotonic()
        failures = self._failures.pop(name, _Failures())
        if now - failures.last > LOCKED_AT_MOST:
            failures = _Failures()
        failures.count += 1
        failures.last = now
        if failures.count >= ATTEMPTS:
            failures.locked_until = now + min(LOCKED_FOR * 2 ** (failures.count - ATTEMPTS), LOCKED_AT_MOST)
        self._failures[name] = failures
        if len(self._failures) > _TRACKED:
            # Oldest first: a lock that is being attacked was touched last and stays.
            del self._failures[next(iter(self._failures))]

    def succeeded(self, name: str) -> None:
        """Forget the failures of `name`."""
        self._failures.pop(name, None)


@dataclass(frozen=True)
class Client:
    """An application that proved who it is: `strength` 0 public, 1 by secret, 2 by certificate (`appidacr`)."""

    app: Application
    strength: int


class SignIn:
    """The one place where credentials are checked."""

    def __init__(self, endpoints: Endpoints, clock: Clock) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._lockout = Lockout(clock)
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._used_assertions: dict[str, int] = {}

    async def user(self, directory: Directories, authority: Authority, upn: str, password: str) -> User:
        """The person of that name and password, if `authority` speaks for their tenant.

        AADSTS50126 for a wrong name or password, 50053 while locked, 50057 for a disabled account, 50020 for a person of
        another tenant (told only to those who know the password).
        """
        name = upn.strip().lower()
        async with self._checks:
            self._lockout.check(name)
            user = directory.user(name) if "@" in name else None
            known = await asyncio.to_thread(check_password, password, user.password_hash if user else NOBODY)
            if user is None or not known:
                self._lockout.failed(name)
                raise OAuthError(
                    "invalid_grant", 50126, "Error validating credentials due to invalid username or password."
                )
        self._lockout.succeeded(name)
        if not user.enabled:
            raise OAuthError("invalid_grant", 50057, "The user account is disabled.")
        if not authority.accepts(user.tenant_id):
            raise OAuthError(
                "invalid_grant", 50020, f"User account '{user.upn}' does not exist in the tenant asked for."
            )
        return user

    def application(self, directory: Directories, app_id: str, tenant: Tenant | None) -> Application:
        """The registered application usable in `tenant` (None: not decided yet), or AADSTS700016."""
        app = directory.application(app_id)
        if app is None:
            raise unknown_app(app_id, tenant.display_name if tenant else "common")
        if tenant is not None and app.tenant_id and directory.principal(app.app_id, tenant.id) is None:
            if app.tenant_id == tenant.id:
                raise OAuthError("invalid_grant", 65001, f"No administrator has consented to use '{app.display_name}'.")
            raise unknown_app(app_id, tenant.display_name)
        return app

    def client(self, directory: Directories, form: Form, tenant: Tenant | None) -> Client:
        """The application a token request comes from, authenticated as its registration demands."""
        app = self.application(directory, required(form, "client_id"), tenant)
        if app.public:
            if form.get("client_secret") or form.get("client_assertion"):
                raise OAuthError(
                    "invalid_client",
                    700025,
                    "The client is public: it may present no secret and no assertion.",
                    status=401,
                )
            return Client(app, 0)
        if "client_assertion" in form:
            self._check_assertion(app, form, tenant)
            return Client(app, 2)
        if not form.get("client_secret"):
            raise OAuthError(
                "invalid_client",
                7000218,
                "The request body must contain: 'client_assertion' or 'client_secret'.",
                status=401,
            )
        self._check_secret(app, form["client_secret"])
        return Client(app, 1)

    def _check_secret(self, app: Application, secret: str) -> None:
        # No lock-out here: generated secrets cannot be guessed, and one stale job must not lock an application's others.
        matching = [kept for kept in app.secrets if kept.matches(secret)]
        if not matching:
            raise OAuthError(
                "invalid_client", 7000215, f"Invalid client secret provided for app '{app.app_id}'.", status=401
            )
        if all(kept.expires and kept.expires <= self._clock.now().timestamp() for kept in matching):
            raise OAuthError(
                "invalid_client", 7000222, f"The client secret of app '{app.app_id}' has expired.", status=401
            )

    def _check_assertion(self, app: Application, form: Form, tenant: Tenant | None) -> None:
        if form.get("client_assertion_type") != ASSERTION:
            raise malformed(f"'client_assertion_type' must be '{ASSERTION}'.")
        try:
            token = form["client_assertion"]
            key = _assertion_key(app, extract_compact(token.encode()).headers())
            claims = jwt.decode(token, key, algorithms=["RS256", "PS256"]).claims
        except (JoseError, ValueError, TypeError):
            raise _bad_assertion("its signature does not verify") from None
        self._check_assertion_claims(app, claims, tenant)

    def _check_assertion_claims(self, app: Application, claims: dict[str, Any], tenant: Tenant | None) -> None:
        now = self._clock.now().timestamp()
        if claims.get("iss") != app.app_id or claims.get("sub") != app.app_id:
            raise _bad_assertion("'iss' and 'sub' must be the client id")
        expires, begins, unique = claims.get("exp"), claims.get("nbf", 0), claims.get("jti")
        if not isinstance(expires, int) or not isinstance(begins, int | float) or not isinstance(unique, str):
            raise _bad_assertion("'exp' and 'jti' are required")
        if not now < expires <= now + ASSERTION_AT_MOST or begins > now + 300:
            raise _bad_assertion("it is outside its lifetime")
        if not self._is_ours(str(claims.get("aud", "")), tenant):
            raise _bad_assertion("'aud' is not this token endpoint")
        self._used_assertions = {jti: until for jti, until in self._used_assertions.items() if until > now}
        use = f"{app.app_id}/{unique}"
        if use in self._used_assertions:
            raise _bad_assertion("it was used before")
        self._used_assertions[use] = expires

    def _is_ours(self, audience: str, tenant: Tenant | None) -> bool:
        # The token endpoint is spelt with the tenant's id, its domain or `common`; the issuer is accepted as well.
        if audience.startswith(f"{self._endpoints.adfs}/oauth2/"):
            return True
        names = {"common", "organizations", *((tenant.id, tenant.default_domain) if tenant else ())}
        return any(audience.startswith(f"{self._endpoints.login}/{name}/") for name in names)


def _assertion_key(app: Application, headers: dict[str, Any]) -> RSAKey:
    for certificate in app.certificates:
        cert = x509.load_pem_x509_certificate(certificate.pem.encode())
        # SHA-1 is the header's own definition (RFC 7515, 4.1.7); it only names the certificate.
        prints = {
            "x5t": _b64(cert.fingerprint(hashes.SHA1())),
            "x5t#S256": _b64(cert.fingerprint(hashes.SHA256())),
        }
        if any(name in headers and headers[name] == value for name, value in prints.items()):
            spki = serialization.PublicFormat.SubjectPublicKeyInfo
            return RSAKey.import_key(cert.public_key().public_bytes(serialization.Encoding.PEM, spki))
    raise OAuthError(
        "invalid_client", 700027, "The certificate that signed the client assertion is not registered.", status=401
    )


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bad_assertion(why: str) -> OAuthError:
    return OAuthError("invalid_client", 700024, f"The client assertion is not valid: {why}.", status=401)
