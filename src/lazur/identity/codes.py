"""What a sign-in in progress leaves with the client: sign-in pages, authorization codes, refresh tokens.

Must never be readable or forgeable by a client: all are sealed statements of ours, each for one purpose.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from lazur.identity.firstparty import FAMILY
from lazur.identity.oauth import OAuthError
from lazur.identity.objects import User
from lazur.identity.sealing import SealBroken, StampKey
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids

CODE_LIFE = 300
PAGE_LIFE = 900
REFRESH_LIFE = 90 * 86_400
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True)
class AuthorizeRequest:
    """A checked authorize request, carried sealed through the sign-in page.

    `tenant` ("" where the person decides) and `dialect` are those of the address it was made at.
    """

    tenant: str
    dialect: str
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
    """What an authorization code stands for; `grant` names the sign-in, in everything that comes of it."""

    user_id: str
    tenant_id: str
    request: AuthorizeRequest
    issued: int
    grant: str
    boot: str


@dataclass(frozen=True)
class Refresh:
    """What a refresh token stands for."""

    user_id: str
    tenant_id: str
    app_id: str
    issued: int
    grant: str = ""


class CodeReplayed(OAuthError):
    """A code came a second time: somebody else has it too, so what the first time gave must end (RFC 6749, 4.1.2)."""

    def __init__(self, code: Code) -> None:
        super().__init__("invalid_grant", 54005, "The authorization code was already redeemed. Sign in again.")
        self.grant = code.grant


class Statements:
    """Seals and opens pages, codes and refresh tokens. Codes work once, in the process that made them."""

    def __init__(self, stamp_key: StampKey, clock: Clock, ids: Ids) -> None:
        self._stamp_key = stamp_key
        self._clock = clock
        self._ids = ids
        self._used: dict[str, int] = {}
        # What was redeemed is known in memory only: a code of an earlier process might have been, so it is refused.
        self._boot = ids.token(8)

    # --- pages ----------------------------------------------------------------------------------------------------

    def page(self, kind: str, browser: str, fields: dict[str, Any]) -> str:
        """The hidden field that carries `fields` through a page of `kind` shown to one browser (its cookie)."""
        return self._seal(
            {"fields": fields, "browser": _mark(browser), "until": self._now() + PAGE_LIFE}, f"page/{kind}"
        )

    def from_page(self, kind: str, browser: str, sealed: str) -> dict[str, Any]:
        """The fields a page was made with; AADSTS70008 when it is stale, not ours, or another browser's."""
        kept = self._open(sealed, f"page/{kind}")
        if kept is None or kept["until"] <= self._now():
            raise OAuthError("invalid_request", 70008, "This sign-in page has expired. Start again from your program.")
        if not hmac.compare_digest(kept["browser"], _mark(browser)):
            raise OAuthError(
                "invalid_request",
                165000,
                "This page was made for another browser, or your browser keeps no cookies of this address."
                " Allow them and start again from your program.",
            )
        fields: dict[str, Any] = kept["fields"]
        return fields

    # --- codes ----------------------------------------------------------------------------------------------------

    def code(self, user: User, request: AuthorizeRequest) -> str:
        """An authorization code for `user`."""
        issued = self._issued(user)
        code = Code(user.object_id, user.tenant_id, request, issued, self._ids.token(12), self._boot)
        return self._seal(asdict(code), "authorization-code")

    def redeem(self, sealed: str, client_id: str, redirect_uri: str, verifier: str) -> Code:
        """What a code stands for, once, for the client, address and PKCE verifier it was made for."""
        fields = self._open(sealed, "authorization-code")
        if fields is None:
            raise OAuthError("invalid_grant", 9002313, "Invalid request. The authorization code is malformed.")
        code = Code(**{**fields, "request": AuthorizeRequest(**fields["request"])})
        now = self._now()
        if code.issued + CODE_LIFE <= now or code.boot != self._boot:
            raise OAuthError("invalid_grant", 70008, "The authorization code has expired. Sign in again.")
        if code.request.client_id != client_id:
            raise OAuthError("invalid_grant", 700005, "The authorization code was issued to another application.")
        self._used = {grant: until for grant, until in self._used.items() if until > now}
        if code.grant in self._used:
            raise CodeReplayed(code)
        if code.request.redirect_uri != redirect_uri:
            raise OAuthError("invalid_grant", 50011, "The redirect URI differs from that of the authorize request.")
        if not _proves(verifier, code.request.challenge):
            raise OAuthError("invalid_grant", 501481, "The 'code_verifier' does not match the 'code_challenge'.")
        self._used[code.grant] = code.issued + CODE_LIFE
        return code

    # --- refresh tokens -------------------------------------------------------------------------------------------

    def grant(self) -> str:
        """The name of a sign-in that began without a code."""
        return self._ids.token(12)

    def refresh(self, user: User, app_id: str, grant: str) -> str:
        """A refresh token for `user` through `app_id`, good for 90 days."""
        refresh = Refresh(user.object_id, user.tenant_id, app_id, self._issued(user), grant)
        return self._seal(asdict(refresh), "refresh-token")

    def refreshed(self, sealed: str, app_id: str) -> Refresh:
        """What a refresh token stands for; refused when it is another application's, of another family, or stale."""
        fields = self._open(sealed, "refresh-token")
        if fields is None:
            raise OAuthError("invalid_grant", 9002313, "Invalid request. The refresh token is malformed.")
        refresh = Refresh(**fields)
        if refresh.app_id != app_id and not {refresh.app_id, app_id} <= FAMILY:
            raise OAuthError("invalid_grant", 70000, "The refresh token was issued to another application.")
        if refresh.issued + REFRESH_LIFE <= self._now():
            raise OAuthError("invalid_grant", 700082, "The refresh token has expired. Sign in again.")
        return refresh

    def _issued(self, user: User) -> int:
        return max(self._now(), user.sessions_from)

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


def _proves(verifier: str, challenge: str) -> bool:
    # A verifier without a challenge means that somebody took the challenge out of the authorize request (RFC 9700, 4.8.2).
    if not challenge:
        return not verifier
    return bool(_VERIFIER.fullmatch(verifier)) and hmac.compare_digest(s256(verifier), challenge)


def _mark(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest() if browser else "-"
