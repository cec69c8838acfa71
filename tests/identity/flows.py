"""Each way of signing in, as a client goes it; what the tests of identity have in common."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import re
from collections.abc import Coroutine
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from lazur.identity.codes import s256
from lazur.identity.directory import Write
from lazur.identity.firstparty import AZ_CLI
from lazur.identity.objects import Application, ServicePrincipal, Tenant, User
from tests.identity.support import Answer, Stamp, call, cheap

ARM = "https://management.local.lazur.internal"
OTHER = Tenant("99999999-0000-4000-8000-000000000009", "Other", "other.example")


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return decoded


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def by_secret(made: Stamp, *, path: str = "", secret: str = "", **more: str) -> Answer:
    form = {
        "grant_type": "client_credentials",
        "client_id": made.secrets.client_id,
        "client_secret": secret or made.secrets.client_secret,
        **({} if "resource" in more else {"scope": f"{ARM}/.default"}),
        **more,
    }
    return await call(made.app, "POST", path or f"/{made.tenant}/oauth2/v2.0/token", form)


async def by_password(made: Stamp, password: str = "", *, path: str = "", **more: str) -> Answer:
    form = {
        "grant_type": "password",
        "client_id": AZ_CLI,
        "username": made.secrets.admin_upn,
        "password": password or made.secrets.admin_password,
        "scope": f"{ARM}/.default offline_access openid profile",
        "client_info": "1",
        **more,
    }
    return await call(made.app, "POST", path or "/organizations/oauth2/v2.0/token", form)


def refused(answer: Answer, number: int, error: str | None = None, status: int = 400) -> None:
    assert (answer.status, answer.json["error_codes"]) == (status, [number]), answer.text
    assert answer.json["error_description"].startswith(f"AADSTS{number}: ")
    assert {"timestamp", "trace_id", "correlation_id"} <= set(answer.json)
    assert error is None or answer.json["error"] == error
    assert answer.headers["cache-control"] == "no-store"


async def person(made: Stamp, upn: str, password: str, tenant: str = "", **more: Any) -> User:
    """A user with that password, in the stamp's own directory unless told otherwise."""
    user = User(f"oid-{upn}", tenant or made.tenant, upn, upn.partition("@")[0].title(), cheap(password), **more)
    await made.directory.change(lambda d: [Write(user)])
    return user


async def with_tenant(made: Stamp, *users: User) -> None:
    await made.directory.change(lambda d: [Write(OTHER), *map(Write, users)])


async def with_app(made: Stamp, app: Application, tenant: str) -> None:
    principal = ServicePrincipal(f"sp-{app.app_id}", app.app_id, tenant, app.display_name)
    await made.directory.change(lambda d: [Write(app), Write(principal)])


REDIRECT = "http://localhost:8400"
VERIFIER = "v" * 50


def authorize(path: str = "/organizations/oauth2/v2.0/authorize", **more: str) -> str:
    query = {
        "client_id": AZ_CLI,
        "response_type": "code",
        "response_mode": "form_post",
        "redirect_uri": REDIRECT,
        "scope": f"{ARM}/.default offline_access openid profile",
        "state": 'st"ate',
        "nonce": "n-1",
        "code_challenge": s256(VERIFIER),
        "code_challenge_method": "S256",
        "client_info": "1",
        **more,
    }
    return f"{path}?{urlencode(query)}"


def hidden(page: Answer) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {unescape(name): unescape(value) for name, value in found}


async def sign_in(made: Stamp, url: str, password: str = "", username: str = "") -> Answer:
    page = await call(made.app, "GET", url)
    assert page.status == 200 and "Azure CLI" in page.text
    fields = {"username": username or made.secrets.admin_upn, "password": password or made.secrets.admin_password}
    return await call(made.app, "POST", urlsplit(url).path, {"sealed": hidden(page)["sealed"], **fields}, page.cookies)


async def by_refresh(made: Stamp, token: str, *, path: str = "/organizations/oauth2/v2.0/token", **more: str) -> Answer:
    form = {
        "grant_type": "refresh_token",
        "client_id": AZ_CLI,
        "refresh_token": token,
        "scope": f"{ARM}/.default offline_access openid",
        **more,
    }
    return await call(made.app, "POST", path, form)


async def device_signed_in(made: Stamp, base: str, upn: str, password: str) -> dict[str, str]:
    """The poll of a device for which a person has signed in."""
    form = {"client_id": AZ_CLI, "scope": f"{ARM}/.default openid offline_access"}
    started = (await call(made.app, "POST", f"{base}/devicecode", form)).json
    path = urlsplit(started["verification_uri"]).path
    first = await call(made.app, "GET", path)
    typed = {**hidden(first), "user_code": started["user_code"]}
    page = await call(made.app, "POST", path, typed, first.cookies)
    fields = {"sealed": hidden(page)["sealed"], "username": upn, "password": password}
    done = await call(made.app, "POST", path, fields, first.cookies)
    assert "signed in" in done.text, done.text
    return {**form, "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": started["device_code"]}


async def redeem_code(
    made: Stamp, code: str, *, path: str = "/organizations/oauth2/v2.0/token", **more: str
) -> Answer:
    form = {
        "grant_type": "authorization_code",
        "client_id": AZ_CLI,
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        "client_info": "1",
        **more,
    }
    return await call(made.app, "POST", path, form)



def certificate() -> tuple[str, str, str]:
    """A fresh certificate and its key as PEM, and its SHA-1 thumbprint."""
    private = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=3650))
        .sign(private, hashes.SHA256())
    )
    clear = serialization.NoEncryption()
    key = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, clear)
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    return pem, key.decode(), made.fingerprint(hashes.SHA1()).hex()
