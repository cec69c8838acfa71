"""The resolver at 168.63.129.16:53 for what the switch leaves over.

OVN answers A, AAAA and PTR queries for every name of a virtual network in the switch itself, so what arrives here is
another type, an unknown name, or a name of the outside. The outside is asked only where the operator named a forwarder.
Must never fail on a packet, whatever is in it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address, ip_network

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from lazur.guestservices.ledger import Machine, Snapshot
from lazur.guestservices.settings import WIRE_SERVER
from lazur.kernel.clock import Clock
from lazur.kernel.log import logger

_log = logger("guestservices.resolver")

TTL = 10
"""Seconds an internal name may be kept: addresses of a name change with its machine."""
MAX_UDP = 1232
"""Bytes of a UDP answer that pass every network unfragmented."""
MAX_FORWARDED = 256
"""Queries waiting for a forwarder at a time."""
FORWARD_SECONDS = 2.0
"""How long one forwarder may take."""
TCP_IDLE_SECONDS = 10.0
"""Seconds a TCP connection may be silent."""

_OUTSIDE = "names outside the virtual network are not resolved: no forwarder is configured"
# Addresses whose names nobody outside knows: a question about them must not leave.
_PRIVATE = tuple(
    ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
                  "168.63.129.0/24", "fc00::/7", "fe80::/10", "::1/128")
)  # fmt: skip

Forward = Callable[[bytes], Awaitable[bytes | None]]


class Zones:
    """The names of one virtual network that this host knows."""

    def __init__(self, snapshot: Snapshot, vnet: str, internal_domain: str) -> None:
        self.internal = dns.name.from_text(internal_domain)
        # Names of public addresses lie beside the internal zone; the switch answers for each of them.
        self.apexes = {self.internal, dns.name.from_text("cloudapp", self.internal.parent())}
        self.addresses: dict[dns.name.Name, list[str]] = {dns.name.from_text("ns", self.internal): [WIRE_SERVER]}
        self.names: dict[str, dns.name.Name] = {}
        for machine in snapshot.machines.values():
            self._add(machine, vnet)

    def _add(self, machine: Machine, vnet: str) -> None:
        nics = sorted((nic for nic in machine.nics if nic.vnet == vnet), key=lambda nic: not nic.primary)
        if not nics or nics[0].domain is None:
            return
        try:
            apex = dns.name.from_text(nics[0].domain)
            name = dns.name.from_text(machine.computer_name.lower(), apex)
        except dns.exception.DNSException:
            return
        self.apexes.add(apex)
        for form in (name, dns.name.Name((*name.relativize(apex).labels, b""))):
            self.addresses.setdefault(form, []).extend(nics[0].addresses)
        self.names |= {str(ip_address(address)): name for nic in nics for address in nic.addresses}

    def apex(self, name: dns.name.Name) -> dns.name.Name | None:
        """The zone of this virtual network that holds a name, the longest one; a name of one label is always its own."""
        single = self.internal if len(name) == 2 else None
        return max((a for a in self.apexes if name.is_subdomain(a)), key=len, default=single)


def resolve(query: dns.message.QueryMessage, zones: Zones) -> dns.message.QueryMessage | None:
    """The answer to a query; None when only a forwarder could know it."""
    response = _response(query)
    if query.edns > 0:
        response.set_rcode(dns.rcode.BADVERS)
    elif query.opcode() != dns.opcode.QUERY:
        response.set_rcode(dns.rcode.NOTIMP)
    elif len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
    elif query.question[0].rdclass != dns.rdataclass.IN:
        response.set_rcode(dns.rcode.REFUSED)
    else:
        question = query.question[0]
        if _is_reverse(question.name):
            return _reverse(response, question, zones)
        apex = zones.apex(question.name)
        if apex is None:
            return None
        _authoritative(response, question, apex, zones)
    return response


def refusal(query: dns.message.QueryMessage) -> dns.message.QueryMessage:
    """The answer to what nobody here may ask about: quick, and with the reason for those who can read it."""
    response = _response(query)
    response.set_rcode(dns.rcode.REFUSED)
    if query.edns >= 0:
        reason = dns.edns.EDEOption(dns.edns.EDECode.NOT_AUTHORITATIVE, _OUTSIDE)
        response.use_edns(0, payload=MAX_UDP, options=[reason])
    return response


async def serve_packet(packet: bytes, zones: Zones, forward: Forward | None, limit: int) -> bytes | None:
    """The answer to one packet of at most `limit` bytes; None when it deserves none."""
    if len(packet) < 12 or packet[2] & 0x80:
        return None
    try:
        query = dns.message.from_wire(packet)
        if not isinstance(query, dns.message.QueryMessage):
            return _bare(packet, dns.rcode.NOTIMP)
        response = resolve(query, zones)
        if response is None and forward is not None:
            return await forward(packet) or _wire(_failure(query), query, limit)
        return _wire(response if response is not None else refusal(query), query, limit)
    except dns.exception.DNSException:
        return _bare(packet, dns.rcode.FORMERR)
    except Exception:
        _log.exception("query failed", packet=packet[:512].hex())
        return _bare(packet, dns.rcode.SERVFAIL)


class DnsServer:
    """The resolver of one virtual network over UDP and TCP."""

    def __init__(self, zones: Callable[[], Zones], clock: Clock, forwarders: Sequence[str] = ()) -> None:
        self._zones = zones
        self._clock = clock
        self._forwarders = forwarders
        self._waiting: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.StreamWriter, float] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self.queries = 0

    async def start(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve on two bound sockets."""
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self.datagram), sock=udp)
        self._tcp = await asyncio.start_server(self._connected, sock=tcp, backlog=64)

    def close(self) -> None:
        """Stop serving."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for writer in list(self._connections):
            writer.transport.abort()
        for task in self._waiting:
            task.cancel()

    def reap(self) -> None:
        """Close silent TCP connections; to be called every few seconds."""
        now = self._clock.monotonic()
        for writer in [w for w, active in self._connections.items() if now - active > TCP_IDLE_SECONDS]:
            writer.transport.abort()

    def datagram(self, packet: bytes, peer: tuple[str, int]) -> None:
        """Take one UDP packet. Beyond the bound it is dropped, as any busy resolver does; clients ask again."""
        if len(self._waiting) >= MAX_FORWARDED:
            return
        task = asyncio.get_running_loop().create_task(self._answer_datagram(packet, peer))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _answer_datagram(self, packet: bytes, peer: tuple[str, int]) -> None:
        self.queries += 1
        forward = self._forward_udp if self._forwarders else None
        answer = await serve_packet(packet, self._zones(), forward, MAX_UDP)
        if answer is not None and self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(answer, peer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_FORWARDED:
            writer.transport.abort()
            return
        try:
            while True:
                self._connections[writer] = self._clock.monotonic()
                packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                self.queries += 1
                forward = self._forward_tcp if self._forwarders else None
                answer = await serve_packet(packet, self._zones(), forward, 65535)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return
        finally:
            self._connections.pop(writer, None)
            writer.close()

    async def _forward_udp(self, packet: bytes) -> bytes | None:
        for forwarder in self._forwarders:
            answer = await within(self._clock, FORWARD_SECONDS, asyncio.ensure_future(_ask_udp(forwarder, packet)))
            if answer is not None:
                return answer
        return None

    async def _forward_tcp(self, packet: bytes) -> bytes | None:
        for forwarder in self._forwarders:
            answer = await within(self._clock, FORWARD_SECONDS, asyncio.ensure_future(_ask_tcp(forwarder, packet)))
            if answer is not None:
                return answer
        return None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received(data, addr)


async def within(clock: Clock, seconds: float, future: asyncio.Future[bytes]) -> bytes | None:
    """The result of `future`, or None when it fails or takes longer than that; it is cancelled then."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((timer, future), return_when=asyncio.FIRST_COMPLETED)
        return future.result() if future.done() and not future.cancelled() and future.exception() is None else None
    finally:
        timer.cancel()
        future.cancel()


async def _ask_udp(forwarder: str, packet: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()

    def received(answer: bytes, _: tuple[str, int]) -> None:
        if not answered.done() and answer[:2] == packet[:2]:
            answered.set_result(answer)

    # A socket of its own for each question gives it a port of its own, which nobody can guess.
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(received), remote_addr=(forwarder, 53))
    try:
        transport.sendto(packet)
        return await answered
    finally:
        transport.close()


async def _ask_tcp(forwarder: str, packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(forwarder, 53)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()


def _authoritative(response: dns.message.QueryMessage, question: dns.rrset.RRset, apex: dns.name.Name, zones: Zones) -> None:
    name, kind = question.name, question.rdtype
    response.flags |= dns.flags.AA
    any_type = kind == dns.rdatatype.ANY
    if name == apex:
        if kind == dns.rdatatype.SOA or any_type:
            response.answer.append(_soa(name, zones))
        if kind == dns.rdatatype.NS or any_type:
            response.answer.append(dns.rrset.from_text(name, TTL, "IN", "NS", f"ns.{zones.internal}"))
    known = zones.addresses.get(name)
    for address in known or ():
        family = dns.rdatatype.AAAA if ip_address(address).version == 6 else dns.rdatatype.A
        if kind == family or any_type:
            response.answer.append(dns.rrset.from_text(name, TTL, "IN", dns.rdatatype.to_text(family), address))
    if not response.answer:
        # The switch knows every address of the network: an A query it left over is for no name at all. Of any other
        # type nothing is known but that this host has none, and NXDOMAIN would deny a machine on another host.
        if known is None and name not in zones.apexes and kind == dns.rdatatype.A:
            response.set_rcode(dns.rcode.NXDOMAIN)
        # For a name of one label there is no zone to show; without one the answer is not kept, which is right.
        if name.is_subdomain(apex):
            response.authority.append(_soa(apex, zones))


def _reverse(response: dns.message.QueryMessage, question: dns.rrset.RRset, zones: Zones) -> dns.message.QueryMessage | None:
    try:
        address = ip_address(dns.reversename.to_address(question.name))
    except (dns.exception.DNSException, ValueError):
        response.set_rcode(dns.rcode.NXDOMAIN)
        return response
    name = zones.names.get(str(address))
    if name is None and not any(address in block for block in _PRIVATE if block.version == address.version):
        return None
    response.flags |= dns.flags.AA
    if name is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype in (dns.rdatatype.PTR, dns.rdatatype.ANY):
        response.answer.append(dns.rrset.from_text(question.name, TTL, "IN", "PTR", name.to_text()))
    return response


def _is_reverse(name: dns.name.Name) -> bool:
    return name.is_subdomain(dns.reversename.ipv4_reverse_domain) or name.is_subdomain(dns.reversename.ipv6_reverse_domain)


def _soa(owner: dns.name.Name, zones: Zones) -> dns.rrset.RRset:
    return dns.rrset.from_text(
        owner, TTL, "IN", "SOA", f"ns.{zones.internal} hostmaster.{zones.internal} 1 3600 300 2419200 {TTL}"
    )


def _response(query: dns.message.QueryMessage) -> dns.message.QueryMessage:
    response = dns.message.make_response(query, recursion_available=True, our_payload=MAX_UDP)
    assert isinstance(response, dns.message.QueryMessage)
    return response


def _failure(query: dns.message.QueryMessage) -> dns.message.QueryMessage:
    response = _response(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response


def _wire(response: dns.message.QueryMessage, query: dns.message.QueryMessage, limit: int) -> bytes:
    if limit == MAX_UDP:
        limit = min(limit, max(512, query.payload)) if query.edns >= 0 else 512
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        short = _response(query)
        short.flags |= dns.flags.TC
        return short.to_wire()


def _bare(packet: bytes, rcode: int) -> bytes:
    """A header alone: the id and opcode of a packet that could not be read, and why."""
    return packet[:2] + bytes((0x80 | packet[2] & 0x79, 0x80 | rcode & 0xF)) + bytes(8)
