"""Applications in Graph: registrations in one directory, their credentials, their federated credentials.

Must never let an application claim a name that another one of the directory bears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from lazur.identity.directory import Edit, Write
from lazur.identity.graph.credentials import Generated, certificates, generated, kept_secrets
from lazur.identity.graph.errors import bad, not_found, taken
from lazur.identity.graph.links import bound, links_of
from lazur.identity.graph.models import ApplicationBody, FederatedBody, decoded, encoded, merged
from lazur.identity.graph.query import Shown
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import Scene
from lazur.identity.graph.shapes import federated, password_credential
from lazur.identity.objects import Application, FederatedCredential
from lazur.kernel.ids import Ids

# Kept in fields of their own, or made by us.
_TYPED = frozenset({"displayName", "signInAudience", "keyCredentials", "passwordCredentials"})
_FEDERATED_AT_MOST = 20


async def got(asked: Asked, id: str) -> Answer:
    """GET applications/{id}"""
    asked.scene.need_to_read(Application)
    return asked.one(asked.scene.application(id))


async def created(asked: Asked) -> Answer:
    """POST applications"""
    rest, bindings = bound(asked.body, ("owners",))
    body = decoded(ApplicationBody, rest, "Application")
    ids = asked.stage.ids
    passwords = [generated(row, ids, asked.scene.now) for row in body.password_credentials]
    empty = Application(ids.uuid(), ids.uuid(), asked.scene.tenant_id, body.display_name, created=asked.scene.now)

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_create(Application)
        made = _with(scene, replace(empty, secrets=tuple(p.secret for p in passwords)), body, ids)
        owners = bindings.get("owners") or scene.default_owner(Application)
        return [Write(made), *links_of(scene, made, {"owners": owners})]

    scene = await asked.change(edit)
    answer = asked.one(scene.application(empty.object_id), scene, 201)
    return _telling(answer, passwords)


def _telling(answer: Answer, passwords: Sequence[Generated]) -> Answer:
    """The answer with the texts of the secrets that were made with the application, this once."""
    assert isinstance(answer.body, Mapping)
    if not passwords:
        return answer
    rows = [password_credential(p.secret, p.text) for p in passwords]
    return replace(answer, body={**answer.body, "passwordCredentials": rows})


async def updated(asked: Asked, id: str) -> Answer:
    """PATCH applications/{id}; `keyCredentials` replaces the list"""
    rest, bindings = bound(asked.body, ("owners",))

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_read(Application)
        app = scene.application(id)
        scene.need_to_write(app)
        patch = {k: v for k, v in rest.items() if (k, v) not in (("id", app.object_id), ("appId", app.app_id))}
        body = decoded(ApplicationBody, merged(_body(app), patch), "Application")
        if "passwordCredentials" in patch:
            app = replace(app, secrets=kept_secrets(body.password_credentials, app.secrets))
        if "keyCredentials" in patch:
            keys = certificates(body.key_credentials, app.certificates, asked.stage.ids, scene.now)
            app = replace(app, certificates=keys)
        return [Write(_with(scene, app, body, asked.stage.ids)), *links_of(scene, app, bindings)]

    scene = await asked.change(edit)
    return asked.one(scene.application(id), scene) if asked.representation else NO_CONTENT


def _body(app: Application) -> dict[str, Any]:
    """The body that would make this application; its credentials are not among it."""
    return {**app.properties, "displayName": app.display_name, "signInAudience": app.sign_in_audience}


def _with(scene: Scene, app: Application, body: ApplicationBody, ids: Ids) -> Application:
    """`app` as `body` describes it, checked against the rest of the directory."""
    _check_names(scene, app, body)
    _check_roles(body)
    if app.object_id not in scene.directory.objects:
        app = replace(app, certificates=certificates(body.key_credentials, (), ids, scene.now))
    given = encoded(body)
    given["api"]["oauth2PermissionScopes"] = [_scope(row) for row in given["api"]["oauth2PermissionScopes"]]
    return replace(
        app,
        display_name=body.display_name,
        public=bool(body.is_fallback_public_client),
        sign_in_audience=body.sign_in_audience,
        properties={name: value for name, value in given.items() if name not in _TYPED},
    )


def _scope(row: Shown) -> Shown:
    return {name: value for name, value in row.items() if name != "origin"}


def _check_names(scene: Scene, app: Application, body: ApplicationBody) -> None:
    others = [a for a in scene.all(Application) if a.object_id != app.object_id]
    names = {uri.lower().rstrip("/") for other in others for uri in other.identifier_uris}
    for uri in body.identifier_uris:
        parts = urlsplit(uri)
        if not parts.scheme or not (parts.netloc or parts.path):
            message = f"Invalid value specified for property 'identifierUris' of resource 'Application': '{uri}'."
            raise bad(message, "identifierUris")
        host = f".{(parts.hostname or '').lower()}"
        if parts.scheme in ("http", "https") and not host.endswith(tuple(f".{d}" for d in scene.directory.tenant.names)):
            message = "Values of identifierUris property must use a verified domain of the organization or its subdomain:"
            raise bad(f"{message} '{uri}'", "identifierUris")
        if uri.lower().rstrip("/") in names:
            raise taken(f"Another object with the same value for property identifierUris already exists: '{uri}'.")


def _check_roles(body: ApplicationBody) -> None:
    """Ids and values name one role or scope each."""
    for label, rows in (("appRoles", body.app_roles), ("oauth2PermissionScopes", body.api.oauth2_permission_scopes)):
        ids, values = [row.id for row in rows], [row.value for row in rows if row.value]
        if len(set(ids)) != len(ids) or len(set(values)) != len(values):
            raise bad(f"Property {label} has two entries with the same id or value.", label)


# -- federated credentials --------------------------------------------------------------------------------------------


async def federated_listed(asked: Asked, id: str) -> Answer:
    """GET applications/{id}/federatedIdentityCredentials"""
    asked.scene.need_to_read(Application)
    app = asked.scene.application(id)
    return asked.rows([federated(c) for c in app.federated], f"applications('{app.object_id}')/federatedIdentityCredentials")


async def federated_got(asked: Asked, id: str, key: str) -> Answer:
    """GET applications/{id}/federatedIdentityCredentials/{id or name}"""
    asked.scene.need_to_read(Application)
    app = asked.scene.application(id)
    found = federated(_credential(app, key))
    return asked.row(found, f"applications('{app.object_id}')/federatedIdentityCredentials")


async def federated_created(asked: Asked, id: str) -> Answer:
    """POST applications/{id}/federatedIdentityCredentials"""
    body = decoded(FederatedBody, asked.body, "FederatedIdentityCredential")
    made = _federated(body, asked.stage.ids.uuid())

    def edit(scene: Scene) -> Sequence[Edit]:
        app = _writable(scene, id)
        if len(app.federated) >= _FEDERATED_AT_MOST:
            raise bad(f"An application has at most {_FEDERATED_AT_MOST} federated identity credentials.")
        _check_federated(app, made)
        return [Write(replace(app, federated=(*app.federated, made)))]

    app = (await asked.change(edit)).application(id)
    return asked.row(federated(made), f"applications('{app.object_id}')/federatedIdentityCredentials", 201)


async def federated_updated(asked: Asked, id: str, key: str) -> Answer:
    """PATCH applications/{id}/federatedIdentityCredentials/{id or name}"""

    def edit(scene: Scene) -> Sequence[Edit]:
        app = _writable(scene, id)
        old = _credential(app, key)
        before = {name: value for name, value in federated(old).items() if name != "id"}
        patch = {name: value for name, value in asked.body.items() if name not in ("id", "name")}
        made = _federated(decoded(FederatedBody, merged(before, patch), "FederatedIdentityCredential"), old.id)
        made = replace(made, keys=old.keys if made.issuer == old.issuer else None)
        others = replace(app, federated=tuple(c for c in app.federated if c.id != old.id))
        _check_federated(others, made)
        return [Write(replace(app, federated=tuple(made if c.id == old.id else c for c in app.federated)))]

    await asked.change(edit)
    return NO_CONTENT


async def federated_deleted(asked: Asked, id: str, key: str) -> Answer:
    """DELETE applications/{id}/federatedIdentityCredentials/{id or name}"""

    def edit(scene: Scene) -> Sequence[Edit]:
        app = _writable(scene, id)
        gone = _credential(app, key)
        return [Write(replace(app, federated=tuple(c for c in app.federated if c.id != gone.id)))]

    await asked.change(edit)
    return NO_CONTENT


def _writable(scene: Scene, id: str) -> Application:
    scene.need_to_read(Application)
    app = scene.application(id)
    scene.need_to_write(app)
    return app


def _federated(body: FederatedBody, id: str) -> FederatedCredential:
    return FederatedCredential(id, body.name, body.issuer, body.subject, tuple(body.audiences), body.description or "")


def _check_federated(app: Application, made: FederatedCredential) -> None:
    for other in app.federated:
        if other.name.lower() == made.name.lower():
            raise taken(f"FederatedIdentityCredential with name {made.name} already exists.")
        if (other.issuer, other.subject) == (made.issuer, made.subject):
            raise bad("FederatedIdentityCredential with this combination of issuer and subject already exists.", "subject")


def _credential(app: Application, key: str) -> FederatedCredential:
    name = key.rpartition("=")[2]
    found = next((c for c in app.federated if c.id == name.lower() or c.name.lower() == name.lower()), None)
    if found is None:
        raise not_found(name)
    return found
