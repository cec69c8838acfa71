"""What a directory holds: tenants, users, groups, applications, service principals, and what links them.

Plain data as it is stored, one document each. Must never hold a password or a secret in the clear. What the sign-in needs
is a field; the rest of an object is `properties`, in Microsoft Graph's own names.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# The template ids by which Entra knows its built-in directory roles everywhere.
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"
APPLICATION_ADMINISTRATOR = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
DIRECTORY_READERS = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"

MULTI_TENANT = frozenset({"AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount"})

PrincipalType = Literal["Application", "ManagedIdentity"]
# `role`: from a directory role's template id to who holds it.
LinkKind = Literal["member", "owner", "manager", "role"]
Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Tenant:
    """An organisation and its directory: the border no token crosses. `domains` are verified ones beside the first."""

    id: str
    display_name: str
    default_domain: str
    domains: tuple[str, ...] = ()
    created: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Every domain whose users are here, lower case; the default one first."""
        return tuple(dict.fromkeys(d.lower() for d in (self.default_domain, *self.domains)))


@dataclass(frozen=True)
class User:
    """A person. Tokens issued before `sessions_from` (seconds since the epoch) are void; `change_password` asks for a new
    one at the next sign-in; `federated` are their (issuer, subject) at outside providers, beside which `password_hash` may be
    empty."""

    object_id: str
    tenant_id: str
    upn: str
    display_name: str
    password_hash: str
    enabled: bool = True
    sessions_from: int = 0
    created: int = 0
    change_password: bool = False
    federated: tuple[tuple[str, str], ...] = ()
    properties: Properties = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Group:
    """A set of users, service principals and groups; who is in it are links of kind `member`."""

    object_id: str
    tenant_id: str
    display_name: str
    created: int = 0
    properties: Properties = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Secret:
    """A generated application secret (256 bits, hence a plain hash); `expires` in seconds since the epoch, 0 = never."""

    key_id: str
    digest: str
    hint: str
    expires: int = 0
    starts: int = 0
    display_name: str = ""

    @classmethod
    def of(cls, key_id: str, secret: str, expires: int = 0, starts: int = 0, display_name: str = "") -> Secret:
        """The stored form of `secret`."""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return cls(key_id, digest, secret[:3], expires, starts, display_name)

    def matches(self, secret: str) -> bool:
        """Whether this was made of `secret`."""
        return hmac.compare_digest(self.digest, hashlib.sha256(secret.encode()).hexdigest())


@dataclass(frozen=True)
class Certificate:
    """A public certificate (PEM) whose key may sign client assertions, from `starts` until `expires` (0 = no bound)."""

    key_id: str
    pem: str
    starts: int = 0
    expires: int = 0
    display_name: str = ""
    usage: str = "Verify"


@dataclass(frozen=True)
class FederatedCredential:
    """A token of another issuer that stands for this application's own credential. `keys` is the issuer's JWK set where the
    stamp cannot fetch it."""

    id: str
    name: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    description: str = ""
    keys: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True)
class Application:
    """A program that asks for tokens, registered in the directory `tenant_id`; empty: first-party, in every tenant.

    A public one keeps no secret.
    """

    app_id: str
    object_id: str
    tenant_id: str
    display_name: str
    public: bool = False
    secrets: tuple[Secret, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    sign_in_audience: str = "AzureADMyOrg"
    created: int = 0
    properties: Properties = field(default_factory=dict, hash=False)

    @property
    def multi_tenant(self) -> bool:
        """Whether other directories may have a service principal of it."""
        return self.sign_in_audience in MULTI_TENANT

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """Where answers of the sign-in page may be sent, whatever the kind of program."""
        platforms = (self.properties.get(name) or {} for name in ("web", "spa", "publicClient"))
        return tuple(uri for platform in platforms for uri in platform.get("redirectUris", ()))

    @property
    def identifier_uris(self) -> tuple[str, ...]:
        """Under which names beside its id tokens for it are asked for."""
        return tuple(self.properties.get("identifierUris", ()))

    @property
    def app_roles(self) -> tuple[Mapping[str, Any], ...]:
        """The roles it defines: `id`, `value`, `allowedMemberTypes`, …"""
        return tuple(self.properties.get("appRoles", ()))

    @property
    def scopes(self) -> tuple[Mapping[str, Any], ...]:
        """The delegated permissions it defines: `id`, `value`, …"""
        return tuple(self.properties.get("api", {}).get("oauth2PermissionScopes", ()))


@dataclass(frozen=True)
class ServicePrincipal:
    """What roles are assigned to: an application's presence in one tenant, or a managed identity, which has no application.

    Tokens issued before `sessions_from` are void.
    """

    object_id: str
    app_id: str
    tenant_id: str
    display_name: str
    enabled: bool = True
    type: PrincipalType = "Application"
    secrets: tuple[Secret, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    federated: tuple[FederatedCredential, ...] = ()
    sessions_from: int = 0
    created: int = 0
    properties: Properties = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class AppRoleAssignment:
    """`principal_id` holds the role `app_role_id` of the application behind the service principal `resource_id`."""

    id: str
    tenant_id: str
    principal_id: str
    resource_id: str
    app_role_id: str
    created: int = 0


@dataclass(frozen=True)
class PermissionGrant:
    """Consent: the service principal `client_id` may act towards the service principal `resource_id` for the user
    `principal_id`, for everybody when that is empty, within `scope` (words with spaces between)."""

    id: str
    tenant_id: str
    client_id: str
    resource_id: str
    principal_id: str = ""
    scope: str = ""
    created: int = 0


@dataclass(frozen=True)
class Link:
    """`target` is a member, owner or manager of `source`, or holds the directory role `source`."""

    kind: LinkKind
    tenant_id: str
    source: str
    target: str


DirectoryObject = User | Group | Application | ServicePrincipal
Stored = Tenant | DirectoryObject | AppRoleAssignment | PermissionGrant | Link
