"""Documents of outside OpenID issuers: discovery and keys, fetched when first needed and kept for an hour.

Must never reach where the stamp itself lives on a customer's word: issuers that customers name are read through the same
guard as linked templates.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakValueDictionary

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry

from lazur.drivers.web.interface import Fetch
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError, Unavailable

_LARGEST = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
_KEPT_FOR = 3600.0
# An unknown key id makes us look again, but not more often than this: anybody can invent key ids.
_AGAIN_AFTER = 60.0
_KEPT = 256
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""What tokens of others may be signed with: public keys alone."""


class Reader(Protocol):
    """The way to an issuer's documents."""

    async def get(self, url: str) -> dict[str, Any]:
        """The JSON object at `url`; `Unavailable` when there is none."""
        ...


class Web(Reader, Protocol):
    """The way to a provider people are sent to."""

    async def post(self, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        """The JSON object answered to `form`, errors of OAuth included; `Unavailable` when there is none."""
        ...


class HttpWeb:
    """HTTPS to providers the operator configured, wherever they are, without redirects; `roots` vouch for them."""

    def __init__(self, roots: ssl.SSLContext | None = None) -> None:
        self._given = roots

    @cached_property
    def _roots(self) -> ssl.SSLContext:
        # Reading all roots of the system takes a while, and most stamps never ask anybody outside.
        return self._given or ssl.create_default_context()

    async def get(self, url: str) -> dict[str, Any]:
        return await self._ask("GET", url, None)

    async def post(self, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        return await self._ask("POST", url, form)

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None) -> dict[str, Any]:
        _check_scheme(url)
        connector = aiohttp.TCPConnector(ssl=self._roots, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=_TIMEOUT, trust_env=False
                ) as session,
                session.request(method, url, data=form, allow_redirects=False) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > _LARGEST:
                        break
                good = answer.status == 200 or (method == "POST" and answer.status in (400, 401))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"'{url}' cannot be read.", internal=repr(error)) from None
        if not good:
            raise Unavailable(f"'{url}' did not answer with a document.", internal=f"status {answer.status}")
        return _object(bytes(body), url)


class GuardedWeb:
    """HTTPS to issuers that customers name: what is fetched goes through the stamp's one guarded door, or not at all."""

    def __init__(self, fetch: Fetch | None) -> None:
        self._fetch = fetch

    async def get(self, url: str) -> dict[str, Any]:
        _check_scheme(url)
        if self._fetch is None:
            raise Unavailable("This stamp has no way to outside servers.")
        try:
            return _object(await self._fetch(url), url)
        except LazurError as error:
            raise Unavailable(f"'{url}' cannot be read.", internal=error.message) from None


def _check_scheme(url: str) -> None:
    if not url.startswith("https://"):
        raise Unavailable(f"'{url}' is not an https address.")


def _object(body: bytes, url: str) -> dict[str, Any]:
    try:
        content = json.loads(body) if len(body) <= _LARGEST else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Unavailable(f"'{url}' did not answer with a JSON object.")
    return content


@dataclass(frozen=True)
class Issuer:
    """What is known of an issuer: its discovery document and its keys, by key id."""

    document: Mapping[str, Any]
    keys: Mapping[str, RSAKey | ECKey]
    fetched: float


class Issuers:
    """Issuers by their URL, fetched when first needed and once an hour."""

    def __init__(self, web: Reader, clock: Clock) -> None:
        self._web = web
        self._clock = clock
        self._known: dict[str, Issuer] = {}
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def issuer(self, url: str, kid: str = "") -> Issuer:
        """The issuer at `url`; looked up again when it is old, or when `kid` is not among its keys."""
        lock = self._fetching.setdefault(url, asyncio.Lock())
        async with lock:
            known, now = self._known.get(url), self._clock.monotonic()
            if known is not None:
                age = now - known.fetched
                if age < _AGAIN_AFTER or (age < _KEPT_FOR and (not kid or kid in known.keys)):
                    return known
            try:
                known = await self._fetch(url, now)
            except Unavailable:
                # Better an hour-old key than no sign-in while the issuer restarts; a day-old one is trusted no more.
                if known is None or now - known.fetched > 24 * _KEPT_FOR:
                    raise
            self._known.pop(url, None)
            self._known[url] = known
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
            return known

    async def _fetch(self, url: str, now: float) -> Issuer:
        document = await self._web.get(f"{url.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != url:
            raise Unavailable(f"The issuer '{url}' calls itself something else.")
        where = document.get("jwks_uri")
        if not isinstance(where, str):
            raise Unavailable(f"The issuer '{url}' names no keys.")
        return Issuer(document, key_set(await self._web.get(where)), now)


def key_set(document: Mapping[str, Any]) -> dict[str, RSAKey | ECKey]:
    """The public RSA and EC signing keys of a JWK set by key id; others are passed over."""
    found: dict[str, RSAKey | ECKey] = {}
    for row in document.get("keys", ()):
        if not isinstance(row, dict) or row.get("kty") not in ("RSA", "EC") or row.get("use", "sig") != "sig":
            continue
        try:
            (key,) = KeySet.import_key_set({"keys": [row]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey):
            found[str(row.get("kid", ""))] = key
    return found


class _Foreign(JWSRegistry):
    """Others' headers: client libraries send whole certificate chains along, issuers what they please."""

    max_header_length = 16 * 1024


def foreign(algorithms: list[str]) -> JWSRegistry:
    """How to read a token that somebody else made. Of its header only `alg` and `kid` (or a thumbprint) may be believed."""
    return _Foreign(algorithms=algorithms, strict_check_header=False)


def strings(value: Any) -> tuple[str, ...]:
    """A claim that is one string or a list of them (`aud`); anything else is nobody."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

