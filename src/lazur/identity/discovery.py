"""What the sign-in endpoints say about themselves: OpenID configuration, realm and instance discovery.

Must never depend on who asks, nor on the name it was asked under: all URLs come from the configured endpoints.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from lazur.identity.endpoints import Endpoints
from lazur.identity.keys import ALGORITHM
from lazur.identity.oauth import Authority, OAuthError

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ON_BEHALF_OF = "urn:ietf:params:oauth:grant-type:jwt-bearer"
RESPONSE_MODES = ("query", "fragment", "form_post")
_GRANTS = ("authorization_code", "refresh_token", "client_credentials", "password", DEVICE_GRANT, ON_BEHALF_OF)
_CLAIMS = ("aud", "exp", "iat", "iss", "name", "nonce", "oid", "preferred_username", "sub", "tid")


def configuration(endpoints: Endpoints, segment: str, authority: Authority, home: str) -> dict[str, Any]:
    """The OpenID configuration served at `segment`; `home` is the tenant an ADFS-like authority names as issuer, which is
    where az reads a domain's tenant."""
    if authority.dialect == "adfs":
        base, issuer = endpoints.adfs, authority.issuer(endpoints, home)
        oauth, keys = f"{base}/oauth2", f"{base}/discovery/keys"
    else:
        base = f"{endpoints.login}/{authority.tenant.id if authority.tenant else segment.lower()}"
        issuer = authority.issuer(endpoints, authority.tenant.id if authority.tenant else "{tenantid}")
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
        "grant_types_supported": list(_GRANTS),
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": list(_CLAIMS),
        "cloud_instance_name": urlsplit(endpoints.login).netloc,
    }


def realm(endpoints: Endpoints, user: str, known: bool) -> dict[str, Any]:
    """How a user's domain signs in: by password here, when a tenant has that domain (`known`)."""
    return {
        "ver": "1.0",
        "account_type": "Managed" if known else "Unknown",
        "domain_name": user.rpartition("@")[2],
        "cloud_instance_name": urlsplit(endpoints.login).netloc,
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    }


def instance(endpoints: Endpoints, authorization_endpoint: str) -> dict[str, Any]:
    """Instance discovery: our own authority is known, any other is AADSTS50049."""
    asked, ours = urlsplit(authorization_endpoint), urlsplit(endpoints.login)
    if asked.scheme != "https" or asked.netloc.lower() != ours.netloc:
        raise OAuthError("invalid_instance", 50049, "Unknown or invalid instance.")
    segment = asked.path.strip("/").partition("/")[0] or "common"
    host = ours.netloc
    return {
        "tenant_discovery_endpoint": f"{endpoints.login}/{segment}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }
