"""Every way az and azure-identity sign in, at both kinds of authority, az the one of today and the one with long-term support;
and what comes of a sign-in later: refreshed tokens, tokens for others, other directories, the end of it. All of it is one
file, as only one cloud at a time can have port 443.

`az login --identity` is tried where a machine has an identity: `test_az_identity.py`.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud
from tests.clients.directories import Second, second_directory
from tests.clients.results import Results
from tests.clients.test_sdk import told

AS_A_RACK = True

PERSON, SIGN_IN = (Path(__file__).with_name(name) for name in ("person.py", "sdk_sign_in.py"))
STYLES = ("AAD-like", "ADFS-like")
SECRET = "login --service-principal -u {lazur_client_id} -p {lazur_client_secret} --tenant {lazur_tenant}"
PROGRAM = "login --service-principal -u {app} --tenant {lazur_tenant}"
PASSWORD = "login -u {lazur_user} -p {lazur_password}"


class Person(Az):
    """az as a person has it, its name, and where it keeps what it knows."""

    def __init__(self, program: Path, environment: dict[str, str], cloud: Cloud) -> None:
        super().__init__(program, environment, cloud.environment)
        self.program = program
        self.environment = environment
        self.name = f"az {self('version')['azure-cli']}"

    def signed_in(self) -> bool:
        """Whether an account is there and works."""
        self("account set -s {lazur_subscription}")
        return isinstance(self("group list"), list)

    def token(self, more: str = "", **values: object) -> dict[str, Any]:
        """What is in the token az hands out."""
        _, claims, _ = self(f"account get-access-token {more}", **values)["accessToken"].split(".")
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(f"{claims}=="))
        return found

    def grow_old(self) -> None:
        """Let the access tokens az keeps be of yesterday."""
        file = Path(self.environment["AZURE_CONFIG_DIR"]) / "msal_token_cache.json"
        if not file.exists():
            return
        kept = json.loads(file.read_text())
        for token in kept["AccessToken"].values():
            token |= {"expires_on": "1", "extended_expires_on": "1"}
        file.write_text(json.dumps(kept))

    def forget(self) -> None:
        """Sign everybody out. az would go on using the token of a service principal, whatever it signs in with next."""
        self.grow_old()
        self("account clear")


@pytest.fixture(scope="module", params=["az", "az-lts"])
def person(request: pytest.FixtureRequest, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """An az that knows the certificate authority, and a browser with a person before it."""
    program: Path = request.getfixturevalue({"az": "az_program", "az-lts": "lts_program"}[request.param])
    home = tmp_path_factory.mktemp("person")
    known = {n: cloud.environment[n] for n in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "LAZUR_USER", "LAZUR_PASSWORD")}
    settings = {"AZURE_CORE_COLLECT_TELEMETRY": "false", "AZURE_CORE_INSTANCE_DISCOVERY": "false",
                "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off", "AZURE_CONFIG_DIR": str(home), "HOME": str(home),
                # The mark at the end: az must wait at its port meanwhile.
                "BROWSER": f"{sys.executable} {PERSON} %s &"}  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "ARM_"))}
    shell = Person(program, {**clean, **known, **settings}, cloud)
    try:
        yield shell
    finally:
        shell.close()


@pytest.fixture(scope="module", params=STYLES)
def style(
    request: pytest.FixtureRequest, person: Person, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The kind of authority the cloud is registered with."""
    arm, origin = cloud.environment["LAZUR_ENDPOINT"], cloud.environment["AZURE_AUTHORITY_HOST"]
    authority = origin if request.param == "AAD-like" else f"{origin}/adfs"
    endpoints = {"resourceManager": arm, "management": arm, "activeDirectory": authority, "activeDirectoryResourceId": arm,
                 "microsoftGraphResourceId": _graph(cloud)}  # fmt: skip
    file = tmp_path_factory.mktemp("cloud") / "endpoints.json"
    file.write_text(json.dumps({"endpoints": endpoints}))
    person("cloud register -n {style} --cloud-config @{file}", style=request.param, file=file)
    person("cloud set -n {style}", style=request.param)
    yield request.param
    person("cloud set -n AzureCloud")
    person("cloud unregister -n {style}", style=request.param)


def _graph(cloud: Cloud) -> str:
    """Where the directory is, as the cloud tells everybody."""
    trust = ssl.create_default_context(cafile=cloud.environment["SSL_CERT_FILE"])
    with urlopen(f"{cloud.environment['LAZUR_ENDPOINT']}/metadata/endpoints?api-version=2022-09-01", context=trust) as answer:
        return str(json.load(answer)["microsoftGraphResourceId"])


@pytest.fixture
def fresh(person: Person) -> Person:
    """Nobody is signed in."""
    person.forget()
    return person


@pytest.fixture(scope="module")
def program(az: Az, cloud: Cloud) -> Iterator[dict[str, str]]:
    """A service principal with a certificate and, where something signs such tokens, a federated credential."""
    scope = "--scopes /subscriptions/{lazur_subscription}"
    made = az(f"ad sp create-for-rbac -n aztest-program --create-cert --role Reader {scope}")
    if cloud.issuer:
        trusted = {"name": "outside", "issuer": cloud.issuer.url, "subject": "job", "audiences": [cloud.issuer.audience]}
        az("ad app federated-credential create --id {app} --parameters {p}", app=made["appId"], p=json.dumps(trusted))
    yield {"app": made["appId"], "file": made["fileWithCertAndPrivateKey"]}
    az("role assignment delete --assignee {app} --scope /subscriptions/{lazur_subscription}", app=made["appId"])
    az("ad app delete --id {app}", app=made["appId"])


@pytest.fixture(scope="module")
def second(az: Az, cloud: Cloud) -> Iterator[Second]:
    """Another directory, with a subscription."""
    with second_directory(az, cloud) as found:
        yield found


def test_by_secret(fresh: Person, style: str, results: Results) -> None:
    fresh(SECRET)
    assert fresh.signed_in() and fresh.token()["appidacr"] == "1"
    results.flow(f"client secret, {style}", fresh.name)
    first = fresh.token()["uti"]
    fresh.grow_old()
    assert fresh.signed_in() and fresh.token()["uti"] != first


def test_by_password_and_refreshed(fresh: Person, style: str, cloud: Cloud, results: Results) -> None:
    if style == "AAD-like" and cloud.ported:
        pytest.skip("asking an AAD-like authority about a user, MSAL forgets the port of its address")
    fresh(PASSWORD)
    assert fresh.signed_in()
    results.flow(f"user and password, {style}", fresh.name)
    first = fresh.token()
    fresh.grow_old()
    later = fresh.token()
    assert (later["upn"], later["sid"]) == (first["upn"], first["sid"]) and later["uti"] != first["uti"]
    results.flow(f"refreshed after the token's end, {style}", fresh.name, "refreshed")
    graph = fresh.token("--resource-type ms-graph")
    assert (graph["aud"].rstrip("/"), graph["oid"]) == (_graph(cloud).rstrip("/"), first["oid"])
    assert fresh.token("--scope {lazur_endpoint}/.default --tenant {lazur_tenant}")["oid"] == first["oid"]
    results.flow(f"token for another program, {style}", fresh.name, "given")


def test_by_certificate(fresh: Person, style: str, program: dict[str, str], results: Results) -> None:
    for chain, way in (("", "certificate"), ("--use-cert-sn-issuer", "certificate with its chain")):
        fresh(f"{PROGRAM} --certificate {{file}} {chain}", **program)
        assert fresh.signed_in() and fresh.token()["appidacr"] == "2"
        results.flow(f"{way}, {style}", fresh.name)
        fresh.forget()


def test_by_federated_token(fresh: Person, style: str, cloud: Cloud, program: dict[str, str], results: Results) -> None:
    if cloud.issuer is None:
        pytest.skip("nobody outside this cloud signs tokens here")
    fresh(f"{PROGRAM} --federated-token {{token}}", token=cloud.issuer.token("job"), **program)
    assert fresh.signed_in()
    results.flow(f"federated token, {style}", fresh.name)
    fresh.forget()
    other = cloud.issuer.token("another job")
    assert "AADSTS700213" in fresh.refused(f"{PROGRAM} --federated-token {{token}}", token=other, app=program["app"])


def test_by_browser(fresh: Person, style: str, results: Results) -> None:
    fresh("login")
    assert fresh.signed_in()
    results.flow(f"browser, {style}", fresh.name)


def test_by_device_code(fresh: Person, style: str, results: Results) -> None:
    command = [str(fresh.program), "login", "--use-device-code"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=fresh.environment, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as az:
        assert az.stderr
        said = next(line for line in az.stderr if "enter the code" in line)
        words = said.split()
        url, code = words[words.index("page") + 1], words[words.index("code") + 1]
        subprocess.run([sys.executable, str(PERSON), url, code], env=fresh.environment, check=True)
        rest = az.stderr.read()
        assert az.wait(60) == 0, rest
    assert fresh.signed_in()
    results.flow(f"device code, {style}", fresh.name)


def test_people_of_two_directories(fresh: Person, style: str, cloud: Cloud, second: Second, results: Results) -> None:
    if style == "AAD-like" and cloud.ported:
        pytest.skip("asking an AAD-like authority about a user, MSAL forgets the port of its address")
    fresh(PASSWORD)
    for tenant in ("", f"--tenant {second.tenant}", f"--tenant {second.domain}"):
        rows = fresh(f"login -u {second.user} -p {second.password} {tenant}")
        assert [(row["id"], row["tenantId"]) for row in rows] == [(second.subscription, second.tenant)]
    # Both are signed in at once, and nothing is mixed up.
    for subscription, tenant in ((second.subscription, second.tenant), ("{lazur_subscription}", "{lazur_tenant}")):
        fresh(f"account set -s {subscription}")
        assert fresh.token()["tid"] == fresh("account show --query tenantId") and isinstance(fresh("group list"), list)
        assert fresh.token(f"--tenant {tenant}")["tid"] == fresh.token()["tid"]
    results.flow(f"people of two directories at once, {style}", fresh.name)
    if style == "AAD-like":
        said = fresh.refused(f"login -u {second.user} -p {second.password} --tenant {{lazur_tenant}}")
        assert "AADSTS50020" in said
    fresh(f"logout --username {second.user}")
    assert {row["user"]["name"] for row in fresh("account list")} == {cloud.environment["LAZUR_USER"]}


def test_without_subscriptions_and_out_again(fresh: Person, style: str, az: Az, results: Results) -> None:
    made = az("ad sp create-for-rbac -n aztest-nothing")
    login = "login --service-principal -u {app} -p {word} --tenant {lazur_tenant}"
    known = {"app": made["appId"], "word": made["password"]}
    assert "No subscriptions found" in fresh.refused(login, **known)
    (row,) = fresh(f"{login} --allow-no-subscriptions", **known)
    assert (row["name"], row["id"]) == ("N/A(tenant level account)", row["tenantId"])
    assert fresh.token()["appid"] == made["appId"]
    results.flow(f"without a subscription, {style}", fresh.name)
    fresh("logout")
    assert fresh("account list") == [] and "az login" in fresh.refused("account get-access-token")
    results.flow(f"out again, {style}", fresh.name, "signed out")
    az("ad app delete --id {app}", **known)


@pytest.mark.parametrize("kind", STYLES)
def test_by_every_credential_of_the_sdk(
    kind: str, sdk_python: Path, az_program: Path, az: Az, cloud: Cloud, results: Results, tmp_path: Path
) -> None:
    environment = {
        # The mark at the end: the program must wait at its port meanwhile.
        **cloud.environment, "LAZUR_PERSON": str(PERSON), "BROWSER": f"{sys.executable} {PERSON} %s &", "HOME": str(tmp_path),
        # Where az is signed in already, for the credential that asks it.
        "PATH": f"{az_program.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    if cloud.issuer:
        file = tmp_path / "token"
        file.write_text(cloud.issuer.token("sdk"))
        environment |= {"LAZUR_ISSUER": cloud.issuer.url, "LAZUR_TOKEN_FILE": str(file)}
    said = told([sdk_python, "-I", SIGN_IN, kind], environment)
    expected = 19 - (4 if cloud.issuer is None else 0)
    expected += {"ADFS-like": 0, "AAD-like": -2 if cloud.ported else 1}[kind]
    assert len(said["ways"]) == expected
    for way, subscriptions in said["ways"].items():
        assert cloud.environment["LAZUR_SUBSCRIPTION"] in subscriptions, way
        results.flow(way, said["client"])
