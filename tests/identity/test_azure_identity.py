"""The credentials of Azure's SDK for Python, unmodified, over real TLS: those that sign in without a person before them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.directory import Write
from lazur.identity.firstparty import ARM
from lazur.identity.objects import Application, Certificate, FederatedCredential, PermissionGrant, Secret
from lazur.identity.tokens import TokenRevoked
from tests.identity.flows import by_password, certificate, hidden, with_app
from tests.identity.support import Served, call

azure = pytest.importorskip("azure.identity", reason="azure-identity is not installed: its credentials were not tried")

SCOPE = "https://management.azure.com/.default"
REDIRECT = "https://app.example/back"
OUTSIDE = RSAKey.generate_key(2048, {"kid": "one"})
PEM, PRIVATE, _ = certificate()


@pytest.fixture(scope="module")
def registered(live: Served) -> Iterator[Served]:
    """With an application that has every kind of credential."""
    made = live.stamp
    outside = FederatedCredential(
        "f", "ci", "https://ci.example", "x", ("api://y",), keys={"keys": [OUTSIDE.as_dict(private=False)]}
    )
    app = Application(
        "5a5a5a5a-0000-4000-8000-000000000001", "o", made.tenant, "Program", secrets=(Secret.of("s", "word"),),
        certificates=(Certificate("c", PEM),), federated=(outside,), properties={"web": {"redirectUris": [REDIRECT]}},
    )  # fmt: skip
    asyncio.run(with_app(made, app, made.tenant))
    yield live


def credential(live: Served, kind: str, *arguments: Any, **more: Any) -> Any:
    return getattr(azure, kind)(
        live.stamp.tenant, "5a5a5a5a-0000-4000-8000-000000000001", *arguments, **more,
        authority=live.stamp.endpoints.login, disable_instance_discovery=True,
    )  # fmt: skip


def accepted(live: Served, token: Any) -> str:
    return live.stamp.verifier.verify(token.token, live.stamp.endpoints.accepted_by_arm).object_id


PROGRAM = "sp-5a5a5a5a-0000-4000-8000-000000000001"


def test_secret_and_the_claims_challenge(registered: Served) -> None:
    known = credential(registered, "ClientSecretCredential", "word")
    first = known.get_token(SCOPE, enable_cae=True)
    assert accepted(registered, first) == PROGRAM and known.get_token(SCOPE, enable_cae=True).token == first.token
    made = registered.stamp
    asyncio.run(made.directory.revoke(made.tenant, PROGRAM, int(made.clock.now().timestamp())))
    with pytest.raises(TokenRevoked) as caught:
        accepted(registered, first)
    claims = base64.b64decode(caught.value.claims).decode()
    assert accepted(registered, known.get_token(SCOPE, claims=claims, enable_cae=True)) == PROGRAM
    with pytest.raises(Exception, match="AADSTS7000215"):
        credential(registered, "ClientSecretCredential", "wrong").get_token(SCOPE)


@pytest.mark.parametrize("chain", [False, True])
def test_certificate(registered: Served, chain: bool) -> None:
    data = (PRIVATE + PEM).encode()
    known = credential(registered, "CertificateCredential", certificate_data=data, send_certificate_chain=chain)
    assert accepted(registered, known.get_token(SCOPE)) == PROGRAM
    assert known.get_token("https://storage.azure.com/.default").token


def test_an_outside_token(registered: Served) -> None:
    def fresh() -> str:
        now = int(registered.stamp.clock.now().timestamp())
        claims = {"iss": "https://ci.example", "sub": "x", "aud": "api://y", "exp": now + 300}
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, OUTSIDE)

    known = credential(registered, "ClientAssertionCredential", fresh)
    assert accepted(registered, known.get_token(SCOPE)) == PROGRAM


def test_authorization_code(registered: Served) -> None:
    made = registered.stamp
    path = f"/{made.tenant}/oauth2/v2.0/authorize"
    query = f"client_id=5a5a5a5a-0000-4000-8000-000000000001&response_type=code&redirect_uri={REDIRECT}&scope={SCOPE}"

    async def browse() -> str:
        page = await call(made.app, "GET", f"{path}?{query}%20offline_access&response_mode=form_post")
        fields = {"sealed": hidden(page)["sealed"], "username": made.secrets.admin_upn}
        sent = await call(made.app, "POST", path, {**fields, "password": made.secrets.admin_password}, page.cookies)
        return hidden(sent)["code"]

    code = asyncio.run(browse())
    known = credential(registered, "AuthorizationCodeCredential", code, REDIRECT, client_secret="word")
    assert accepted(registered, known.get_token(SCOPE)) == made.secrets.admin_object_id
    # The library redeems the code without repeating `offline_access`, and refreshes by what it got.
    (kept,) = known._client.get_cached_refresh_tokens([SCOPE])
    assert known._client.obtain_token_by_refresh_token([SCOPE], kept["secret"], client_secret="word").token


def test_on_behalf_of(registered: Served) -> None:
    made, program = registered.stamp, "5a5a5a5a-0000-4000-8000-000000000001"
    arm = made.directory.current.principal(ARM, made.tenant)
    assert arm is not None
    grant = PermissionGrant("g", made.tenant, PROGRAM, arm.object_id, scope="user_impersonation")
    asyncio.run(made.directory.change(lambda _: [Write(grant)]))
    called = asyncio.run(by_password(made, scope=f"api://{program}/.default")).json["access_token"]
    proofs: list[dict[str, Any]] = [{"client_secret": "word"}, {"client_certificate": (PRIVATE + PEM).encode()}]
    for proof in proofs:
        known = credential(registered, "OnBehalfOfCredential", **proof, user_assertion=called)
        assert accepted(registered, known.get_token(SCOPE)) == made.secrets.admin_object_id
    with pytest.raises(Exception, match="AADSTS65001"):
        known.get_token("https://storage.azure.com/.default")
