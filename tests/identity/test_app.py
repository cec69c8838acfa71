"""The sign-in endpoints as a client sees them: every grant, and everything they must refuse."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jwt
from joserfc.jwk import RSAKey

from lazur.identity.directory import Remove, Write
from lazur.identity.firstparty import AZ_CLI, AZ_POWERSHELL
from lazur.identity.objects import Application, Certificate, Secret
from lazur.kernel.clock import VirtualClock
from lazur.kernel.ids import SeededIds
from tests.identity.flows import (
    ARM,
    OTHER,
    REDIRECT,
    authorize,
    by_password,
    by_secret,
    certificate,
    claims,
    hidden,
    redeem_code,
    refused,
    run,
    sign_in,
    with_app,
    with_tenant,
)
from tests.identity.support import Answer, call, cheap, stamp


def test_discovery_documents() -> None:
    async def test() -> None:
        made = await stamp()
        for segment in (made.tenant, "local.lazur.internal", made.tenant.upper()):
            for version, issuer in (("/v2.0", "/v2.0"), ("", "/")):
                got = await call(made.app, "GET", f"/{segment}{version}/.well-known/openid-configuration")
                assert got.json["issuer"].rstrip("/") == f"{made.endpoints.login}/{made.tenant}{issuer}".rstrip("/")
                assert got.json["issuer"].split("/")[3] == made.tenant
                assert got.json["token_endpoint"].startswith(f"{made.endpoints.login}/{made.tenant}/oauth2")
        for segment in ("common", "organizations"):
            got = await call(made.app, "GET", f"/{segment}/v2.0/.well-known/openid-configuration")
            assert f"/{segment}/oauth2/v2.0/devicecode" in got.json["device_authorization_endpoint"]
        paths = ("/adfs/.well-known", "/adfs/adfs/v2.0/.well-known", f"/adfs/{made.tenant}/.well-known")
        for path in paths:
            got = await call(made.app, "GET", f"{path}/openid-configuration")
            assert got.json["token_endpoint"] == f"{made.endpoints.adfs}/oauth2/token"
            assert got.json["issuer"].split("/")[3] == made.tenant
        # az finds the tenant of a domain here, though it signs in at one address for all tenants.
        await with_tenant(made)
        got = await call(made.app, "GET", f"/adfs/{OTHER.default_domain}/v2.0/.well-known/openid-configuration")
        assert got.json["issuer"].split("/")[3] == OTHER.id
        assert got.json["token_endpoint"] == f"{made.endpoints.adfs}/oauth2/token"
        refused(await call(made.app, "GET", "/adfs/nobody.example/.well-known/openid-configuration"), 90002)
        refused(await call(made.app, "GET", "/nobody.example/v2.0/.well-known/openid-configuration"), 90002)
        keys = await call(made.app, "GET", "/common/discovery/v2.0/keys")
        assert keys.json["keys"] and "d" not in keys.json["keys"][0]
        assert (await call(made.app, "GET", "/adfs/discovery/keys")).json == keys.json

    run(test())


def test_realm_and_instance() -> None:
    async def test() -> None:
        made = await stamp()
        realm = await call(made.app, "GET", f"/common/userrealm/{made.secrets.admin_upn}?api-version=1.0")
        assert realm.json["account_type"] == "Managed"
        assert (await call(made.app, "GET", "/common/userrealm/a@b.c")).json["account_type"] == "Unknown"
        ours = urlencode({"authorization_endpoint": f"{made.endpoints.login}/common/oauth2/v2.0/authorize"})
        known = await call(made.app, "GET", f"/common/discovery/instance?{ours}")
        assert known.json["tenant_discovery_endpoint"].startswith(f"{made.endpoints.login}/common/v2.0/")
        theirs = urlencode({"authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/authorize"})
        refused(await call(made.app, "GET", f"/common/discovery/instance?{theirs}"), 50049, "invalid_instance")

    run(test())


def test_client_secret() -> None:
    async def test() -> None:
        made = await stamp()
        capabilities = '{"access_token":{"xms_cc":{"values":["CP1"]}}}'
        for path in (
            "",
            f"/{made.tenant}/oauth2/token",
            "/adfs/oauth2/token",
            "/local.lazur.internal/oauth2/v2.0/token",
        ):
            got = await by_secret(made, path=path, claims=capabilities)
            assert got.status == 200 and "refresh_token" not in got.json and got.json["expires_in"] == 3600
            who = made.verifier.verify(got.json["access_token"], made.endpoints.accepted_by_arm, tenant=made.tenant)
            assert (who.kind, who.object_id) == ("servicePrincipal", made.secrets.client_object_id)
            assert who.claims["xms_cc"] == ["CP1"] and who.claims["appidacr"] == "1"
        v1 = await by_secret(made, path=f"/{made.tenant}/oauth2/token", resource="https://management.core.windows.net/")
        assert v1.json["expires_in"] == "3600" and v1.json["resource"] == "https://management.core.windows.net/"
        assert claims(v1.json["access_token"])["aud"] == "https://management.core.windows.net/"
        slashes = await by_secret(made, scope="https://management.azure.com//.default")
        assert claims(slashes.json["access_token"])["aud"] == "https://management.azure.com/"
        basic = base64.b64encode(f"{made.secrets.client_id}:{made.secrets.client_secret}".encode()).decode()
        form = {"grant_type": "client_credentials", "scope": f"{ARM}/.default"}
        headers = {"authorization": f"Basic {basic}"}
        assert (await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", form, headers)).status == 200

    run(test())


def test_client_refusals() -> None:
    async def test() -> None:
        made = await stamp()
        refused(await by_secret(made, secret="wrong"), 7000215, "invalid_client", 401)
        refused(await by_secret(made, client_id="00000000-0000-4000-8000-000000000000"), 700016, "unauthorized_client")
        refused(await by_secret(made, path="/nobody.example/oauth2/v2.0/token"), 90002)
        refused(await by_secret(made, path="/common/oauth2/v2.0/token"), 50059)
        refused(await by_secret(made, scope="https://example.org/.default"), 500011, "invalid_resource")
        refused(await by_secret(made, scope=f"{ARM}/.default https://vault.azure.net/.default"), 28000)
        refused(await by_secret(made, grant_type="implicit"), 70003, "unsupported_grant_type")
        refused(await by_secret(made, grant_type=""), 900144)
        refused(await by_secret(made, claims="{"), 9002313)
        refused(await by_secret(made, client_id=AZ_CLI), 700025, "invalid_client", 401)
        nobody = {"grant_type": "client_credentials", "client_id": AZ_CLI, "scope": f"{ARM}/.default"}
        refused(await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", nobody), 700016)
        bare = {**nobody, "client_id": made.secrets.client_id}
        refused(await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", bare), 7000218, status=401)
        twice = f"/{made.tenant}/oauth2/v2.0/authorize?client_id=a&client_id=b"
        shown = await call(made.app, "GET", twice)
        assert shown.status == 400 and "AADSTS9002313" in shown.text
        plain = await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", None)
        refused(plain, 9002313)
        huge = await by_secret(made, scope="x" * 70_000)
        refused(huge, 9002313)
        # Many wrong secrets lock nobody out: the secret cannot be guessed, and others hold the right one.
        for _ in range(15):
            refused(await by_secret(made, secret="wrong"), 7000215, "invalid_client", 401)
        assert (await by_secret(made)).status == 200
        # The application of one tenant is nobody in another.
        await with_tenant(made)
        refused(await by_secret(made, path=f"/{OTHER.id}/oauth2/v2.0/token"), 700016)

    run(test())


def test_secrets_expire_and_applications_can_be_disabled() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        expires = int(clock.now().timestamp()) + 100
        app = Application(
            "app-x", "o", made.tenant, "X", secrets=(Secret.of("k", "old", expires), Secret.of("l", "new"))
        )
        await with_app(made, app, made.tenant)
        assert (await by_secret(made, client_id="app-x", secret="old")).status == 200
        clock.advance(100)
        refused(await by_secret(made, client_id="app-x", secret="old"), 7000222, "invalid_client", 401)
        assert (await by_secret(made, client_id="app-x", secret="new")).status == 200
        # A token for our own application as the resource.
        assert (await by_secret(made, scope="api://app-x/.default")).status == 200
        principal = made.directory.current.principal("app-x", made.tenant)
        assert principal is not None
        await made.directory.change(lambda d: [Write(replace(principal, enabled=False))])
        refused(await by_secret(made, client_id="app-x", secret="new"), 7000112, "unauthorized_client")
        await made.directory.change(lambda d: [Remove(principal)])
        refused(await by_secret(made, client_id="app-x", secret="new"), 65001)

    run(test())


def test_certificate_assertion() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        pem, private, _ = certificate()
        cert = x509.load_pem_x509_certificate(pem.encode())
        await with_app(made, Application("app-c", "o", made.tenant, "C", certificates=(Certificate("k", pem),)), made.tenant)
        key = RSAKey.import_key(private)
        thumb = base64.urlsafe_b64encode(cert.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        start = int(clock.now().timestamp())
        good = {
            "aud": f"{made.endpoints.login}/{made.tenant}/oauth2/v2.0/token",
            "iss": "app-c",
            "sub": "app-c",
            "exp": start + 600,
            "jti": "1",
        }

        async def attempt(body: dict[str, Any], signer: RSAKey = key, x5t: str = thumb) -> Answer:
            signed = jwt.encode({"alg": "PS256", "x5t#S256": x5t}, body, signer, algorithms=["PS256"])
            form = {
                "grant_type": "client_credentials",
                "client_id": "app-c",
                "scope": f"{ARM}/.default",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": signed,
            }
            return await call(made.app, "POST", f"/{made.tenant}/oauth2/v2.0/token", form)

        first = await attempt(good)
        assert first.status == 200 and claims(first.json["access_token"])["appidacr"] == "2"
        # Client libraries make one assertion and use it for each of the tokens they need.
        assert (await attempt(good)).status == 200
        for change in (
            {"aud": "https://x/"},
            {"sub": "y"},
            {"exp": start - 1},
            {"exp": start + 90_000},
            {"nbf": start + 900},
        ):
            refused(await attempt({**good, "jti": str(change), **change}), 700024, "invalid_client", 401)
        refused(await attempt({**good, "iss": "y"}), 700211, "invalid_client", 401)
        refused(await attempt({**good, "jti": "2"}, RSAKey.generate_key(2048)), 700024, "invalid_client", 401)
        refused(await attempt({**good, "jti": "3"}, x5t="other"), 700027, "invalid_client", 401)

    run(test())


def test_password_and_refresh() -> None:
    async def test() -> None:
        made = await stamp()
        for path in ("", f"/{made.tenant}/oauth2/v2.0/token", "/adfs/oauth2/token"):
            got = await by_password(made, path=path)
            assert got.status == 200
            identity = claims(got.json["id_token"])
            assert identity["aud"] == AZ_CLI and identity["tid"] == made.tenant and identity["exp"] > identity["iat"]
            assert identity["oid"] == made.secrets.admin_object_id
            assert identity["preferred_username"] == identity["upn"] == made.secrets.admin_upn
            who = made.verifier.verify(got.json["access_token"], made.endpoints.accepted_by_arm)
            assert (who.kind, who.upn, who.app_id) == ("user", made.secrets.admin_upn, AZ_CLI)
            assert ("client_info" in got.json) == (path != "/adfs/oauth2/token")
        form = {"grant_type": "refresh_token", "client_id": AZ_CLI, "refresh_token": got.json["refresh_token"]}
        form["scope"] = "https://storage.azure.com/.default offline_access openid"
        path = f"/{made.tenant}/oauth2/v2.0/token"
        again = await call(made.app, "POST", path, form)
        assert again.status == 200 and claims(again.json["access_token"])["aud"] == "https://storage.azure.com"
        # Azure's own programs are one family; no other program has a part in what they keep.
        family = await call(made.app, "POST", path, {**form, "client_id": AZ_POWERSHELL})
        assert (family.status, again.json["foci"], family.json["foci"]) == (200, "1", "1")
        await with_app(made, Application("app-p", "p", made.tenant, "Program", public=True), made.tenant)
        refused(await call(made.app, "POST", path, {**form, "client_id": "app-p"}), 70000, "invalid_grant")
        own = (await by_password(made, client_id="app-p")).json
        assert "foci" not in own
        refused(await call(made.app, "POST", path, {**form, "refresh_token": own["refresh_token"]}), 70000, "invalid_grant")
        refused(await call(made.app, "POST", path, {**form, "refresh_token": "s1.AAAA"}), 9002313, "invalid_grant")
        await with_tenant(made)
        refused(await call(made.app, "POST", f"/{OTHER.id}/oauth2/v2.0/token", form), 50020, "invalid_grant")

    run(test())


def test_refresh_ends_with_the_password_with_time_and_with_the_account() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)

        async def token() -> str:
            return str((await by_password(made)).json["refresh_token"])

        async def redeem(value: str) -> Answer:
            form = {
                "grant_type": "refresh_token",
                "client_id": AZ_CLI,
                "refresh_token": value,
                "scope": f"{ARM}/.default",
            }
            return await call(made.app, "POST", "/organizations/oauth2/v2.0/token", form)

        first = await token()
        clock.advance(90 * 86_400)
        refused(await redeem(first), 700082, "invalid_grant")
        second = await token()
        clock.advance(10)
        now = int(clock.now().timestamp())
        await made.directory.set_password(made.secrets.admin_object_id, "new password", SeededIds(8), now)
        refused(await redeem(second), 50173, "invalid_grant")
        refused(await by_password(made), 50126)
        third = (await by_password(made, "new password")).json["refresh_token"]
        admin = made.directory.current.user(made.secrets.admin_upn)
        assert admin is not None
        await made.directory.change(lambda d: [Write(replace(admin, enabled=False))])
        refused(await redeem(third), 50057, "invalid_grant")
        refused(await by_password(made, "new password"), 50057, "invalid_grant")
        await made.directory.change(lambda d: [Remove(admin)])
        refused(await redeem(third), 50034, "invalid_grant")

    run(test())


@pytest.mark.parametrize("known", [True, False])
def test_guessing_locks_the_name_whether_it_exists_or_not(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazur.identity.signin.NOBODY", cheap("nobody's"))

    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        name = made.secrets.admin_upn if known else "nobody@local.lazur.internal"
        guesses = await asyncio.gather(*(by_password(made, f"guess {n}", username=name.title()) for n in range(14)))
        numbers = [answer.json["error_codes"][0] for answer in guesses]
        # Guessing in parallel gains at most the one check that already ran beside the tenth.
        assert numbers.count(50126) in (10, 11) and numbers.count(50053) == 14 - numbers.count(50126)
        refused(await by_password(made, username=name), 50053, "invalid_grant")
        clock.advance(121)
        again = await by_password(made, username=name)
        if known:
            assert again.status == 200
            refused(await by_password(made, "wrong"), 50126)  # the count began anew
        else:
            refused(again, 50126)
            refused(await by_password(made, "x", username=name), 50053)  # locked again at once, for longer

    run(test())


def test_a_user_of_another_tenant() -> None:
    async def test() -> None:
        made = await stamp()
        admin = made.directory.current.user(made.secrets.admin_upn)
        assert admin is not None
        guest = replace(admin, object_id="guest", tenant_id=OTHER.id, upn="bob@other.example")
        await with_tenant(made, guest)
        refused(await by_password(made, path=f"/{made.tenant}/oauth2/v2.0/token", username=guest.upn), 50020)
        home = await by_password(made, username=guest.upn)
        assert claims(home.json["access_token"])["tid"] == OTHER.id
        assert made.verifier.verify(home.json["access_token"], made.endpoints.accepted_by_arm).tenant_id == OTHER.id

    run(test())


def test_authorization_code_with_pkce() -> None:
    async def test() -> None:
        made = await stamp()
        page = await sign_in(made, authorize())
        assert f'action="{REDIRECT}"' in page.text
        fields = hidden(page)
        assert fields["state"] == 'st"ate' and "client_info" in fields
        got = await redeem_code(made, fields["code"])
        assert got.status == 200 and claims(got.json["id_token"])["nonce"] == "n-1"
        assert claims(got.json["access_token"])["aud"] == ARM and "refresh_token" in got.json
        refused(await redeem_code(made, fields["code"]), 54005, "invalid_grant")
        # ADFS-like, and the two other response modes.
        adfs = await sign_in(made, authorize("/adfs/oauth2/authorize"))
        assert "client_info" not in hidden(adfs) and (await redeem_code(made, hidden(adfs)["code"])).status == 200
        for mode, mark in (("query", "?"), ("fragment", "#")):
            sent = await sign_in(made, authorize(response_mode=mode))
            assert sent.status == 303 and sent.headers["location"].startswith(f"{REDIRECT}{mark}code=")

    run(test())


def test_authorization_code_refusals() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)

        async def code() -> str:
            return hidden(await sign_in(made, authorize()))["code"]

        refused(await redeem_code(made, await code(), code_verifier="other"), 501481, "invalid_grant")
        refused(await redeem_code(made, await code(), client_id=AZ_POWERSHELL), 700005, "invalid_grant")
        refused(await redeem_code(made, await code(), redirect_uri="http://localhost:1"), 50011, "invalid_grant")
        refused(await redeem_code(made, "s1.x"), 9002313, "invalid_grant")
        stale = await code()
        clock.advance(301)
        refused(await redeem_code(made, stale), 70008, "invalid_grant")
        wrong = await sign_in(made, authorize(), "wrong")
        assert wrong.status == 400 and "invalid username or password" in wrong.text and "code" not in hidden(wrong)
        forged = await call(
            made.app, "POST", "/organizations/oauth2/v2.0/authorize", {"sealed": "s1.x", "username": "a"}
        )
        assert forged.status == 400 and "expired" in forged.text

    run(test())


def test_nothing_is_sent_to_an_address_that_is_not_registered() -> None:
    async def test() -> None:
        made = await stamp()
        for address in (
            "https://evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil.example#http://localhost",
            "http://localhost:80/other",
            "https://localhost:8400",
            "javascript:alert(1)",
            "",
        ):
            page = await call(made.app, "GET", authorize(redirect_uri=address))
            assert page.status == 400 and "AADSTS50011" in page.text and "location" not in page.headers
        script = await call(made.app, "GET", authorize(client_id="<script>"))
        assert script.status == 400 and "<script>" not in script.text
        hint = await call(made.app, "GET", authorize(login_hint='"><script>'))
        assert "<script>" not in hint.text
        # With a known receiver, faults go there.
        for change, error in (
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"code_challenge": ""}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"prompt": "none"}, "login_required"),
            ({"scope": "https://example.org/.default"}, "invalid_resource"),
        ):
            sent = await call(made.app, "GET", authorize(**{"response_mode": "query", **change}))
            said = parse_qs(urlsplit(sent.headers["location"]).query)
            assert sent.status == 303 and said["error"] == [error] and said["state"] == ['st"ate']

    run(test())


def test_device_code() -> None:
    async def test() -> None:
        clock = VirtualClock()
        made = await stamp(clock)
        for base in ("/organizations/oauth2/v2.0", "/adfs/oauth2"):
            form = {"client_id": AZ_CLI, "scope": f"{ARM}/.default openid offline_access"}
            started = (await call(made.app, "POST", f"{base}/devicecode", form)).json
            assert started["user_code"] in started["message"]
            poll = {**form, "device_code": started["device_code"], "code": started["device_code"]}
            poll["grant_type"] = "urn:ietf:params:oauth:grant-type:device_code"
            refused(await call(made.app, "POST", f"{base}/token", poll), 70016, "authorization_pending")
            refused(await call(made.app, "POST", f"{base}/token", poll), 70016, "slow_down")
            path = urlsplit(started["verification_uri"]).path
            first = await call(made.app, "GET", path)
            assert "Enter the code" in first.text
            cookies = first.cookies
            wrong = {**hidden(first), "user_code": "BBBBBBBBB"}
            assert (await call(made.app, "POST", path, wrong, cookies)).status == 400
            typed = {**hidden(first), "user_code": f" {started['user_code'].lower()} "}
            page = await call(made.app, "POST", path, typed, cookies)
            assert "Azure CLI" in page.text and "127.0.0.1" in page.text
            fields = {**hidden(page), "username": made.secrets.admin_upn}
            assert (await call(made.app, "POST", path, {**fields, "password": "wrong"}, cookies)).status == 400
            done = await call(made.app, "POST", path, {**fields, "password": made.secrets.admin_password}, cookies)
            assert "signed in" in done.text
            refused(await call(made.app, "POST", f"{base}/token", {**poll, "client_id": AZ_POWERSHELL}), 501491)
            got = await call(made.app, "POST", f"{base}/token", poll)
            assert got.status == 200 and claims(got.json["id_token"])["upn"] == made.secrets.admin_upn
            refused(await call(made.app, "POST", f"{base}/token", poll), 501491, "bad_verification_code")
        late = (await call(made.app, "POST", f"{base}/devicecode", form)).json
        clock.advance(900)
        first = await call(made.app, "GET", path)
        entered = await call(made.app, "POST", path, {**hidden(first), "user_code": late["user_code"]}, first.cookies)
        assert entered.status == 400 and "not known or has expired" in entered.text
        poll["device_code"] = late["device_code"]
        refused(await call(made.app, "POST", f"{base}/token", poll), 70020, "expired_token")

    run(test())
