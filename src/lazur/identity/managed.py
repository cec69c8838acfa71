"""Tokens of managed identities, in the form the instance metadata service answers with.

A token is issued once and handed out again for half of its life, for guests ask often. Must never be asked for somebody whom
the caller has not proved to be entitled to it: who may be whom is not known here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazur.identity.directory import LiveDirectory
from lazur.identity.oauth import OAuthError
from lazur.identity.objects import ServicePrincipal
from lazur.identity.provider import OpenIdProvider
from lazur.identity.tokens import LIFETIME
from lazur.kernel.clock import Clock

_KEPT = 4096


@dataclass(frozen=True)
class _Issued:
    """An answer, and when it was made. It stands as long as the principal is exactly what it was then."""

    principal: ServicePrincipal
    answer: Mapping[str, Any]
    at: float


class ManagedTokens:
    """Issues and keeps them."""

    def __init__(self, provider: OpenIdProvider, directory: LiveDirectory, clock: Clock) -> None:
        self._provider = provider
        self._directory = directory
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], _Issued] = OrderedDict()

    def token(self, who: Mapping[str, Any], arm_id: str, resource: str) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer: a token for `resource`, or why there is none. `who` is the identity of `arm_id`."""
        directory = self._directory.current.by_id.get(who["tenantId"])
        principal = directory.object(who["principalId"]) if directory else None
        if not isinstance(principal, ServicePrincipal):
            return 400, {"error": "invalid_request", "error_description": "Identity not found"}
        key, now = (principal.object_id, arm_id, resource), self._clock.monotonic()
        issued = self._kept.get(key)
        if issued is None or issued.principal != principal or issued.at + LIFETIME / 2 <= now:
            try:
                answer = self._provider.managed_identity(principal, resource, arm_id)
            except OAuthError as error:
                return 400, {"error": error.error, "error_description": f"{error.code}: {error.message}"}
            self._kept[key] = issued = _Issued(principal, answer, now)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        left = str(int(issued.at + LIFETIME - now))
        return 200, {**issued.answer, "expires_in": left, "ext_expires_in": left}
