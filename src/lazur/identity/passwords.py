"""Passwords as they are kept: salted scrypt hashes. Must never be called on the event loop: each call costs 0.2 s."""

from __future__ import annotations

import hashlib
import hmac

from lazur.kernel.ids import Ids

# About 0.2 s of one core and 16 MiB: dear for a guesser, bearable at a sign-in.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 5

# What an unknown user's attempt is checked against, so that its answer takes as long as a known user's.
NOBODY = f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${'0' * 32}${'0' * 64}"


def hash_password(password: str, ids: Ids) -> str:
    """A salted scrypt hash with its parameters, `scrypt$n$r$p$salt$hash`. Costs about 0.2 s: call it in a thread."""
    salt = hashlib.sha256(ids.token(16).encode()).hexdigest()[:32]
    digest = _scrypt(password, salt, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)
    return f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${salt}${digest}"


def check_password(password: str, hashed: str) -> bool:
    """Whether `hashed` came from `password`; constant time in the hash, as dear as `hash_password`."""
    _, n, r, p, salt, digest = hashed.split("$")
    return hmac.compare_digest(_scrypt(password, salt, int(n), int(r), int(p)), digest)


RULES = "8 to 256 characters of three kinds (small, capital, digit, other)"


def complies(password: str, *, waived: bool = False) -> bool:
    """Whether `password` may be chosen: `RULES`; the kinds are `waived` for some accounts."""
    tests = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    kinds = sum(any(test(c) for c in password) for test in tests)
    return (waived or kinds >= 3) and 8 <= len(password) <= 256


def _scrypt(password: str, salt: str, n: int, r: int, p: int) -> str:
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=n, r=r, p=p, maxmem=256 * 1024 * 1024, dklen=32).hex()
