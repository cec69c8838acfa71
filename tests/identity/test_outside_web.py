"""The two ways out, over real TLS on loopback: to the operator's providers, and to issuers that customers name."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from lazur.drivers.web.fetch import GuardedFetch
from lazur.drivers.web.guard import Guard
from lazur.drivers.web.http import HttpTransport
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.outside import GuardedWeb, HttpWeb, Issuers, Reader
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import Unavailable
from tests.identity.support import Served


def trusting(live: Served) -> HttpWeb:
    return HttpWeb(ssl.create_default_context(cafile=str(live.ca)))


def refused(web: Reader, url: str) -> str:
    with pytest.raises(Unavailable) as caught:
        asyncio.run(web.get(url))
    assert caught.value.retryable
    return caught.value.message


def test_a_provider_s_documents_keys_and_token_endpoint(live: Served) -> None:
    made = live.stamp
    issuer = f"{made.endpoints.login}/{made.tenant}/v2.0"

    async def main() -> None:
        web = trusting(live)
        known = await Issuers(web, SystemClock()).issuer(issuer)
        assert known.document["issuer"] == issuer and set(known.keys) == {made.keys.signing().kid}
        where = str(known.document["token_endpoint"])
        form = {"grant_type": "password", "client_id": AZ_CLI, "scope": "openid", "username": made.secrets.admin_upn}
        answer = await web.post(where, {**form, "password": made.secrets.admin_password})
        assert answer["id_token"]
        wrong = await web.post(where, {**form, "password": "wrong"})
        assert wrong["error"] == "invalid_grant"

    asyncio.run(main())


def test_what_is_not_a_provider(live: Served) -> None:
    web, login = trusting(live), live.stamp.endpoints.login
    assert "cannot be read" in refused(HttpWeb(), f"{login}/common/discovery/v2.0/keys")  # not a certificate the system trusts
    assert "did not answer with a document" in refused(web, f"{login}/nowhere")
    assert "not an https address" in refused(web, login.replace("https", "http"))
    assert "did not answer with a JSON object" in refused(web, f"{login}/common/oauth2/deviceauth")
    assert "cannot be read" in refused(web, "https://localhost:1/x")
    for url in ("https://", "https://[::1", "https://a b/", "file:///etc/passwd", ""):
        refused(web, url)


def test_customers_do_not_reach_this_machine_through_their_issuers(live: Served) -> None:
    fetch = GuardedFetch(Guard(), HttpTransport(), SystemClock())
    web = GuardedWeb(fetch)
    keys = "/common/discovery/v2.0/keys"
    for origin in (live.stamp.endpoints.login, f"https://127.0.0.1:{live.port}", f"https://[::1]:{live.port}"):
        assert "cannot be read" in refused(web, origin + keys)
    for url in ("https://169.254.169.254/x", "https://10.0.0.1/x", "https://2130706433/x"):
        assert "cannot be read" in refused(web, url)
    assert "not an https address" in refused(web, "http://example.org/x")
    assert "no way to outside" in refused(GuardedWeb(None), "https://example.org/x")


def test_issuers_that_never_answered_are_forgotten() -> None:
    async def main() -> None:
        issuers = Issuers(GuardedWeb(None), SystemClock())
        for n in range(50):
            with pytest.raises(Unavailable):
                await issuers.issuer(f"https://issuer{n}.example")
        assert not issuers._known and not issuers._fetching

    asyncio.run(main())
