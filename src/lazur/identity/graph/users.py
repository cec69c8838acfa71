"""Users in Graph: made, changed, removed, their passwords.

Must never keep or show a password, nor let one user change another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lazur.identity.directory import Edit, Write
from lazur.identity.graph.errors import bad, denied
from lazur.identity.graph.models import UserBody, decoded, encoded, merged
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import Scene
from lazur.identity.oauth import OAuthError
from lazur.identity.objects import Tenant, User
from lazur.identity.passwords import RULES, complies
from lazur.identity.signin import WRONG_PASSWORD
from lazur.kernel.errors import LazurError

_TYPED = frozenset({"accountEnabled", "displayName", "userPrincipalName", "passwordProfile"})
# What a person may say of themselves.
_OWN = frozenset({"businessPhones", "mobilePhone", "preferredLanguage"})
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789'.-_!#^~")


async def got(asked: Asked, id: str) -> Answer:
    """GET users/{id}"""
    return asked.one(asked.scene.visible_user(id))


async def created(asked: Asked) -> Answer:
    """POST users"""
    asked.scene.need_to_create(User)
    body = decoded(UserBody, asked.body, "User")
    profile = body.password_profile
    if profile is None or profile.password is None:
        raise bad("A value is required for property 'passwordProfile' of resource 'User'.", "passwordProfile")
    upn = _checked_name(body.user_principal_name, asked.scene.directory.tenant)
    check_password(profile.password, body.password_policies)
    hashed = await asked.stage.hashed(profile.password)
    made = User(
        asked.stage.ids.uuid(), asked.scene.tenant_id, upn, body.display_name, hashed, body.account_enabled,
        created=asked.scene.now, change_password=profile.force_change_password_next_sign_in,
        properties=_properties(encoded(body, sparse=True)),
    )  # fmt: skip

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_create(User)
        return [Write(made)]

    return asked.one(made, await asked.change(edit), 201)


async def updated(asked: Asked, id: str) -> Answer:
    """PATCH users/{id}"""
    asked.scene.need_to_read(User)
    old = asked.scene.user(id)
    _need_to_update(asked.scene, old, asked.body)
    patch = {k: v for k, v in asked.body.items() if not (k == "id" and v == old.object_id)}
    body = decoded(UserBody, merged(_body(old), patch), "User")
    profile, hashed = body.password_profile, old.password_hash
    if profile is not None and profile.password is not None:
        check_password(profile.password, body.password_policies)
        hashed = await asked.stage.hashed(profile.password)
    upn = _checked_name(body.user_principal_name, asked.scene.directory.tenant)

    def edit(scene: Scene) -> Sequence[Edit]:
        user = scene.user(old.object_id)
        _need_to_update(scene, user, asked.body)
        # What somebody else changed meanwhile and this request does not name, stays.
        fresh = decoded(UserBody, merged(_body(user), patch), "User")
        voided = hashed != old.password_hash or not fresh.account_enabled
        changed = replace(
            user,
            upn=upn if "userPrincipalName" in patch else user.upn,
            display_name=fresh.display_name,
            enabled=fresh.account_enabled,
            password_hash=hashed if hashed != old.password_hash else user.password_hash,
            sessions_from=scene.voided(user) if voided else user.sessions_from,
            change_password=profile.force_change_password_next_sign_in if profile else user.change_password,
            properties=_properties(encoded(fresh, sparse=True)),
        )
        return [Write(changed)]

    scene = await asked.change(edit)
    return asked.one(scene.user(old.object_id), scene) if asked.representation else NO_CONTENT


def _need_to_update(scene: Scene, user: User, patch: Mapping[str, Any]) -> None:
    if not (user.object_id == scene.me.object_id and not scene.is_limited and set(patch) <= _OWN):
        scene.need_to_write(user)


async def revoked(asked: Asked, id: str) -> Answer:
    """POST users/{id}/revokeSignInSessions"""

    def edit(scene: Scene) -> Sequence[Edit]:
        scene.need_to_read(User)
        user = scene.user(id)
        if user.object_id != scene.me.object_id:
            scene.need_to_write(user)
        return [Write(replace(user, sessions_from=scene.voided(user)))]

    await asked.change(edit)
    return Answer(body={"@odata.context": asked.context("Edm.Boolean"), "value": True})


async def password_changed(asked: Asked, id: str) -> Answer:
    """POST me/changePassword"""
    user = asked.scene.visible_user(id)
    if user.object_id != asked.scene.me.object_id or asked.scene.is_limited:
        raise denied()
    current, wanted = asked.body.get("currentPassword"), asked.body.get("newPassword")
    if not isinstance(current, str) or not isinstance(wanted, str):
        raise bad("A value is required for 'currentPassword' and 'newPassword'.", "currentPassword")
    try:
        await asked.stage.signin.proved(user, current, asked.source)
    except OAuthError as error:
        if error.number == WRONG_PASSWORD:
            raise bad("The specified password does not match the current one.", "currentPassword") from None
        raise LazurError("Request_BadRequest", error.message, target="currentPassword", status=error.status) from None
    check_password(wanted, user.properties.get("passwordPolicies"))
    await asked.stage.live.set_password(user.object_id, wanted, asked.stage.ids, asked.scene.now)
    return NO_CONTENT


def _body(user: User) -> dict[str, Any]:
    """The body that would make this user."""
    return {
        "mailNickname": user.upn.partition("@")[0], **user.properties, "accountEnabled": user.enabled,
        "displayName": user.display_name, "userPrincipalName": user.upn,
    }  # fmt: skip


def _properties(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in _TYPED}


def _checked_name(upn: str, tenant: Tenant) -> str:
    """A user principal name is a name at one of the directory's verified domains."""
    local, _, domain = upn.rpartition("@")
    if not 1 <= len(local) <= 64 or not set(local.lower()) <= _NAME or local.endswith("."):
        raise bad("Property userPrincipalName is invalid.", "userPrincipalName")
    if domain.lower() not in tenant.names:
        message = "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain"
        raise bad(f"{message} names in your organization: {', '.join(tenant.names)}.", "userPrincipalName")
    return upn


def check_password(password: str, policies: str | None) -> None:
    """Graph's refusal of a password that may not be chosen; the user's policy may waive the kinds."""
    if not complies(password, waived="DisableStrongPassword" in (policies or "")):
        message = "The specified password does not comply with password complexity requirements. Please provide a different"
        raise bad(f"{message} password: {RULES}.", "passwordProfile")
