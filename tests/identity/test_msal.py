"""The client library az and the SDKs sign in with, unmodified: the ADFS-like authority over real TLS, the AAD-like."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from html import unescape
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.endpoints import normal
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.objects import Application, Certificate, FederatedCredential, Secret
from lazur.identity.tokens import TokenRevoked
from lazur.kernel.clock import SystemClock
from tests.identity.flows import certificate, hidden, with_app
from tests.identity.support import Served, Stamp, call, stamp

msal = pytest.importorskip("msal", reason="msal is not installed: the client library was not tried")
requests = pytest.importorskip("requests", reason="requests is not installed: the client library was not tried")

SCOPES = ["https://management.azure.com//.default"]


def application(live: Served, kind: str, *arguments: Any, **more: Any) -> Any:
    return getattr(msal, kind)(*arguments, authority=live.stamp.endpoints.adfs, instance_discovery=False, **more)


def audience_and_user(live: Served, answer: dict[str, Any]) -> tuple[str, str | None]:
    assert "access_token" in answer, answer
    who = live.stamp.verifier.verify(answer["access_token"], live.stamp.endpoints.accepted_by_arm)
    return str(who.claims["aud"]), who.upn


def fill_in(session: Any, page: Any, **fields: str) -> Any:
    """Post the page's form with its hidden fields, as a browser would."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    action = re.search(r'<form method="post" action="([^"]*)"', page.text)
    target = unescape(action.group(1)) if action else page.url
    return session.post(target, {**{unescape(name): unescape(value) for name, value in found}, **fields}, timeout=30)


def browser() -> Any:
    return requests.Session()


def person(live: Served) -> dict[str, str]:
    return {"username": live.stamp.secrets.admin_upn, "password": live.stamp.secrets.admin_password}


def test_service_principal(live: Served) -> None:
    secrets = live.stamp.secrets
    app = application(
        live,
        "ConfidentialClientApplication",
        secrets.client_id,
        client_credential=secrets.client_secret,
        client_capabilities=["CP1"],
    )
    answer = app.acquire_token_for_client(SCOPES)
    assert audience_and_user(live, answer) == ("https://management.azure.com/", None)
    assert app.acquire_token_for_client(SCOPES)["token_source"] == "cache"
    wrong = application(live, "ConfidentialClientApplication", secrets.client_id, client_credential="wrong")
    assert wrong.acquire_token_for_client(SCOPES)["error_codes"] == [7000215]


# The library warns its own callers off passwords; az still uses them.
@pytest.mark.filterwarnings("ignore:This API has been deprecated:DeprecationWarning")
def test_password_then_silently(live: Served) -> None:
    app = application(live, "PublicClientApplication", AZ_CLI)
    upn = live.stamp.secrets.admin_upn
    answer = app.acquire_token_by_username_password(**person(live), scopes=SCOPES)
    assert audience_and_user(live, answer) == ("https://management.azure.com/", upn)
    account = app.get_accounts(upn)[0]
    assert app.acquire_token_silent(SCOPES, account)["token_source"] == "cache"
    other = app.acquire_token_silent(["https://storage.azure.com/.default"], account)
    assert other is not None and other["token_source"] == "identity_provider"
    wrong = app.acquire_token_by_username_password(upn, "wrong", SCOPES)
    assert wrong["error_codes"] == [50126]


def test_device_code(live: Served) -> None:
    app = application(live, "PublicClientApplication", AZ_CLI)
    flow = app.initiate_device_flow(SCOPES)
    session = browser()
    page = session.get(flow["verification_uri"], timeout=30)
    page = fill_in(session, page, user_code=flow["user_code"])
    assert "signed in" in fill_in(session, page, **person(live)).text
    answer = app.acquire_token_by_device_flow(flow)
    assert audience_and_user(live, answer) == ("https://management.azure.com/", live.stamp.secrets.admin_upn)
    # The library asks for an identity and for refreshing when it starts, and not again.
    assert answer["id_token_claims"]["preferred_username"] == live.stamp.secrets.admin_upn and answer["refresh_token"]


def test_interactive_with_form_post(live: Served) -> None:
    """MSAL listens on a loopback port; the 'browser' follows the pages to it."""
    app = application(live, "PublicClientApplication", AZ_CLI)
    failures: list[BaseException] = []

    def drive(url: str) -> None:
        try:
            session = browser()
            page = fill_in(session, session.get(url, timeout=30), **person(live))
            fill_in(requests.Session(), page)  # the page posts itself to the listener
        except BaseException as error:
            failures.append(error)

    threads: list[threading.Thread] = []

    def opened(auth_uri: str, **_: Any) -> None:
        threads.append(threading.Thread(target=drive, args=(auth_uri,)))
        threads[0].start()

    answer = app.acquire_token_interactive(
        SCOPES, prompt="select_account", timeout=60, auth_uri_callback=opened, port=None
    )
    threads[0].join()
    assert not failures, failures
    assert audience_and_user(live, answer)[1] == live.stamp.secrets.admin_upn
    assert answer["id_token_claims"]["tid"] == live.stamp.tenant


class InProcess:
    """MSAL's transport without a socket: the AAD-like authority needs a host name and port 443."""

    def __init__(self, made: Stamp) -> None:
        self._made = made

    def _call(self, method: str, url: str, form: dict[str, str] | None, headers: dict[str, str] | None) -> Any:
        sent = {name: value for name, value in (headers or {}).items() if isinstance(value, str)}
        answer = asyncio.run(call(self._made.app, method, url, form, sent))
        return SimpleNamespace(
            status_code=answer.status, text=answer.text, headers=answer.headers, raise_for_status=lambda: None
        )

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> Any:
        assert not params
        return self._call("GET", url, None, headers)

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> Any:
        form = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in data.items()}
        return self._call("POST", url, form, headers)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.filterwarnings("ignore:This API has been deprecated:DeprecationWarning")
def test_the_aad_like_authority() -> None:
    made = asyncio.run(stamp(SystemClock()))
    secrets, login = made.secrets, made.endpoints.login
    common = {"instance_discovery": False, "http_client": InProcess(made)}
    service = msal.ConfidentialClientApplication(
        secrets.client_id,
        client_credential=secrets.client_secret,
        authority=f"{login}/local.lazur.internal",
        **common,
    )
    assert "access_token" in service.acquire_token_for_client(SCOPES)
    person = msal.PublicClientApplication(AZ_CLI, authority=f"{login}/organizations", **common)
    answer = person.acquire_token_by_username_password(secrets.admin_upn, secrets.admin_password, SCOPES)
    assert answer["id_token_claims"]["tid"] == made.tenant
    account = person.get_accounts()[0]
    assert account["home_account_id"] == f"{secrets.admin_object_id}.{made.tenant}"
    # az signs in at `organizations` and then redeems the refresh token at each tenant.
    at_home = msal.PublicClientApplication(
        AZ_CLI, authority=f"{login}/{made.tenant}", token_cache=person.token_cache, **common
    )
    again = at_home.acquire_token_silent(SCOPES, at_home.get_accounts()[0], force_refresh=True)
    assert again is not None and again["token_source"] == "identity_provider"
    with pytest.raises(ValueError, match="double check your tenant name"):
        msal.PublicClientApplication(AZ_CLI, authority=f"{login}/nobody.example", **common)


def service(made: Stamp, credential: Any, app: str = "app-c", path: str = "") -> Any:
    return msal.ConfidentialClientApplication(
        app, client_credential=credential, authority=f"{made.endpoints.login}/{path or made.tenant}",
        instance_discovery=False, http_client=InProcess(made),
    )  # fmt: skip


def accepted(made: Stamp, answer: dict[str, Any], audience: str = "https://management.azure.com/") -> str:
    """The object id an answer is for."""
    assert "access_token" in answer, answer
    who = made.verifier.verify(answer["access_token"], frozenset({normal(audience)}))
    assert who.claims["aud"] == audience
    return who.object_id


@pytest.mark.parametrize("way", ["thumbprint", "chain", "sha256"])
def test_certificate(way: str) -> None:
    made = asyncio.run(stamp(SystemClock()))
    pem, private, sha1 = certificate()
    app = Application("app-c", "o", made.tenant, "C", certificates=(Certificate("k", pem),))
    asyncio.run(with_app(made, app, made.tenant))
    credential = {"private_key": private}
    if way == "thumbprint":
        credential["thumbprint"] = sha1
    else:
        credential["public_certificate"] = pem
        if way == "chain":
            credential["thumbprint"] = sha1
    client = service(made, credential)
    assert accepted(made, client.acquire_token_for_client(SCOPES)) == "sp-app-c"
    # The library signs one assertion and uses it again for the next audience.
    storage = client.acquire_token_for_client(["https://storage.azure.com/.default"])
    assert accepted(made, storage, "https://storage.azure.com") == "sp-app-c"
    _, other, _ = certificate()
    refused = service(made, {**credential, "private_key": other}).acquire_token_for_client(SCOPES)
    assert refused["error_codes"] == [700024]


def test_an_outside_token_as_credential() -> None:
    made = asyncio.run(stamp(SystemClock()))
    key = RSAKey.generate_key(2048, {"kid": "one"})
    outside = FederatedCredential(
        "f", "pipeline", "https://ci.example", "repo:a", ("api://AzureADTokenExchange",),
        keys={"keys": [key.as_dict(private=False)]},
    )  # fmt: skip
    app = Application("app-c", "o", made.tenant, "C", federated=(outside,))
    asyncio.run(with_app(made, app, made.tenant))

    def fresh() -> str:
        now = int(made.clock.now().timestamp())
        claims = {"iss": outside.issuer, "sub": "repo:a", "aud": outside.audiences[0], "iat": now, "exp": now + 300}
        return str(jwt.encode({"alg": "RS256", "kid": "one"}, claims, key))

    client = service(made, {"client_assertion": fresh})
    assert accepted(made, client.acquire_token_for_client(SCOPES)) == "sp-app-c"


def test_on_behalf_of_nobody_is_refused_with_words() -> None:
    made = asyncio.run(stamp(SystemClock()))
    client = service(made, made.secrets.client_secret, made.secrets.client_id)
    answer = client.acquire_token_on_behalf_of("header.claims.signature", SCOPES)
    assert answer["error"] == "invalid_grant" and answer["error_codes"] == [50013]


def test_authorization_code_flow_of_a_web_application() -> None:
    made = asyncio.run(stamp(SystemClock()))
    redirect = "https://app.example/back"
    app = Application(
        "app-c", "o", made.tenant, "C", secrets=(Secret.of("k", "s"),), properties={"web": {"redirectUris": [redirect]}}
    )
    asyncio.run(with_app(made, app, made.tenant))
    client = service(made, "s")
    flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=redirect, response_mode="form_post")

    async def browse() -> dict[str, str]:
        page = await call(made.app, "GET", flow["auth_uri"])
        fields = {"sealed": hidden(page)["sealed"], "username": made.secrets.admin_upn}
        fields["password"] = made.secrets.admin_password
        sent = await call(made.app, "POST", urlsplit(flow["auth_uri"]).path, fields, page.cookies)
        return hidden(sent)

    back = asyncio.run(browse())
    answer = client.acquire_token_by_auth_code_flow(flow, back)
    assert accepted(made, answer) == made.secrets.admin_object_id
    account = client.get_accounts()[0]
    again = client.acquire_token_silent(["https://storage.azure.com/.default"], account)
    assert accepted(made, again, "https://storage.azure.com") == made.secrets.admin_object_id


def test_a_client_told_of_revocation_asks_anew_instead_of_handing_out_its_cached_token() -> None:
    made = asyncio.run(stamp(SystemClock()))
    client = msal.ConfidentialClientApplication(
        made.secrets.client_id, client_credential=made.secrets.client_secret, client_capabilities=["CP1"],
        authority=f"{made.endpoints.login}/{made.tenant}", instance_discovery=False, http_client=InProcess(made),
    )  # fmt: skip
    first = client.acquire_token_for_client(SCOPES)
    accepted(made, first)
    now = int(made.clock.now().timestamp())
    asyncio.run(made.directory.revoke(made.tenant, made.secrets.client_object_id, now))
    with pytest.raises(TokenRevoked) as caught:
        accepted(made, first)
    assert client.acquire_token_for_client(SCOPES)["access_token"] == first["access_token"]
    asked = base64.b64decode(caught.value.claims).decode()
    second = client.acquire_token_for_client(SCOPES, claims_challenge=asked)
    assert second["access_token"] != first["access_token"]
    accepted(made, second)
