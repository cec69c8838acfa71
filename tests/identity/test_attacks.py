"""What an attacker tries with codes, addresses, pages and parameters, and what comes of it."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from lazur.identity.firstparty import AZ_CLI, AZ_POWERSHELL
from lazur.identity.objects import Application, Secret
from lazur.kernel.clock import VirtualClock
from tests.identity.flows import (
    ARM,
    OTHER,
    REDIRECT,
    VERIFIER,
    authorize,
    by_password,
    by_refresh,
    by_secret,
    claims,
    device_signed_in,
    hidden,
    person,
    redeem_code,
    refused,
    run,
    sign_in,
    with_app,
    with_tenant,
)
from tests.identity.support import Answer, Stamp, call, stamp

WEB = "https://app.example/callback?here=1"


async def with_web_app(made: Stamp, *redirects: str) -> None:
    app = Application(
        "app-w", "o", made.tenant, "Shop", secrets=(Secret.of("k", "s"),),
        properties={"web": {"redirectUris": list(redirects or (WEB,))}},
    )  # fmt: skip
    await with_app(made, app, made.tenant)


async def posted(made: Stamp, page: Answer, url: str, cookies: dict[str, str] | None = None, **more: str) -> Answer:
    fields = {**hidden(page), "username": made.secrets.admin_upn, "password": made.secrets.admin_password, **more}
    return await call(made.app, "POST", urlsplit(url).path, fields, page.cookies if cookies is None else cookies)


# --- the page -----------------------------------------------------------------------------------------------------


def test_a_page_belongs_to_the_browser_it_was_shown_to() -> None:
    async def test() -> None:
        made = await stamp()
        theirs, mine = await call(made.app, "GET", authorize()), await call(made.app, "GET", authorize())
        assert theirs.cookies != mine.cookies
        for cookies in ({}, mine.cookies, {"cookie": "__Host-lazur-signin=x"}, {"cookie": "__Host-lazur-signin="}):
            answer = await posted(made, theirs, authorize(), cookies)
            assert answer.status == 400 and "AADSTS165000" in answer.text and "code" not in hidden(answer)
        assert "code" in hidden(await posted(made, theirs, authorize()))
        # Two tabs of one browser share their cookie and both work.
        tab = await call(made.app, "GET", authorize(), None, theirs.cookies)
        assert tab.cookies == theirs.cookies and "code" in hidden(await posted(made, tab, authorize()))

    run(test())


def test_a_page_is_for_one_request_one_tenant_and_some_minutes() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        await with_tenant(made)
        page = await call(made.app, "GET", authorize(f"/{made.tenant}/oauth2/v2.0/authorize"))
        elsewhere = await posted(made, page, f"/{OTHER.id}/oauth2/v2.0/authorize")
        assert elsewhere.status == 400 and "another tenant" in elsewhere.text
        device = await call(made.app, "GET", "/common/oauth2/deviceauth")
        mixed = await posted(made, device, authorize(), sealed=hidden(device)["sealed"])
        assert mixed.status == 400 and "AADSTS70008" in mixed.text
        clock.advance(900)
        late = await posted(made, page, f"/{made.tenant}/oauth2/v2.0/authorize")
        assert late.status == 400 and "AADSTS70008" in late.text

    run(test())


def test_a_password_in_an_address_is_never_taken() -> None:
    async def test() -> None:
        made = await stamp()
        page = await call(made.app, "GET", authorize())
        fields = {**hidden(page), "username": made.secrets.admin_upn, "password": made.secrets.admin_password}
        answer = await call(made.app, "GET", f"/organizations/oauth2/v2.0/authorize?{urlencode(fields)}", None, page.cookies)
        assert answer.status == 400 and "code" not in hidden(answer)

    run(test())


@pytest.mark.parametrize(
    "url", [authorize(), "/common/oauth2/deviceauth", "/adfs/oauth2/deviceauth", authorize(client_id="unknown")]
)
def test_pages_cannot_be_framed_cached_or_made_to_load_anything(url: str) -> None:
    async def test() -> None:
        made = await stamp()
        page = await call(made.app, "GET", url)
        headers = page.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert "unsafe" not in policy and "*" not in policy
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
        cookie = headers["set-cookie"]
        assert cookie.startswith("__Host-lazur-signin=")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(cookie.split("; ")) and "Domain" not in cookie
        # No address of elsewhere, no script but the one that is allowed, no inline handler.
        assert not re.search(r'(src|href)\s*=|url\(|@import|\son\w+=', page.text)
        style = re.search(r"<style>(.*?)</style>", page.text, re.S)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy

    run(test())


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "' onfocus='x", "</style><b>", "javascript:alert(1)"])
def test_nothing_typed_or_sent_becomes_markup(text: str) -> None:
    async def test() -> None:
        made = await stamp()
        pages = [
            await call(made.app, "GET", authorize(login_hint=text)),
            await call(made.app, "GET", authorize(client_id=text)),
            await call(made.app, "GET", authorize(redirect_uri=text)),
            await call(made.app, "GET", authorize(state=text)),
            await call(made.app, "GET", authorize(response_mode=text)),
            await call(made.app, "GET", f"/{quote(text, safe='')}/oauth2/v2.0/authorize"),
        ]
        first = await call(made.app, "GET", authorize(state=text))
        pages.append(await posted(made, first, authorize(), username=text, password="x"))
        answer = await posted(made, first, authorize())
        assert hidden(answer)["state"] == text
        for page in [*pages, answer]:
            assert text not in page.text.replace(f"'{text}'", "") or text.startswith("javascript")
            assert "<script>alert" not in page.text and "<b>" not in page.text

    run(test())


def test_declining_is_told_to_the_program() -> None:
    async def test() -> None:
        made = await stamp()
        url = authorize(response_mode="query")
        page = await call(made.app, "GET", url)
        answer = await posted(made, page, url, cancel="1", username="", password="")
        said = parse_qs(urlsplit(answer.headers["location"]).query)
        assert answer.status == 303 and said["error"] == ["access_denied"] and said["state"] == ['st"ate']

    run(test())


# --- where answers go -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example/callback",
        "https://app.example/callback?here=1&more=2",
        "https://app.example/callback?here=1#x",
        "https://app.example/callback/?here=1",
        "https://APP.example/callback?here=1",
        "https://app.example:443/callback?here=1",
        "https://app.example/a/../callback?here=1",
        "https://app.example.evil.example/callback?here=1",
        "https://app.example@evil.example/callback?here=1",
        "https://app.example%00.evil.example/callback?here=1",
        "http://app.example/callback?here=1",
        "//app.example/callback?here=1",
        "/callback",
        "https://app.example/callback?here=1\r\nSet-Cookie: a=b",
        " https://app.example/callback?here=1",
        "",
        "http://[::1",
        "http://localhost:99999",
    ],
)
def test_an_answer_goes_to_registered_addresses_only(address: str) -> None:
    async def test() -> None:
        made = await stamp()
        await with_web_app(made)
        page = await call(made.app, "GET", authorize(client_id="app-w", redirect_uri=address, response_mode="query"))
        assert page.status == 400 and "AADSTS50011" in page.text and "location" not in page.headers
        good = await call(made.app, "GET", authorize(client_id="app-w", redirect_uri=WEB))
        assert good.status == 200

    run(test())


def test_a_registered_script_is_still_no_address() -> None:
    async def test() -> None:
        made = await stamp()
        await with_web_app(made, "javascript:alert(1)", "data:text/html,x", "https://app.example/#x")
        for address in ("javascript:alert(1)", "data:text/html,x", "https://app.example/#x"):
            page = await call(made.app, "GET", authorize(client_id="app-w", redirect_uri=address))
            assert page.status == 400 and "AADSTS50011" in page.text

    run(test())


def test_an_answer_carries_the_state_unchanged_and_the_page_may_post_there_only() -> None:
    async def test() -> None:
        made = await stamp()
        await with_web_app(made)
        state = "a b&c=d#é\"'<>"
        for mode in ("query", "fragment", "form_post"):
            url = authorize(client_id="app-w", redirect_uri=WEB, response_mode=mode, state=state)
            page = await call(made.app, "GET", url)
            assert "form-action 'self' https://app.example;" in page.headers["content-security-policy"]
            answer = await posted(made, page, url)
            if mode == "form_post":
                assert hidden(answer)["state"] == state
                continue
            location = answer.headers["location"]
            assert location.startswith(WEB)
            parts = urlsplit(location)
            said = parse_qs(parts.fragment if mode == "fragment" else parts.query)
            assert said["state"] == [state] and "code" in said and answer.status == 303

    run(test())


# --- codes ----------------------------------------------------------------------------------------------------------


async def web_code(made: Stamp, **more: str) -> str:
    url = authorize(client_id="app-w", redirect_uri=WEB, **more)
    return hidden(await posted(made, await call(made.app, "GET", url), url))["code"]


async def redeem_web(made: Stamp, code: str, **more: str) -> Answer:
    form = {"client_id": "app-w", "client_secret": "s", "redirect_uri": WEB, **more}
    return await redeem_code(made, code, **form)


def test_proof_key_cannot_be_taken_out_or_weakened() -> None:
    async def test() -> None:
        made = await stamp()
        await with_web_app(made)
        refused(await redeem_web(made, await web_code(made), code_verifier=""), 501481, "invalid_grant")
        # Taken out of the authorize request of a confidential client: its verifier then proves nothing.
        bare = await web_code(made, code_challenge="", code_challenge_method="")
        refused(await redeem_web(made, bare, code_verifier=VERIFIER), 501481, "invalid_grant")
        assert (await redeem_web(made, bare, code_verifier="")).status == 200
        for change in (
            {"code_challenge": ""},
            {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
            {"code_challenge_method": ""},
            {"code_challenge": "short"},
        ):
            sent = await call(made.app, "GET", authorize(**{"response_mode": "query", **change}))
            assert parse_qs(urlsplit(sent.headers["location"]).query)["error"] == ["invalid_request"]
        short = base64.urlsafe_b64encode(hashlib.sha256(b"short").digest()).rstrip(b"=").decode()
        refused(await redeem_web(made, await web_code(made, code_challenge=short), code_verifier="short"), 501481)

    run(test())


def test_a_code_is_for_its_client_and_its_secret() -> None:
    async def test() -> None:
        made = await stamp()
        await with_web_app(made)
        code = await web_code(made)
        refused(await redeem_code(made, code, redirect_uri=WEB), 700005, "invalid_grant")
        refused(await redeem_web(made, code, client_secret="wrong"), 7000215, "invalid_client", 401)
        refused(await redeem_web(made, code, redirect_uri=REDIRECT), 50011, "invalid_grant")
        got = await redeem_web(made, code)
        assert got.status == 200 and claims(got.json["access_token"])["appidacr"] == "1"
        form = {"client_id": "app-w"}
        refused(await by_refresh(made, got.json["refresh_token"], **form), 7000218, "invalid_client", 401)
        assert (await by_refresh(made, got.json["refresh_token"], **form, client_secret="s")).status == 200

    run(test())


def test_statements_do_not_stand_in_for_each_other() -> None:
    async def test() -> None:
        made = await stamp()
        code = hidden(await sign_in(made, authorize()))["code"]
        refresh = (await by_password(made)).json["refresh_token"]
        page = hidden(await call(made.app, "GET", authorize()))["sealed"]
        for value in (refresh, page, "", "s1.", "s1.AAAA", "x" * 5000, code + "A", code[:-4]):
            number = 9002313 if value else 900144
            refused(await redeem_code(made, value), number)
        for value in (code, page):
            refused(await by_refresh(made, value), 9002313, "invalid_grant")

    run(test())


# --- tenants --------------------------------------------------------------------------------------------------------


def test_nothing_of_one_tenant_is_good_at_another() -> None:
    async def test() -> None:
        made = await stamp()
        await with_tenant(made)
        bob = await person(made, "bob@other.example", "secret", OTHER.id)
        theirs, ours = f"/{OTHER.id}/oauth2/v2.0", f"/{made.tenant}/oauth2/v2.0"
        # A person
        refused(await by_password(made, "secret", username=bob.upn, path=f"{ours}/token"), 50020, "invalid_grant")
        got = await by_password(made, "secret", username=bob.upn, path="/other.example/oauth2/token")
        assert claims(got.json["access_token"])["tid"] == OTHER.id
        # A refresh token
        for path in (f"{ours}/token", f"/{made.tenant}/oauth2/token"):
            refused(await by_refresh(made, got.json["refresh_token"], path=path), 50020, "invalid_grant")
        assert (await by_refresh(made, got.json["refresh_token"], path=f"{theirs}/token")).status == 200
        # A code
        url = authorize(f"{theirs}/authorize")
        code = hidden(await sign_in(made, url, "secret", bob.upn))["code"]
        form = {"client_id": AZ_CLI, "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        refused(await call(made.app, "POST", f"{ours}/token", {**form, "code_verifier": VERIFIER}), 50020)
        wrong = await sign_in(made, authorize(f"{ours}/authorize"), "secret", bob.upn)
        assert wrong.status == 400 and "code" not in hidden(wrong)
        # A device
        poll = await device_signed_in(made, theirs, bob.upn, "secret")
        refused(await call(made.app, "POST", f"{ours}/token", poll), 501491, "bad_verification_code")
        assert (await call(made.app, "POST", f"{theirs}/token", poll)).status == 200
        poll = await device_signed_in(made, "/organizations/oauth2/v2.0", bob.upn, "secret")
        refused(await call(made.app, "POST", f"{ours}/token", poll), 50020, "invalid_grant")

    run(test())


def test_an_application_of_one_tenant_is_not_there_in_another() -> None:
    async def test() -> None:
        made = await stamp()
        await with_tenant(made)
        await person(made, "bob@other.example", "secret", OTHER.id)
        await with_web_app(made)
        absent = await by_secret(made, path=f"/{OTHER.id}/oauth2/v2.0/token", client_id="app-0", client_secret="s")
        theirs = await by_secret(made, path=f"/{OTHER.id}/oauth2/v2.0/token", client_id="app-w", client_secret="s")
        refused(absent, 700016)
        refused(theirs, 700016)
        # Neither as a client at `organizations`, nor as a resource to ask tokens for.
        form = {"client_id": "app-w", "client_secret": "s", "username": "bob@other.example"}
        refused(await by_password(made, "secret", **form), 700016)
        names = [
            await by_password(made, "secret", username="bob@other.example", scope=f"api://{app}/.default", path=path)
            for app in ("app-w", "app-0")
            for path in ("/organizations/oauth2/v2.0/token", f"/{OTHER.id}/oauth2/v2.0/token")
        ]
        for answer in names:
            refused(answer, 500011, "invalid_resource")
        ours = await by_password(made, scope="api://app-w/.default")
        assert claims(ours.json["access_token"])["aud"] == "api://app-w"

    run(test())


def test_the_operator_s_endpoint_is_for_the_operator_s_directory() -> None:
    async def test() -> None:
        made = await stamp()
        await with_tenant(made)
        await person(made, "bob@other.example", "secret", OTHER.id)
        admin = f"{made.endpoints.admin_management}/.default"
        got = await by_password(made, scope=admin)
        assert claims(got.json["access_token"])["aud"] == made.endpoints.admin_management
        refused(await by_password(made, "secret", username="bob@other.example", scope=admin), 500011)
        token = got.json["access_token"]
        assert made.verifier.verify(token, made.endpoints.accepted_by_admin).upn == made.secrets.admin_upn
        for other, accepted in (
            (token, made.endpoints.accepted_by_arm),
            ((await by_password(made)).json["access_token"], made.endpoints.accepted_by_admin),
        ):
            with pytest.raises(Exception, match="InvalidAuthenticationTokenAudience"):
                made.verifier.verify(other, accepted)

    run(test())


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twice", ["grant_type", "client_id", "client_secret", "scope", "resource", "username"])
def test_a_parameter_comes_once(twice: str) -> None:
    async def test() -> None:
        made = await stamp()
        body = urlencode([(twice, "a"), ("x", "1"), (twice, "a")])
        refused(await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", body=body), 9002313)
        page = await call(made.app, "GET", f"/{made.tenant}/oauth2/v2.0/authorize?{body}")
        assert page.status == 400 and "AADSTS9002313" in page.text

    run(test())


def test_credentials_come_one_way() -> None:
    async def test() -> None:
        made = await stamp()
        name, secret = made.secrets.client_id, made.secrets.client_secret
        basic = {"authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}
        form = {"grant_type": "client_credentials", "scope": f"{ARM}/.default"}
        path = f"/{made.tenant}/oauth2/v2.0/token"
        assert (await call(made.app, "POST", path, {**form, "client_id": name}, basic)).status == 200
        for more in ({"client_id": AZ_CLI}, {"client_secret": secret}, {"client_assertion": "x"}):
            refused(await call(made.app, "POST", path, {**form, **more}, basic), 9002313)
        both = {**form, "client_id": name, "client_secret": secret, "client_assertion": "x"}
        refused(await call(made.app, "POST", path, both), 9002313)
        wrong = {"authorization": f"Basic {base64.b64encode(f'{name}:wrong'.encode()).decode()}"}
        answer = await call(made.app, "POST", path, form, wrong)
        assert answer.status == 401 and answer.headers["www-authenticate"] == "Basic"
        for bad in ("Basic x", "Basic", "Basic " + base64.b64encode(b"\xff\xfe").decode()):
            assert (await call(made.app, "POST", path, form, {"authorization": bad})).status == 400

    run(test())


def test_strange_bodies() -> None:
    async def test() -> None:
        made = await stamp()
        path = f"/{made.tenant}/oauth2/v2.0/token"
        many = "&".join(f"a{n}=1" for n in range(200))
        for body in ("", "=", "&&&", "a", "%ff=%fe", "grant_type=\x00", "grant_type=%00", many, "x" * 70_000, "{}"):
            answer = await call(made.app, "POST", path, body=body)
            assert answer.status == 400 and answer.json["error"] == "invalid_request", (body[:20], answer.text)
        json_body = await call(made.app, "POST", path, body="{}", headers={"content-type": "application/json"})
        refused(json_body, 9002313)
        for nested in ("[" * 30_000, '{"access_token":{"xms_cc":{"values":5}}}', '{"access_token":[]}', "null", "5"):
            answer = await by_secret(made, claims=nested)
            assert answer.status in (200, 400) and (answer.status == 200 or answer.json["error_codes"] == [9002313])
        # What stands in the address of a token request is not part of the form.
        asked = f"{path}?{urlencode({'grant_type': 'client_credentials', 'client_secret': made.secrets.client_secret})}"
        refused(await call(made.app, "POST", asked, {"client_id": made.secrets.client_id}), 900144)

    run(test())


def test_the_host_header_decides_nothing() -> None:
    async def test() -> None:
        made = await stamp()
        for path in (f"/{made.tenant}/v2.0/.well-known/openid-configuration", "/adfs/.well-known/openid-configuration"):
            plain = await call(made.app, "GET", path)
            forged = await call(made.app, "GET", path, headers={"host": "evil.example", "x-forwarded-host": "evil.example"})
            assert plain.json == forged.json and "evil" not in forged.text

    run(test())


def test_honest_answers_to_what_is_not_there() -> None:
    async def test() -> None:
        made = await stamp()
        exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
        refused(await by_secret(made, grant_type=exchange), 70003, "unsupported_grant_type")
        refused(await call(made.app, "GET", "/consumers/v2.0/.well-known/openid-configuration"), 9002346)
        refused(await by_password(made, path="/consumers/oauth2/v2.0/token"), 9002346)
        for change, error in (
            ({"request": "x"}, "request_not_supported"),
            ({"request_uri": "https://x"}, "request_not_supported"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"response_type": "id_token"}, "unsupported_response_type"),
        ):
            sent = await call(made.app, "GET", authorize(response_mode="query", **change))
            assert parse_qs(urlsplit(sent.headers["location"]).query)["error"] == [error]
        assert (await redeem_code(made, "x", client_id=AZ_POWERSHELL)).status == 400

    run(test())
