"""The client library az and the SDKs sign in with, unmodified: the ADFS-like authority over real TLS, the AAD-like."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lazur.identity.firstparty import AZ_CLI
from lazur.kernel.clock import SystemClock
from tests.identity.support import Served, Stamp, call, served, stamp

msal = pytest.importorskip("msal", reason="msal is not installed: the client library was not tried")
requests = pytest.importorskip("requests", reason="requests is not installed: the client library was not tried")

SCOPES = ["https://management.azure.com//.default"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory: Path = tmp_path_factory.mktemp("pki")
    with served(directory) as running, pytest.MonkeyPatch.context() as environment:
        # A bundle already set in the environment would win over `verify`; set ours the way operators do.
        environment.setenv("REQUESTS_CA_BUNDLE", str(running.ca))
        environment.setenv("NO_PROXY", "localhost,127.0.0.1")
        yield running


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
        return self._call("POST", url, {name: str(value) for name, value in data.items()}, headers)

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
