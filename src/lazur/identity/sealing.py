"""The stamp key: every secret at rest is sealed under it (AES-256-GCM), bound to the place it is stored in.

Must never log or return the key, and never open what was sealed for another place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lazur.identity.files import PRIVATE, locked, write_atomic
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids

VERSION = "s1"
_NONCE = 12


class SealBroken(LazurError):
    """A sealed value cannot be opened: another stamp key, another context, or it was altered."""

    def __init__(self, context: str, why: str) -> None:
        super().__init__(
            "SealBroken",
            f"The secret kept for {context} cannot be opened: {why}.",
            status=500,
            internal=f"context={context!r}",
        )


class StampKey:
    """The 256-bit key of this stamp."""

    def __init__(self, key: bytes, ids: Ids) -> None:
        if len(key) != 32:
            raise LazurError("StampKeyDamaged", "A stamp key has 32 bytes.", status=500)
        self._cipher = AESGCM(key)
        self._nonce_key = hashlib.sha256(b"lazur nonce\x00" + key).digest()
        self._root = hashlib.sha256(b"lazur derived\x00" + key).digest()
        self._ids = ids

    @classmethod
    def open(cls, path: Path, ids: Ids) -> StampKey:
        """The key kept in `path` (hexadecimal, 0600), made there when absent."""
        with locked(path.parent):
            if not path.exists():
                fresh = hashlib.sha256(ids.token(32).encode()).hexdigest()
                write_atomic(path, fresh.encode() + b"\n", PRIVATE)
            text = path.read_text("ascii").strip()
        try:
            return cls(bytes.fromhex(text), ids)
        except ValueError:
            raise LazurError("StampKeyDamaged", f"{path} does not hold a stamp key.", status=500) from None

    def seal(self, plain: bytes, context: str) -> str:
        """`plain` encrypted for `context` (a document id and field): printable, versioned, `s1.` + base64url.

        The nonce is keyed by plaintext and context besides fresh entropy, so even a repeated draw (a replayed
        simulation on the same key) never pairs one nonce with two plaintexts.
        """
        salt = self._ids.token(16).encode()
        material = b"\x00".join((salt, context.encode(), plain))
        nonce = hmac.digest(self._nonce_key, material, "sha256")[:_NONCE]
        sealed = nonce + self._cipher.encrypt(nonce, plain, context.encode())
        return f"{VERSION}.{base64.urlsafe_b64encode(sealed).decode()}"

    def derive(self, purpose: str) -> bytes:
        """A 256-bit key for one other purpose, always the same for the same stamp."""
        return hmac.digest(self._root, purpose.encode(), "sha256")

    def unseal(self, sealed: str, context: str) -> bytes:
        """What was sealed for `context`; raises `SealBroken` for anything else."""
        version, _, body = sealed.partition(".")
        if version != VERSION:
            raise SealBroken(context, "it is not a sealed value of a version known here")
        try:
            raw = base64.b64decode(body, altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], context.encode())
        except (InvalidTag, ValueError, binascii.Error):
            raise SealBroken(context, "it was altered, or sealed with another stamp key or for another place") from None
