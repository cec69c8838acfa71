"""The signing keys of the token issuer: made, published before use, retired after their last token.

Must never leave this process unsealed, and never sign before relying parties had time to fetch the key.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from lazur.identity.kept import KeptDocument
from lazur.identity.sealing import StampKey
from lazur.kernel.clock import Clock

ALGORITHM = "RS256"
DAY = 86_400
SIGNS_FOR = 30 * DAY
# Relying parties cache the key document for up to a day: a key is published at least that long before it signs.
PUBLISHED_BEFORE = 2 * DAY
# Longer than any token it signed lives, clock differences included.
PUBLISHED_AFTER = DAY
CHECK_EVERY = 3600.0


@dataclass(frozen=True)
class _Key:
    """One stored key: `sealed` is its PKCS#8 DER; the times are seconds since the epoch, `signs_from` inclusive."""

    kid: str
    sealed: str
    signs_from: int
    signs_until: int


class KeyRing:
    """The keys of one stamp. `keep_fresh` must run for rotation to happen; signing itself never waits for it."""

    def __init__(self, store: KeptDocument, stamp_key: StampKey, clock: Clock) -> None:
        self._store = store
        self._stamp_key = stamp_key
        self._clock = clock
        self._keys: list[_Key] = []
        self._loaded: dict[str, RSAKey] = {}
        self._published: dict[str, Any] = {"keys": []}

    @classmethod
    async def open(cls, store: KeptDocument, stamp_key: StampKey, clock: Clock) -> KeyRing:
        """The stored keys; a first one, usable at once, when there are none."""
        ring = cls(store, stamp_key, clock)
        document = await store.load()
        ring._adopt([_Key(**row) for row in document.get("keys", ())])
        await ring.rotate()
        return ring

    def signing(self) -> RSAKey:
        """The key to sign with now; its `kid` names it."""
        now = self._clock.now().timestamp()
        # After a long stop every key may be past its time: better the newest one than no sign-in until rotation ran.
        ready = [key for key in self._keys if key.signs_from <= now] or self._keys
        return self._loaded[max(ready, key=lambda key: key.signs_from).kid]

    def verifying(self, kid: str | None) -> RSAKey | None:
        """The published key of that id, or None."""
        return self._loaded.get(kid or "")

    def published(self) -> dict[str, Any]:
        """The JWK set relying parties fetch: public halves of all keys that sign, will sign or signed lately."""
        return self._published

    async def rotate(self) -> bool:
        """Make the next key when it is due and drop keys past their time; true when something changed (and was stored).

        Safe to call at any time and after any pause; the new state is stored before it is used.
        """
        now = int(self._clock.now().timestamp())
        keep = [key for key in self._keys if key.signs_until + PUBLISHED_AFTER > now]
        if not keep:
            keep = [await self._make(now)]
        newest = max(keep, key=lambda key: key.signs_from)
        if newest.signs_until - PUBLISHED_BEFORE <= now:
            keep.append(await self._make(max(newest.signs_until, now + PUBLISHED_BEFORE)))
        if keep == self._keys:
            return False
        await self._store.save({"version": 1, "keys": [asdict(key) for key in keep]})
        self._adopt(keep)
        return True

    async def keep_fresh(self) -> None:
        """Rotate for ever. Run as a supervised task: an error ends it."""
        while True:
            await self.rotate()
            await self._clock.sleep(CHECK_EVERY)

    async def _make(self, signs_from: int) -> _Key:
        private = await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)
        der = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        kid = hashlib.sha256(public).hexdigest()[:32]
        return _Key(kid, self._stamp_key.seal(der, f"signing-key/{kid}"), signs_from, signs_from + SIGNS_FOR)

    def _adopt(self, keys: list[_Key]) -> None:
        loaded = {key.kid: self._loaded.get(key.kid) or self._open(key) for key in keys}
        self._keys, self._loaded = keys, loaded
        self._published = {
            "keys": [
                {**loaded[key.kid].as_dict(private=False), "use": "sig", "kid": key.kid, "alg": ALGORITHM}
                for key in keys
            ]
        }

    def _open(self, key: _Key) -> RSAKey:
        der = self._stamp_key.unseal(key.sealed, f"signing-key/{key.kid}")
        # The seal already proves that these are the bytes made here; checking the primes again costs every start 0.1 s.
        private = serialization.load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(private, rsa.RSAPrivateKey)
        return RSAKey(private, private, {"kid": key.kid, "alg": ALGORITHM, "use": "sig"})
