"""Secrets go through every flow; none of them is found in a log, a document, an error or a page afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lazur.identity.directory import Write
from lazur.identity.objects import Application, Secret
from lazur.kernel.clock import VirtualClock
from tests.identity.flows import (
    authorize,
    by_password,
    by_refresh,
    by_secret,
    device_signed_in,
    hidden,
    person,
    redeem_code,
    run,
    sign_in,
    with_app,
)
from tests.identity.outside import SECRET, federated
from tests.identity.support import Answer, call
from tests.identity.test_federation import leave, there

PASSWORD, APPLICATION = "canary-password-7Q", "canary-secret-8W"
ALICE = "alice@local.lazur.internal"


async def everything() -> tuple[list[str], list[str]]:
    """Every flow, well and badly: the secrets that went through, and the places that should not have them."""
    made, web = await federated(VirtualClock())
    await person(made, ALICE, PASSWORD)
    app = Application("app-s", "o", made.tenant, "S", secrets=(Secret.of("k", APPLICATION),))
    await with_app(made, app, made.tenant)
    good: list[Answer] = [
        await by_password(made, PASSWORD, username=ALICE),
        await by_secret(made, client_id="app-s", secret=APPLICATION),
    ]
    page = await sign_in(made, authorize(), PASSWORD, ALICE)
    code = hidden(page)["code"]
    good.append(await redeem_code(made, code))
    good.append(await by_refresh(made, good[0].json["refresh_token"]))
    poll = await device_signed_in(made, "/organizations/oauth2/v2.0", ALICE, PASSWORD)
    good.append(await call(made.app, "POST", "/organizations/oauth2/v2.0/token", poll))
    where, cookies = await leave(made)
    back = await there(web, where)
    await call(made.app, "GET", back, None, cookies)
    assert all(answer.status == 200 for answer in good)
    tokens = [answer.json[name] for answer in good for name in ("access_token", "refresh_token") if name in answer.json]

    refused = [
        await by_password(made, PASSWORD + "x", username=ALICE),
        await by_password(made, "x", username=PASSWORD),  # typed into the wrong field
        await by_secret(made, client_id="app-s", secret=APPLICATION + "x"),
        await by_secret(made, client_id="unknown", secret=APPLICATION),
        await redeem_code(made, code),
        await redeem_code(made, code + "x"),
        await by_refresh(made, tokens[1] + "x"),
        await by_refresh(made, tokens[1], client_id="unknown"),
        await sign_in(made, authorize(), PASSWORD + "x", ALICE),
        await call(made.app, "GET", back, None, {}),
        await call(made.app, "GET", back, None, cookies),
    ]
    assert all(answer.status >= 400 for answer in refused)
    user = made.directory.current.user(ALICE)
    assert user is not None
    await made.directory.change(lambda d: [Write(replace(user, enabled=False))])
    refused.append(await by_password(made, PASSWORD, username=ALICE))
    kept = [repr(vars(made.kept.objects)), *(store.text for store in made.kept.documents.values())]
    assert ALICE in kept[0]
    said = [answer.text + str(answer.headers) for answer in refused]
    secrets = [PASSWORD, APPLICATION, SECRET, code, poll["device_code"], *tokens]
    return secrets, kept + said


def test_no_canary_sings(capsys: pytest.CaptureFixture[str]) -> None:
    secrets: list[str] = []
    places: list[str] = []

    async def collect() -> None:
        found = await everything()
        secrets.extend(found[0])
        places.extend(found[1])

    run(collect())
    told = capsys.readouterr()
    logs = told.out + told.err
    assert "signed in" in logs and "sign-in refused" in logs
    for secret in secrets:
        assert secret not in logs, f"{secret[:20]} is in the logs"
        for place in places:
            assert secret not in place, f"{secret[:20]} is in {place[:200]}"
