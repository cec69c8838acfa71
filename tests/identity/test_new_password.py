"""A password that must be changed is changed on the way in, by the one who knows it, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lazur.identity.directory import Write
from lazur.identity.firstparty import AZ_CLI
from tests.identity.flows import ARM, authorize, by_password, hidden, person, redeem_code, refused, run, sign_in
from tests.identity.support import Answer, Stamp, call, stamp

ALICE, FRESH = "alice@local.lazur.internal", "Quite-New-9"
PATH = "/organizations/oauth2/v2.0/authorize"


async def asked_to_change(made: Stamp) -> tuple[Answer, dict[str, str]]:
    first = await call(made.app, "GET", authorize())
    fields = {"sealed": hidden(first)["sealed"], "username": ALICE, "password": "old"}
    page = await call(made.app, "POST", PATH, fields, first.cookies)
    assert page.status == 200 and "Choose a new password" in page.text and "renewal" in hidden(page)
    return page, first.cookies


async def choose(made: Stamp, page: Answer, cookies: dict[str, str], fresh: str = FRESH, again: str | None = None) -> Answer:
    form = {"renewal": hidden(page)["renewal"], "fresh": fresh, "again": fresh if again is None else again}
    return await call(made.app, "POST", PATH, form, cookies)


def test_on_the_way_in() -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "old", change_password=True)
        refused(await by_password(made, "old", username=ALICE), 50055, "invalid_grant")
        page, cookies = await asked_to_change(made)
        for fresh, again, words in (
            (FRESH, "other", "not the same"),
            ("Aa1", None, "8 to 256 characters"),
            ("onlysmallletters", None, "8 to 256 characters"),
            ("", None, "8 to 256 characters"),
        ):
            answer = await choose(made, page, cookies, fresh, again)
            assert answer.status == 400 and words in answer.text and "renewal" in hidden(answer), answer.text
        done = await choose(made, page, cookies)
        got = await redeem_code(made, hidden(done)["code"])
        assert got.status == 200
        who = made.verifier.verify(got.json["access_token"], made.endpoints.accepted_by_arm)
        assert who.upn == ALICE
        assert (await by_password(made, FRESH, username=ALICE)).status == 200
        refused(await by_password(made, "old", username=ALICE), 50126)
        # The page has done its work.
        assert "AADSTS70008" in (await choose(made, page, cookies, "Another-One-7")).text

    run(test())


def test_the_old_one_again_is_no_change() -> None:
    async def test() -> None:
        made = await stamp()
        user = await person(made, ALICE, FRESH, change_password=True)
        first = await call(made.app, "GET", authorize())
        fields = {"sealed": hidden(first)["sealed"], "username": ALICE, "password": FRESH}
        page = await call(made.app, "POST", PATH, fields, first.cookies)
        answer = await choose(made, page, first.cookies)
        assert answer.status == 400 and "another password" in answer.text
        assert made.directory.current.user(ALICE) == user

    run(test())


@pytest.mark.parametrize("what", ["browser", "disabled", "reset"])
def test_the_page_is_for_one_browser_and_one_password(what: str) -> None:
    async def test() -> None:
        made = await stamp()
        user = await person(made, ALICE, "old", change_password=True)
        page, cookies = await asked_to_change(made)
        if what == "browser":
            cookies = {}
        elif what == "disabled":
            await made.directory.change(lambda d: [Write(replace(user, enabled=False))])
        else:
            await person(made, ALICE, "set by an administrator", change_password=True)
        answer = await choose(made, page, cookies)
        assert answer.status == 400 and "code" not in hidden(answer)
        refused(await by_password(made, FRESH, username=ALICE), 50126)

    run(test())


def test_for_a_device() -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "old", change_password=True)
        form = {"client_id": AZ_CLI, "scope": f"{ARM}/.default"}
        started = (await call(made.app, "POST", "/organizations/oauth2/v2.0/devicecode", form)).json
        path = "/common/oauth2/deviceauth"
        first = await call(made.app, "GET", path)
        typed = {**hidden(first), "user_code": started["user_code"]}
        page = await call(made.app, "POST", path, typed, first.cookies)
        fields = {"sealed": hidden(page)["sealed"], "username": ALICE, "password": "old"}
        page = await call(made.app, "POST", path, fields, first.cookies)
        renewal = {"renewal": hidden(page)["renewal"], "fresh": FRESH, "again": FRESH}
        assert "signed in" in (await call(made.app, "POST", path, renewal, first.cookies)).text
        poll = {**form, "grant_type": "device_code", "code": started["device_code"]}
        assert (await call(made.app, "POST", "/organizations/oauth2/v2.0/token", poll)).status == 200

    run(test())


def test_nobody_gets_there_without_the_old_one() -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "old", change_password=True)
        assert (await sign_in(made, authorize(), "wrong", ALICE)).status == 400
        first = await call(made.app, "GET", authorize())
        for renewal in (hidden(first)["sealed"], "s1.x", ""):
            form = {"renewal": renewal, "fresh": FRESH, "again": FRESH}
            answer = await call(made.app, "POST", PATH, form, first.cookies)
            assert answer.status == 400 and "AADSTS70008" in answer.text

    run(test())
