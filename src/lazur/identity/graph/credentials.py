"""Secrets and certificates of applications and service principals, as Graph's requests bring them.

Must never keep a secret: what is generated goes into one answer, its hash into the directory.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from lazur.identity.directory import Edit, Write
from lazur.identity.graph.errors import bad, denied, not_found
from lazur.identity.graph.models import CREDENTIALS_AT_MOST, KeyCredential, PasswordCredential, decoded
from lazur.identity.graph.request import NO_CONTENT, Answer, Asked
from lazur.identity.graph.scene import Scene
from lazur.identity.graph.shapes import key_credential, password_credential
from lazur.identity.objects import Application, Certificate, Secret, ServicePrincipal
from lazur.kernel.ids import Ids

_TWO_YEARS = 2 * 365 * 86_400
_PROOF_LIFE = 600
# The audience of a proof of possession: the directory service itself, by the id it has everywhere.
_PROOF_FOR = "00000002-0000-0000-c000-000000000000"

Holder = Application | ServicePrincipal
C = TypeVar("C", Secret, Certificate)


@dataclass(frozen=True)
class Generated:
    """A new secret and its text, which is shown once."""

    secret: Secret
    text: str


def generated(asked: PasswordCredential, ids: Ids, now: int) -> Generated:
    """A secret of 256 bits, good for two years unless said otherwise."""
    starts = _seconds(asked.start_date_time) or now
    expires = _seconds(asked.end_date_time) or starts + _TWO_YEARS
    if expires <= max(starts, now):
        raise bad("Password credential end date is invalid: it must lie in the future.", "endDateTime")
    text = ids.token(32)
    while not text[0].isalnum():
        # Command lines take a leading dash for an option.
        text = ids.token(32)
    return Generated(Secret.of(ids.uuid(), text, expires, starts, asked.display_name or ""), text)


def kept_secrets(asked: Sequence[PasswordCredential], present: Sequence[Secret]) -> tuple[Secret, ...]:
    """What a `passwordCredentials` list leaves of the secrets: it can only take some away."""
    wanted = {row.key_id for row in asked}
    if not wanted <= {secret.key_id for secret in present}:
        raise bad("A password is added by 'addPassword' only.", "passwordCredentials")
    return tuple(secret for secret in present if secret.key_id in wanted)


def certificates(asked: Sequence[KeyCredential], present: Sequence[Certificate], ids: Ids, now: int) -> tuple[Certificate, ...]:
    """What a `keyCredentials` list says: one without a key is there already under its id, the others are new."""
    known = {c.key_id: c for c in present}
    kept: list[Certificate] = []
    for row in asked:
        if row.key is None:
            if row.key_id not in known:
                raise bad("A key credential needs its 'key', or the 'keyId' of one that is there.", "keyCredentials")
            kept.append(known[row.key_id])
        else:
            kept.append(_certificate(row, ids, now))
    if len({c.key_id for c in kept}) != len(kept):
        raise bad("Two key credentials have the same 'keyId'.", "keyCredentials")
    return tuple(kept)


def _certificate(asked: KeyCredential, ids: Ids, now: int) -> Certificate:
    if asked.type not in ("AsymmetricX509Cert", "X509CertAndPassword") or asked.usage not in ("Verify", "Sign"):
        raise bad("A key credential is of type 'AsymmetricX509Cert' with usage 'Verify'.", "keyCredentials")
    found = _loaded(asked.key or "")
    begins, ends = int(found.not_valid_before_utc.timestamp()), int(found.not_valid_after_utc.timestamp())
    starts, expires = _seconds(asked.start_date_time) or max(begins, now), _seconds(asked.end_date_time) or ends
    if expires > ends or expires <= now:
        raise bad("Key credential end date is invalid.", "keyCredentials")
    pem = found.public_bytes(serialization.Encoding.PEM).decode()
    return Certificate(asked.key_id or ids.uuid(), pem, starts, expires, asked.display_name or "", asked.usage)


def _loaded(key: str) -> x509.Certificate:
    """The certificate in base64: its DER, or its PEM text."""
    try:
        raw = base64.b64decode("".join(key.split()), validate=True)
        pem = raw.lstrip().startswith(b"-----BEGIN")
        found = x509.load_pem_x509_certificate(raw) if pem else x509.load_der_x509_certificate(raw)
    except (binascii.Error, ValueError):
        raise bad("Key value is invalid certificate.", "keyCredentials") from None
    if not isinstance(found.public_key(), RSAPublicKey):
        raise bad("Key value is invalid certificate: only RSA keys sign client assertions here.", "keyCredentials")
    return found


def _seconds(moment: str | None) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) if moment else 0


# -- actions ----------------------------------------------------------------------------------------------------------


def _present(scene: Scene, like: Holder) -> Holder:
    found = scene.object(like.object_id)
    if not isinstance(found, Application | ServicePrincipal):
        raise not_found(like.object_id)
    return found


def _holder(scene: Scene, like: Holder) -> Holder:
    """The application or service principal as it is now, which the asker may change."""
    found = _present(scene, like)
    scene.need_to_write(found)
    return found


async def password_added(asked: Asked, holder: Holder) -> Answer:
    """POST {application or service principal}/addPassword"""
    given = asked.body.get("passwordCredential") or {}
    made = generated(decoded(PasswordCredential, _object(given), "PasswordCredential"), asked.stage.ids, asked.scene.now)

    def edit(scene: Scene) -> Sequence[Edit]:
        fresh = _holder(scene, holder)
        _need_room(fresh.secrets, "password")
        return [Write(replace(fresh, secrets=(*fresh.secrets, made.secret)))]

    await asked.change(edit)
    shown = password_credential(made.secret, made.text)
    return Answer(body={"@odata.context": asked.context("microsoft.graph.passwordCredential"), **shown})


async def password_removed(asked: Asked, holder: Holder) -> Answer:
    """POST {application or service principal}/removePassword"""

    def edit(scene: Scene) -> Sequence[Edit]:
        fresh = _holder(scene, holder)
        return [Write(replace(fresh, secrets=_without(fresh.secrets, asked.body, "password")))]

    await asked.change(edit)
    return NO_CONTENT


async def key_added(asked: Asked, holder: Holder) -> Answer:
    """POST {application or service principal}/addKey, signed by a key that is there already"""
    given = decoded(KeyCredential, _object(asked.body.get("keyCredential")), "KeyCredential")
    if given.key is None:
        raise bad("A value is required for property 'key' of resource 'KeyCredential'.", "key")
    made = _certificate(given, asked.stage.ids, asked.scene.now)

    def edit(scene: Scene) -> Sequence[Edit]:
        fresh = _proven(scene, holder, asked.body)
        _need_room(fresh.certificates, "key")
        return [Write(replace(fresh, certificates=(*fresh.certificates, made)))]

    await asked.change(edit)
    return Answer(body={"@odata.context": asked.context("microsoft.graph.keyCredential"), **key_credential(made)})


async def key_removed(asked: Asked, holder: Holder) -> Answer:
    """POST {application or service principal}/removeKey, signed by a key that is there"""

    def edit(scene: Scene) -> Sequence[Edit]:
        fresh = _proven(scene, holder, asked.body)
        return [Write(replace(fresh, certificates=_without(fresh.certificates, asked.body, "key")))]

    await asked.change(edit)
    return NO_CONTENT


def _without(present: Sequence[C], body: Mapping[str, Any], what: str) -> tuple[C, ...]:
    """`present` without the one whose `keyId` the body names."""
    key_id = str(body.get("keyId") or "").lower()
    kept = tuple(one for one in present if one.key_id != key_id)
    if len(kept) == len(present):
        raise bad(f"No {what} credential found with keyId '{key_id}'.", "keyId")
    return kept


def _proven(scene: Scene, like: Holder, body: Mapping[str, Any]) -> Holder:
    """The holder, if the request proves possession of one of its keys; who may only roll their own keys needs no more."""
    found = _present(scene, like)
    if not (isinstance(scene.me, ServicePrincipal) and scene.me.app_id == found.app_id):
        scene.need_to_write(found)
    proof = body.get("proof")
    for certificate in found.certificates:
        loaded = x509.load_pem_x509_certificate(certificate.pem.encode())
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        key = RSAKey.import_key(loaded.public_key().public_bytes(serialization.Encoding.PEM, spki))
        if isinstance(proof, str) and _proves(proof, key, found.object_id, scene.now):
            return found
    raise denied()


def _proves(proof: str, key: RSAKey, object_id: str, now: int) -> bool:
    try:
        claims = jwt.decode(proof, key, algorithms=["RS256", "PS256"]).claims
    except (JoseError, ValueError, TypeError):
        return False
    expires, begins = claims.get("exp"), claims.get("nbf", now)
    if not isinstance(expires, int) or not isinstance(begins, int):
        return False
    in_time = now < expires <= now + 2 * _PROOF_LIFE and begins <= now + _PROOF_LIFE
    return in_time and claims.get("aud") == _PROOF_FOR and claims.get("iss") == object_id


def _need_room(present: Sequence[Secret | Certificate], what: str) -> None:
    if len(present) >= CREDENTIALS_AT_MOST:
        raise bad(f"There are {CREDENTIALS_AT_MOST} {what} credentials already. Remove one first.", f"{what}Credentials")


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise bad("The request body must contain an object with the credential.")
    return value
