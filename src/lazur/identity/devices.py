"""Device codes in progress (RFC 8628): a device shows a code, a person enters it in a browser and signs in for it.

Must never let a device learn anything before that person signed in. In memory: after a restart a device starts again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lazur.identity.oauth import OAuthError
from lazur.identity.objects import User
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids

DEVICE_LIFE = 900
DEVICE_INTERVAL = 5
_WAITING = 2000
_WAITING_PER_SOURCE = 100
# Consonants only: no words, nothing to mistake for a digit.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(frozen=True)
class Device:
    """A device waiting for a person. `tenant_id` "" where the person decides; `source` is the address it asked from;
    `asked` what for (`scope` or `resource`), which it does not repeat; `approved` when `user_id` of tenant `home_id`
    signed in for it, in seconds since the epoch."""

    client_id: str
    tenant_id: str
    source: str
    asked: Mapping[str, str]
    user_code: str
    began: float
    user_id: str = ""
    home_id: str = ""
    approved: int = 0
    declined: bool = False
    polled: float = -1e9

    @property
    def expires(self) -> float:
        """When nobody may enter its code any more, on the monotonic clock."""
        return self.began + DEVICE_LIFE


class Devices:
    """All devices that wait."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._devices: dict[str, Device] = {}

    def start(self, client_id: str, tenant_id: str, source: str, asked: Mapping[str, str]) -> tuple[str, Device]:
        """A new device code and what it stands for."""
        now = self._clock.monotonic()
        self._devices = {code: device for code, device in self._devices.items() if device.expires > now}
        theirs = sum(device.source == source for device in self._devices.values())
        if len(self._devices) >= _WAITING or theirs >= _WAITING_PER_SOURCE:
            raise OAuthError("temporarily_unavailable", 90033, "Too many device sign-ins are waiting.", status=503)
        number = int.from_bytes(hashlib.sha256(self._ids.token(16).encode()).digest()[:8])
        letters = [_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(9)]
        device = Device(client_id, tenant_id, source, asked, "".join(letters), now)
        code = self._ids.token(32)
        self._devices[code] = device
        return code, device

    def waiting(self, user_code: str) -> Device | None:
        """The device that shows `user_code`, as long as it waits; typed spaces, dashes and small letters do not matter."""
        found = self._find(user_code)
        return None if found is None or self._devices[found].user_id else self._devices[found]

    def approve(self, device: Device, user: User) -> None:
        """Let `device` have tokens of this person."""
        approved = max(int(self._clock.now().timestamp()), user.sessions_from)
        self._change(device, user_id=user.object_id, home_id=user.tenant_id, approved=approved)

    def decline(self, device: Device) -> None:
        """Tell `device` that the person did not want to sign in."""
        self._change(device, declined=True)

    def poll(self, code: str, client_id: str, tenant_id: str) -> Device:
        """The device once a person signed in for it; before that the error that tells the client to go on waiting.

        `tenant_id` is that of the address polled at: a device that asked at one tenant is unknown at another.
        """
        device = self._devices.get(code)
        now = self._clock.monotonic()
        if device is None or device.client_id != client_id or (device.tenant_id and device.tenant_id != tenant_id):
            raise OAuthError("bad_verification_code", 501491, "The device code is not known here. Start again.")
        if device.expires <= now:
            raise OAuthError("expired_token", 70020, "The device code has expired. Start again.")
        if device.declined:
            del self._devices[code]
            raise OAuthError("authorization_declined", 65004, "The person declined to sign in.")
        if not device.user_id:
            self._devices[code] = replace(device, polled=now)
            if now - device.polled < DEVICE_INTERVAL / 2:
                raise OAuthError("slow_down", 70016, "Polling too often. Wait longer between requests.")
            raise OAuthError("authorization_pending", 70016, "Pending end-user authorization.")
        del self._devices[code]
        return device

    def _find(self, user_code: str) -> str | None:
        typed = "".join(letter for letter in user_code.upper() if letter.isalpha()).encode()
        now = self._clock.monotonic()
        for code, device in self._devices.items():
            if hmac.compare_digest(device.user_code.encode(), typed) and device.expires > now and not device.declined:
                return code
        return None

    def _change(self, device: Device, **fields: Any) -> None:
        code = self._find(device.user_code)
        if code is not None:
            self._devices[code] = replace(self._devices[code], **fields)
