"""What was given is taken back: tokens stop at the next request, and only those that should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from lazur.identity.directory import Remove, Write
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.objects import Application, Group, Link, Secret, ServicePrincipal
from lazur.identity.passwords import hash_password
from lazur.identity.tokens import TokenRevoked, challenge
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SeededIds
from tests.identity.flows import (
    authorize,
    by_password,
    by_refresh,
    by_secret,
    hidden,
    person,
    redeem_code,
    refused,
    run,
    sign_in,
)
from tests.identity.support import Stamp, again, cheap, stamp

Change = Callable[[Stamp], Awaitable[object]]
ALICE = "alice@local.lazur.internal"
CP1 = '{"access_token":{"xms_cc":{"values":["CP1"]}}}'


def works(made: Stamp, token: str) -> bool:
    try:
        made.verifier.verify(token, made.endpoints.accepted_by_arm)
    except LazurError as error:
        assert (error.code, error.status) == ("TokenRevoked", 401), error
        return False
    return True


def now(made: Stamp) -> int:
    return int(made.clock.now().timestamp())


async def new_password(made: Stamp) -> None:
    await made.directory.set_password(f"oid-{ALICE}", "new", SeededIds(1), now(made))


async def sessions_revoked(made: Stamp) -> None:
    await made.directory.revoke(made.tenant, f"oid-{ALICE}", now(made))


async def disabled(made: Stamp) -> object:
    user = made.directory.current.user(ALICE)
    assert user is not None
    return await made.directory.change(lambda d: [Write(replace(user, enabled=False))])


async def deleted(made: Stamp) -> object:
    user = made.directory.current.user(ALICE)
    assert user is not None
    return await made.directory.change(lambda d: [Remove(user)])


async def program_disabled(made: Stamp) -> object:
    program = made.directory.current.principal(AZ_CLI, made.tenant)
    assert program is not None
    return await made.directory.change(lambda d: [Write(replace(program, enabled=False))])


@pytest.mark.parametrize("change", [new_password, sessions_revoked, disabled, deleted, program_disabled])
@pytest.mark.parametrize("seen", [True, False])
def test_a_person(change: Change, seen: bool) -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "secret")
        got = (await by_password(made, "secret", username=ALICE)).json
        other = (await by_secret(made)).json["access_token"]
        if seen:
            assert works(made, got["access_token"])
        await change(made)  # in the very second of the sign-in
        assert not works(made, got["access_token"]) and not works(made, got["access_token"])
        assert (await by_refresh(made, got["refresh_token"])).status == 400
        assert works(made, other)

    run(test())


@pytest.mark.parametrize(("change", "password"), [(new_password, "new"), (sessions_revoked, "secret")])
def test_a_person_signs_in_again_in_the_same_second(change: Change, password: str) -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "secret")
        await change(made)
        got = (await by_password(made, password, username=ALICE)).json
        assert works(made, got["access_token"])
        assert (await by_refresh(made, got["refresh_token"])).status == 200

    run(test())


def test_a_code_from_before_gives_nothing() -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "secret")
        code = hidden(await sign_in(made, authorize(), "secret", ALICE))["code"]
        await sessions_revoked(made)
        refused(await redeem_code(made, code), 50173, "invalid_grant")

    run(test())


def test_enabling_an_application_again_does_not_revive_its_old_tokens() -> None:
    async def test() -> None:
        made = await stamp()
        token = (await by_secret(made)).json["access_token"]
        await made.directory.revoke(made.tenant, made.secrets.client_object_id, now(made))
        assert not works(made, token)
        assert works(made, (await by_secret(made)).json["access_token"])

    run(test())


def test_removing_a_secret_stops_its_own_tokens_only() -> None:
    async def test() -> None:
        made = await stamp()
        app = made.directory.current.application(made.secrets.client_id)
        principal = made.directory.current.principal(made.secrets.client_id, made.tenant)
        assert app and principal
        second, third = Secret.of("second", "s2"), Secret.of("third", "s3")
        changed = [Write(replace(app, secrets=(*app.secrets, second))), Write(replace(principal, secrets=(third,)))]
        await made.directory.change(lambda d: changed)
        tokens = [(await by_secret(made, secret=secret)).json["access_token"] for secret in ("", "s2", "s3")]
        assert all(works(made, token) for token in tokens)
        await made.directory.change(lambda d: [Write(replace(app, secrets=app.secrets))])
        assert [works(made, token) for token in tokens] == [True, False, True]
        refused(await by_secret(made, secret="s2"), 7000215, "invalid_client", 401)
        await made.directory.change(lambda d: [Write(replace(principal, secrets=()))])
        assert [works(made, token) for token in tokens] == [True, False, False]
        await made.directory.change(lambda d: [Remove(principal)])
        assert not any(works(made, token) for token in tokens)

    run(test())


def test_a_new_principal_of_a_removed_application_does_not_inherit_its_tokens() -> None:
    async def test() -> None:
        made = await stamp()
        principal = made.directory.current.principal(made.secrets.client_id, made.tenant)
        assert principal is not None
        token = (await by_secret(made)).json["access_token"]
        twin = replace(principal, object_id="another")
        await made.directory.change(lambda d: [Remove(principal), Write(twin)])
        assert not works(made, token)

    run(test())


def test_a_replayed_code_ends_its_sign_in_also_after_a_restart() -> None:
    async def test() -> None:
        made = await stamp()
        code = hidden(await sign_in(made, authorize()))["code"]
        got = (await redeem_code(made, code)).json
        newer = (await by_refresh(made, got["refresh_token"])).json
        unrelated = (await by_password(made)).json["access_token"]
        assert works(made, got["access_token"]) and works(made, newer["access_token"])
        refused(await redeem_code(made, code), 54005, "invalid_grant")
        tokens = [got["access_token"], newer["access_token"]]
        assert not any(works(made, token) for token in tokens) and works(made, unrelated)
        for refresh in (got["refresh_token"], newer["refresh_token"]):
            refused(await by_refresh(made, refresh), 50173, "invalid_grant")
        after = await again(made.kept, made.clock, made.endpoints)
        assert not any(works(after, token) for token in tokens) and works(after, unrelated)
        refused(await by_refresh(after, newer["refresh_token"]), 50173, "invalid_grant")

    run(test())


def test_a_code_of_an_earlier_process_gives_nothing() -> None:
    async def test() -> None:
        made = await stamp()
        code = hidden(await sign_in(made, authorize()))["code"]
        after = await again(made.kept, made.clock, made.endpoints)
        refused(await redeem_code(after, code), 70008, "invalid_grant")

    run(test())


def test_refreshing_slides_and_the_older_token_still_works() -> None:
    """As in Azure: several processes of az share one token, so the first to refresh must not sign the others out."""

    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        token = first = (await by_password(made)).json["refresh_token"]
        for _ in range(4):
            clock.advance(60 * 86_400)
            got = await by_refresh(made, token)
            assert got.status == 200 and got.json["refresh_token"] != token
            token = got.json["refresh_token"]
            assert (await by_refresh(made, token)).status == 200
        refused(await by_refresh(made, first), 700082, "invalid_grant")

    run(test())


def test_groups_are_those_of_now() -> None:
    async def test() -> None:
        made = await stamp()
        user = await person(made, ALICE, "secret")
        token = (await by_password(made, "secret", username=ALICE)).json["access_token"]
        inner, outer = Group("g1", made.tenant, "inner"), Group("g2", made.tenant, "outer")
        nested = [Link("member", made.tenant, "g1", user.object_id), Link("member", made.tenant, "g2", "g1")]

        def groups() -> set[str]:
            return set(made.verifier.verify(token, made.endpoints.accepted_by_arm).groups)

        assert groups() == set()
        await made.directory.change(lambda d: [Write(inner), Write(outer), *map(Write, nested)])
        assert groups() == {"g1", "g2"}
        await made.directory.change(lambda d: [Remove(nested[0])])
        assert groups() == set()

    run(test())


def test_a_client_that_understands_is_told_to_ask_anew() -> None:
    async def test() -> None:
        made = await stamp()
        await person(made, ALICE, "secret")
        for claims, wanted in ((CP1, "insufficient_claims"), ("", "invalid_token")):
            token = (await by_password(made, "secret", username=ALICE, claims=claims)).json["access_token"]
            await sessions_revoked(made)
            with pytest.raises(TokenRevoked) as caught:
                made.verifier.verify(token, made.endpoints.accepted_by_arm)
            header = challenge(made.endpoints, made.tenant, caught.value)
            assert f'error="{wanted}"' in header and made.endpoints.login in header

    run(test())


def test_managed_identities_have_tokens_while_they_are() -> None:
    async def test() -> None:
        made = await stamp()
        vm = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm1"
        identity = ServicePrincipal("mi-1", "mi-app", made.tenant, "vm1", type="ManagedIdentity")
        await made.directory.change(lambda d: [Write(identity)])
        got = made.provider.managed_identity(identity, "https://management.azure.com/", vm)
        assert got["token_type"] == "Bearer" and got["expires_in"] == "3600" and got["client_id"] == "mi-app"
        who = made.verifier.verify(got["access_token"], made.endpoints.accepted_by_arm, tenant=made.tenant)
        assert (who.kind, who.object_id, who.claims["xms_mirid"]) == ("servicePrincipal", "mi-1", vm)
        # It has no credential of its own, so nobody else can sign in as it.
        refused(await by_secret(made, client_id="mi-app", secret="x"), 7000215, "invalid_client", 401)
        await made.directory.change(lambda d: [Write(replace(identity, enabled=False))])
        assert not works(made, got["access_token"])
        with pytest.raises(LazurError, match="disabled"):
            made.provider.managed_identity(replace(identity, enabled=False), "https://management.azure.com/", vm)
        await made.directory.change(lambda d: [Remove(identity)])
        assert not works(made, got["access_token"])

    run(test())


def test_an_application_without_its_registration_has_no_tokens() -> None:
    async def test() -> None:
        made = await stamp()
        app = Application("app-x", "o", made.tenant, "X", secrets=(Secret.of("k", "s"),))
        principal = ServicePrincipal("sp-x", "app-x", made.tenant, "X")
        await made.directory.change(lambda d: [Write(app), Write(principal)])
        token = (await by_secret(made, client_id="app-x", secret="s")).json["access_token"]
        assert works(made, token)
        await made.directory.change(lambda d: [Remove(app)])
        assert not works(made, token)

    run(test())


def test_a_password_that_is_replaced_while_it_is_looked_at_signs_nobody_in() -> None:
    async def test() -> None:
        made = await stamp()
        slow = replace(await person(made, "bob@local.lazur.internal", "x"), password_hash=hash_password("old", SeededIds(1)))
        await made.directory.change(lambda d: [Write(slow)])
        under_way = asyncio.create_task(by_password(made, "old", username=slow.upn))
        await asyncio.sleep(0.02)
        assert not under_way.done()
        await made.directory.change(lambda d: [Write(replace(slow, password_hash=cheap("new")))])
        refused(await under_way, 50126)
        assert (await by_password(made, "new", username=slow.upn)).status == 200

    run(test())
