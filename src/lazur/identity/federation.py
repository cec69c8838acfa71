"""Sign-in by an outside OpenID provider the operator configured: there and back, and who the person is here.

Must never believe an outside provider about another tenant than its own, nor anything that it did not sign for us, for this
browser and for this one sign-in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import extract_compact

from lazur.identity import audit
from lazur.identity.codes import Statements, s256
from lazur.identity.directory import Directories, Directory, Edit, LiveDirectory, Remove, Write
from lazur.identity.endpoints import Endpoints
from lazur.identity.oauth import Authority, Form, OAuthError, malformed, required
from lazur.identity.objects import Link, User
from lazur.identity.outside import ALGORITHMS, Issuers, Web, foreign, strings
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Unavailable
from lazur.kernel.ids import Ids

_SKEW = 300
_NAME = re.compile(r"([A-Za-z0-9._%+'-]{1,64})@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")


@dataclass(frozen=True)
class Federation:
    """One outside provider. `tenant` is the id or a domain of the directory its people are in; empty: the stamp's own.

    The claim names say where subject, user name, display name and groups stand in its identity tokens. `groups` maps
    values of the groups claim to object ids of groups here, whose membership then follows each sign-in. With `create` a
    person nobody knows gets an account at the first sign-in; with `link` one whose name is known here becomes that account.
    """

    key: str
    display_name: str
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    tenant: str = ""
    scopes: str = "openid profile email"
    subject_claim: str = "sub"
    name_claim: str = "preferred_username"
    display_name_claim: str = "name"
    groups_claim: str = "groups"
    groups: Mapping[str, str] = field(default_factory=dict)
    create: bool = True
    link: bool = False


class Federations:
    """The configured outside providers."""

    def __init__(
        self,
        configured: Sequence[Federation],
        web: Web,
        endpoints: Endpoints,
        directory: LiveDirectory,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._configured = {known.key: known for known in configured}
        self._web = web
        self._issuers = Issuers(web, clock)
        self._directory = directory
        self._clock = clock
        self._ids = ids
        # The address to register with the outside provider.
        self.callback = f"{endpoints.login}/common/oauth2/federation"

    def offered(self, authority: Authority) -> list[tuple[str, str]]:
        """Key and name of the providers whose people may sign in at `authority`."""
        return [
            (known.key, known.display_name)
            for known in self._configured.values()
            if authority.accepts(self._home(known).tenant.id)
        ]

    def name(self, key: str) -> str:
        """What to call a provider on a page."""
        return self._configured[key].display_name

    async def begin(
        self, key: str, authority: Authority, statements: Statements, browser: str, journey: dict[str, Any]
    ) -> str:
        """Where to send the browser; `journey` is what goes on when it comes back."""
        known = self._configured.get(key)
        if known is None or not authority.accepts(self._home(known).tenant.id):
            raise malformed("There is no such identity provider.")
        document = await self._document(known)
        nonce, verifier = self._ids.token(24), self._ids.token(48)
        state = statements.page(
            "outside", browser, {"key": key, "nonce": nonce, "verifier": verifier, "journey": journey}
        )
        query = {
            "client_id": known.client_id,
            "response_type": "code",
            "response_mode": "query",
            "redirect_uri": self.callback,
            "scope": known.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
        }
        where = _address(document, "authorization_endpoint")
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}"

    async def finish(self, query: Form, statements: Statements, browser: str) -> tuple[User, dict[str, Any]]:
        """The person who came back with `query`, and the journey to go on with."""
        kept = statements.from_page("outside", browser, query.get("state", ""))
        known = self._configured.get(kept["key"])
        if known is None or query.get("iss", known.issuer) != known.issuer:
            raise malformed("The answer is not from the identity provider that was asked.")
        if "error" in query:
            raise OAuthError("access_denied", 50126, f"{known.display_name} did not sign you in ({query['error'][:100]}).")
        claims = await self._claims(known, required(query, "code"), kept["nonce"], kept["verifier"])
        return await self._person(known, claims), kept["journey"]

    def _home(self, known: Federation) -> Directory:
        current = self._directory.current
        found = current.directory(known.tenant) if known.tenant else current.home
        if found is None:
            raise OAuthError("server_error", 50000, f"The tenant of '{known.key}' does not exist here.", status=500)
        return found

    async def _document(self, known: Federation) -> Mapping[str, Any]:
        try:
            return (await self._issuers.issuer(known.issuer)).document
        except Unavailable as error:
            raise _unreachable(known, error) from None

    async def _claims(self, known: Federation, code: str, nonce: str, verifier: str) -> dict[str, Any]:
        """The claims of the identity token that `code` stands for, every one of OpenID's checks made."""
        form = {
            "grant_type": "authorization_code",
            "client_id": known.client_id,
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": verifier,
        }
        if known.client_secret:
            form["client_secret"] = known.client_secret
        try:
            answer = await self._web.post(_address(await self._document(known), "token_endpoint"), form)
            token = answer.get("id_token")
            if not isinstance(token, str):
                raise _bad(known, f"it answered with {str(answer.get('error', 'no identity token'))[:100]}")
            key = await self._key(known, token)
            claims = jwt.decode(token, key, algorithms=ALGORITHMS, registry=foreign(ALGORITHMS)).claims
        except Unavailable as error:
            raise _unreachable(known, error) from None
        except (JoseError, ValueError, TypeError):
            raise _bad(known, "its identity token does not verify") from None
        self._check(known, claims, nonce)
        return dict(claims)

    async def _key(self, known: Federation, token: str) -> RSAKey | ECKey:
        kid = str(extract_compact(token.encode(), registry=foreign([])).headers().get("kid", ""))
        keys = (await self._issuers.issuer(known.issuer, kid)).keys
        if kid in keys:
            return keys[kid]
        if kid or len(keys) != 1:
            raise _bad(known, "its identity token is signed by an unknown key")
        return next(iter(keys.values()))

    def _check(self, known: Federation, claims: Mapping[str, Any], nonce: str) -> None:
        now, audiences = self._clock.now().timestamp(), strings(claims.get("aud"))
        times = [claims.get(name, fallback) for name, fallback in (("exp", None), ("iat", None), ("nbf", 0))]
        if not all(isinstance(time, int | float) for time in times):
            raise _bad(known, "its identity token lacks its times")
        expires, issued, begins = (float(time) for time in times)
        sound = (
            claims.get("iss") == known.issuer
            and known.client_id in audiences
            and (len(audiences) == 1 or claims.get("azp") == known.client_id)
            and now - _SKEW < expires
            and max(issued, begins) < now + _SKEW
        )
        if not sound:
            raise _bad(known, "its identity token is not for this sign-in")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _bad(known, "its identity token is for another sign-in")

    # --- who that is here -----------------------------------------------------------------------------------------

    async def _person(self, known: Federation, claims: Mapping[str, Any]) -> User:
        subject = claims.get(known.subject_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise _bad(known, f"its identity token has no '{known.subject_claim}'")
        created = self._ids.uuid()

        def edit(directories: Directories) -> list[Edit]:
            directory = self._home(known)
            user = directory.federated(known.issuer, subject)
            edits: list[Edit] = []
            if user is None:
                user = self._linked(known, directory, subject, claims) or self._created(
                    known, directory, subject, claims, created
                )
                edits.append(Write(user))
            return edits + _membership(known, directory, user, claims)

        current = self._directory.current
        if edit(current):
            current = await self._directory.change(edit)
        user = self._home(known).federated(known.issuer, subject)
        if user is None:
            raise _unknown(known)
        audit.signed_in("federation", user.tenant_id, user.object_id, known.key)
        return user

    def _linked(self, known: Federation, directory: Directory, subject: str, claims: Mapping[str, Any]) -> User | None:
        name = claims.get(known.name_claim)
        user = directory.user(name) if known.link and isinstance(name, str) and "@" in name else None
        if user is None or claims.get("email_verified", True) is not True or any(i == known.issuer for i, _ in user.federated):
            return None
        return replace(user, federated=(*user.federated, (known.issuer, subject)))

    def _created(
        self, known: Federation, directory: Directory, subject: str, claims: Mapping[str, Any], object_id: str
    ) -> User:
        if not known.create:
            raise _unknown(known)
        tenant, name = directory.tenant, str(claims.get(known.name_claim, ""))
        fallback = f"{known.key}-{hashlib.sha256(subject.encode()).hexdigest()[:12]}@{tenant.default_domain}"
        upn = fallback
        if parts := _NAME.fullmatch(name):
            local, domain = parts[1], parts[2].lower()
            # Somebody of a domain that is not ours is a guest, and called as Entra calls guests.
            upn = name if domain in tenant.names else f"{local}_{domain}#EXT#@{tenant.default_domain}"
        if directory.user(upn) is not None:
            upn = fallback
        return User(
            object_id, tenant.id, upn, str(claims.get(known.display_name_claim) or name or upn)[:256], "",
            created=int(self._clock.now().timestamp()), federated=((known.issuer, subject),),
        )  # fmt: skip


def _membership(known: Federation, directory: Directory, user: User, claims: Mapping[str, Any]) -> list[Edit]:
    """What makes the mapped groups say what the identity token says; a token without the claim changes nothing."""
    if not known.groups or known.groups_claim not in claims:
        return []
    held = set(strings(claims[known.groups_claim]))
    edits: list[Edit] = []
    for outside, group in known.groups.items():
        link = Link("member", directory.tenant.id, group, user.object_id)
        there = directory.is_linked("member", group, user.object_id)
        if directory.group(group) is not None and there != (outside in held):
            edits.append(Remove(link) if there else Write(link))
    return edits


def _address(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    if not isinstance(found, str) or not found.startswith("https://"):
        raise malformed(f"The identity provider names no '{name}'.")
    return found


def _bad(known: Federation, why: str) -> OAuthError:
    return OAuthError("access_denied", 50008, f"{known.display_name} cannot be believed: {why}.")


def _unknown(known: Federation) -> OAuthError:
    return OAuthError("access_denied", 90072, f"Your account of {known.display_name} is not known here. Ask an administrator.")


def _unreachable(known: Federation, error: Unavailable) -> OAuthError:
    return OAuthError("temporarily_unavailable", 90033, f"{known.display_name} cannot be reached: {error.message}", status=503)
