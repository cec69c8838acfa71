"""A program in between: a person's token for it, exchanged for one towards another program, within what was granted."""

from __future__ import annotations

from dataclasses import replace

from lazur.identity.directory import Remove, Write
from lazur.identity.firstparty import ARM, MICROSOFT_GRAPH
from lazur.identity.objects import Application, PermissionGrant, Secret
from lazur.kernel.clock import VirtualClock
from tests.identity.flows import ARM as ENDPOINT
from tests.identity.flows import by_password, by_secret, claims, person, refused, run, with_app
from tests.identity.support import Answer, Stamp, call, stamp

MIDDLE = "5a5a5a5a-0000-4000-8000-00000000000a"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


async def with_middle(made: Stamp, whom: str = "", scope: str = "user_impersonation", resource: str = ARM) -> PermissionGrant:
    app = Application(MIDDLE, "o", made.tenant, "Middle", secrets=(Secret.of("k", "s"),))
    await with_app(made, app, made.tenant)
    there = made.directory.current.principal(resource, made.tenant)
    assert there is not None
    grant = PermissionGrant("g", made.tenant, f"sp-{MIDDLE}", there.object_id, whom, scope)
    await made.directory.change(lambda d: [Write(grant)])
    return grant


async def called(made: Stamp, **more: str) -> str:
    """The token a person calls the program in between with."""
    answer = await by_password(made, **{"scope": f"api://{MIDDLE}/.default openid", **more})
    assert answer.status == 200, answer.text
    return str(answer.json["access_token"])


async def exchange(made: Stamp, token: str, *, path: str = "", **more: str) -> Answer:
    form = {"grant_type": GRANT, "client_id": MIDDLE, "client_secret": "s", "assertion": token,
            "requested_token_use": "on_behalf_of", "scope": f"{ENDPOINT}/.default offline_access openid", **more}  # fmt: skip
    return await call(made.app, "POST", path or f"/{made.tenant}/oauth2/v2.0/token", form)


def test_within_the_grant() -> None:
    async def test() -> None:
        made = await stamp()
        grant = await with_middle(made)
        token = await called(made)
        for path in ("", "/organizations/oauth2/v2.0/token", "/adfs/oauth2/token"):
            got = await exchange(made, token, path=path)
            assert got.status == 200 and "refresh_token" not in got.json, got.text
            who = made.verifier.verify(got.json["access_token"], made.endpoints.accepted_by_arm)
            assert (who.upn, who.app_id, who.claims["sid"]) == (made.secrets.admin_upn, MIDDLE, claims(token)["sid"])
        assert (await exchange(made, token, scope=f"{ENDPOINT}/user_impersonation")).status == 200
        for scope in (f"{made.endpoints.graph}/.default", f"{ENDPOINT}/other", f"api://{MIDDLE}/.default",
                      f"{made.endpoints.admin_management}/.default", "https://storage.azure.com/.default"):  # fmt: skip
            refused(await exchange(made, token, scope=scope), 65001, "invalid_grant")
        await made.directory.change(lambda d: [Remove(grant)])
        refused(await exchange(made, token), 65001)

    run(test())


def test_for_one_person_alone() -> None:
    async def test() -> None:
        made = await stamp()
        alice = await person(made, "alice@local.lazur.internal", "secret")
        await with_middle(made, alice.object_id, "User.Read", MICROSOFT_GRAPH)
        graph = f"{made.endpoints.graph}/.default"
        theirs = await called(made, username=alice.upn, password="secret")
        assert claims((await exchange(made, theirs, scope=graph)).json["access_token"])["oid"] == alice.object_id
        refused(await exchange(made, await called(made), scope=graph), 65001)

    run(test())


def test_what_may_not_be_exchanged() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        await with_middle(made)
        token = await called(made)
        elsewhere = (await by_password(made)).json["access_token"]
        refused(await exchange(made, elsewhere), 500131, "invalid_grant")
        first = (await exchange(made, token)).json["access_token"]
        refused(await exchange(made, first), 500131)
        refused(await exchange(made, f"{token}x"), 50013)
        program = (await by_secret(made, scope=f"{MIDDLE}/.default")).json["access_token"]
        refused(await exchange(made, program), 7000114)
        refused(await exchange(made, token, client_secret="wrong"), 7000215, status=401)
        refused(await exchange(made, token, requested_token_use=""), 9002313)
        clock.advance(4000)
        refused(await exchange(made, token), 500133)
        token = await called(made)
        await made.directory.change(lambda d: [Write(replace(made.admin, sessions_from=int(clock.now().timestamp()) + 1))])
        refused(await exchange(made, token), 50173)

    run(test())
