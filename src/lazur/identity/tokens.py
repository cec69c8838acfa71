"""Access and identity tokens: what they say, and how a service of the stamp checks one.

Must never accept a token on anything but our own signature, and never let a token of one tenant speak in another.
Claims are those of Azure's v1.0 access tokens and v2.0 identity tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import extract_compact

from lazur.identity.directory import LiveDirectory
from lazur.identity.endpoints import Endpoints, normal
from lazur.identity.keys import ALGORITHM, KeyRing
from lazur.identity.objects import Application, ServicePrincipal, User
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids

LIFETIME = 3600
# A relying party's clock may run this many seconds behind ours.
SKEW = 300
_CACHE = 8192

Kind = Literal["user", "servicePrincipal"]


@dataclass(frozen=True)
class Principal:
    """Who is asking, from a verified token. `claims` are all of the token's."""

    tenant_id: str
    object_id: str
    app_id: str
    upn: str | None
    kind: Kind
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Subject:
    """Whom a token is issued for, and through which application."""

    tenant_id: str
    object_id: str
    app_id: str
    kind: Kind
    upn: str | None = None
    display_name: str = ""

    @classmethod
    def of_user(cls, user: User, app: Application) -> Subject:
        """A person, acting through `app`."""
        return cls(user.tenant_id, user.object_id, app.app_id, "user", user.upn, user.display_name)

    @classmethod
    def of_service(cls, principal: ServicePrincipal) -> Subject:
        """An application acting for itself."""
        return cls(principal.tenant_id, principal.object_id, principal.app_id, "servicePrincipal")

    @property
    def pairwise(self) -> str:
        """`sub`: a user differs from application to application, a service is its object id."""
        if self.kind == "servicePrincipal":
            return self.object_id
        return hashlib.sha256(f"{self.tenant_id}/{self.object_id}/{self.app_id}".encode()).hexdigest()[:43]


class Issuer:
    """Signs tokens with the stamp's current key."""

    def __init__(self, endpoints: Endpoints, keys: KeyRing, clock: Clock, ids: Ids) -> None:
        self._endpoints = endpoints
        self._keys = keys
        self._clock = clock
        self._ids = ids

    def access(self, subject: Subject, audience: str, capabilities: tuple[str, ...] = (), confidential: int = 0) -> str:
        """An access token for `audience`, as the caller spelt it. `confidential`: 0 public, 1 secret, 2 certificate."""
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self._endpoints.issuer(subject.tenant_id),
            **self._times(),
            "appid": subject.app_id,
            "appidacr": str(confidential),
            "idp": self._endpoints.issuer(subject.tenant_id),
            "oid": subject.object_id,
            "sub": subject.pairwise,
            "tid": subject.tenant_id,
            "uti": self._ids.token(16),
            "ver": "1.0",
        }
        if subject.kind == "user":
            claims |= {
                "idtyp": "user",
                "amr": ["pwd"],
                "name": subject.display_name,
                "scp": "user_impersonation",
                "unique_name": subject.upn,
                "upn": subject.upn,
            }
        else:
            claims["idtyp"] = "app"
        if capabilities:
            claims["xms_cc"] = list(capabilities)
        return self._sign(claims)

    def identity(self, subject: Subject, issuer: str, nonce: str | None) -> str:
        """An identity token for the application itself; `issuer` is that of the discovery document it used."""
        claims: dict[str, Any] = {
            "aud": subject.app_id,
            "iss": issuer,
            **self._times(),
            "name": subject.display_name,
            "oid": subject.object_id,
            "preferred_username": subject.upn,
            "sub": subject.pairwise,
            "tid": subject.tenant_id,
            "upn": subject.upn,
            "uti": self._ids.token(16),
            "ver": "2.0",
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self._sign(claims)

    def _times(self) -> dict[str, int]:
        now = int(self._clock.now().timestamp())
        return {"iat": now, "nbf": now - SKEW, "exp": now + LIFETIME}

    def _sign(self, claims: dict[str, Any]) -> str:
        key = self._keys.signing()
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "x5t": key.kid}, claims, key, algorithms=[ALGORITHM])


class Verifier:
    """Checks access tokens for the stamp's services; a token seen before costs one hash and two comparisons."""

    def __init__(self, endpoints: Endpoints, keys: KeyRing, directory: LiveDirectory, clock: Clock) -> None:
        self._endpoints = endpoints
        self._keys = keys
        self._directory = directory
        self._clock = clock
        self._seen: dict[bytes, tuple[float, str, Principal]] = {}

    def verify(self, token: str, audiences: frozenset[str], *, tenant: str | None = None) -> Principal:
        """Who `token` speaks for. `audiences` in their normal spelling (`endpoints.normal`, `Endpoints.accepted_by_arm`).

        With `tenant` the token must be of that tenant. Raises `LazurError` 401 with ARM's codes:
        `InvalidAuthenticationToken`, `ExpiredAuthenticationToken`, `InvalidAuthenticationTokenAudience`,
        `InvalidAuthenticationTokenTenant`.
        """
        digest = hashlib.sha256(token.encode()).digest()
        found = self._seen.get(digest)
        now = self._clock.now().timestamp()
        if found is None:
            found = self._read(token, now)
            self._remember(digest, found, now)
        expires, audience, principal = found
        if expires <= now:
            self._seen.pop(digest, None)
            raise _expired(expires, now)
        if audience not in audiences:
            raise _refused("InvalidAuthenticationTokenAudience", f"The access token is for '{audience}'.")
        if tenant is not None and principal.tenant_id != tenant:
            raise wrong_tenant(self._endpoints, principal.tenant_id, tenant)
        return principal

    def _remember(self, digest: bytes, found: tuple[float, str, Principal], now: float) -> None:
        if len(self._seen) >= _CACHE:
            self._seen = {key: entry for key, entry in self._seen.items() if entry[0] > now}
        if len(self._seen) >= _CACHE:
            del self._seen[next(iter(self._seen))]
        self._seen[digest] = found

    def _read(self, token: str, now: float) -> tuple[float, str, Principal]:
        claims = self._claims(token)
        if claims["exp"] <= now:
            raise _expired(claims["exp"], now)
        if claims["nbf"] > now + SKEW:
            raise _refused("InvalidAuthenticationToken", "The access token is not valid yet.")
        tenant_id = claims["tid"]
        if self._directory.current.tenant(tenant_id) is None or claims["iss"] != self._endpoints.issuer(tenant_id):
            raise _refused("InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer.")
        principal = Principal(
            tenant_id=tenant_id,
            object_id=claims["oid"],
            app_id=claims["appid"],
            upn=claims.get("upn"),
            kind="servicePrincipal" if claims["idtyp"] == "app" else "user",
            groups=tuple(claims.get("groups", ())),
            claims=claims,
        )
        return float(claims["exp"]), normal(claims["aud"]), principal

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            kid = extract_compact(token.encode()).headers().get("kid", "")
            key = self._keys.verifying(str(kid))
            if not isinstance(key, RSAKey):
                raise _refused("InvalidAuthenticationToken", "The access token is signed by no key of this stamp.")
            claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, KeyError, TypeError):
            raise _refused("InvalidAuthenticationToken", "The access token is invalid.") from None
        # Identity tokens bear the same signature; only what `Issuer.access` wrote is an access token.
        if claims.get("ver") != "1.0" or "appid" not in claims:
            raise _refused("InvalidAuthenticationToken", "The token is not an access token.")
        return dict(claims)


def bearer(header: str | None) -> str:
    """The token of an `Authorization: Bearer` header; raises 401 `AuthenticationFailed` when it is not there."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _refused(
            "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or invalid."
        )
    return token.strip()


def challenge(endpoints: Endpoints, tenant_id: str) -> str:
    """The `WWW-Authenticate` value that sends a client to the right authority."""
    return (
        f'Bearer authorization_uri="{endpoints.authority(tenant_id)}", error="invalid_token",'
        ' error_description="The authentication failed because of missing or invalid access token."'
    )


def wrong_tenant(endpoints: Endpoints, theirs: str, wanted: str) -> LazurError:
    """The 401 of a token of another tenant than the subscription's, in ARM's words."""
    return _refused(
        "InvalidAuthenticationTokenTenant",
        f"The access token is from the wrong issuer '{endpoints.issuer(theirs)}'. It must match the tenant"
        f" '{endpoints.issuer(wanted)}' associated with this subscription.",
    )


def _expired(expires: float, now: float) -> LazurError:
    return _refused("ExpiredAuthenticationToken", f"The access token expired {int(now - expires)} s ago.")


def _refused(code: str, message: str) -> LazurError:
    return LazurError(code, message, status=401)
