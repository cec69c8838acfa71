"""People of a company's own OpenID provider sign in here: there, back, and who they are then."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.directory import Write
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.objects import Group, User
from lazur.kernel.clock import VirtualClock
from tests.identity.flows import (
    ARM,
    OTHER,
    authorize,
    by_password,
    claims,
    hidden,
    person,
    redeem_code,
    refused,
    run,
    with_tenant,
)
from tests.identity.outside import SECRET, StampWeb, federated, issuer
from tests.identity.support import Answer, Stamp, call

PATH = "/organizations/oauth2/v2.0/authorize"


async def leave(made: Stamp, url: str = "") -> tuple[str, dict[str, str]]:
    """Where the button of the sign-in page leads, and our browser's cookie."""
    page = await call(made.app, "GET", url or authorize())
    assert "Sign in with Corp Ltd" in page.text
    fields = {"sealed": hidden(page)["sealed"], "outside": "corp"}
    sent = await call(made.app, "POST", urlsplit(url).path or PATH, fields, page.cookies)
    return onward(sent), page.cookies


def onward(page: Answer) -> str:
    """Where a page goes on to by itself: not by a redirect, which browsers hold to where the form before may post to."""
    assert page.status == 200, page.text
    found = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]*)">', page.text)
    assert found is not None, page.text
    return unescape(found[1])


async def there(web: StampWeb, where: str, name: str = "alice") -> str:
    """Sign in at the company's page; the address it sends the browser back to."""
    page = await call(web.other.app, "GET", where)
    fields = {"sealed": hidden(page)["sealed"], "username": f"{name}@corp.example", "password": name}
    back = await call(web.other.app, "POST", where, fields, page.cookies)
    assert back.status == 303, back.text
    return back.headers["location"]


async def whole(made: Stamp, web: StampWeb, name: str = "alice") -> Answer:
    where, cookies = await leave(made)
    return await call(made.app, "GET", await there(web, where, name), None, cookies)


async def tokens(made: Stamp, page: Answer) -> dict[str, Any]:
    assert page.status == 200 and "code" in hidden(page), page.text
    got = await redeem_code(made, hidden(page)["code"])
    assert got.status == 200, got.text
    found: dict[str, Any] = got.json
    return found


def user_of(made: Stamp, web: StampWeb, token: dict[str, Any]) -> User:
    found = made.directory.current.user(claims(token["access_token"])["oid"])
    assert found is not None and found.federated[0][0] == issuer(web.other)
    return found


def test_the_first_sign_in_makes_an_account_and_the_next_ones_find_it() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        got = await tokens(made, await whole(made, web))
        user = user_of(made, web, got)
        assert (user.display_name, user.password_hash, user.tenant_id) == ("Alice Able", "", made.tenant)
        assert user.upn == "alice_corp.example#EXT#@local.lazur.internal"
        assert claims(got["id_token"])["nonce"] == "n-1" and claims(got["access_token"])["amr"] == ["fed"]
        assert made.verifier.verify(got["access_token"], made.endpoints.accepted_by_arm).object_id == user.object_id
        again = await tokens(made, await whole(made, web))
        assert user_of(made, web, again) == user
        other = await tokens(made, await whole(made, web, "bob"))
        assert user_of(made, web, other).object_id != user.object_id
        # There is no password here to sign in with.
        for password in ("", " ", "alice"):
            answer = await by_password(made, password or "x", username=user.upn)
            refused(answer, 50126, "invalid_grant")

    run(test())


@pytest.mark.parametrize(("mode", "mark"), [("query", "?"), ("fragment", "#")])
def test_the_answer_goes_on_from_a_page_of_ours(mode: str, mark: str) -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        where, cookies = await leave(made, authorize(response_mode=mode))
        page = await call(made.app, "GET", await there(web, where), None, cookies)
        address = onward(page)
        assert address.startswith(f"http://localhost:8400{mark}code=")
        assert 'href="javascript' not in page.text and page.headers["referrer-policy"] == "no-referrer"

    run(test())


def test_what_is_asked_of_the_company_is_bound_to_this_sign_in() -> None:
    async def test() -> None:
        made, _ = await federated(VirtualClock())
        where, _ = await leave(made)
        asked = parse_qs(urlsplit(where).query)
        assert asked["code_challenge_method"] == ["S256"] and asked["response_type"] == ["code"]
        assert len(asked["nonce"][0]) >= 32 and asked["redirect_uri"] == ["https://login.local.lazur.internal/common/oauth2/federation"]
        assert SECRET not in where
        second, _ = await leave(made)
        assert parse_qs(urlsplit(second).query)["nonce"] != asked["nonce"]

    run(test())


def test_the_way_back_is_for_the_browser_that_left_and_for_one_time() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made, web = await federated(clock)
        where, cookies = await leave(made)
        back = await there(web, where)
        for theirs in ({}, {"cookie": "__Host-lazur-signin=" + "x" * 43}):
            answer = await call(made.app, "GET", back, None, theirs)
            assert answer.status == 400 and "AADSTS165000" in answer.text
        # Somebody else's code in this browser's state: the proof key of this sign-in does not fit it.
        elsewhere, _ = await leave(made)
        stolen = parse_qs(urlsplit(await there(web, elsewhere, "bob")).query)["code"][0]
        state = parse_qs(urlsplit(back).query)["state"][0]
        mixed = f"/common/oauth2/federation?{urlencode({'code': stolen, 'state': state})}"
        answer = await call(made.app, "GET", mixed, None, cookies)
        assert answer.status == 400 and "code" not in hidden(answer)
        assert "code" in hidden(await call(made.app, "GET", back, None, cookies))
        again = await call(made.app, "GET", back, None, cookies)
        assert again.status == 400 and "code" not in hidden(again)
        late, cookies = await leave(made)
        back = await there(web, late)
        clock.advance(901)
        assert (await call(made.app, "GET", back, None, cookies)).status == 400

    run(test())


STRANGER = RSAKey.generate_key(2048)


def resigned(web: StampWeb, change: dict[str, Any], key: RSAKey | None = None, alg: str = "RS256") -> Callable[..., Any]:
    def twist(answer: dict[str, Any]) -> dict[str, Any]:
        ring = web.other.keys.signing()
        body = {k: v for k, v in {**claims(answer["id_token"]), **change}.items() if v is not None}
        token = jwt.encode({"alg": alg, "kid": ring.kid}, body, key or ring, algorithms=[alg])
        return {**answer, "id_token": token}

    return twist


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["lazur", "another"]},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 300},
        {"sub": ["x"]},
    ],
    ids=str,
)
def test_an_identity_token_that_is_not_for_us_or_not_for_now(change: dict[str, Any]) -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        before = made.directory.current
        web.twist = resigned(web, change)
        answer = await whole(made, web)
        assert answer.status == 400 and "AADSTS50008" in answer.text and "code" not in hidden(answer)
        assert made.directory.current is before
        # Several audiences are right when we are the one it was made for.
        web.twist = resigned(web, {"aud": ["lazur", "another"], "azp": "lazur"})
        await tokens(made, await whole(made, web))

    run(test())


def test_an_identity_token_somebody_else_signed() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        for twist in (
            resigned(web, {}, STRANGER),
            lambda answer: {**answer, "id_token": answer["id_token"].rsplit(".", 1)[0] + "."},
            lambda answer: {**answer, "id_token": None},
            lambda answer: {"error": "invalid_grant"},
            lambda answer: {**answer, "id_token": answer["access_token"]},
        ):
            web.twist = twist
            answer = await whole(made, web)
            assert answer.status == 400 and "code" not in hidden(answer), answer.text

    run(test())


def test_an_error_there_or_no_answer_is_told() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        where, cookies = await leave(made)
        state = parse_qs(urlsplit(where).query)["state"][0]
        refusal = urlencode({"error": "access_denied", "state": state})
        answer = await call(made.app, "GET", f"/common/oauth2/federation?{refusal}", None, cookies)
        assert answer.status == 400 and "Corp Ltd did not sign you in" in answer.text
        mixed = urlencode({"code": "x", "state": state, "iss": "https://evil.example"})
        assert "AADSTS9002313" in (await call(made.app, "GET", f"/common/oauth2/federation?{mixed}", None, cookies)).text
        back = await there(web, where)
        web.down = True
        down = await call(made.app, "GET", back, None, cookies)
        assert down.status == 503 and "cannot be reached" in down.text
        made, web = await federated(VirtualClock())
        web.down = True
        page = await call(made.app, "GET", authorize())
        fields = {"sealed": hidden(page)["sealed"], "outside": "corp"}
        sent = await call(made.app, "POST", PATH, fields, page.cookies)
        assert sent.status == 503 and "cannot be reached" in sent.text and "Sign in with Corp Ltd" in sent.text

    run(test())


def test_an_account_that_is_there_is_linked_only_where_that_was_configured() -> None:
    async def test() -> None:
        for link in (False, True):
            made, web = await federated(VirtualClock(), link=link)
            await made.directory.change(lambda d: [Write(replace(d.tenants[0], domains=("corp.example",)))])
            known = await person(made, "alice@corp.example", "secret")
            user = user_of(made, web, await tokens(made, await whole(made, web)))
            assert (user.object_id == known.object_id) is link
            if link:
                assert user.password_hash == known.password_hash
            else:
                assert user.upn.startswith("corp-") and user.upn.endswith("@local.lazur.internal")

    run(test())


def test_nobody_is_made_where_that_was_not_configured() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock(), create=False)
        before = made.directory.current
        answer = await whole(made, web)
        assert answer.status == 400 and "AADSTS90072" in answer.text and made.directory.current is before

    run(test())


def test_a_disabled_account_stays_out_and_a_removed_one_begins_anew() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        got = await tokens(made, await whole(made, web))
        user = user_of(made, web, got)
        await made.directory.change(lambda d: [Write(replace(user, enabled=False))])
        answer = await whole(made, web)
        assert answer.status == 400 and "AADSTS50057" in answer.text

    run(test())


def test_mapped_groups_follow_the_claim() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock(), groups={"admins": "g1", "readers": "g2", "gone": "g9"})
        await made.directory.change(lambda d: [Write(Group("g1", made.tenant, "A")), Write(Group("g2", made.tenant, "R"))])
        both = {"g1", "g2"}
        for held, wanted in ((["admins", "x"], {"g1"}), (["readers", "admins"], both), (None, both), ([], set())):
            web.twist = resigned(web, {"groups": held})
            user = user_of(made, web, await tokens(made, await whole(made, web)))
            groups = made.directory.current.home.groups_of(user.object_id)
            assert set(groups) == wanted, held

    run(test())


def test_a_provider_speaks_for_its_own_tenant_only() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock(), tenant=OTHER.id)
        await with_tenant(made)
        page = await call(made.app, "GET", authorize(f"/{made.tenant}/oauth2/v2.0/authorize"))
        assert "Corp Ltd" not in page.text
        forced = {"sealed": hidden(page)["sealed"], "outside": "corp"}
        answer = await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/authorize", forced, page.cookies)
        assert answer.status == 400 and "no such identity provider" in answer.text
        got = await tokens(made, await whole(made, web))
        assert claims(got["access_token"])["tid"] == OTHER.id

    run(test())


def test_a_device_can_be_signed_in_for_too() -> None:
    async def test() -> None:
        made, web = await federated(VirtualClock())
        form = {"client_id": AZ_CLI, "scope": f"{ARM}/.default openid"}
        base = "/organizations/oauth2/v2.0"
        started = (await call(made.app, "POST", f"{base}/devicecode", form)).json
        path = urlsplit(started["verification_uri"]).path
        first = await call(made.app, "GET", path)
        page = await call(made.app, "POST", path, {**hidden(first), "user_code": started["user_code"]}, first.cookies)
        chosen = {"sealed": hidden(page)["sealed"], "outside": "corp"}
        sent = await call(made.app, "POST", path, chosen, first.cookies)
        back = await there(web, onward(sent))
        assert "signed in" in (await call(made.app, "GET", back, None, first.cookies)).text
        poll = {**form, "grant_type": "device_code", "code": started["device_code"]}
        got = await call(made.app, "POST", f"{base}/token", poll)
        assert got.status == 200
        assert user_of(made, web, got.json).display_name == "Alice Able"

    run(test())


def test_keys_of_the_company_may_change() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made, web = await federated(clock)
        await tokens(made, await whole(made, web))
        asked = len(web.asked)
        await tokens(made, await whole(made, web))
        assert len(web.asked) == asked + 1  # the code alone: discovery and keys are remembered
        for _ in range(40):
            clock.advance(86_400)
            await web.other.keys.rotate()
            await made.keys.rotate()
            await tokens(made, await whole(made, web))

    run(test())
