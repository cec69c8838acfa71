"""Fetching what customers name: addresses refused in every disguise, names that change, redirects, sizes, times, secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from lazur.drivers.web.fetch import GuardedFetch
from lazur.drivers.web.guard import Guard
from lazur.drivers.web.http import HttpTransport
from lazur.drivers.web.interface import MAX_BYTES, Answer, Transport
from lazur.drivers.web.simulated import SimulatedTransport
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual

STAMP = {
    "public": ["10.9.0.0/16"],
    "infrastructure": ["10.9.1.0/24", "10.239.0.0/24", "fd00:1::/64"],
    "allowed": ["10.20.0.0/16", "10.239.0.8/32"],
}
PUBLIC = "93.184.215.14"

REFUSED = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "168.63.129.16", "169.254.1.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200", "198.18.0.1",
    "10.9.1.7", "10.239.0.7", "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "fc00::1", "fd00:ec2::254",
    "fd00:1::5", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.239.0.7", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "2001:db8::1",
    "2001:0:5db8:d70e:0:0:f5ff:fffe", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_refused(address: str) -> None:
    assert not Guard(**STAMP).permits(address)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "2606:4700::1111", "10.9.2.7", "10.20.3.4", "10.239.0.8", "::ffff:93.184.215.14", "::ffff:10.20.3.4"],
)
def test_addresses_that_are_permitted(address: str) -> None:
    assert Guard(**STAMP).permits(address)


def test_nobody_can_allow_this_machine_or_metadata() -> None:
    guard = Guard(allowed=["0.0.0.0/0", "::/0"])
    assert guard.permits("10.239.0.7") and guard.permits("192.168.0.1")
    for address in ("127.0.0.1", "::1", "169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:127.0.0.1"):
        assert not guard.permits(address)


def fetched(transport: Transport, url: str) -> bytes | LazurError:
    """What a guarded fetch comes to, in virtual time."""

    async def main(clock: VirtualClock) -> bytes | LazurError:
        if isinstance(transport, Slow):
            transport.clock = clock
        try:
            return await GuardedFetch(Guard(**STAMP), transport, clock)(url)
        except LazurError as error:
            assert error.code == "InvalidContentLink"
            return error

    return run_virtual(main)


def web(pages: dict[str, Answer] | None = None, **names: Sequence[str]) -> SimulatedTransport:
    known = {name.replace("_", "."): addresses for name, addresses in names.items()}
    return SimulatedTransport(known, pages or {})


PAGE = Answer(200, body=b"{}")


def test_a_page_is_fetched_from_the_address_that_was_checked() -> None:
    world = web({"https://a.test/t.json?sig=s": PAGE}, a_test=[PUBLIC, "2606:4700::1111"])
    assert fetched(world, "https://a.test/t.json?sig=s") == b"{}"
    assert world.asked == [("https://a.test/t.json?sig=s", PUBLIC)]


@pytest.mark.parametrize(
    "url",
    [
        "https://inside.test/t", "https://mixed.test/t", "https://unknown.test/t", "http://127.0.0.1/t", "http://[::1]/t",
        "http://[::ffff:127.0.0.1]/t", "http://169.254.169.254/metadata", "http://2130706433/", "http://127.1/",
        "http://0177.0.0.1/", "http://0x7f000001/", "http://localhost/", "http://10.239.0.7/", "ftp://a.test/t",
        "file:///etc/passwd", "gopher://a.test/", "//a.test/t", "t.json", "", "https://", "https://user:pw@a.test/t",
        "https://user@a.test/t", "http://a.test:22/t", "http://a.test:0/t", "http://a.test:99999/t", "http://[::1",
        "http://a.test\\@127.0.0.1/", "http://[fe80::1%25eth0]/", "http://999999999999/", "https://a.test:25/",
    ],
)  # fmt: skip
def test_urls_that_are_refused_are_never_asked(url: str) -> None:
    world = web({}, a_test=[PUBLIC], inside_test=["10.239.0.7"], mixed_test=[PUBLIC, "127.0.0.1"], localhost=["127.0.0.1"])
    assert isinstance(fetched(world, url), LazurError)
    assert all(address == PUBLIC for _, address in world.asked)
    if "a.test" not in url:
        assert world.asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://inside.test/", "https://inside.test/", "//inside.test/t", "https://127.0.0.1/", "https://[::ffff:a9fe:a9fe]/",
        "file:///etc/passwd", "http://a.test/plain", "https://user:pw@a.test/", "", "https://a.test:22/", "http://[",
    ],
)  # fmt: skip
def test_redirects_are_checked_as_any_url(location: str) -> None:
    world = web({"https://a.test/t": Answer(302, location)}, a_test=[PUBLIC], inside_test=["10.239.0.7"])
    assert isinstance(fetched(world, "https://a.test/t"), LazurError)
    assert world.asked == [("https://a.test/t", PUBLIC)]


def test_redirects_are_followed_so_far_and_no_further() -> None:
    hops = {f"https://a.test/{n}": Answer(307, f"/{n + 1}") for n in range(6)}
    world = web({**hops, "https://a.test/5": PAGE}, a_test=[PUBLIC])
    assert fetched(world, "https://a.test/0") == b"{}"
    world = web({**hops, "https://a.test/6": PAGE}, a_test=[PUBLIC])
    assert isinstance(fetched(world, "https://a.test/0"), LazurError)
    assert len(world.asked) == 6


class Rebinding(SimulatedTransport):
    """A name that means something else each time it is asked for."""

    async def resolve(self, host: str) -> Sequence[str]:
        addresses = await super().resolve(host)
        self.names = {host: ["127.0.0.1"]}
        return addresses


def test_a_name_that_changes_is_resolved_once_and_checked_again_at_a_redirect() -> None:
    world = Rebinding({"a.test": [PUBLIC]}, {"https://a.test/t": PAGE})
    assert fetched(world, "https://a.test/t") == b"{}"
    world = Rebinding({"a.test": [PUBLIC]}, {"https://a.test/t": Answer(302, "/u"), "https://a.test/u": PAGE})
    assert isinstance(fetched(world, "https://a.test/t"), LazurError)
    assert world.asked == [("https://a.test/t", PUBLIC)]


@pytest.mark.parametrize(
    "answer", [Answer(404), Answer(500), Answer(204), Answer(206, body=b"{"), Answer(200, body=bytes(MAX_BYTES + 1))]
)
def test_answers_that_are_no_template(answer: Answer) -> None:
    assert isinstance(fetched(web({"https://a.test/t": answer}, a_test=[PUBLIC]), "https://a.test/t"), LazurError)


@dataclass
class Slow(SimulatedTransport):
    clock: VirtualClock | None = None

    async def get(self, url: str, address: str) -> Answer:
        assert self.clock is not None
        await self.clock.sleep(29)
        return await super().get(url, address)


def test_time_is_limited_over_all_redirects() -> None:
    pages = {"https://a.test/t": PAGE, "https://a.test/r": Answer(302, "/t")}
    assert fetched(Slow({"a.test": [PUBLIC]}, pages), "https://a.test/t") == b"{}"
    late = fetched(Slow({"a.test": [PUBLIC]}, pages), "https://a.test/r")
    assert isinstance(late, LazurError) and "within 30 seconds" in late.message


@pytest.mark.parametrize("url", ["https://u:canary@a.test/t", "https://inside.test/t?sig=canary", "https://b.test/?canary#canary"])
def test_a_refusal_tells_neither_tokens_nor_addresses(url: str) -> None:
    refusal = fetched(web({}, inside_test=["10.239.0.7"]), url)
    assert isinstance(refusal, LazurError)
    assert "canary" not in str(refusal) and "10.239" not in str(refusal)


# The real transport, against servers on this machine that stand in for others.


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handle: Handler) -> AsyncIterator[int]:
    running = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()


def answering(text: bytes, seen: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(asked)
        writer.write(text)
        writer.close()

    return handle


def over_the_wire(handle: Handler, url: str = "http://a.test/t?sig=s") -> Answer | OSError:
    async def main() -> Answer | OSError:
        async with server(handle) as port:
            try:
                return await HttpTransport({80: port}).get(url, "127.0.0.1")
            except OSError as error:
                return error

    return asyncio.run(main())


def test_one_request_without_anything_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    seen: list[bytes] = []
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\n{}"
    assert over_the_wire(answering(page, seen)) == Answer(200, "", b"{}")
    (asked,) = seen
    assert asked.startswith(b"GET /t?sig=s HTTP/1.1\r\nHost: a.test\r\n")
    names = {line.split(b":")[0].lower() for line in asked.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent", b"connection"} or names == {
        b"host", b"accept", b"accept-encoding", b"user-agent",
    }  # fmt: skip


def test_a_redirect_is_handed_back() -> None:
    page = b"HTTP/1.1 302 Found\r\nLocation: http://b.test/\r\nContent-Length: 0\r\n\r\n"
    assert over_the_wire(answering(page)) == Answer(302, "http://b.test/", b"")


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + bytes(5_000_000),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(5_000_000),
    ],
)
def test_no_more_is_read_than_may_be(text: bytes) -> None:
    answer = over_the_wire(answering(text))
    assert isinstance(answer, Answer) and len(answer.body) == MAX_BYTES + 1


@pytest.mark.parametrize(
    "text",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", b"\x00" * 100,
     b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
     b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000 + b"\r\n\r\n"],
)  # fmt: skip
def test_servers_that_do_not_behave(text: bytes) -> None:
    assert isinstance(over_the_wire(answering(text)), OSError)


def test_the_system_resolves_names_and_literals() -> None:
    async def main() -> list[Any]:
        transport = HttpTransport()
        return [await transport.resolve("127.0.0.1"), await transport.resolve("::1")]

    assert asyncio.run(main()) == [["127.0.0.1"], ["::1"]]
