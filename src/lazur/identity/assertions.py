"""Client assertions: an application proves itself by its certificate, or by a token of an outside issuer it trusts.

Must never take a key from the assertion itself: keys are those registered, or those of the registered issuer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import extract_compact

from lazur.identity.endpoints import Endpoints
from lazur.identity.oauth import Form, OAuthError, malformed
from lazur.identity.objects import Certificate, FederatedCredential, Tenant
from lazur.identity.outside import ALGORITHMS, Issuers, foreign, key_set, strings
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Unavailable

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_AT_MOST = 3600
SKEW = 300
_LARGEST = 16 * 1024
_CERTIFICATE_ALGORITHMS = ["RS256", "PS256"]


class Assertions:
    """Checks client assertions.

    One assertion may come several times within its life: client libraries make one and use it for each token they need.
    """

    def __init__(self, endpoints: Endpoints, issuers: Issuers, clock: Clock) -> None:
        self._endpoints = endpoints
        self._issuers = issuers
        self._clock = clock

    async def check(
        self,
        app_id: str,
        certificates: Iterable[Certificate],
        federated: Iterable[FederatedCredential],
        tenant: Tenant | None,
        form: Form,
    ) -> str:
        """The id of the registered credential that the assertion in `form` proves."""
        if form.get("client_assertion_type") != ASSERTION:
            raise malformed(f"'client_assertion_type' must be '{ASSERTION}'.")
        token = form["client_assertion"]
        headers, claims = _unverified(token)
        if claims.get("iss") == app_id:
            return self._by_certificate(app_id, certificates, tenant, token, headers)
        return await self._by_issuer(tuple(federated), token, headers, claims)

    def _by_certificate(
        self, app_id: str, certificates: Iterable[Certificate], tenant: Tenant | None, token: str, headers: dict[str, Any]
    ) -> str:
        now = self._clock.now().timestamp()
        found = next((kept for kept in certificates if _signed_by(kept, headers)), None)
        if found is None:
            raise OAuthError(
                "invalid_client", 700027, "The certificate that signed the client assertion is not registered.", status=401
            )
        if not (found.starts or 0) <= now < (found.expires or now + 1):
            raise _bad("the certificate is outside the time it is registered for")
        claims = _verified(token, _public_key(found), _CERTIFICATE_ALGORITHMS)
        if claims.get("iss") != app_id or claims.get("sub") != app_id:
            raise _bad("'iss' and 'sub' must be the client id")
        self._in_time(claims)
        if claims["exp"] > now + ASSERTION_AT_MOST + SKEW:
            raise _bad("it is outside its lifetime")
        if not any(self._is_ours(audience, tenant) for audience in strings(claims.get("aud"))):
            raise _bad("'aud' is not this token endpoint")
        return found.key_id

    async def _by_issuer(
        self, federated: tuple[FederatedCredential, ...], token: str, headers: dict[str, Any], claims: dict[str, Any]
    ) -> str:
        of_issuer = [kept for kept in federated if kept.issuer == claims.get("iss")]
        if not of_issuer:
            raise _no_match(700211, "issuer", claims.get("iss"))
        of_subject = [kept for kept in of_issuer if kept.subject == claims.get("sub")]
        if not of_subject:
            raise _no_match(700213, "subject", claims.get("sub"))
        found = next((kept for kept in of_subject if set(strings(claims.get("aud"))) & set(kept.audiences)), None)
        if found is None:
            raise _no_match(700212, "audience", claims.get("aud"))
        key = await self._key(found, str(headers.get("kid", "")))
        self._in_time(_verified(token, key, ALGORITHMS))
        return found.id

    async def _key(self, credential: FederatedCredential, kid: str) -> RSAKey | ECKey:
        if credential.keys is not None:
            keys = key_set(credential.keys)
        else:
            try:
                keys = dict((await self._issuers.issuer(credential.issuer, kid)).keys)
            except Unavailable as error:
                raise OAuthError(
                    "invalid_client", 501661, f"The keys of the assertion's issuer cannot be had: {error.message}", status=401
                ) from None
        if not kid and len(keys) == 1:
            return next(iter(keys.values()))
        if kid not in keys:
            raise _bad("its issuer has no such key")
        return keys[kid]

    def _in_time(self, claims: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int | float) or not isinstance(begins, int | float):
            raise _bad("'exp' is required, and times are numbers")
        if not now < expires or begins > now + SKEW:
            raise _bad("it is outside its lifetime")

    def _is_ours(self, audience: str, tenant: Tenant | None) -> bool:
        # The token endpoint is spelt with the tenant's id, its domain or `common`; the issuer is accepted as well.
        if audience.startswith(f"{self._endpoints.adfs}/oauth2/"):
            return True
        names = {"common", "organizations", *((tenant.id, *tenant.names) if tenant else ())}
        return any(audience.lower().startswith(f"{self._endpoints.login}/{name}/") for name in names)


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they are written: they only say which registered key to check the signature with."""
    if len(token) > _LARGEST:
        raise _bad("it is too large")
    try:
        parsed = extract_compact(token.encode(), registry=foreign([]))
        headers, claims = parsed.headers(), json.loads(parsed.payload)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise _bad("it is not a signed JSON web token") from None
    if not isinstance(claims, dict):
        raise _bad("it is not a signed JSON web token")
    return dict(headers), claims


def _verified(token: str, key: RSAKey | ECKey, algorithms: list[str]) -> dict[str, Any]:
    try:
        return dict(jwt.decode(token, key, algorithms=algorithms, registry=foreign(algorithms)).claims)
    except (JoseError, ValueError, TypeError):
        raise _bad("its signature does not verify") from None


def _signed_by(kept: Certificate, headers: dict[str, Any]) -> bool:
    """Whether the header names this certificate. A chain sent along (`x5c`) is not looked at: it proves nothing."""
    cert = x509.load_pem_x509_certificate(kept.pem.encode())
    # SHA-1 is the header's own definition (RFC 7515, 4.1.7); it only names the certificate.
    prints = {"x5t": cert.fingerprint(hashes.SHA1()), "x5t#S256": cert.fingerprint(hashes.SHA256())}
    # Some libraries leave base64's padding on.
    if any(str(headers.get(name, "")).rstrip("=") == _b64(value) for name, value in prints.items()):
        return True
    return not any(name in headers for name in prints) and str(headers.get("kid", "")).lower() == prints["x5t"].hex()


def _public_key(kept: Certificate) -> RSAKey:
    public = x509.load_pem_x509_certificate(kept.pem.encode()).public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise _bad("the certificate's key is not an RSA key")
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return RSAKey.import_key(public.public_bytes(serialization.Encoding.PEM, spki))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bad(why: str) -> OAuthError:
    return OAuthError("invalid_client", 700024, f"The client assertion is not valid: {why}.", status=401)


def _no_match(number: int, what: str, value: Any) -> OAuthError:
    return OAuthError(
        "invalid_client",
        number,
        f"No federated credential of the application matches the assertion's {what} '{str(value)[:200]}'.",
        status=401,
    )
