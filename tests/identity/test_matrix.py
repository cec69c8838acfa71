"""Every way to sign in at every kind of address, and every spelling an audience is asked for by."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.endpoints import normal
from lazur.identity.firstparty import ARM as ARM_APP
from lazur.identity.firstparty import AZ_CLI, MICROSOFT_GRAPH
from lazur.identity.objects import Application, Certificate, FederatedCredential
from tests.identity.flows import (
    ARM,
    REDIRECT,
    VERIFIER,
    authorize,
    by_password,
    by_refresh,
    by_secret,
    certificate,
    claims,
    device_signed_in,
    hidden,
    run,
    sign_in,
    with_app,
)
from tests.identity.support import Answer, Stamp, call, stamp

PLACES = ("{tenant} v1", "{tenant} v2", "domain v1", "domain v2", "organizations v1", "organizations v2", "common v2", "adfs")
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def base(made: Stamp, place: str) -> str:
    segment, _, version = place.partition(" ")
    segment = segment.replace("{tenant}", made.tenant).replace("domain", "LOCAL.lazur.internal")
    return f"/{segment}/oauth2" + ("/v2.0" if version == "v2" else "")


def wanted(place: str) -> dict[str, str]:
    """What is asked for, as clients of that version do."""
    return {"resource": f"{ARM}/"} if place.endswith("v1") else {"scope": f"{ARM}/.default openid offline_access"}


def good(made: Stamp, answer: Answer, place: str, person: bool) -> None:
    assert answer.status == 200, answer.text
    token = answer.json["access_token"]
    who = made.verifier.verify(token, made.endpoints.accepted_by_arm, tenant=made.tenant)
    assert (who.kind == "user") is person and claims(token)["ver"] == "1.0"
    # v1.0 writes its numbers as strings and names the resource.
    assert answer.json["expires_in"] == ("3600" if place.endswith("v1") else 3600)
    assert ("resource" in answer.json) == place.endswith("v1")
    if person:
        issuer = claims(answer.json["id_token"])["iss"]
        assert issuer.split("/")[3] == made.tenant and "refresh_token" in answer.json
        assert issuer.endswith("/v2.0") == place.endswith("v2")
        assert ("client_info" in answer.json) == (place != "adfs")


@pytest.mark.parametrize("place", PLACES)
def test_people(place: str) -> None:
    async def test() -> None:
        made = await stamp()
        at, asked = base(made, place), wanted(place)
        form = {"scope": "", **asked, "client_info": "1"}
        form = {name: value for name, value in form.items() if value}
        first = await by_password(made, path=f"{at}/token", **{"scope": "openid", **form})
        good(made, first, place, person=True)
        again = await by_refresh(made, first.json["refresh_token"], path=f"{at}/token", **{"scope": "openid", **form})
        good(made, again, place, person=True)
        for mode in ("form_post", "query", "fragment"):
            url = authorize(f"{at}/authorize", response_mode=mode, **{"scope": "openid", **asked})
            sent = await sign_in(made, url)
            if mode == "form_post":
                code = hidden(sent)["code"]
            else:
                parts = urlsplit(sent.headers["location"])
                code = (parts.query if mode == "query" else parts.fragment).partition("code=")[2].partition("&")[0]
                code = code.replace("%3D", "=")
            redeemed = {"grant_type": "authorization_code", "client_id": AZ_CLI, "code": code, "redirect_uri": REDIRECT}
            redeemed |= {"code_verifier": VERIFIER, "client_info": "1"}
            good(made, await call(made.app, "POST", f"{at}/token", redeemed), place, person=True)
        poll = await device_signed_in(made, at, made.secrets.admin_upn, made.secrets.admin_password)
        poll = {**{name: value for name, value in poll.items() if name != "scope"}, **form}
        good(made, await call(made.app, "POST", f"{at}/token", poll), place, person=True)

    run(test())


@pytest.mark.parametrize("place", [place for place in PLACES if not place.startswith(("organizations", "common"))])
def test_programs(place: str) -> None:
    async def test() -> None:
        made = await stamp()
        at, asked = f"{base(made, place)}/token", wanted(place)
        good(made, await by_secret(made, path=at, **asked), place, person=False)
        pem, private, thumbprint = certificate()
        outside = RSAKey.generate_key(2048, {"kid": "one"})
        keys = {"keys": [outside.as_dict(private=False)]}
        known = FederatedCredential("f", "f", "https://ci.example", "x", ("api://y",), keys=keys)
        app = Application("app-c", "o", made.tenant, "C", certificates=(Certificate("k", pem),), federated=(known,))
        await with_app(made, app, made.tenant)
        now = int(made.clock.now().timestamp())
        origin = made.endpoints.adfs_origin if place == "adfs" else made.endpoints.login
        own = {"iss": "app-c", "sub": "app-c", "aud": f"{origin}{at}", "exp": now + 600, "jti": "1"}
        theirs = {"iss": "https://ci.example", "sub": "x", "aud": "api://y", "exp": now + 600}
        for alg, claimed, key, header in (
            ("RS256", own, RSAKey.import_key(private), {"kid": thumbprint.upper()}),
            ("PS256", own, RSAKey.import_key(private), {"kid": thumbprint}),
            ("RS256", theirs, outside, {"kid": "one"}),
        ):
            signed = jwt.encode({"alg": alg, **header}, claimed, key, algorithms=[alg])
            form = {"grant_type": "client_credentials", "client_id": "app-c", "client_assertion": signed, **asked}
            answer = await call(made.app, "POST", at, {**form, "client_assertion_type": ASSERTION})
            good(made, answer, place, person=False)

    run(test())


def test_every_spelling_of_an_audience() -> None:
    async def test() -> None:
        made = await stamp()
        arm, graph = made.endpoints.management, made.endpoints.graph
        for asked, audience in (
            (f"{arm}/.default", arm),
            (f"{arm}//.default", f"{arm}/"),
            (f"{arm}/user_impersonation", arm),
            (f"{arm.upper().replace('HTTPS', 'https')}/.default", arm.upper().replace("HTTPS", "https")),
            ("https://management.azure.com/.default", "https://management.azure.com"),
            ("https://management.azure.com//.default", "https://management.azure.com/"),
            ("https://management.core.windows.net//.default", "https://management.core.windows.net/"),
            (f"{ARM_APP}/.default", ARM_APP),
            (f"{graph}/.default", graph),
            (f"{graph}//.default", f"{graph}/"),
            ("https://graph.microsoft.com/.default", "https://graph.microsoft.com"),
            ("https://graph.microsoft.com/User.Read", "https://graph.microsoft.com"),
            ("User.Read", graph),
            (f"{MICROSOFT_GRAPH}/.default", MICROSOFT_GRAPH),
            ("https://vault.azure.net/.default", "https://vault.azure.net"),
            ("https://kv1.vault.local.lazur.internal/.default", "https://kv1.vault.local.lazur.internal"),
            ("https://storage.azure.com/.default", "https://storage.azure.com"),
            ("https://a.blob.core.local.lazur.internal/.default", "https://a.blob.core.local.lazur.internal"),
            (f"{made.secrets.client_id}/.default", made.secrets.client_id),
            (f"api://{made.secrets.client_id}/.default", f"api://{made.secrets.client_id}"),
            (f"{made.endpoints.admin_management}/.default", made.endpoints.admin_management),
        ):
            by_scope = await by_secret(made, scope=asked)
            assert by_scope.status == 200 and claims(by_scope.json["access_token"])["aud"] == audience, asked
            resource = await by_secret(made, path=f"/{made.tenant}/oauth2/token", resource=audience)
            assert resource.status == 200 and claims(resource.json["access_token"])["aud"] == audience
            accepted = made.endpoints.accepted_by_arm | made.endpoints.accepted_by_graph
            if normal(audience) in accepted:
                assert made.verifier.verify(by_scope.json["access_token"], accepted)

    run(test())


def test_an_authorize_request_as_a_form_begins_again_as_an_address() -> None:
    async def test() -> None:
        made = await stamp()
        url = authorize()
        parts = urlsplit(url)
        sent = await call(made.app, "POST", parts.path, body=parts.query)
        assert sent.status == 303 and urlsplit(sent.headers["location"]).path == parts.path
        page = await call(made.app, "GET", sent.headers["location"])
        assert page.status == 200 and "sealed" in hidden(page)

    run(test())
