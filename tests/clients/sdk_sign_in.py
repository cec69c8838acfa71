"""Runs in an environment that has Azure's SDKs of today: every way its users sign in, told as JSON.

`sdk_sign_in.py STYLE` (`AAD-like` or `ADFS-like`). Not among them is what asks another program for tokens that is not here
(Azure PowerShell, azd, Visual Studio Code, an authentication broker), and what works inside a machine of the cloud only
(managed identities). Must never import this package.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

import azure.identity
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ENDPOINT, HOST = os.environ["LAZUR_ENDPOINT"], os.environ["AZURE_AUTHORITY_HOST"]
SCOPE = f"{ENDPOINT}/.default"
SUBSCRIPTION = os.environ["AZURE_SUBSCRIPTION_ID"]
USER, PASSWORD = os.environ["LAZUR_USER"], os.environ["LAZUR_PASSWORD"]
PUBLIC = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The public application everybody may sign in with: az's own."""
ARM = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
TOKEN_FILE, ISSUER = os.environ.get("LAZUR_TOKEN_FILE", ""), os.environ.get("LAZUR_ISSUER", "")
"""Where a token of somebody outside the cloud is, and who that is."""
TENANTS = {"AAD-like": os.environ["LAZUR_TENANT"], "ADFS-like": "adfs"}
_CHOSEN = ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")


class Graph:
    """The directory, as one principal sees it."""

    def __init__(self, credential: Any) -> None:
        with urlopen(f"{ENDPOINT}/metadata/endpoints?api-version=2022-09-01") as answer:
            self._resource = json.load(answer)["microsoftGraphResourceId"].rstrip("/")
        self._token = credential.get_token(f"{self._resource}/.default").token

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self._resource}/v1.0{path}", data, headers, method=method)) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Program:
    """An application with every kind of credential, and the role Reader."""

    def __init__(self, tenant: str) -> None:
        self.owner = azure.identity.ClientSecretCredential(tenant, *(os.environ[n] for n in _CHOSEN), **common())
        self.pem, encoded = certificate()
        graph = Graph(self.owner)
        keys = [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": encoded}]
        about = {"displayName": "aztest-sdk", "keyCredentials": keys, "web": {"redirectUris": ["http://localhost"]}}
        app = graph.ask("POST", "/applications", about)
        self.id, self.object, self.graph = app["appId"], f"/applications/{app['id']}", graph
        self.secret = graph.ask("POST", f"{self.object}/addPassword", {"passwordCredential": {}})["secretText"]
        if ISSUER:
            trusted = {"name": "outside", "issuer": ISSUER, "subject": "sdk", "audiences": ["api://AzureADTokenExchange"]}
            graph.ask("POST", f"{self.object}/federatedIdentityCredentials", trusted)
        self.principal = graph.ask("POST", "/servicePrincipals", {"appId": self.id})["id"]
        arm = graph.ask("GET", f"/servicePrincipals(appId='{ARM}')")["id"]
        consent = {"clientId": self.principal, "resourceId": arm, "consentType": "AllPrincipals", "scope": "user_impersonation"}
        graph.ask("POST", "/oauth2PermissionGrants", consent)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """With the role Reader, given and taken with the authorization library; without the application afterwards."""
        scope = f"/subscriptions/{SUBSCRIPTION}"
        more = {"base_url": ENDPOINT, "credential_scopes": [SCOPE]}
        authorization = AuthorizationManagementClient(self.owner, SUBSCRIPTION, **more)
        (reader,) = authorization.role_definitions.list(scope, filter="roleName eq 'Reader'")
        held = {"roleDefinitionId": reader.id, "principalId": self.principal, "principalType": "ServicePrincipal"}
        made = authorization.role_assignments.create(scope, str(uuid.uuid4()), {"properties": held})
        names = [a.name for a in authorization.role_assignments.list_for_scope(scope, filter="atScope()")]
        assert made.name in names, names
        yield
        authorization.role_assignments.delete(scope, made.name)
        self.graph.ask("DELETE", self.object)

    @cached_property
    def pem_file(self) -> str:
        """Where key and certificate are."""
        file = Path(os.environ["HOME"], "program.pem")
        file.write_bytes(self.pem)
        return str(file)


def common() -> dict[str, Any]:
    """What a private cloud's users tell every credential."""
    return {"authority": HOST, "disable_instance_discovery": True}


def certificate() -> tuple[bytes, str]:
    """Key and certificate as PEM, and the certificate as Graph takes it."""
    key, now = rsa.generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sdk")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(days=9))
    made = builder.sign(key, hashes.SHA256())
    encoded = base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *form) + made.public_bytes(serialization.Encoding.PEM)
    return pem, encoded


def person(*arguments: str) -> None:
    """The person at a browser."""
    subprocess.run([sys.executable, os.environ["LAZUR_PERSON"], *arguments], check=True)


@contextmanager
def listening(answer: Callable[[str], Any]) -> Iterator[str]:
    """The address of a server whose JSON answers `answer` makes of paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer(self.path)).encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Standard error is for what went wrong."""

    with HTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


# -- the ways ---------------------------------------------------------------------------------------------------------


def programs(tenant: str, program: Program) -> dict[str, Callable[[], Any]]:
    """How programs sign in."""
    identity, who = azure.identity, (tenant, program.id)

    def with_certificate(chain: bool) -> Any:
        return identity.CertificateCredential(*who, certificate_data=program.pem, send_certificate_chain=chain, **common())

    ways = {
        "client secret": lambda: identity.ClientSecretCredential(*who, program.secret, **common()),
        "certificate": lambda: with_certificate(chain=False),
        "certificate with its chain": lambda: with_certificate(chain=True),
    }
    if ISSUER:
        token = Path(TOKEN_FILE)
        file = {"tenant_id": tenant, "client_id": program.id, "token_file_path": TOKEN_FILE}
        ways |= {
            "federated token": lambda: identity.ClientAssertionCredential(*who, token.read_text, **common()),
            "workload identity": lambda: identity.WorkloadIdentityCredential(**file, **common()),
        }
    return ways


def people(tenant: str, program: Program) -> dict[str, Callable[[], Any]]:
    """How people sign in, and what becomes of that later."""
    identity = azure.identity
    who = {**common(), "tenant_id": tenant, "client_id": PUBLIC}
    kept = {**who, "cache_persistence_options": identity.TokenCachePersistenceOptions(allow_unencrypted_storage=True)}

    def remembered() -> Any:
        with urlopen(f"{HOST}/{tenant}/.well-known/openid-configuration") as answer:
            issuer = urlsplit(json.load(answer)["issuer"]).netloc
        # The record says which authority it is of: the issuer, which may have another address than where one asks.
        at_home = {**kept, "authority": issuer}
        record = identity.InteractiveBrowserCredential(**at_home).authenticate(scopes=[SCOPE])
        known = {name: value for name, value in kept.items() if name != "authority"} | {"authentication_record": record}
        return identity.InteractiveBrowserCredential(**known, disable_automatic_authentication=True)

    def on_behalf() -> Any:
        called = identity.InteractiveBrowserCredential(**who).get_token(f"api://{program.id}/.default").token
        proof = {"client_secret": program.secret, "user_assertion": called}
        return identity.OnBehalfOfCredential(tenant, program.id, **proof, **common())

    ways = {
        "device code": lambda: identity.DeviceCodeCredential(**who, prompt_callback=lambda url, code, _: person(url, code)),
        "browser": lambda: identity.InteractiveBrowserCredential(**who),
        "authorization code": lambda: by_code(tenant, program),
        "on behalf of a person": on_behalf,
        "remembered by an earlier program": remembered,
    }
    if tenant != "adfs" and not forgets_port(tenant):
        # By the refresh token of the programs of one family, and after the one above that kept it.
        ways["shared token cache"] = lambda: identity.SharedTokenCacheCredential(USER, **common())
    if not forgets_port(tenant):
        ways["user and password"] = lambda: identity.UsernamePasswordCredential(**who, username=USER, password=PASSWORD)
    return ways


def forgets_port(tenant: str) -> bool:
    """Asking an AAD-like authority about a user, MSAL forgets the port of its address."""
    return tenant != "adfs" and urlsplit(HOST).port is not None


def by_code(tenant: str, program: Program) -> Any:
    """The code a person's browser brings to a web application."""
    came: list[str] = []
    with listening(lambda path: came.append(path)) as redirect:
        query = {"client_id": program.id, "response_type": "code", "redirect_uri": redirect, "scope": SCOPE}
        person(f"{HOST}/{tenant}/oauth2/v2.0/authorize?{urlencode(query)}")
    code = next(found["code"][0] for path in came if "code" in (found := parse_qs(urlsplit(path).query)))
    who = {**common(), "client_secret": program.secret}
    return azure.identity.AuthorizationCodeCredential(tenant, program.id, code, redirect, **who)


def surroundings(tenant: str, program: Program) -> dict[str, tuple[dict[str, str], Callable[[], Any]]]:
    """What credentials find around a program: variables, and what is made then."""
    identity, who = azure.identity, {"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": program.id}
    secret = {**who, "AZURE_CLIENT_SECRET": program.secret}
    found = {
        "environment, secret": (secret, lambda: identity.EnvironmentCredential(**common())),
        "environment, certificate": (
            {**who, "AZURE_CLIENT_CERTIFICATE_PATH": program.pem_file}, lambda: identity.EnvironmentCredential(**common()),
        ),
        "default chain, environment": (secret, default),
        "az": ({}, lambda: identity.AzureCliCredential(process_timeout=60)),
        "default chain, az": ({"AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}, lambda: default(process_timeout=60)),
    }  # fmt: skip
    if not forgets_port(tenant):
        person = {**who, "AZURE_CLIENT_ID": PUBLIC, "AZURE_USERNAME": USER, "AZURE_PASSWORD": PASSWORD}
        found["environment, user and password"] = (person, lambda: identity.EnvironmentCredential(**common()))
    if ISSUER:
        outside = {**who, "AZURE_FEDERATED_TOKEN_FILE": TOKEN_FILE}
        only = {**outside, "AZURE_TOKEN_CREDENTIALS": "WorkloadIdentityCredential"}
        found["default chain, workload identity"] = (only, default)
        pipeline = {"service_connection_id": "c", "system_access_token": "t", "tenant_id": tenant, "client_id": program.id}
        found["pipeline's connection"] = ({}, lambda: identity.AzurePipelinesCredential(**pipeline, **common()))
    return found


def default(**more: Any) -> Any:
    """The chain, without the address that machines of a cloud have and nobody else may ask."""
    return azure.identity.DefaultAzureCredential(exclude_managed_identity_credential=True, **common(), **more)


def main(style: str) -> dict[str, Any]:
    """Which subscriptions each way to sign in leads to."""
    tenant = TENANTS[style]
    program, said = Program(tenant), dict[str, list[str]]()

    def tried(way: str, credential: Any) -> None:
        found = SubscriptionClient(credential, base_url=ENDPOINT, credential_scopes=[SCOPE]).subscriptions.list()
        said[f"{way}, {style}"] = [s.subscription_id for s in found]

    with program.reading():
        for way, make in {**programs(tenant, program), **people(tenant, program)}.items():
            tried(way, make())
        clean = {k: v for k, v in os.environ.items() if k not in _CHOSEN}
        with listening(lambda _: {"oidcToken": Path(TOKEN_FILE).read_text()}) as pipelines:
            for way, (variables, make) in surroundings(tenant, program).items():
                told = {**clean, "AZURE_AUTHORITY_HOST": HOST, "SYSTEM_OIDCREQUESTURI": pipelines, **variables}
                with mock.patch.dict(os.environ, told, clear=True):
                    tried(way, make())
    return {"client": f"azure-identity {version('azure-identity')}", "ways": said}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
