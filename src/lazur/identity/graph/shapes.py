"""How the directory's objects look in Graph.

Pure. Must never show a hash, a key or anything of an object of another directory but what a service principal here shares
with its application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pydantic import BaseModel

from lazur.identity.graph.models import ApplicationBody, GroupBody, ServicePrincipalBody, UserBody
from lazur.identity.graph.query import Shown
from lazur.identity.graph.scene import Scene
from lazur.identity.objects import (
    Application,
    AppRoleAssignment,
    Certificate,
    DirectoryObject,
    FederatedCredential,
    Group,
    Secret,
    ServicePrincipal,
    User,
)

_NEVER = "2299-12-31T00:00:00Z"
ODATA_TYPES: Mapping[type, str] = {
    User: "user", Group: "group", Application: "application", ServicePrincipal: "servicePrincipal",
}  # fmt: skip
# What v1.0 shows of a user unless more is selected.
USER_DEFAULT = (
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation", "preferredLanguage",
    "surname", "userPrincipalName", "id",
)  # fmt: skip


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    fields = model.model_fields.items()
    found = {f.alias or name: f.default for name, f in fields if not f.is_required()}
    return {k: v.model_dump(mode="json", by_alias=True) if isinstance(v, BaseModel) else v for k, v in found.items()}


_USER = _defaults(UserBody) | {
    "assignedLicenses": [], "assignedPlans": [], "creationType": None, "deletedDateTime": None, "externalUserState": None,
    "imAddresses": [], "isResourceAccount": None, "onPremisesDistinguishedName": None, "onPremisesDomainName": None,
    "onPremisesSamAccountName": None, "onPremisesSecurityIdentifier": None, "onPremisesSyncEnabled": None,
    "onPremisesUserPrincipalName": None, "proxyAddresses": [], "provisionedPlans": [],
}  # fmt: skip
_GROUP = _defaults(GroupBody) | {
    "creationOptions": [], "deletedDateTime": None, "expirationDateTime": None, "mail": None, "mailEnabled": False,
    "onPremisesSyncEnabled": None, "proxyAddresses": [], "securityEnabled": True,
}  # fmt: skip
_APPLICATION = _defaults(ApplicationBody) | {
    "addIns": [], "applicationTemplateId": None, "certification": None, "deletedDateTime": None,
    "disabledByMicrosoftStatus": None, "tokenEncryptionKeyId": None, "uniqueName": None,
    "verifiedPublisher": {"addedDateTime": None, "displayName": None, "verifiedPublisherId": None},
}  # fmt: skip
_PRINCIPAL = _defaults(ServicePrincipalBody) | {
    "addIns": [], "applicationTemplateId": None, "deletedDateTime": None, "disabledByMicrosoftStatus": None,
    "resourceSpecificApplicationPermissions": [], "tokenEncryptionKeyId": None,
    "verifiedPublisher": _APPLICATION["verifiedPublisher"],
}  # fmt: skip


def moment(seconds: int) -> str:
    """Seconds since the epoch as Graph writes a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _since(seconds: int) -> str | None:
    return moment(seconds) if seconds else None


def user(scene: Scene, thing: User) -> Shown:
    """A user, all properties."""
    return {
        **_USER,
        "mailNickname": thing.upn.partition("@")[0],
        **thing.properties,
        "id": thing.object_id,
        "accountEnabled": thing.enabled,
        "createdDateTime": _since(thing.created),
        "displayName": thing.display_name,
        "identities": [
            {"signInType": "userPrincipalName", "issuer": scene.directory.tenant.default_domain, "issuerAssignedId": thing.upn},
            *({"signInType": "federated", "issuer": i, "issuerAssignedId": s} for i, s in thing.federated),
        ],
        "passwordProfile": None,
        "signInSessionsValidFromDateTime": _since(thing.sessions_from or thing.created),
        "userPrincipalName": thing.upn,
    }


def group(scene: Scene, thing: Group) -> Shown:
    """A group, all properties."""
    return {
        **_GROUP,
        "mailNickname": thing.display_name,
        **thing.properties,
        "id": thing.object_id,
        "createdDateTime": _since(thing.created),
        "displayName": thing.display_name,
        "renewedDateTime": _since(thing.created),
        "securityIdentifier": _sid(thing.object_id),
    }


def application(scene: Scene, thing: Application) -> Shown:
    """An application, all properties; of its credentials what is no secret."""
    return {
        **_APPLICATION,
        **thing.properties,
        "id": thing.object_id,
        "appId": thing.app_id,
        "createdDateTime": _since(thing.created),
        "displayName": thing.display_name,
        "isFallbackPublicClient": thing.properties.get("isFallbackPublicClient"),
        "keyCredentials": [key_credential(c) for c in thing.certificates],
        "passwordCredentials": [password_credential(s) for s in thing.secrets],
        "publisherDomain": scene.directory.tenant.default_domain,
        "signInAudience": thing.sign_in_audience,
    }


def principal(scene: Scene, thing: ServicePrincipal) -> Shown:
    """A service principal with what it shows of its application."""
    app = scene.registration(thing)
    given = app.properties if app else {}
    web = given.get("web") or {}
    uris = app.identifier_uris if app else ()
    return {
        **_PRINCIPAL,
        "description": given.get("description"),
        "homepage": web.get("homePageUrl"),
        "logoutUrl": web.get("logoutUrl"),
        **thing.properties,
        "id": thing.object_id,
        "accountEnabled": thing.enabled,
        "appDescription": given.get("description"),
        "appDisplayName": app.display_name if app else None,
        "appId": thing.app_id,
        "appOwnerOrganizationId": (app.tenant_id or None) if app else None,
        "appRoles": list(app.app_roles) if app else [],
        "createdDateTime": _since(thing.created),
        "displayName": thing.display_name,
        "info": given.get("info") or _APPLICATION["info"],
        "keyCredentials": [key_credential(c) for c in thing.certificates],
        "oauth2PermissionScopes": list(app.scopes) if app else [],
        "passwordCredentials": [password_credential(s) for s in thing.secrets],
        "replyUrls": list(app.redirect_uris) if app else [],
        "servicePrincipalNames": [*uris, thing.app_id],
        "servicePrincipalType": thing.type,
        "signInAudience": app.sign_in_audience if app else None,
    }


_SHOW: Mapping[type, Callable[[Scene, Any], Shown]] = {
    User: user, Group: group, Application: application, ServicePrincipal: principal,
}  # fmt: skip


def shown(scene: Scene, thing: DirectoryObject) -> Shown:
    """Any object, all properties."""
    return _SHOW[type(thing)](scene, thing)


def typed(scene: Scene, thing: DirectoryObject) -> Shown:
    """Any object where a list holds objects of several kinds: the kind is said."""
    return {"@odata.type": f"#microsoft.graph.{ODATA_TYPES[type(thing)]}", **shown(scene, thing)}


def password_credential(secret: Secret, text: str | None = None) -> Shown:
    """A secret; `text` only at the moment it is made."""
    return {
        "customKeyIdentifier": None,
        "displayName": secret.display_name or None,
        "endDateTime": _since(secret.expires) or _NEVER,
        "hint": secret.hint,
        "keyId": secret.key_id,
        "secretText": text,
        "startDateTime": _since(secret.starts),
    }


def key_credential(certificate: Certificate) -> Shown:
    """A certificate; `customKeyIdentifier` is its SHA-1 thumbprint, by which Graph names it."""
    found = x509.load_pem_x509_certificate(certificate.pem.encode())
    return {
        "customKeyIdentifier": found.fingerprint(hashes.SHA1()).hex().upper(),
        "displayName": certificate.display_name or found.subject.rfc4514_string(),
        "endDateTime": _since(certificate.expires) or _NEVER,
        "key": None,
        "keyId": certificate.key_id,
        "startDateTime": _since(certificate.starts),
        "type": "AsymmetricX509Cert",
        "usage": certificate.usage,
    }


def federated(credential: FederatedCredential) -> Shown:
    """A federated credential."""
    return {
        "id": credential.id,
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "description": credential.description or None,
        "audiences": list(credential.audiences),
    }


def assignment(scene: Scene, thing: AppRoleAssignment) -> Shown:
    """An app role assignment with the names of both ends."""
    principal, resource = scene.directory.object(thing.principal_id), scene.directory.object(thing.resource_id)
    kind = ODATA_TYPES[type(principal)] if principal else ""
    return {
        "id": thing.id,
        "deletedDateTime": None,
        "appRoleId": thing.app_role_id,
        "createdDateTime": _since(thing.created),
        "principalDisplayName": principal.display_name if principal else None,
        "principalId": thing.principal_id,
        "principalType": kind[:1].upper() + kind[1:],
        "resourceDisplayName": resource.display_name if resource else None,
        "resourceId": thing.resource_id,
    }


def _sid(object_id: str) -> str:
    """The security identifier Entra derives from an object id: its four 32-bit words, little-endian."""
    raw = bytes.fromhex(object_id.replace("-", "")) if len(object_id) == 36 else bytes(16)
    # The first three groups of a GUID are stored little-endian, which the words undo.
    mixed = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    words = (int.from_bytes(mixed[at : at + 4], "little") for at in range(0, 16, 4))
    return "S-1-12-1-" + "-".join(str(word) for word in words)
