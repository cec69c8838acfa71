"""Forged tokens, class by class: each is refused with 401 and the same answer, seen before or not."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwe, jwt
from joserfc.jwk import RSAKey

from lazur.identity.firstparty import AZ_CLI
from lazur.identity.tokens import Issuer, Subject, Verifier
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SeededIds
from tests.identity.flows import OTHER, by_secret, with_tenant
from tests.identity.support import Stamp, stamp

STRANGER = RSAKey.generate_key(2048)
INVALID, TENANT = "InvalidAuthenticationToken", "InvalidAuthenticationTokenTenant"


@pytest.fixture(scope="module")
def made() -> Stamp:
    async def make() -> Stamp:
        found = await stamp()
        await with_tenant(found)
        return found

    return asyncio.run(make())


@pytest.fixture(scope="module")
def good(made: Stamp) -> str:
    token: str = asyncio.run(by_secret(made)).json["access_token"]
    made.verifier.verify(token, made.endpoints.accepted_by_arm)
    return token


def code(made: Stamp, token: str) -> str:
    found = set()
    for _ in range(2):
        with pytest.raises(LazurError) as caught:
            made.verifier.verify(token, made.endpoints.accepted_by_arm, tenant=made.tenant)
        assert caught.value.status == 401
        found.add(caught.value.code)
    (only,) = found
    return only


def part(token: str, index: int) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[index] + "=="))
    return decoded


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(made: Stamp, claims: dict[str, Any] | str, key: RSAKey | None = None, **header: Any) -> str:
    """Signed with the stamp's own key unless told otherwise: what only a fault of the issuer could make."""
    ours = made.keys.signing()
    private = (key or ours).private_key
    assert private is not None
    body = claims if isinstance(claims, str) else json.dumps(claims)
    headers = {"alg": "RS256", "kid": ours.kid, **header}
    head = f"{b64(json.dumps(headers).encode())}.{b64(body.encode())}"
    digest = hashes.SHA384() if headers["alg"].endswith("384") else hashes.SHA256()
    pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
    filled = pss if headers["alg"].startswith("PS") else padding.PKCS1v15()
    return f"{head}.{b64(private.sign(head.encode(), filled, digest))}"


def handmade(header: dict[str, Any], claims: str, signature: bytes = b"") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(claims.encode())}.{b64(signature)}"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
def test_no_algorithm(made: Stamp, good: str, name: str) -> None:
    header = {**part(good, 0), "alg": name}
    assert code(made, handmade(header, json.dumps(part(good, 1)))) == INVALID
    signature = base64.urlsafe_b64decode(good.split(".")[2] + "==")
    assert code(made, handmade(header, json.dumps(part(good, 1)), signature)) == INVALID


@pytest.mark.parametrize("encoding", ["pem", "der", "n", "kid"])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_public_key_as_secret(made: Stamp, good: str, alg: str, encoding: str) -> None:
    key = made.keys.signing()
    secret = {
        "pem": key.as_pem(private=False),
        "der": key.as_der(private=False),
        "n": str(key.as_dict(private=False)["n"]).encode(),
        "kid": str(key.kid).encode(),
    }[encoding]
    head = f"{b64(json.dumps({'alg': alg, 'kid': key.kid}).encode())}.{good.split('.')[1]}"
    digest = hmac.digest(secret, head.encode(), alg.replace("HS", "sha"))
    assert code(made, f"{head}.{b64(digest)}") == INVALID


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": STRANGER.as_dict(private=False)},
        {"jwk": STRANGER.as_dict(private=False), "kid": None},
        {"kid": "../../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": ""},
        {"kid": ["a"]},
        {"kid": {"a": 1}},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
    ids=",".join,
)
def test_a_key_of_the_token_s_own_choice(made: Stamp, good: str, header: dict[str, Any]) -> None:
    for key in (STRANGER, made.keys.signing()):
        assert code(made, signed(made, part(good, 1), key, **header)) == INVALID


def test_other_keys_and_algorithms(made: Stamp, good: str) -> None:
    claims = part(good, 1)
    for kid in (made.keys.signing().kid, "unknown"):
        assert code(made, jwt.encode({"alg": "RS256", "kid": kid}, claims, STRANGER, algorithms=["RS256"])) == INVALID
    for alg in ("RS384", "PS256"):
        assert code(made, signed(made, claims, alg=alg)) == INVALID
    assert code(made, f"{good}x") == INVALID
    head, payload, signature = good.split(".")
    assert code(made, f"{head}.{payload}.{signature[:-4]}AAAA") == INVALID
    assert code(made, f"{head}.{payload}") == INVALID
    assert code(made, f"{head}.{payload}.{signature}.{signature}") == INVALID


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"tid": OTHER.id}, TENANT),
        ({"tid": OTHER.id, "iss": "issuer of the first"}, TENANT),
        ({"tid": "nowhere"}, TENANT),
        ({"tid": OTHER.default_domain}, TENANT),
        ({"iss": "https://sts.windows.net/x/"}, TENANT),
        ({"iss": "UPPER"}, TENANT),
        ({"iss": "no slash"}, TENANT),
        ({"exp": 1}, "ExpiredAuthenticationToken"),
        ({"nbf": 4_000_000_000}, INVALID),
        ({"iat": 4_000_000_000}, INVALID),
        ({"exp": "4000000000"}, INVALID),
        ({"exp": 4e9}, INVALID),
        ({"exp": True}, INVALID),
        ({"exp": None}, INVALID),
        ({"nbf": None}, INVALID),
        ({"iat": None}, INVALID),
        ({"aud": ["https://management.azure.com/"]}, INVALID),
        ({"aud": None}, INVALID),
        ({"aud": {"a": 1}}, INVALID),
        ({"aud": ""}, "InvalidAuthenticationTokenAudience"),
        ({"aud": "https://management.azure.com/x"}, "InvalidAuthenticationTokenAudience"),
        ({"aud": "https://management.azure.com.evil.example"}, "InvalidAuthenticationTokenAudience"),
        ({"aud": " https://management.azure.com/"}, "InvalidAuthenticationTokenAudience"),
        ({"oid": ["x"]}, INVALID),
        ({"oid": "somebody-else"}, "TokenRevoked"),
        ({"appid": "somebody-else"}, "TokenRevoked"),
        ({"idtyp": "user"}, INVALID),
        ({"idtyp": "device"}, INVALID),
        ({"cred": ""}, "TokenRevoked"),
        ({"cred": ["x"]}, INVALID),
        ({"ver": "2.0"}, INVALID),
        ({"act": {"sub": "somebody"}}, INVALID),
        ({"actortoken": "x"}, INVALID),
        ({"may_act": {}}, INVALID),
    ],
    ids=str,
)
def test_claims_that_even_our_signature_does_not_make_good(
    made: Stamp, good: str, change: dict[str, Any], wanted: str
) -> None:
    claims = part(good, 1)
    if change.get("iss") == "UPPER":
        change = {"iss": claims["iss"].upper()}
    elif change.get("iss") == "no slash":
        change = {"iss": claims["iss"].rstrip("/")}
    elif change.get("iss") == "issuer of the first":
        change = {**change, "iss": claims["iss"]}
    edited = {name: value for name, value in {**claims, **change}.items() if value is not None}
    assert code(made, signed(made, edited)) == wanted


def test_a_token_of_another_tenant_is_of_another_tenant(made: Stamp, good: str) -> None:
    claims = {**part(good, 1), "tid": OTHER.id, "iss": made.endpoints.issuer(OTHER.id)}
    assert code(made, signed(made, claims)) in (TENANT, "TokenRevoked")


def test_duplicate_claims_and_strange_json(made: Stamp, good: str) -> None:
    text = json.dumps(part(good, 1))
    for body in (
        text[:-1] + f', "tid": "{OTHER.id}"}}',
        "[]",
        '"x"',
        "null",
        "1",
        "",
        "[" * 5000,
        '{"a":' * 3000,
    ):
        assert code(made, signed(made, body)) in (INVALID, TENANT)


def test_encrypted_oversized_and_junk(made: Stamp, good: str) -> None:
    public = RSAKey.import_key(made.keys.signing().as_pem(private=False))
    sealed = jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A128GCM"}, good, public)
    assert code(made, sealed) == INVALID
    assert code(made, "a" * 20_000) == INVALID
    assert code(made, signed(made, {**part(good, 1), "pad": "x" * 20_000})) == INVALID
    for junk in ("", ".", "..", "...", "a.b.c", "\x00", "é.é.é", "{}", " " + good, good + " ", good + "\n", "\udcff"):
        assert code(made, junk) == INVALID


def test_an_identity_token_and_a_refresh_token_are_no_access_tokens(made: Stamp) -> None:
    issuer = Issuer(made.endpoints, made.keys, made.clock, SeededIds(9))
    user = made.admin
    app = made.directory.current.application(AZ_CLI)
    assert app is not None
    who = replace(Subject.of_user(user, app, "g"), app_id=made.endpoints.management)
    assert code(made, issuer.identity(who, made.endpoints.issuer(made.tenant), None)) == INVALID


def test_the_cache_is_bounded_and_never_turns_a_no_into_a_yes() -> None:
    async def test() -> None:
        clock = VirtualClock()
        fresh = await stamp(clock)
        tokens = [(await by_secret(fresh)).json["access_token"] for _ in range(5)]
        small = Verifier(fresh.endpoints, fresh.keys, fresh.directory, fresh.identity.grants, clock, remembered=3)
        for token in tokens * 2:
            small.verify(token, fresh.endpoints.accepted_by_arm)
            assert len(small._seen) <= 3
        clock.advance(3600)
        for token in tokens:
            assert code(fresh, token) == "ExpiredAuthenticationToken"

    asyncio.run(test())
