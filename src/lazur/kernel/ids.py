"""Identifiers and secrets, injected. The only module that may draw randomness.

Must never be bypassed: under `SeededIds` a run draws the same ids every time.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import uuid
from typing import Protocol


class Ids(Protocol):
    """A source of fresh identifiers."""

    def uuid(self) -> str:
        """A fresh version 4 UUID, lower case."""
        ...

    def token(self, nbytes: int = 32) -> str:
        """A fresh URL-safe secret of `nbytes` bytes of entropy."""
        ...


class SystemIds:
    """Ids from the operating system's randomness."""

    def uuid(self) -> str:
        return _spelled(os.urandom(16).hex())

    def token(self, nbytes: int = 32) -> str:
        return secrets.token_urlsafe(nbytes)


class SeededIds:
    """Ids from a seed, for simulation only: predictable, so never for a real secret."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def token(self, nbytes: int = 32) -> str:
        return self._random.randbytes(nbytes).hex()


_VARIANTS = "89ab"


def _spelled(text: str) -> str:
    """32 hexadecimal digits as `uuid.UUID` spells version 4 of them, without an object in between: a request has several."""
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANTS[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def derived(*parts: str) -> str:
    """A UUID that is always the same for the same parts; names of outside things come from here."""
    return _spelled(hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32])


def short(*parts: str, length: int = 10) -> str:
    """A short lower-case hexadecimal name derived from `parts`, for interface names with their 15-byte limit."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:length]
