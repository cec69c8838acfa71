"""The vocabulary of the sign-in endpoints: errors with Entra's numbers, what a request asks for, who it is addressed to.

Must never do I/O or know HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from lazur.identity.directory import Directories
from lazur.identity.endpoints import Endpoints, normal
from lazur.identity.objects import Tenant
from lazur.kernel.errors import LazurError

Form = Mapping[str, str]
Dialect = Literal["v1", "v2", "adfs"]
OIDC_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
# Segments that name no tenant: who signs in decides.
ANY_TENANT = frozenset({"common", "organizations"})
PERSONAL = "consumers"
ADFS: Literal["adfs"] = "adfs"


class OAuthError(LazurError):
    """A refused sign-in: OAuth's `error` word and Entra's number, which az and MSAL read."""

    def __init__(self, error: str, number: int, message: str, *, status: int = 400) -> None:
        super().__init__(f"AADSTS{number}", message, status=status)
        self.error = error
        self.number = number

    def answer(self, now: datetime, trace_id: str, correlation_id: str) -> dict[str, Any]:
        """The JSON body of the error response."""
        stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        trail = f"Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {stamp}"
        return {
            "error": self.error,
            "error_description": f"{self.code}: {self.message} {trail}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
        }


def malformed(message: str = "The request is malformed or invalid.") -> OAuthError:
    """AADSTS9002313."""
    return OAuthError("invalid_request", 9002313, f"Invalid request. {message}")


def unknown_app(app_id: str, tenant: str) -> OAuthError:
    """AADSTS700016."""
    return OAuthError(
        "unauthorized_client",
        700016,
        f"Application with identifier '{app_id}' was not found in the directory '{tenant}'. Register it in this tenant"
        " or sign in to the tenant it belongs to.",
    )


def required(form: Form, name: str) -> str:
    """The value of a form field; AADSTS900144 when it is missing or empty."""
    value = form.get(name, "")
    if not value:
        raise OAuthError("invalid_request", 900144, f"The request body must contain the following parameter: '{name}'.")
    return value


@dataclass(frozen=True)
class Audience:
    """What a request asks a token for: `resource` as it will stand in `aud`, `scope` as the answer repeats it."""

    resource: str
    scope: str
    openid: bool
    offline: bool
    v1: bool
    capabilities: tuple[str, ...] = ()

    @classmethod
    def asked(cls, form: Form, endpoints: Endpoints) -> Audience:
        """From `resource=` (v1.0, ADFS) or `scope=`. Whether there is such a service is `check`'s question."""
        capabilities = _capabilities(form.get("claims", ""))
        if "resource" in form:
            resource = required(form, "resource")
            return cls(resource, form.get("scope", "user_impersonation"), True, True, True, capabilities)
        scopes = form.get("scope", "").split()
        resources = {_resource(scope, endpoints) for scope in scopes if scope not in OIDC_SCOPES}
        if len(resources) > 1:
            raise OAuthError("invalid_scope", 28000, "A request may ask for the scopes of one resource only.")
        return cls(
            resource=resources.pop() if resources else endpoints.graph,
            scope=" ".join(scopes),
            openid="openid" in scopes,
            offline="offline_access" in scopes,
            v1=False,
            capabilities=capabilities,
        )

    def granted(self, scope: str) -> Audience:
        """Itself, with what the sign-in was asked for before: who redeems a code need not repeat `offline_access`."""
        scopes = scope.split()
        return replace(self, openid=self.openid or "openid" in scopes, offline=self.offline or "offline_access" in scopes)

    def check(self, endpoints: Endpoints, directories: Directories, tenant: Tenant | None) -> Audience:
        """Itself, when there is such a service for the members of `tenant` (None: not decided yet); AADSTS500011 if not.

        The operator's endpoint exists for the operator's directory only, an application for directories that may use it.
        """
        wanted = normal(self.resource)
        home = tenant is None or tenant.id == directories.tenants[0].id
        if wanted in endpoints.accepted_by_admin:
            known = home
        else:
            known = endpoints.serves(wanted) or _is_application(wanted, directories, tenant)
        if not known:
            raise OAuthError(
                "invalid_resource",
                500011,
                f"The resource principal named '{self.resource}' was not found. This stamp issues tokens for"
                f" {', '.join(endpoints.arm_audiences)}, {endpoints.graph}, its storage accounts and vaults.",
            )
        return self


def _is_application(wanted: str, directories: Directories, tenant: Tenant | None) -> bool:
    app_id = wanted.removeprefix("api://")
    return (directories.usable(app_id, tenant.id) if tenant else directories.application(app_id)) is not None


def _resource(scope: str, endpoints: Endpoints) -> str:
    """`https://x//.default` asks for `https://x/`, `https://x/.default` for `https://x`; a bare word is a Graph scope."""
    head, slash, _ = scope.rpartition("/")
    if not slash:
        return endpoints.graph
    return scope if head.endswith(":/") else head


def _capabilities(claims: str) -> tuple[str, ...]:
    """The client capabilities (`xms_cc`) in a `claims` parameter."""
    if not claims:
        return ()
    try:
        values = json.loads(claims).get("access_token", {}).get("xms_cc", {}).get("values", [])
        return tuple(str(value) for value in values)[:8]
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise malformed("The 'claims' parameter is not valid.") from None


@dataclass(frozen=True)
class Authority:
    """The address a client talks to: `tenant` None where the user decides, and the dialect of the path."""

    tenant: Tenant | None
    dialect: Dialect

    @classmethod
    def named(cls, segment: str, v2: bool, directories: Directories) -> Authority:
        """From the first path segment: `adfs`, `common`, `organizations`, a tenant's id or domain (AADSTS90002)."""
        if segment.lower() == ADFS:
            # Clients leave the tenant out of its addresses even when they were told one.
            return cls(None, ADFS)
        dialect: Dialect = "v2" if v2 else "v1"
        if segment.lower() in ANY_TENANT:
            return cls(None, dialect)
        tenant = directories.tenant(segment)
        if segment.lower() == PERSONAL:
            raise OAuthError(
                "invalid_request", 9002346, "There are no personal accounts here. Use 'organizations' or name a tenant."
            )
        if tenant is None:
            raise OAuthError(
                "invalid_request", 90002, f"Tenant '{segment}' not found. Check the tenant id or domain name."
            )
        return cls(tenant, dialect)

    def accepts(self, tenant_id: str) -> bool:
        """Whether somebody of `tenant_id` may sign in at this address."""
        return self.tenant is None or self.tenant.id == tenant_id

    def issuer(self, endpoints: Endpoints, tenant_id: str) -> str:
        """`iss` of identity tokens obtained here; the discovery document of this address says the same."""
        if self.dialect == "adfs":
            return f"{endpoints.adfs_origin}/{tenant_id}/"
        return f"{endpoints.login}/{tenant_id}/" + ("v2.0" if self.dialect == "v2" else "")
