"""The service as a whole: who is who, the ledger's comings and goings, restart, and what untrusted guests may send."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazur.guestservices import httpd
from lazur.guestservices.httpd import HttpServer, Request, Response
from lazur.guestservices.ledger import Ledger
from lazur.kernel.clock import SystemClock, VirtualClock
from tests.guestservices.cloud import Guest, ledger_write, serving, until, vm


async def container(guest: Guest) -> str:
    answer = await guest.wire("machine/?comp=goalstate")
    assert answer.status == 200
    return ElementTree.fromstring(answer.body).findtext("Container/ContainerId") or ""


def test_equal_addresses_in_two_networks_are_two_guests(tmp_path: Path) -> None:
    async def scenario() -> None:
        for uid, vnet in (("v1", "red"), ("v2", "blue")):
            ledger_write(tmp_path / "ledger", "vm", uid, vm(uid, vnet, "127.0.0.4"))
        async with serving(tmp_path, "red", "blue") as access:
            red, blue = Guest(access, "red", "127.0.0.4"), Guest(access, "blue", "127.0.0.4")
            assert await container(red) != await container(blue)
            names = [(await g.imds("instance/compute?api-version=2021-02-01")).json["name"] for g in (red, blue)]
            assert names == ["vm-v1", "vm-v2"]
            stranger = Guest(access, "red", "127.0.0.5")
            assert (await stranger.wire("machine/?comp=goalstate")).status == 403
            assert (await stranger.imds("instance?api-version=2021-02-01")).status == 403
            spoofed = {"Metadata": "true", "X-Real-IP": "127.0.0.4", "Forwarded": "for=127.0.0.4"}
            assert (await stranger.http("GET", "http://169.254.169.254/metadata/versions", spoofed)).status == 403

    asyncio.run(scenario())


def test_the_ledger_is_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as access:
            ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))

            def there() -> bool:
                try:
                    return bool(access.endpoint("net", "168.63.129.16", 53, socket.SOCK_STREAM))
                except KeyError:
                    return False

            await until(there, "attachment of a new network")
            guest = Guest(access, "net", "127.0.0.4")
            first = await container(guest)
            ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.9"), generation=2)
            moved = Guest(access, "net", "127.0.0.9")
            for _ in range(500):
                if (await moved.wire("?comp=versions")).status == 200:
                    break
                await asyncio.sleep(0.01)
            assert await container(moved) == first, "a machine keeps its identity when its address changes"
            assert (await guest.wire("?comp=versions")).status == 403
            (tmp_path / "ledger" / "vm" / "v1.json").unlink()
            await until(lambda: not there(), "detachment of a network without guests")

    asyncio.run(scenario())


def test_leftovers_are_swept_and_the_wanted_adopted(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            await access.attach("gone")
            # The next audit or change finds it.
            ledger_write(tmp_path / "ledger", "vm", "v2", vm("v2", "net", "127.0.0.5"))
            for _ in range(1000):
                if access.name("gone") not in await access.present():
                    break
                await asyncio.sleep(0.01)
            assert set(await access.present()) == {access.name("net")}

    asyncio.run(scenario())


def test_a_bad_ledger_file_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger_write(tmp_path, "vm", "v1", vm("v1", "net", "127.0.0.4"))
    assert ledger.refresh()
    for text in ("", "{", "[]", '{"payload": 1}', '{"payload": {"nics": [1]}}', '{"payload": null}'):
        (tmp_path / "vm" / "v1.json").write_text(text)
        (tmp_path / "vm" / "other.json").write_text(text)
        (tmp_path / "vm" / "touch").touch()
        (tmp_path / "vm" / "touch").unlink()
        ledger.refresh()
        assert set(ledger.snapshot.machines) == {"v1"}, text
        assert ledger.snapshot.machines["v1"].name == "vm-v1"
    for path in (tmp_path / "vm").iterdir():
        path.unlink()
    ledger.refresh()
    assert not ledger.snapshot.machines


def test_no_secret_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger_write(tmp_path, "vm", "v1", vm("v1", "net", "127.0.0.4"))
    ledger.refresh()
    assert "never to be served" not in repr(ledger.snapshot)


def test_metrics_are_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net", clock=clock) as access:
            await Guest(access, "net", "127.0.0.4").wire("?comp=versions")

            def written() -> bool:
                clock.advance(1.0)
                return (tmp_path / "run" / "metrics.json").exists()

            await until(written, "metrics")
            metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
            assert (metrics["vnets"], metrics["vms"], metrics["httpRequests"]) == (1, 1, 1)

    asyncio.run(scenario())


async def talk(data: bytes, clock: VirtualClock | None = None) -> bytes:
    """Send bytes to a server that answers with what it understood; what it sent until it closed, or was told to stop."""

    async def echo(request: Request) -> Response:
        return Response(200, f"{request.method} {request.path} {len(request.body)}".encode())

    server = HttpServer(clock if clock is not None else SystemClock())
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listener = await server.listen(sock, echo)
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    try:
        writer.write(data)
        if clock is None:
            writer.write_eof()
        else:
            await until(lambda: bool(server.connections()), "accepted")
            clock.advance(httpd.IDLE_SECONDS + 1)
            server.reap()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        listener.close()


def test_http_keeps_a_connection_and_answers_in_order() -> None:
    first = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    second = b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    answer = asyncio.run(talk(first + second))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.index(b"GET /a 0") < answer.index(b"POST /b 3")
    assert asyncio.run(talk(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"A: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
    ],
)
def test_http_refuses(data: bytes, status: bytes) -> None:
    assert asyncio.run(talk(data)).startswith(b"HTTP/1.1 " + status)


def test_http_closes_who_is_silent() -> None:
    assert asyncio.run(talk(b"GET / HT", VirtualClock())) == b""


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_http_survives_any_bytes(data: bytes) -> None:
    async def scenario() -> None:
        await talk(data)
        await talk(b"POST / HTTP/1.1\r\n" + data)

    asyncio.run(scenario())
