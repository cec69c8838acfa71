"""What a sign-in in progress leaves with the client: authorization codes, device codes, refresh tokens.

Must never be readable or forgeable by a client: all but device codes are sealed statements of ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from typing import Any

from lazur.identity.directory import Directories
from lazur.identity.oauth import OAuthError
from lazur.identity.objects import User
from lazur.identity.sealing import SealBroken, StampKey
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids

CODE_LIFE = 300
REQUEST_LIFE = 900
REFRESH_LIFE = 90 * 86_400
DEVICE_LIFE = 900
DEVICE_INTERVAL = 5
_DEVICES = 1000
# Consonants only: no words, nothing to mistake for a digit.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(frozen=True)
class AuthorizeRequest:
    """A checked authorize request, carried sealed through the sign-in page."""

    client_id: str
    redirect_uri: str
    response_mode: str
    state: str
    nonce: str
    challenge: str
    scope: str
    resource: str
    client_info: bool


@dataclass(frozen=True)
class Code:
    """What an authorization code stands for."""

    user_id: str
    tenant_id: str
    request: AuthorizeRequest
    expires: int
    unique: str


@dataclass(frozen=True)
class Refresh:
    """What a refresh token stands for."""

    user_id: str
    tenant_id: str
    app_id: str
    issued: int


class Statements:
    """Seals and opens codes, requests and refresh tokens; codes work once."""

    def __init__(self, stamp_key: StampKey, clock: Clock, ids: Ids) -> None:
        self._stamp_key = stamp_key
        self._clock = clock
        self._ids = ids
        self._used: dict[str, int] = {}

    def page(self, request: AuthorizeRequest) -> str:
        """The hidden field that carries `request` through the sign-in page."""
        return self._seal({**asdict(request), "expires": self._now() + REQUEST_LIFE}, "authorize-request")

    def from_page(self, sealed: str) -> AuthorizeRequest:
        """The request a sign-in page was made for; AADSTS70008 when the page is stale or not ours."""
        fields = self._open(sealed, "authorize-request")
        if fields is None or fields.pop("expires") <= self._now():
            raise OAuthError("invalid_request", 70008, "This sign-in page has expired. Start again from your program.")
        return AuthorizeRequest(**fields)

    def code(self, user: User, request: AuthorizeRequest) -> str:
        """An authorization code for `user`."""
        code = Code(user.object_id, user.tenant_id, request, self._now() + CODE_LIFE, self._ids.token(12))
        return self._seal(asdict(code), "authorization-code")

    def redeem(self, sealed: str, client_id: str, redirect_uri: str, verifier: str) -> Code:
        """What a code stands for, once, for the client, address and PKCE verifier it was made for."""
        fields = self._open(sealed, "authorization-code")
        if fields is None:
            raise OAuthError("invalid_grant", 9002313, "Invalid request. The authorization code is malformed.")
        code = Code(**{**fields, "request": AuthorizeRequest(**fields["request"])})
        now = self._now()
        if code.expires <= now:
            raise OAuthError("invalid_grant", 70008, "The authorization code has expired. Sign in again.")
        if code.request.client_id != client_id:
            raise OAuthError("invalid_grant", 700005, "The authorization code was issued to another application.")
        if code.request.redirect_uri != redirect_uri:
            raise OAuthError("invalid_grant", 50011, "The redirect URI differs from that of the authorize request.")
        if code.request.challenge and not hmac.compare_digest(s256(verifier), code.request.challenge):
            raise OAuthError("invalid_grant", 501481, "The 'code_verifier' does not match the 'code_challenge'.")
        self._used = {unique: until for unique, until in self._used.items() if until > now}
        if code.unique in self._used:
            raise OAuthError("invalid_grant", 54005, "The authorization code was already redeemed. Sign in again.")
        self._used[code.unique] = code.expires
        return code

    def refresh(self, user: User, app_id: str) -> str:
        """A refresh token for `user` through `app_id`, good for 90 days."""
        return self._seal(asdict(Refresh(user.object_id, user.tenant_id, app_id, self._now())), "refresh-token")

    def refreshed(self, sealed: str, app_id: str, directory: Directories) -> User:
        """Whom a refresh token speaks for; refused when it is another application's, stale, or was revoked."""
        fields = self._open(sealed, "refresh-token")
        if fields is None:
            raise OAuthError("invalid_grant", 9002313, "Invalid request. The refresh token is malformed.")
        refresh = Refresh(**fields)
        if refresh.app_id != app_id:
            raise OAuthError("invalid_grant", 70000, "The refresh token was issued to another application.")
        if refresh.issued + REFRESH_LIFE <= self._now():
            raise OAuthError("invalid_grant", 700082, "The refresh token has expired. Sign in again.")
        user = directory.user(refresh.user_id)
        if user is None or user.tenant_id != refresh.tenant_id:
            raise OAuthError("invalid_grant", 50034, "The user account does not exist any more.")
        if not user.enabled:
            raise OAuthError("invalid_grant", 50057, "The user account is disabled.")
        if refresh.issued < user.sessions_from:
            raise OAuthError("invalid_grant", 50173, "The grant was revoked: the password changed. Sign in again.")
        return user

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _seal(self, fields: dict[str, Any], purpose: str) -> str:
        return self._stamp_key.seal(json.dumps(fields, separators=(",", ":")).encode(), purpose)

    def _open(self, sealed: str, purpose: str) -> dict[str, Any] | None:
        try:
            fields: dict[str, Any] = json.loads(self._stamp_key.unseal(sealed, purpose))
        except SealBroken:
            return None
        return fields


def s256(verifier: str) -> str:
    """The PKCE challenge of `verifier` (RFC 7636, method S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Device:
    """A device waiting for a person; `user_id` once they signed in, `polled` when the client last asked."""

    client_id: str
    tenant_id: str | None
    user_code: str
    expires: float
    user_id: str = ""
    polled: float = -1e9


class Devices:
    """Device codes in progress. In memory: after a restart the device is told to start again."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._devices: dict[str, Device] = {}

    def start(self, client_id: str, tenant_id: str | None) -> tuple[str, Device]:
        """A new device code and what it stands for."""
        now = self._clock.monotonic()
        self._devices = {code: device for code, device in self._devices.items() if device.expires > now}
        if len(self._devices) >= _DEVICES:
            raise OAuthError("temporarily_unavailable", 90033, "Too many device sign-ins are waiting.", status=503)
        number = int.from_bytes(hashlib.sha256(self._ids.token(16).encode()).digest()[:8])
        letters = [_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(9)]
        device = Device(client_id, tenant_id, "".join(letters), now + DEVICE_LIFE)
        code = self._ids.token(32)
        self._devices[code] = device
        return code, device

    def waiting(self, user_code: str) -> Device | None:
        """The device that shows `user_code`, as long as it waits; typed spaces, dashes and small letters do not matter."""
        typed = "".join(letter for letter in user_code.upper() if letter.isalpha())
        now = self._clock.monotonic()
        for device in self._devices.values():
            if hmac.compare_digest(device.user_code.encode(), typed.encode()) and device.expires > now:
                return None if device.user_id else device
        return None

    def poll(self, code: str, client_id: str) -> Device:
        """The device once a person signed in for it; before that the error that tells the client to go on waiting."""
        device = self._devices.get(code)
        now = self._clock.monotonic()
        if device is None or device.client_id != client_id:
            raise OAuthError("bad_verification_code", 501491, "The device code is not known here. Start again.")
        if device.expires <= now:
            raise OAuthError("expired_token", 70020, "The device code has expired. Start again.")
        if not device.user_id:
            early = now - device.polled < DEVICE_INTERVAL / 2
            device.polled = now
            if early:
                raise OAuthError("slow_down", 70016, "Polling too often. Wait longer between requests.")
            raise OAuthError("authorization_pending", 70016, "Pending end-user authorization.")
        del self._devices[code]
        return device
