"""The guest-service process of one host: follows the ledger, keeps the attachments, and serves in each of them.

Every loop here survives its own failures, since nobody else would serve the guests meanwhile. Attachments outlive the
process, on purpose: the next one adopts them. Must never take an attachment away while the ledger has a guest in it.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from lazur.guestservices import imds
from lazur.guestservices.access import KernelAccess, NetworkAccess
from lazur.guestservices.certificates import CertificateStore
from lazur.guestservices.httpd import Handler, HttpServer, Request, Response
from lazur.guestservices.ledger import Ledger, Machine, Snapshot
from lazur.guestservices.outputs import HealthBook, write_json
from lazur.guestservices.prober import Prober
from lazur.guestservices.resolver import DnsServer, Zones
from lazur.guestservices.settings import METADATA_SERVER, WIRE_SERVER, GuestServicesSettings
from lazur.guestservices.tokens import Tokens, TokenSource
from lazur.guestservices.wire import WireServer, host_plugin
from lazur.kernel.clock import Clock
from lazur.kernel.log import logger

_log = logger("guestservices")

HOST_PLUGIN_PORT = 32526
"""The HostGAPlugin's port at 168.63.129.16."""
AUDIT_SECONDS = 15.0
"""How often what is attached is compared with what should be, although the ledger did not change."""
RETRY_SECONDS = 2.0
"""How soon a failed attachment is tried again."""
REAP_SECONDS = 5.0
"""How often idle connections are closed and metrics written."""

Answer = Callable[[Machine, Request], Awaitable[Response]]


@dataclass
class _Attachment:
    """What is served in one virtual network."""

    vnet: str
    resolver: DnsServer
    servers: list[asyncio.Server] = field(default_factory=list)

    def close(self) -> None:
        self.resolver.close()
        for server in self.servers:
            server.close()


class GuestServices:
    """All guest services of a host over a given `NetworkAccess`."""

    def __init__(self, settings: GuestServicesSettings, clock: Clock, access: NetworkAccess, tokens: TokenSource) -> None:
        settings.runtime.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._clock = clock
        self._access = access
        self._ledger = Ledger(settings.ledger)
        self._health = HealthBook(settings.runtime / "health", clock)
        self._certificates = CertificateStore(settings.certificates, clock)
        self._wire = WireServer(self._health, self._certificates)
        self._http = HttpServer(clock)
        self._tokens = Tokens(tokens, clock)
        self._prober = Prober(access, clock, settings.runtime / "probes.json", settings.max_probes)
        self._attachments: dict[str, _Attachment] = {}
        self._zones: dict[str, tuple[Snapshot, Zones]] = {}
        self._audit_at = clock.monotonic()
        self._dirty = True

    async def run(self) -> None:
        """Serve until cancelled."""
        tasks = [asyncio.ensure_future(loop) for loop in (self._follow(), self._prober.run(), self._housekeep())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for attachment in self._attachments.values():
                attachment.close()

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                _log.exception("the ledger could not be followed")
            await self._clock.sleep(self._settings.poll_seconds)

    async def _look(self) -> None:
        self._dirty = self._ledger.refresh() or self._dirty
        snapshot = self._ledger.snapshot
        if self._dirty:
            self._health.keep(snapshot.machines)
            self._certificates.keep(snapshot.machines)
            self._tokens.keep(snapshot.machines)
            # Before the prober knows of a target, the namespace it is probed from should be there.
            await self._reconcile(snapshot)
            self._prober.want(snapshot.balancers)
            self._dirty = False
        elif self._clock.monotonic() >= self._audit_at:
            await self._reconcile(snapshot)

    async def _reconcile(self, snapshot: Snapshot) -> None:
        self._audit_at = self._clock.monotonic() + AUDIT_SECONDS
        wanted = {self._access.name(vnet): vnet for vnet in snapshot.vnets}
        try:
            present = await self._access.present()
        except Exception as error:
            # The switch may be down for a moment: what is served goes on as it is, and nothing is taken away.
            _log.error("what is attached cannot be seen; it is tried again", error=str(error))
            self._audit_at = self._clock.monotonic() + RETRY_SECONDS
            present = {self._access.name(vnet): True for vnet in self._attachments}
        for name, vnet in wanted.items():
            if not present.get(name, False) or vnet not in self._attachments:
                await self._guarded(vnet, self._attach(vnet))
        for vnet in self._attachments.keys() - snapshot.vnets:
            self._attachments.pop(vnet).close()
            self._zones.pop(vnet, None)
        for name in present - wanted.keys():
            await self._guarded(name, self._access.detach(name))

    async def _guarded(self, name: str, effect: Awaitable[None]) -> None:
        """One attachment's trouble must not be another's."""
        try:
            await effect
        except Exception as error:
            _log.error("attachment failed; it is tried again", attachment=name, error=str(error))
            self._audit_at = self._clock.monotonic() + RETRY_SECONDS

    async def _attach(self, vnet: str) -> None:
        # Sockets of a namespace that is no more serve nobody, and those of one that is stay as they are.
        if (known := self._attachments.pop(vnet, None)) is not None:
            known.close()
        await self._access.attach(vnet)
        resolver = DnsServer(lambda: self._zones_of(vnet), self._clock, self._settings.forwarders)
        attachment = _Attachment(vnet, resolver)
        try:
            for address, port, answer in (
                (WIRE_SERVER, 80, self._wire.answer),
                (WIRE_SERVER, HOST_PLUGIN_PORT, host_plugin),
                (METADATA_SERVER, 80, partial(imds.answer, self._tokens)),
            ):
                listener = self._access.listener(vnet, socket.SOCK_STREAM, address, port)
                attachment.servers.append(await self._http.listen(listener, self._identified(vnet, answer)))
            udp = self._access.listener(vnet, socket.SOCK_DGRAM, WIRE_SERVER, 53)
            await resolver.start(udp, self._access.listener(vnet, socket.SOCK_STREAM, WIRE_SERVER, 53))
        except BaseException:
            attachment.close()
            raise
        self._attachments[vnet] = attachment
        _log.info("virtual network attached", vnet=vnet, attachment=self._access.name(vnet))

    def _identified(self, vnet: str, answer: Answer) -> Handler:
        """A handler that knows its guest: the network the socket stands in and the source address decide, no header."""

        async def handler(request: Request) -> Response:
            machine = self._ledger.snapshot.by_address.get((vnet, request.source))
            if machine is None:
                return Response(403, b"This address is not one of a guest of this host.")
            return await answer(machine, request)

        return handler

    def _zones_of(self, vnet: str) -> Zones:
        known = self._zones.get(vnet)
        if known is None or known[0] is not self._ledger.snapshot:
            snapshot = self._ledger.snapshot
            known = (snapshot, Zones(snapshot, vnet, self._settings.internal_domain))
            self._zones[vnet] = known
        return known[1]

    async def _housekeep(self) -> None:
        while True:
            await self._clock.sleep(REAP_SECONDS)
            try:
                self._http.reap()
                for attachment in self._attachments.values():
                    attachment.resolver.reap()
                write_json(self._settings.runtime / "metrics.json", self._metrics())
            except Exception:
                _log.exception("housekeeping failed")

    def _metrics(self) -> dict[str, float]:
        return {
            "vnets": len(self._attachments),
            "vms": len(self._ledger.snapshot.machines),
            "httpRequests": self._http.requests,
            "dnsQueries": sum(a.resolver.queries for a in self._attachments.values()),
            "probes": self._prober.probes,
            "peakMemoryKiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "cpuSeconds": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        }


async def run(settings: GuestServicesSettings, clock: Clock, tokens: TokenSource) -> None:
    """Serve the guests of this host until cancelled. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN, and `ip` and ovs-vsctl."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    await GuestServices(settings, clock, KernelAccess(settings), tokens).run()
