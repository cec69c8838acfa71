"""What is accepted as a token, and above all what is not."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.directory import Write
from lazur.identity.endpoints import Endpoints
from lazur.identity.keys import KeyRing
from lazur.identity.objects import ServicePrincipal, Tenant
from lazur.identity.sealing import StampKey
from lazur.identity.tokens import Issuer, Subject, bearer, challenge
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SeededIds
from tests.identity.support import STAMP_KEY, MemoryStore, Stamp, stamp


def issuer(made: Stamp) -> Issuer:
    return Issuer(made.endpoints, made.keys, made.clock, SeededIds(9))


def subject(made: Stamp) -> Subject:
    """The first service principal, by its secret."""
    principal = made.directory.current.principal(made.secrets.client_id, made.tenant)
    app = made.directory.current.application(made.secrets.client_id)
    assert principal and app
    return Subject.of_service(principal, 1, app.secrets[0].key_id)


def issue(made: Stamp, audience: str = "https://management.azure.com/", tenant: str | None = None) -> str:
    return issuer(made).access(replace(subject(made), tenant_id=tenant or made.tenant), audience)


def code(made: Stamp, token: str, **more: Any) -> str:
    with pytest.raises(LazurError) as caught:
        made.verifier.verify(token, made.endpoints.accepted_by_arm, **more)
    assert caught.value.status == 401
    return caught.value.code


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def edited(token: str, part: int, **changes: Any) -> str:
    parts = token.split(".")
    fields = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = _b64(json.dumps({**fields, **changes}).encode())
    return ".".join(parts)


def test_every_spelling_of_the_arm_audience_and_a_second_look() -> None:
    made = asyncio.run(stamp())
    spellings = (
        "https://management.azure.com",
        "https://management.core.windows.net/",
        made.endpoints.management + "/",
    )
    for audience in spellings:
        token = issue(made, audience)
        for _ in range(2):
            principal = made.verifier.verify(token, made.endpoints.accepted_by_arm, tenant=made.tenant)
            assert principal.object_id == made.secrets.client_object_id
            assert (principal.kind, principal.upn) == ("servicePrincipal", None)
    assert principal.claims["iss"].split("/")[3] == made.tenant


def test_wrong_audience_before_and_after_it_was_cached() -> None:
    made = asyncio.run(stamp())
    token = issue(made, "https://vault.azure.net")
    assert code(made, token) == "InvalidAuthenticationTokenAudience"
    assert made.verifier.verify(token, frozenset({"https://vault.azure.net"})).object_id == made.secrets.client_object_id
    assert code(made, token) == "InvalidAuthenticationTokenAudience"


def test_expiry_also_of_a_cached_token() -> None:
    clock = VirtualClock()
    made = asyncio.run(stamp(clock))
    seen, unseen = issue(made), issue(made)
    made.verifier.verify(seen, made.endpoints.accepted_by_arm)
    clock.advance(3600)
    assert code(made, seen) == code(made, unseen) == code(made, seen) == "ExpiredAuthenticationToken"


def test_tampering_alg_none_and_confused_keys() -> None:
    made = asyncio.run(stamp())
    token = issue(made)
    head, payload, signature = token.split(".")
    assert code(made, edited(token, 1, oid="somebody-else")) == "InvalidAuthenticationToken"
    assert code(made, f"{head}.{payload}.{'A' * len(signature)}") == "InvalidAuthenticationToken"
    assert code(made, f"{head}.{payload}.") == "InvalidAuthenticationToken"
    none = edited(token, 0, alg="none").rsplit(".", 1)[0] + "."
    assert code(made, none) == "InvalidAuthenticationToken"
    # The classic: our public key taken as an HMAC secret.
    public = made.keys.signing().as_pem(private=False)
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    header = {"alg": "HS256", "kid": made.keys.signing().kid}
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    forged = f"{signed}.{_b64(hmac.digest(public, signed.encode(), 'sha256'))}"
    assert code(made, forged) == "InvalidAuthenticationToken"
    stranger = RSAKey.generate_key(2048)
    for kid in (made.keys.signing().kid, "unknown"):
        forged = jwt.encode({"alg": "RS256", "kid": kid}, claims, stranger, algorithms=["RS256"])
        assert code(made, forged) == "InvalidAuthenticationToken"
    for junk in ("", "a", "a.b", "a.b.c", "....", "é.é.é", "{}"):
        assert code(made, junk) == "InvalidAuthenticationToken"


def test_tenants_do_not_mix() -> None:
    made = asyncio.run(stamp())
    other = Tenant("99999999-0000-4000-8000-000000000009", "Other", "other.example")
    stray = issue(made, tenant=other.id)
    assert code(made, stray) == "InvalidAuthenticationTokenTenant"  # not a tenant of this stamp
    theirs = ServicePrincipal(made.secrets.client_object_id, made.secrets.client_id, other.id, "an app of both")
    asyncio.run(made.directory.change(lambda d: [Write(other), Write(theirs)]))
    assert made.verifier.verify(stray, made.endpoints.accepted_by_arm).tenant_id == other.id
    assert code(made, stray, tenant=made.tenant) == "InvalidAuthenticationTokenTenant"
    assert code(made, issue(made), tenant=other.id) == "InvalidAuthenticationTokenTenant"


def test_an_identity_token_is_no_access_token() -> None:
    made = asyncio.run(stamp())
    who = Subject(made.tenant, "oid", made.endpoints.management, "user", "a@b")
    token = issuer(made).identity(who, made.endpoints.issuer(made.tenant), None)
    assert code(made, token) == "InvalidAuthenticationToken"


def test_the_header() -> None:
    assert bearer("Bearer abc") == bearer("bearer  abc ") == "abc"
    for header in (None, "", "Bearer", "Bearer ", "Basic abc", "abc"):
        with pytest.raises(LazurError) as caught:
            bearer(header)
        assert (caught.value.code, caught.value.status) == ("AuthenticationFailed", 401)


def test_the_challenge_names_the_authority_a_client_can_use() -> None:
    rack = Endpoints.for_region("local", "lazur.internal")
    assert 'authorization_uri="https://login.local.lazur.internal/t"' in challenge(rack, "t")
    simulated = Endpoints.for_localhost(8443, "local", "lazur.internal")
    assert 'authorization_uri="https://localhost:8443/adfs"' in challenge(simulated, "t")


def test_keys_rotate_without_a_gap_and_survive_restarts() -> None:
    async def run() -> None:
        clock = VirtualClock()
        store, stamp_key = MemoryStore(), StampKey(STAMP_KEY, SeededIds(1))
        ring = await KeyRing.open(store, stamp_key, clock)
        assert "BEGIN" not in store.text and f'"{ring.signing().kid}"' in store.text
        first, published, signed_with = ring.signing().kid, {ring.signing().kid: clock.monotonic()}, set()
        for _ in range(24 * 70):
            clock.advance(3600)
            await ring.rotate()
            for key in ring.published()["keys"]:
                assert "d" not in key and key["use"] == "sig"
                published.setdefault(key["kid"], clock.monotonic())
            kid = ring.signing().kid
            signed_with.add(kid)
            # A key signs only after relying parties had two days to fetch it, and is published while it signs.
            assert kid == first or clock.monotonic() - published[kid] >= 2 * 86_400 - 3600
            assert kid in {key["kid"] for key in ring.published()["keys"]}
            assert len(ring.published()["keys"]) <= 3
        assert len(signed_with) == 3 and ring.verifying(first) is None
        again = await KeyRing.open(store, stamp_key, clock)
        assert again.published() == ring.published()
        clock.advance(365 * 86_400)
        late = await KeyRing.open(store, stamp_key, clock)
        assert late.signing().kid not in signed_with

    asyncio.run(run())
