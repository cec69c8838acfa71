"""The instance metadata service: Azure's rules, and what cloud-init and the Linux agent read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.guestservices.cloud import KEY, Guest, ledger_write, serving, vm


def served(tmp_path: Path, check: Callable[[Guest], Awaitable[None]]) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            await check(Guest(access, "net", "127.0.0.4"))

    asyncio.run(scenario())


def test_the_document(tmp_path: Path) -> None:
    async def check(guest: Guest) -> None:
        whole = (await guest.imds("instance?api-version=2021-08-01")).json
        compute = whole["compute"]
        assert compute["name"] == "vm-v1"
        assert compute["vmSize"] == "Standard_B1s"
        assert compute["osProfile"] == {
            "adminUsername": "azureuser",
            "computerName": "host-v1",
            "disablePasswordAuthentication": "true",
        }
        assert compute["publicKeys"] == [{"keyData": KEY, "path": "/home/azureuser/.ssh/authorized_keys"}]
        assert "extended" not in whole
        interface = whole["network"]["interface"][0]
        assert interface["macAddress"] == "000D3A00004F"
        assert interface["ipv4"]["ipAddress"] == [{"privateIpAddress": "127.0.0.4", "publicIpAddress": ""}]
        assert interface["ipv4"]["subnet"] == [{"address": "127.0.0.0", "prefix": "24"}]
        assert interface["ipv6"] == {"ipAddress": []}
        text = (await guest.imds("instance?api-version=2021-08-01&extended=true")).text
        assert "never to be served" not in text and "bmV2ZXI=" not in text

    served(tmp_path, check)


def test_sub_paths_and_text(tmp_path: Path) -> None:
    async def check(guest: Guest) -> None:
        async def text(path: str) -> str:
            answer = await guest.imds(f"instance{path}?api-version=2021-02-01&format=text")
            assert answer.status == 200, path
            assert answer.headers["content-type"].startswith("text/plain")
            return answer.text

        assert await text("") == "compute/\nnetwork/"
        assert await text("/compute/vmSize") == "Standard_B1s"
        assert await text("/network/interface") == "0/"
        assert await text("/network/interface/0/ipv4/ipAddress/0/privateIpAddress") == "127.0.0.4"
        compute = await guest.imds("instance/compute?api-version=2018-02-01")
        assert compute.json["resourceGroupName"] == "g"
        assert (await guest.imds("instance/compute/tagsList?api-version=2021-02-01")).json == [{"name": "a", "value": "b"}]
        assert (await guest.imds("instance/compute/vmSize?api-version=2021-02-01")).status == 400
        for missing in ("instance/nothing", "instance/network/interface/9", "instance/compute/vmSize/deeper", "nothing"):
            assert (await guest.imds(f"{missing}?api-version=2021-02-01&format=text")).status == 404, missing

    served(tmp_path, check)


def test_the_rules(tmp_path: Path) -> None:
    async def check(guest: Guest) -> None:
        no_header = await guest.http("GET", "http://169.254.169.254/metadata/instance?api-version=2021-02-01")
        assert (no_header.status, no_header.json) == (400, {"error": "Bad request. Required metadata header not specified"})
        proxied = await guest.imds("instance?api-version=2021-02-01", **{"X-Forwarded-For": "10.0.0.9"})
        assert proxied.status == 400
        unversioned = await guest.imds("instance")
        assert unversioned.status == 400
        assert "api-version was not specified" in unversioned.json["error"]
        assert len(unversioned.json["newest-versions"]) == 3
        assert (await guest.imds("instance?api-version=2000-01-01")).status == 400
        versions = (await guest.imds("versions")).json["apiVersions"]
        assert {"2019-06-01", "2021-08-01", "2018-02-01"} <= set(versions)
        token = await guest.imds("identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault")
        assert (token.status, token.json["error"]) == (400, "invalid_request")
        assert token.json["error_description"] == "Identity not found"
        assert (await guest.imds("attested/document?api-version=2020-09-01")).status == 404
        posted = await guest.http("POST", "http://169.254.169.254/metadata/instance", {"Metadata": "true"})
        assert posted.status == 405

    served(tmp_path, check)


def test_keys_are_absent_where_there_are_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4", provisioning=None))
        async with serving(tmp_path, "net") as access:
            compute = (await Guest(access, "net", "127.0.0.4").imds("instance/compute?api-version=2021-08-01")).json
            assert "publicKeys" not in compute and "osProfile" not in compute

    asyncio.run(scenario())
