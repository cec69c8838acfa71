"""Applications that prove themselves with a token of an outside issuer instead of a secret."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from lazur.identity.directory import Write
from lazur.identity.objects import Application, FederatedCredential, ServicePrincipal
from lazur.identity.service import Outside
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from tests.identity.flows import ARM, by_secret, claims, refused, run, with_app
from tests.identity.outside import StampWeb, company, issuer
from tests.identity.support import Answer, Stamp, call, stamp

EXCHANGE = "api://AzureADTokenExchange"
PIPELINE = "https://pipelines.example/org"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
CURVE = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
SHARED = {"kty": "oct", "k": "AAAA", "kid": "three"}
KEYS = {"keys": [KEY.as_dict(private=False), CURVE.as_dict(private=False), SHARED, "x", {}]}


def credential(**more: Any) -> FederatedCredential:
    main = FederatedCredential("fic-1", "main", PIPELINE, "repo:a/b:ref:main", (EXCHANGE,), keys=KEYS)
    return replace(main, **more)


async def with_federated(made: Stamp, *known: FederatedCredential) -> None:
    await with_app(made, Application("app-f", "o", made.tenant, "F", federated=known), made.tenant)


def token(made: Stamp, key: RSAKey | ECKey = KEY, alg: str = "RS256", kid: str | None = "one", **change: Any) -> str:
    now = int(made.clock.now().timestamp())
    body = {"iss": PIPELINE, "sub": "repo:a/b:ref:main", "aud": EXCHANGE, "iat": now, "nbf": now, "exp": now + 600}
    body = {name: value for name, value in {**body, **change}.items() if value is not None}
    return jwt.encode({"alg": alg, **({"kid": kid} if kid else {})}, body, key, algorithms=[alg])


async def by_assertion(made: Stamp, assertion: str, **more: str) -> Answer:
    form = {
        "grant_type": "client_credentials",
        "client_id": "app-f",
        "scope": f"{ARM}/.default",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
        **more,
    }
    return await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", form)


def test_inline_keys() -> None:
    async def test() -> None:
        made = await stamp()
        await with_federated(made, credential())
        got = await by_assertion(made, token(made))
        assert got.status == 200 and claims(got.json["access_token"])["appidacr"] == "2"
        made.verifier.verify(got.json["access_token"], made.endpoints.accepted_by_arm)
        assert (await by_assertion(made, token(made, CURVE, "ES256", "two"))).status == 200
        assert (await by_assertion(made, token(made, alg="PS512", aud=["x", EXCHANGE]))).status == 200
        # Nothing else proves this application: it has no secret.
        refused(await by_secret(made, client_id="app-f", secret="x"), 7000215, "invalid_client", 401)

    run(test())


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"iss": "https://pipelines.example/other"}, 700211),
        ({"iss": PIPELINE + "/"}, 700211),
        ({"iss": PIPELINE.upper()}, 700211),
        ({"iss": None}, 700211),
        ({"sub": "repo:a/b:ref:evil"}, 700213),
        ({"sub": "repo:a/b:*"}, 700213),
        ({"sub": ["repo:a/b:ref:main"]}, 700213),
        ({"aud": "api://other"}, 700212),
        ({"aud": None}, 700212),
        ({"aud": {"a": 1}}, 700212),
        ({"exp": 1}, 700024),
        ({"exp": None}, 700024),
        ({"exp": "4000000000"}, 700024),
        ({"nbf": 4_000_000_000}, 700024),
    ],
    ids=str,
)
def test_what_does_not_match(change: dict[str, Any], number: int) -> None:
    async def test() -> None:
        made = await stamp()
        await with_federated(made, credential(), credential(id="fic-2", issuer="https://else.example"))
        refused(await by_assertion(made, token(made, **change)), number, "invalid_client", 401)

    run(test())


def test_signatures() -> None:
    async def test() -> None:
        made = await stamp()
        await with_federated(made, credential())
        stranger = RSAKey.generate_key(2048)
        good = token(made)
        head, body, signature = good.split(".")
        for forged in (
            token(made, stranger),
            token(made, kid="unknown"),
            token(made, kid=None),
            token(made, CURVE, "ES256", "one"),
            f"{head}.{body}.",
            f"{head}.{body}.{signature[:-4]}AAAA",
            token(made, stranger, kid="three"),
        ):
            refused(await by_assertion(made, forged), 700024, "invalid_client", 401)
        for junk in ("x", "a.b.c", "..", "x" * 30_000):
            refused(await by_assertion(made, junk), 700024, "invalid_client", 401)
        refused(await by_assertion(made, ""), 700024, "invalid_client", 401)
        private = KEY.private_key
        assert private is not None
        for extra in ({"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": False}, {"alg": "none"}, {"alg": "HS256"}):
            header = json.dumps({"alg": "RS256", "kid": "one", **extra}).encode()
            signing = f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.{body}"
            raw = private.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
            forged = f"{signing}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"
            refused(await by_assertion(made, forged), 700024, "invalid_client", 401)
        # What is not critical may be there.
        assert (await by_assertion(made, token(made, extra={"own": "claim"}))).status == 200
        refused(await by_assertion(made, good, client_assertion_type="x"), 9002313)
        # One issuer with one key may leave its name out.
        alone = credential(keys={"keys": [KEY.as_dict(private=False)]})
        await made.directory.change(lambda d: [Write(Application("app-f", "o", made.tenant, "F", federated=(alone,)))])
        assert (await by_assertion(made, token(made, kid=None))).status == 200

    run(test())


def test_an_outside_token_does_not_pass_for_the_application_s_own() -> None:
    """`iss` equal to the client id asks for a registered certificate, whatever keys the outside issuer has."""

    async def test() -> None:
        made = await stamp()
        await with_federated(made, credential())
        own = token(made, iss="app-f", sub="app-f", aud=f"{made.endpoints.login}/{made.tenant}/oauth2/v2.0/token")
        refused(await by_assertion(made, own), 700027, "invalid_client", 401)

    run(test())


def test_keys_of_the_issuer_are_fetched_remembered_and_followed() -> None:
    async def test() -> None:
        clock = VirtualClock()
        other = await company(clock)
        web = StampWeb(other)
        made = await stamp(clock, outside=Outside(fetch=web.fetch))
        outside = FederatedCredential("fic", "corp", issuer(other), "u", ("api://x",))
        await with_federated(made, outside)

        def theirs(**change: Any) -> str:
            key = other.keys.signing()
            fields = {"iss": issuer(other), "sub": "u", "aud": "api://x", **change}
            assert isinstance(key, RSAKey)
            return token(made, key, kid=key.kid, **fields)

        for _ in range(3):
            assert (await by_assertion(made, theirs())).status == 200
        assert len(web.asked) == 2  # discovery and keys, once
        # A key id nobody has heard of makes us look again, but not at each attempt.
        for _ in range(20):
            refused(await by_assertion(made, token(made, kid="invented", iss=issuer(other), sub="u", aud="api://x")), 700024,
                    "invalid_client", 401)  # fmt: skip
        assert len(web.asked) == 2
        for _ in range(40):
            clock.advance(86_400)
            await other.keys.rotate()
            await made.keys.rotate()
            assert (await by_assertion(made, theirs())).status == 200
        # While the issuer cannot be reached its last keys stand in, for a day.
        web.down = True
        clock.advance(7200)
        assert (await by_assertion(made, theirs())).status == 200
        clock.advance(86_400)
        refused(await by_assertion(made, theirs()), 501661, "invalid_client", 401)

    run(test())


def test_issuers_that_cannot_be_asked_or_lie() -> None:
    async def test() -> None:
        made = await stamp()
        for url in ("https://nowhere.example", "http://plain.example", "https://127.0.0.1", "x"):
            await with_federated(made, credential(issuer=url, keys=None))
            answer = await by_assertion(made, token(made, iss=url))
            refused(answer, 501661, "invalid_client", 401)
        documents: dict[str, bytes] = {}

        async def fetch(url: str) -> bytes:
            if url not in documents:
                raise LazurError("InvalidContentLink", "no")
            return documents[url]

        made = await stamp(outside=Outside(fetch=fetch))
        await with_federated(made, credential(keys=None))
        discovery = f"{PIPELINE}/.well-known/openid-configuration"
        for content in (
            b"[]",
            b"x",
            b"[" * 100_000,
            b'{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}',
            f'{{"issuer": "{PIPELINE}"}}'.encode(),
            f'{{"issuer": "{PIPELINE}", "jwks_uri": "http://169.254.169.254/keys"}}'.encode(),
            f'{{"issuer": "{PIPELINE}", "jwks_uri": 5}}'.encode(),
            b'{"issuer": "' + b"x" * 300_000 + b'"}',
        ):
            documents[discovery] = content
            refused(await by_assertion(made, token(made)), 501661, "invalid_client", 401)

    run(test())


def test_removing_the_credential_ends_its_tokens() -> None:
    async def test() -> None:
        made = await stamp()
        await with_federated(made, credential())
        got = (await by_assertion(made, token(made))).json["access_token"]
        made.verifier.verify(got, made.endpoints.accepted_by_arm)
        app = made.directory.current.application("app-f")
        assert app is not None
        await made.directory.change(lambda d: [Write(replace(app, federated=()))])
        with pytest.raises(LazurError, match="TokenRevoked"):
            made.verifier.verify(got, made.endpoints.accepted_by_arm)
        refused(await by_assertion(made, token(made)), 700211, "invalid_client", 401)

    run(test())


def test_a_managed_identity_may_have_one_too() -> None:
    async def test() -> None:
        made = await stamp()
        identity = ServicePrincipal(
            "mi", "app-f", made.tenant, "identity", type="ManagedIdentity", federated=(credential(),)
        )
        await made.directory.change(lambda d: [Write(identity)])
        got = await by_assertion(made, token(made))
        assert got.status == 200 and claims(got.json["access_token"])["oid"] == "mi"
        made.verifier.verify(got.json["access_token"], made.endpoints.accepted_by_arm)

    run(test())
