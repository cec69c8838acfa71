"""The wire server and the HostGAPlugin, asked as cloud-init and the Linux agent ask them."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.guestservices.cloud import Guest, ledger_write, serving, until, vm

AGENT = {"x-ms-agent-name": "WALinuxAgent", "x-ms-version": "2012-11-30"}


def health(state: str, status: str = "", words: str = "", incarnation: str = "1") -> bytes:
    details = f"<Details><SubStatus>{status}</SubStatus><Description>{words}</Description></Details>" if status else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><Health><GoalStateIncarnation>{incarnation}</GoalStateIncarnation><Container>'
        "<ContainerId>c</ContainerId><RoleInstanceList><Role><InstanceId>i</InstanceId>"
        f"<Health><State>{state}</State>{details}</Health></Role></RoleInstanceList></Container></Health>"
    ).encode()


async def report(guest: Guest, body: bytes) -> int:
    url = "http://168.63.129.16/machine?comp=health"
    return (await guest.http("POST", url, AGENT | {"Content-Type": "text/xml; charset=utf-8"}, body)).status


def health_of(root: Path, uid: str) -> dict[str, str]:
    document = json.loads((root / "run" / "health" / f"{uid}.json").read_text())
    assert isinstance(document, dict)
    return document


def transport(directory: Path) -> tuple[str, Path]:
    """A certificate as the agent makes it: the header's value, and a PEM file of key and certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _self_signed(key, directory)


def _self_signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, directory: Path) -> tuple[str, Path]:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "LinuxTransport")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = builder.not_valid_before(start).not_valid_after(start + timedelta(days=20000)).sign(key, hashes.SHA256())
    pem = directory / "transport.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode(), pem


def test_cloud_init_learns_who_it_is_and_reports_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            guest = Guest(access, "net", "127.0.0.4")
            metadata = await guest.imds("instance?api-version=2021-08-01&extended=true")
            assert metadata.status == 200
            assert metadata.json["extended"]["compute"] == {"hasCustomData": True, "ppsType": None}
            answer = await guest.http("GET", "http://168.63.129.16/machine/?comp=goalstate", AGENT)
            state = ElementTree.fromstring(answer.body)
            assert answer.headers["content-type"].startswith("text/xml")
            assert state.findtext("Incarnation") == "1"
            assert state.findtext("Container/ContainerId")
            assert state.findtext("Container/RoleInstanceList/RoleInstance/InstanceId") == "_vm-v1"
            assert await report(guest, health("Ready")) == 200
            found = health_of(tmp_path, "v1")
            assert (found["state"], found["incarnation"]) == ("Ready", "1")
            assert found["at"].endswith("Z")

    asyncio.run(scenario())


def test_the_agents_start_never_undoes_ready(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            guest = Guest(access, "net", "127.0.0.4")
            assert await report(guest, health("NotReady", "Provisioning", "Starting")) == 200
            assert health_of(tmp_path, "v1")["message"] == "Provisioning: Starting"
            assert health_of(tmp_path, "v1")["state"] == "NotReady"
            assert await report(guest, health("Ready")) == 200
            assert await report(guest, health("NotReady", "Provisioning", "Starting")) == 200
            assert health_of(tmp_path, "v1")["state"] == "Ready"
        async with serving(tmp_path, "net") as access:
            await report(Guest(access, "net", "127.0.0.4"), health("NotReady", "Provisioning", "Starting"))
            assert health_of(tmp_path, "v1")["state"] == "Ready", "a restart of the service forgot it"
            (tmp_path / "ledger" / "vm" / "v1.json").unlink()
            await until(lambda: not (tmp_path / "run" / "health" / "v1.json").exists(), "health of a machine that is gone")

    asyncio.run(scenario())


def test_a_failed_provisioning_keeps_its_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            guest = Guest(access, "net", "127.0.0.4")
            assert await report(guest, health("NotReady", "ProvisioningFailed", "no &lt;user&gt; given")) == 200
            assert health_of(tmp_path, "v1")["message"] == "ProvisioningFailed: no <user> given"

    asyncio.run(scenario())


def test_everything_the_agent_asks_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4", name='a&b "c"'))
        async with serving(tmp_path, "net") as access:
            guest = Guest(access, "net", "127.0.0.4")
            versions = ElementTree.fromstring((await guest.wire("?comp=versions")).body)
            assert "2012-11-30" in [v.text for v in versions.iter("Version")]
            state = ElementTree.fromstring((await guest.wire("machine/?comp=goalstate")).body)
            links = state.find("Container/RoleInstanceList/RoleInstance/Configuration")
            assert links is not None
            assert (links.findtext("ConfigName") or "").endswith(".1.xml")
            documents = {}
            for name in ("HostingEnvironmentConfig", "SharedConfig", "ExtensionsConfig"):
                url = links.findtext(name)
                assert url is not None
                answer = await guest.http("GET", url, AGENT)
                assert answer.status == 200, name
                documents[name] = ElementTree.fromstring(answer.body)
            environment = documents["HostingEnvironmentConfig"]
            incarnation, role = environment.find("Incarnation"), environment.find("Role")
            assert incarnation is not None and role is not None
            assert incarnation.attrib["instance"] == 'a&b "c"'
            assert role.attrib["name"] == state.findtext("Container/RoleInstanceList/RoleInstance/InstanceId")
            plugins = documents["ExtensionsConfig"].find("Plugins")
            assert plugins is not None and not list(plugins)
            assert documents["ExtensionsConfig"].find("InVMGoalStateMetaData") is not None
            post = "http://168.63.129.16/"
            assert (await guest.http("POST", f"{post}machine?comp=telemetrydata", AGENT, b"<x/>")).status == 200
            assert (await guest.http("POST", f"{post}machine?comp=roleProperties", AGENT, b"<x/>")).status == 202
            assert (await guest.http("POST", f"{post}HealthService", AGENT, b"{}")).status == 200
            assert (await guest.wire("machine/other/_vm?comp=config&type=sharedConfig")).status == 410
            assert (await guest.wire("machine/?comp=nothing")).status == 404
            assert (await guest.wire("elsewhere")).status == 404

    asyncio.run(scenario())


def test_host_plugin(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            guest = Guest(access, "net", "127.0.0.4")
            base = "http://168.63.129.16:32526"
            assert (await guest.http("GET", f"{base}/versions")).json == ["2015-09-01"]
            assert (await guest.http("GET", f"{base}/vmSettings")).status == 404
            assert (await guest.http("GET", f"{base}/health")).status == 200
            assert (await guest.http("PUT", f"{base}/status", body=b'{"content": ""}')).status == 200
            assert (await guest.http("PUT", f"{base}/vmAgentLog", body=bytes(3 * 1024 * 1024))).status == 200

    asyncio.run(scenario())


def test_certificates_open_with_the_transport_key_only(tmp_path: Path) -> None:
    """Opened with the same openssl calls the guest's agents make."""

    async def scenario() -> str:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            guest = Guest(access, "net", "127.0.0.4")
            state = ElementTree.fromstring((await guest.wire("machine/?comp=goalstate")).body)
            url = state.findtext("Container/RoleInstanceList/RoleInstance/Configuration/Certificates")
            assert url is not None
            assert (await guest.http("GET", url, AGENT)).status == 400, "no transport certificate"
            bad = AGENT | {"x-ms-guest-agent-public-x509-cert": "bm90IGEgY2VydGlmaWNhdGU="}
            assert (await guest.http("GET", url, bad)).status == 400
            elliptic = _self_signed(ec.generate_private_key(ec.SECP256R1()), tmp_path)[0]
            assert (await guest.http("GET", url, AGENT | {"x-ms-guest-agent-public-x509-cert": elliptic})).status == 400
            header, _ = transport(tmp_path)
            cipher = {"x-ms-cipher-name": "DES_EDE3_CBC", "x-ms-guest-agent-public-x509-cert": header}
            answers = await asyncio.gather(*(guest.http("GET", url, AGENT | cipher) for _ in range(2)))
            assert [a.status for a in answers] == [200, 200]
            document = ElementTree.fromstring(answers[0].body)
            assert document.findtext("Format") == "Pkcs7BlobWithPfxContents"
            return document.findtext("Data") or ""

    data = asyncio.run(scenario())
    pem = str(tmp_path / "transport.pem")
    message = "MIME-Version: 1.0\nContent-Disposition: attachment; filename=x\nContent-Type: application/x-pkcs7-mime;"
    message += f" name=x\nContent-Transfer-Encoding: base64\n\n{data}\n"
    opened = subprocess.run(
        ["openssl", "cms", "-decrypt", "-inkey", pem, "-recip", pem], input=message.encode(), capture_output=True, check=True
    ).stdout
    listing = subprocess.run(
        ["openssl", "pkcs12", "-nodes", "-password", "pass:"], input=opened, capture_output=True, check=True
    ).stdout
    kept = tmp_path / "certificates" / "v1.pem"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert x509.load_pem_x509_certificate(kept.read_bytes()) == x509.load_pem_x509_certificate(listing)
    assert b"PRIVATE KEY" in listing


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<Health/>",
        b"\xff\xfe",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><Health>&b;</Health>",
        health("Perhaps"),
        bytes(2_000_000),
    ],
)
def test_a_bad_health_report_changes_nothing(tmp_path: Path, body: bytes) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            assert await report(Guest(access, "net", "127.0.0.4"), body) in (400, 413)
            assert not list((tmp_path / "run" / "health").glob("*.json"))

    asyncio.run(scenario())
