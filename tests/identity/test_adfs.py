"""One ADFS-like address for all directories: who signs in decides which one it speaks for."""

from __future__ import annotations

from lazur.identity.directory import Write
from lazur.identity.objects import Application, Secret, ServicePrincipal
from tests.identity.flows import (
    OTHER,
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
from tests.identity.support import Stamp, call, stamp

TOKEN = "/adfs/oauth2/token"


async def with_bob() -> Stamp:
    made = await stamp()
    await with_tenant(made)
    await person(made, "bob@other.example", "secret", OTHER.id)
    return made


def test_people_of_every_directory() -> None:
    async def test() -> None:
        made = await with_bob()
        first = await by_password(made, "secret", username="bob@other.example", path=TOKEN)
        code = hidden(await sign_in(made, authorize("/adfs/oauth2/authorize"), "secret", "bob@other.example"))["code"]
        poll = await device_signed_in(made, "/adfs/oauth2", "bob@other.example", "secret")
        answers = [
            first,
            await by_refresh(made, first.json["refresh_token"], path=TOKEN),
            await redeem_code(made, code, path=TOKEN),
            await call(made.app, "POST", TOKEN, poll),
        ]
        for answer in answers:
            assert claims(answer.json["access_token"])["tid"] == claims(answer.json["id_token"])["tid"] == OTHER.id
            assert made.verifier.verify(answer.json["access_token"], made.endpoints.accepted_by_arm).tenant_id == OTHER.id

    run(test())


def test_programs_sign_in_where_they_are_registered() -> None:
    async def test() -> None:
        made = await with_bob()
        secrets = (Secret.of("k", "s"),)
        theirs = Application("app-o", "o", OTHER.id, "Theirs", secrets=secrets, sign_in_audience="AzureADMultipleOrgs")
        await with_app(made, theirs, OTHER.id)
        visitor = ServicePrincipal("sp-visitor", "app-o", made.tenant, "Theirs")
        identity = ServicePrincipal("mi", "app-i", OTHER.id, "identity", type="ManagedIdentity", secrets=secrets)
        await made.directory.change(lambda d: [Write(visitor), Write(identity)])
        for app, principal in (("app-o", "sp-app-o"), ("app-i", "mi")):
            got = await by_secret(made, path=TOKEN, client_id=app, secret="s")
            assert (claims(got.json["access_token"])["tid"], claims(got.json["access_token"])["oid"]) == (OTHER.id, principal)
        refused(await by_secret(made, path=TOKEN, client_id="nobody"), 700016, "unauthorized_client")

    run(test())


def test_what_is_the_first_directorys_alone_stays_so() -> None:
    async def test() -> None:
        made = await with_bob()
        operator = f"{made.endpoints.admin_management}/.default openid"
        refused(await by_password(made, "secret", username="bob@other.example", path=TOKEN, scope=operator), 500011)
        ours = Application("app-w", "w", made.tenant, "Ours", secrets=(Secret.of("k", "s"),))
        await with_app(made, ours, made.tenant)
        form = {"client_id": "app-w", "client_secret": "s", "username": "bob@other.example"}
        refused(await by_password(made, "secret", path=TOKEN, **form), 700016)

    run(test())
