"""Guessing is slowed down by account and by place, and tells nobody which names exist."""

from __future__ import annotations

import asyncio
import re

import pytest

from lazur.identity.lockout import ATTEMPTS, ATTEMPTS_FROM_SOURCE, ATTEMPTS_ON_ACCOUNT, LOCKED_AT_MOST, Lockout
from lazur.identity.oauth import OAuthError
from lazur.kernel.clock import VirtualClock
from tests.identity.flows import authorize, by_password, hidden, person, run
from tests.identity.support import Answer, call, cheap, stamp

ALICE, NOBODY = "alice@local.lazur.internal", "nobody@local.lazur.internal"


def locked(lockout: Lockout, name: str, source: str) -> bool:
    try:
        lockout.check(name, source)
    except OAuthError as error:
        assert error.number == 50053
        return True
    return False


def test_each_failure_beyond_the_tenth_doubles_the_wait_up_to_an_hour() -> None:
    clock = VirtualClock()
    lockout = Lockout(clock)
    for _ in range(ATTEMPTS - 1):
        assert not lockout.failed("a", "1")
    assert not locked(lockout, "a", "1")
    waits = []
    for _ in range(9):
        assert lockout.failed("a", "1")
        wait = 0
        while locked(lockout, "a", "1"):
            clock.advance(30)
            wait += 30
        waits.append(wait)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    clock.advance(LOCKED_AT_MOST + 1)
    assert not lockout.failed("a", "1") and not locked(lockout, "a", "1")


def test_a_stranger_elsewhere_does_not_lock_the_person_out() -> None:
    clock = VirtualClock()
    lockout = Lockout(clock)
    for _ in range(ATTEMPTS):
        lockout.failed("a", "stranger")
    assert locked(lockout, "a", "stranger") and not locked(lockout, "a", "home") and not locked(lockout, "b", "stranger")
    # Many strangers together do, and the person's own success does not open the door for them again.
    for n in range(ATTEMPTS_ON_ACCOUNT - ATTEMPTS):
        assert not locked(lockout, "a", "home")
        lockout.failed("a", f"stranger {n}")
        lockout.succeeded("a", "home")
    assert locked(lockout, "a", "home") and locked(lockout, "a", "somewhere new")


def test_one_place_that_tries_many_names_is_locked_for_all_of_them() -> None:
    lockout = Lockout(VirtualClock())
    for n in range(ATTEMPTS_FROM_SOURCE):
        assert not locked(lockout, f"user {n}", "sprayer")
        lockout.failed(f"user {n}", "sprayer")
    assert locked(lockout, "user 500", "sprayer") and not locked(lockout, "user 5", "home")


def test_memory_is_bounded_and_the_attacked_stay_known() -> None:
    clock = VirtualClock()
    lockout = Lockout(clock)
    for n in range(12_000):  # three keys each
        lockout.failed(f"user {n}", f"source {n}")
        if n % 1000 < 20:
            lockout.failed("victim", "attacker")
    assert len(lockout._failures) <= 30_000 and locked(lockout, "victim", "attacker")


def said(answer: Answer) -> tuple[int, str, frozenset[tuple[str, str]]]:
    """An answer without what differs from request to request."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|s1\.[\w=-]+", "*", answer.text)
    headers = {(k, v) for k, v in answer.headers.items() if k not in ("client-request-id", "content-length", "set-cookie")}
    return answer.status, text.replace(ALICE, "?").replace(NOBODY, "?"), frozenset(headers)


def test_a_name_that_exists_and_one_that_does_not_get_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        made = await stamp()
        user = await person(made, ALICE, "secret")
        hashes = []

        def counted(password: str, hashed: str) -> bool:
            hashes.append(hashed.split("$")[1:4])
            return False

        # The same work is done for both: a stored hash of the usual cost, or the one that stands for nobody's.
        monkeypatch.setattr("lazur.identity.signin.check_password", counted)
        assert user.password_hash
        for attempt in range(13):
            known, unknown = [await by_password(made, "wrong", username=name) for name in (ALICE, NOBODY)]
            assert said(known) == said(unknown), attempt
        assert len(hashes) == 2 * ATTEMPTS
        for name in ("no-at-sign", "", " ", "@", "a@b", "x" * 300 + "@local.lazur.internal"):
            answer = await by_password(made, "wrong", username=name, path=f"/{made.tenant}/oauth2/v2.0/token")
            assert answer.status == 400 and answer.json["error_codes"][0] in (50126, 900144)
        pages = []
        for name in (ALICE, NOBODY):
            page = await call(made.app, "GET", authorize(), source="10.0.0.9")
            fields = {**hidden(page), "username": name, "password": "wrong"}
            path = "/organizations/oauth2/v2.0/authorize"
            pages.append(await call(made.app, "POST", path, fields, page.cookies, source="10.0.0.9"))
        assert said(pages[0]) == said(pages[1])

    run(test())


def test_a_locked_place_does_not_lock_another(capsys: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "secret")
        form = {"grant_type": "password", "client_id": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "username": ALICE}
        form["scope"] = "https://management.azure.com/.default"
        path = "/organizations/oauth2/v2.0/token"
        for _ in range(ATTEMPTS):
            await call(made.app, "POST", path, {**form, "password": "wrong"}, source="10.0.0.1")
        there = await call(made.app, "POST", path, {**form, "password": "secret"}, source="10.0.0.1")
        here = await call(made.app, "POST", path, {**form, "password": "secret"}, source="10.0.0.2")
        assert there.json["error_codes"] == [50053] and here.status == 200

    run(test())
    told = capsys.readouterr()
    assert "locked out" in told.out + told.err and f"oid-{ALICE}" in told.out + told.err


def test_guessing_device_codes_is_slowed_down_too() -> None:
    async def test() -> None:
        made = await stamp()
        first = await call(made.app, "GET", "/common/oauth2/deviceauth")
        fields = {**hidden(first), "user_code": "BBBBBBBBB"}
        pages = [await call(made.app, "POST", "/common/oauth2/deviceauth", fields, first.cookies) for _ in range(ATTEMPTS + 1)]
        assert "not known" in pages[ATTEMPTS - 1].text and "locked" in pages[ATTEMPTS].text

    run(test())


def test_guesses_of_device_codes_elsewhere_shut_nobody_out_here() -> None:
    async def test() -> None:
        steps = (await stamp()).provider.interactive
        for n in range(ATTEMPTS_ON_ACCOUNT + 1):
            with pytest.raises(OAuthError):
                steps.device("BCDFGHJKL", f"10.0.0.{n}")
        with pytest.raises(OAuthError) as refused:
            steps.device("BCDFGHJKL", "home")
        assert refused.value.number == 70020

    run(test())


def test_a_flood_of_sign_ins_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazur.identity.signin.NOBODY", cheap("nobody's"))

    async def test() -> None:
        made = await stamp()
        answers = await asyncio.gather(*(by_password(made, "x", username=f"u{n}@local.lazur.internal") for n in range(60)))
        statuses = [answer.status for answer in answers]
        assert statuses.count(503) == 20 and statuses.count(400) == 40
        assert (await by_password(made)).status == 200

    run(test())
