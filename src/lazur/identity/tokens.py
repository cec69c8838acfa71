"""Access and identity tokens: what they say, and how a service of the stamp checks one.

Must never accept a token on anything but our own signature, never let a token of one tenant speak in another, and never
go on accepting one after its principal, its credential or its sign-in was taken back. Claims are those of Azure's v1.0
access tokens and v2.0 identity tokens.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.jws import extract_compact

from lazur.identity.directory import Directories, Directory, LiveDirectory
from lazur.identity.endpoints import Endpoints, normal
from lazur.identity.grants import Grants
from lazur.identity.keys import ALGORITHM, KeyRing
from lazur.identity.objects import Application, ServicePrincipal, User
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids

LIFETIME = 3600
# A relying party's clock may run this many seconds behind ours.
SKEW = 300
_LARGEST = 16 * 1024
# Everything our own headers hold. A header that names another key, an address or an extension is not ours.
_HEADERS = frozenset({"alg", "kid", "x5t", "typ"})
_TEXTS = ("aud", "iss", "tid", "oid", "appid", "idtyp", "sub")
_TIMES = ("iat", "nbf", "exp")
# Nobody acts for somebody else here; a token that says so was not made here.
_FOREIGN = frozenset({"act", "may_act", "actortoken"})

Kind = Literal["user", "servicePrincipal"]


@dataclass(frozen=True)
class Principal:
    """Who is asking, from a verified token. `claims` are all of the token's; `groups` the directory's of today."""

    tenant_id: str
    object_id: str
    app_id: str
    upn: str | None
    kind: Kind
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Subject:
    """Whom a token is issued for, and through which application.

    `grant` is the sign-in it comes of (people), `credential` the key id it was asked with (applications), `strength`
    0 for a public client, 1 by secret, 2 by certificate, `since` the time before which tokens of this principal are void.
    """

    tenant_id: str
    object_id: str
    app_id: str
    kind: Kind
    upn: str | None = None
    display_name: str = ""
    since: int = 0
    strength: int = 0
    grant: str = ""
    credential: str = ""
    resource: str = ""
    methods: tuple[str, ...] = ("pwd",)

    @classmethod
    def of_user(cls, user: User, app: Application, grant: str, strength: int = 0) -> Subject:
        """A person, acting through `app`."""
        return cls(
            user.tenant_id, user.object_id, app.app_id, "user", user.upn, user.display_name, user.sessions_from,
            strength, grant=grant, methods=("pwd",) if user.password_hash else ("fed",),
        )  # fmt: skip

    @classmethod
    def of_service(cls, principal: ServicePrincipal, strength: int, credential: str) -> Subject:
        """An application acting for itself."""
        return cls(
            principal.tenant_id, principal.object_id, principal.app_id, "servicePrincipal",
            since=principal.sessions_from, strength=strength, credential=credential,
        )  # fmt: skip

    @classmethod
    def of_managed_identity(cls, principal: ServicePrincipal, resource: str) -> Subject:
        """The identity of a resource, which keeps no credential: the stamp itself vouches for who asked."""
        return replace(cls.of_service(principal, 2, ""), resource=resource)

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

    def access(self, subject: Subject, audience: str, capabilities: tuple[str, ...] = ()) -> str:
        """An access token for `audience`, as the caller spelt it."""
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self._endpoints.issuer(subject.tenant_id),
            **self._times(subject),
            "appid": subject.app_id,
            "appidacr": str(subject.strength),
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
                "amr": list(subject.methods),
                "name": subject.display_name,
                "scp": "user_impersonation",
                "sid": subject.grant,
                "unique_name": subject.upn,
                "upn": subject.upn,
            }
        else:
            claims |= {"idtyp": "app", "cred": subject.credential}
            if subject.resource:
                claims["xms_mirid"] = subject.resource
        if capabilities:
            claims["xms_cc"] = list(capabilities)
        return self._sign(claims)

    def identity(self, subject: Subject, issuer: str, nonce: str | None) -> str:
        """An identity token for the application itself; `issuer` is that of the discovery document it used."""
        claims: dict[str, Any] = {
            "aud": subject.app_id,
            "iss": issuer,
            **self._times(subject),
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

    def _times(self, subject: Subject) -> dict[str, int]:
        now = int(self._clock.now().timestamp())
        # Revocation counts in whole seconds and voids the one it happens in; a sign-in right after it belongs to the next.
        return {"iat": max(now, subject.since), "nbf": now - SKEW, "exp": now + LIFETIME}

    def _sign(self, claims: dict[str, Any]) -> str:
        key = self._keys.signing()
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "x5t": key.kid}, claims, key, algorithms=[ALGORITHM])


@dataclass(slots=True)
class _Seen:
    """A token that was verified: until when, for whom, and with which state of the directory and of the ended sign-ins."""

    expires: float
    audience: str
    principal: Principal
    directories: Directories
    ended: int


class Verifier:
    """Checks access tokens for the stamp's services; a token seen before costs one hash and a few comparisons.

    What was taken back since is noticed at the next request: a changed directory makes every token prove itself again.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        keys: KeyRing,
        directory: LiveDirectory,
        grants: Grants,
        clock: Clock,
        *,
        remembered: int = 8192,
    ) -> None:
        self._endpoints = endpoints
        self._keys = keys
        self._directory = directory
        self._grants = grants
        self._clock = clock
        self._seen: dict[bytes, _Seen] = {}
        self._remembered = remembered

    def verify(self, token: str, audiences: frozenset[str], *, tenant: str | None = None) -> Principal:
        """Who `token` speaks for. `audiences` in their normal spelling (`endpoints.normal`, `Endpoints.accepted_by_arm`).

        With `tenant` the token must be of that tenant. Raises `LazurError` 401 with ARM's codes:
        `InvalidAuthenticationToken`, `ExpiredAuthenticationToken`, `InvalidAuthenticationTokenAudience`,
        `InvalidAuthenticationTokenTenant`; `TokenRevoked` for one that was good before.
        """
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        seen = self._seen.get(digest)
        now = self._clock.now().timestamp()
        if seen is None:
            seen = self._read(token, now)
            self._remember(digest, seen, now)
        elif seen.directories is not self._directory.current or seen.ended != self._grants.edition:
            self._again(seen)
        if seen.expires <= now:
            self._seen.pop(digest, None)
            raise _expired(seen.expires, now)
        if seen.audience not in audiences:
            raise _refused("InvalidAuthenticationTokenAudience", f"The access token is for '{seen.audience}'.")
        if tenant is not None and seen.principal.tenant_id != tenant:
            raise wrong_tenant(self._endpoints, seen.principal.tenant_id, tenant)
        return seen.principal

    def _remember(self, digest: bytes, seen: _Seen, now: float) -> None:
        if len(self._seen) >= self._remembered:
            self._seen = {key: entry for key, entry in self._seen.items() if entry.expires > now}
        if len(self._seen) >= self._remembered:
            del self._seen[next(iter(self._seen))]
        self._seen[digest] = seen

    def _read(self, token: str, now: float) -> _Seen:
        claims = self._claims(token)
        if claims["exp"] <= now:
            raise _expired(claims["exp"], now)
        if claims["nbf"] > now + SKEW or claims["iat"] > now + SKEW:
            raise _refused("InvalidAuthenticationToken", "The access token is not valid yet.")
        tenant_id = claims["tid"]
        directories, ended = self._directory.current, self._grants.edition
        if directories.tenant(tenant_id) is None or claims["iss"] != self._endpoints.issuer(tenant_id):
            raise _refused("InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer.")
        principal = Principal(
            tenant_id=tenant_id,
            object_id=claims["oid"],
            app_id=claims["appid"],
            upn=claims.get("upn"),
            kind="servicePrincipal" if claims["idtyp"] == "app" else "user",
            groups=self._standing(directories, claims),
            claims=claims,
        )
        return _Seen(float(claims["exp"]), normal(claims["aud"]), principal, directories, ended)

    def _again(self, seen: _Seen) -> None:
        directories, ended = self._directory.current, self._grants.edition
        groups = self._standing(directories, seen.principal.claims)
        if groups != seen.principal.groups:
            seen.principal = replace(seen.principal, groups=groups)
        seen.directories, seen.ended = directories, ended

    def _standing(self, directories: Directories, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """The groups of a token's principal now; `TokenRevoked` when the token was taken back."""
        directory = directories.directory(claims["tid"])
        standing = directory is not None and (
            _person_stands(directory, claims) and not self._grants.ended(claims.get("sid", ""))
            if claims["idtyp"] == "user"
            else _service_stands(directory, directories, claims)
        )
        if directory is None or not standing:
            raise TokenRevoked(claims, int(self._clock.now().timestamp()))
        return directory.groups_of(claims["oid"])

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _LARGEST:
            raise _refused("InvalidAuthenticationToken", "The access token is too large.")
        try:
            headers = extract_compact(token.encode()).headers()
            key = self._keys.verifying(headers.get("kid")) if set(headers) <= _HEADERS else None
            if not isinstance(key, RSAKey):
                raise _refused("InvalidAuthenticationToken", "The access token is signed by no key of this stamp.")
            claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, KeyError, TypeError, RecursionError):
            raise _refused("InvalidAuthenticationToken", "The access token is invalid.") from None
        # Identity tokens bear the same signature; only what `Issuer.access` wrote is an access token.
        if claims.get("ver") != "1.0" or not _well_formed(claims):
            raise _refused("InvalidAuthenticationToken", "The token is not an access token.")
        return dict(claims)


def _well_formed(claims: Mapping[str, Any]) -> bool:
    return (
        all(isinstance(claims.get(name), str) for name in _TEXTS)
        and all(type(claims.get(name)) is int for name in _TIMES)
        and claims["idtyp"] in ("user", "app")
        and isinstance(claims.get("cred" if claims["idtyp"] == "app" else "sid"), str)
        and not _FOREIGN & claims.keys()
    )


def _person_stands(directory: Directory, claims: Mapping[str, Any]) -> bool:
    user, program = directory.user(claims["oid"]), directory.principal(claims["appid"])
    return (
        user is not None
        and user.enabled
        and claims["iat"] >= user.sessions_from
        and program is not None
        and program.enabled
    )


def _service_stands(directory: Directory, directories: Directories, claims: Mapping[str, Any]) -> bool:
    principal = directory.principal(claims["appid"])
    if (
        principal is None
        or principal.object_id != claims["oid"]
        or not principal.enabled
        or claims["iat"] < principal.sessions_from
    ):
        return False
    credential = claims.get("cred", "")
    if not credential:
        return principal.type == "ManagedIdentity"
    return credential in credentials(principal, directories.application(principal.app_id))


def credentials(principal: ServicePrincipal, app: Application | None) -> frozenset[str]:
    """The ids of everything a service principal may prove itself with today."""
    holders: tuple[ServicePrincipal | Application, ...] = (principal, app) if app else (principal,)
    return frozenset(
        kept
        for holder in holders
        for kept in (
            *(secret.key_id for secret in holder.secrets),
            *(certificate.key_id for certificate in holder.certificates),
            *(federated.id for federated in holder.federated),
        )
    )


class TokenRevoked(LazurError):
    """The token was good, and was taken back: by a new password, a removed secret, a disabled account, an ended sign-in.

    `claims` is what a client that understands claims challenges (`xms_cc: CP1`) puts into its next token request, so
    that its library asks anew instead of handing out the same token from its cache; "" for other clients.
    """

    def __init__(self, claims: Mapping[str, Any], now: int) -> None:
        super().__init__(
            "TokenRevoked",
            "The access token was revoked: the account, its password or its credential changed since. Sign in again.",
            status=401,
        )
        self.claims = ""
        if "CP1" in claims.get("xms_cc", ()):
            wanted = {"access_token": {"nbf": {"essential": True, "value": str(now)}}}
            self.claims = base64.b64encode(json.dumps(wanted).encode()).decode()


def bearer(header: str | None) -> str:
    """The token of an `Authorization: Bearer` header; raises 401 `AuthenticationFailed` when it is not there."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _refused(
            "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or invalid."
        )
    return token.strip()


def challenge(endpoints: Endpoints, tenant_id: str, error: LazurError | None = None) -> str:
    """The `WWW-Authenticate` value that sends a client to the right authority; with `error`, what to ask for there."""
    authority = f'Bearer authorization_uri="{endpoints.authority(tenant_id)}"'
    if isinstance(error, TokenRevoked) and error.claims:
        return f'{authority}, error="insufficient_claims", claims="{error.claims}"'
    return (
        f'{authority}, error="invalid_token",'
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
