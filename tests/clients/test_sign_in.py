"""Every way az signs in, at both kinds of authority, with the az of today and the one with long-term support."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud
from tests.clients.results import Results

PERSON = Path(__file__).with_name("person.py")
SECRET = "login --service-principal -u {lazur_client_id} -p {lazur_client_secret} --tenant {lazur_tenant}"
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
        found = [row["id"] for row in self("account list")]
        self("account set -s {lazur_subscription}")
        return bool(found) and isinstance(self("group list"), list)


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


@pytest.fixture(scope="module", params=["AAD-like", "ADFS-like"])
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
    person("account clear")
    return person


def test_by_secret(fresh: Person, style: str, results: Results) -> None:
    fresh(SECRET)
    assert fresh.signed_in()
    results.flow(f"client secret, {style}", fresh.name)


def test_by_password(fresh: Person, style: str, cloud: Cloud, results: Results) -> None:
    if style == "AAD-like" and urlsplit(cloud.environment["AZURE_AUTHORITY_HOST"]).port:
        pytest.skip("asking an AAD-like authority about a user, MSAL forgets the port of its address")
    fresh(PASSWORD)
    assert fresh.signed_in()
    results.flow(f"user and password, {style}", fresh.name)


def test_by_certificate(fresh: Person, style: str, results: Results) -> None:
    fresh(SECRET)
    scope = "/subscriptions/{lazur_subscription}"
    made = fresh(f"ad sp create-for-rbac -n aztest-{style} --create-cert --role Reader --scopes {scope}")
    fresh("account clear")
    login = "login --service-principal -u {app} --certificate {file} --tenant {lazur_tenant}"
    fresh(login, app=made["appId"], file=made["fileWithCertAndPrivateKey"])
    assert fresh.signed_in()
    results.flow(f"certificate, {style}", fresh.name)
    fresh("account clear")
    fresh(SECRET)
    fresh("ad app delete --id {app}", app=made["appId"])


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
