"""DNS at 168.63.129.16."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lazur.guestservices.ledger import Ledger
from lazur.guestservices.resolver import MAX_UDP, DnsServer, Zones, serve_packet
from lazur.kernel.clock import SystemClock
from tests.guestservices.cloud import Guest, ledger_write, serving, until, vm

ZONE = "0123456789ab.internal.lazur.internal."


def zones(root: Path) -> Zones:
    ledger = Ledger(root)
    ledger_write(root, "vm", "v1", vm("v1", "net", "10.0.0.4"))
    ledger_write(root, "vm", "v2", vm("v2", "other", "10.0.0.5"))
    ledger.refresh()
    return Zones(ledger.snapshot, "net", "internal.lazur.internal")


def ask(known: Zones, name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **options)
    answer = asyncio.run(serve_packet(query.to_wire(), known, None, MAX_UDP))
    assert answer is not None
    response = dns.message.from_wire(answer)
    assert query.is_response(response)
    return response


def texts(response: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in response.answer for rdata in rrset]


def test_names_of_the_network(tmp_path: Path) -> None:
    known = zones(tmp_path)
    found = ask(known, f"HOST-v1.{ZONE}")
    assert texts(found) == ["10.0.0.4"]
    assert found.flags & dns.flags.AA
    assert texts(ask(known, "4.0.0.10.in-addr.arpa.", "PTR")) == [f"host-v1.{ZONE}"]
    assert texts(ask(known, ZONE, "SOA"))[0].startswith("ns.internal.lazur.internal. ")
    assert texts(ask(known, ZONE, "NS")) == ["ns.internal.lazur.internal."]
    assert texts(ask(known, "ns.internal.lazur.internal.")) == ["168.63.129.16"]


def test_what_the_switch_left_over_of_public_names(tmp_path: Path) -> None:
    known = zones(tmp_path)
    name = "shop.local.cloudapp.lazur.internal."
    unknown, other = ask(known, name), ask(known, name, "AAAA")
    assert (unknown.rcode(), other.rcode()) == (dns.rcode.NXDOMAIN, dns.rcode.NOERROR)
    assert not unknown.answer and not other.answer and other.flags & dns.flags.AA


def test_a_name_of_one_label_is_the_networks_own(tmp_path: Path) -> None:
    known = zones(tmp_path)
    assert texts(ask(known, "host-v1.")) == ["10.0.0.4"]
    for name, rcode in (("nobody.", dns.rcode.NXDOMAIN), ("host-v2.", dns.rcode.NXDOMAIN)):
        assert ask(known, name).rcode() == rcode
    empty = ask(known, "on-another-host.", "AAAA")
    assert (empty.rcode(), empty.answer, empty.authority) == (dns.rcode.NOERROR, [], [])
    assert ask(known, ".", "NS").rcode() == dns.rcode.REFUSED


def test_what_is_not_there(tmp_path: Path) -> None:
    known = zones(tmp_path)
    for name in (f"nobody.{ZONE}", f"host-v2.{ZONE}", "host-v1.ffffffffffff.internal.lazur.internal."):
        assert ask(known, name).rcode() == dns.rcode.NXDOMAIN, name
    assert ask(known, "5.0.0.10.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
    assert ask(known, "rubbish.in-addr.arpa.", "PTR").rcode() == dns.rcode.NXDOMAIN
    for name in (f"host-v1.{ZONE}", f"on-another-host.{ZONE}", ZONE):
        empty = ask(known, name, "AAAA")
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, []), name
        assert empty.authority[0].rdtype == dns.rdatatype.SOA


def test_the_outside_is_refused_with_the_reason(tmp_path: Path) -> None:
    known = zones(tmp_path)
    plain = ask(known, "example.com.")
    assert (plain.rcode(), plain.edns) == (dns.rcode.REFUSED, -1)
    extended = ask(known, "example.com.", use_edns=0, payload=4096)
    assert extended.rcode() == dns.rcode.REFUSED
    assert [o.otype for o in extended.options] == [dns.edns.OptionType.EDE]
    assert ask(known, "8.8.8.8.in-addr.arpa.", "PTR").rcode() == dns.rcode.REFUSED


def test_edns_and_odd_queries(tmp_path: Path) -> None:
    known = zones(tmp_path)
    extended = ask(known, f"host-v1.{ZONE}", use_edns=0, payload=4096)
    assert (texts(extended), extended.edns, extended.payload) == (["10.0.0.4"], 0, MAX_UDP)
    assert ask(known, f"host-v1.{ZONE}", use_edns=1).rcode() == dns.rcode.BADVERS
    assert ask(known, "version.bind.", "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED
    query = dns.message.make_query("a.", "A")
    query.set_opcode(dns.opcode.NOTIFY)
    answer = asyncio.run(serve_packet(query.to_wire(), known, None, MAX_UDP))
    assert answer is not None and dns.message.from_wire(answer).rcode() == dns.rcode.NOTIMP
    response = dns.message.make_response(dns.message.make_query("a.", "A"))
    assert asyncio.run(serve_packet(response.to_wire(), known, None, MAX_UDP)) is None, "an answer was answered"


def test_long_answers_are_cut_for_udp_and_whole_for_tcp(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    document = vm("v1", "net", "10.0.0.4")
    document["nics"][0]["addresses"] = [f"10.0.1.{n}" for n in range(1, 120)]
    ledger_write(tmp_path, "vm", "v1", document)
    ledger.refresh()
    known = Zones(ledger.snapshot, "net", "internal.lazur.internal")
    packet = dns.message.make_query(f"host-v1.{ZONE}", "A").to_wire()
    short = asyncio.run(serve_packet(packet, known, None, MAX_UDP))
    assert short is not None and len(short) <= 512
    assert dns.message.from_wire(short).flags & dns.flags.TC
    whole = asyncio.run(serve_packet(packet, known, None, 65535))
    assert whole is not None and len(texts(dns.message.from_wire(whole))) == 119


@settings(max_examples=400)
@given(st.binary(max_size=600))
@example(b"\0" * 12)
@example(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01")
@example(b"\x12\x34\x28\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01")
def test_any_bytes_are_survived(data: bytes) -> None:
    known = Zones(Ledger(Path("/nonexistent")).snapshot, "net", "internal.lazur.internal")
    for packet in (data, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + data):
        answer = asyncio.run(serve_packet(packet, known, None, MAX_UDP))
        if answer is not None:
            assert answer[:2] == packet[:2]
            assert answer[2] & 0x80


def test_over_udp_and_tcp(tmp_path: Path) -> None:
    async def scenario() -> None:
        ledger_write(tmp_path / "ledger", "vm", "v1", vm("v1", "net", "127.0.0.4"))
        async with serving(tmp_path, "net") as access:
            query = dns.message.make_query(f"host-v1.{ZONE}", "A").to_wire()
            framed = len(query).to_bytes(2, "big") + query
            # An answer sent to the server ends the connection, so that everything before it can be read to the end.
            end = b"\x00\x0c" + b"\x00\x00\x80" + bytes(9)
            data = await Guest(access, "net", "127.0.0.4").raw("168.63.129.16", 53, framed + framed + end)
            size = int.from_bytes(data[:2], "big")
            assert texts(dns.message.from_wire(data[2 : 2 + size])) == ["127.0.0.4"]
            assert len(data) == 2 * (size + 2)
            udp = socket.socket(type=socket.SOCK_DGRAM)
            udp.setblocking(False)
            udp.bind(("127.0.0.4", 0))
            with udp:
                address = access.endpoint("net", "168.63.129.16", 53, socket.SOCK_DGRAM)
                udp.sendto(b"junk", address)
                udp.sendto(query, address)
                answer = await asyncio.get_running_loop().sock_recv(udp, 4096)
            assert texts(dns.message.from_wire(answer)) == ["127.0.0.4"]

    asyncio.run(scenario())


def test_a_forwarder_is_asked_for_the_outside_only(tmp_path: Path) -> None:
    asked: list[str] = []

    async def forward(packet: bytes) -> bytes | None:
        query = dns.message.from_wire(packet)
        asked.append(query.question[0].name.to_text())
        response = dns.message.make_response(query)
        return response.to_wire()

    known = zones(tmp_path)
    for name, kind in (("example.com.", "A"), (f"nobody.{ZONE}", "TXT"), ("9.9.0.10.in-addr.arpa.", "PTR"), ("web1.", "MX")):
        asyncio.run(serve_packet(dns.message.make_query(name, kind).to_wire(), known, forward, MAX_UDP))
    assert asked == ["example.com."]


def test_a_dead_forwarder_means_servfail(tmp_path: Path) -> None:
    async def forward(packet: bytes) -> bytes | None:
        return None

    packet = dns.message.make_query("example.com.", "A").to_wire()
    answer = asyncio.run(serve_packet(packet, zones(tmp_path), forward, MAX_UDP))
    assert answer is not None and dns.message.from_wire(answer).rcode() == dns.rcode.SERVFAIL


def test_udp_queries_waiting_are_bounded(tmp_path: Path) -> None:
    async def scenario() -> None:
        known = zones(tmp_path)
        server = DnsServer(lambda: known, SystemClock())
        packet = dns.message.make_query("example.com.", "A").to_wire()
        for _ in range(1000):
            server.datagram(packet, ("127.0.0.1", 9))
        await until(lambda: server.queries > 0, "queries answered")
        assert server.queries < 1000

    asyncio.run(scenario())
