"""`lazur up --simulated`: the same control plane on simulated hosts, in one unprivileged process on any Linux.

Executors and controllers meet only in committed documents, as on a rack. Must never be taken for the real thing: every
machine's instance view and the banner say that it is simulated.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop

from lazur.drivers.network.simulated import SimulatedNetwork
from lazur.executor.core import Executor
from lazur.executor.handlers import Handler
from lazur.executor.ledger import MemoryLedger
from lazur.identity.endpoints import Endpoints
from lazur.identity.files import write_atomic
from lazur.identity.pki import Authority
from lazur.identity.sealing import StampKey
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SystemIds
from lazur.kernel.log import configure
from lazur.lifecycle.catalogue import built_in
from lazur.lifecycle.control_plane import ControlPlane, Machine, credentials
from lazur.lifecycle.outside_identity import of_site
from lazur.lifecycle.rack.roles import capacity
from lazur.lifecycle.serving import server, settled
from lazur.lifecycle.site import Site
from lazur.model.stamp import Stamp
from lazur.providers.compute.host import SimulatedHost, SimulatedStorage, host_handlers, storage_handlers
from lazur.providers.network.host import NetworkHandler
from lazur.store.sqlite import SqliteStore

PORT = 8443


def simulated_state() -> Path:
    """Where a simulated stamp keeps its documents: `$LAZUR_STATE`, else below the user's own state folder."""
    named = os.environ.get("LAZUR_STATE")
    return Path(named) if named else Path.home() / ".local" / "state" / "lazur-simulated"


def run_simulated(site: Site, port: int = PORT) -> None:
    """Serve until interrupted."""
    configure("warning")
    uvloop.run(_serve(site, port))


async def _serve(site: Site, port: int) -> None:
    _refuse_taken(port)
    _refuse_taken(port + 1)
    clock, ids, state = SystemClock(), SystemIds(), simulated_state()
    state.mkdir(parents=True, exist_ok=True)
    pki = state / "pki"
    authority = Authority.open(pki, clock=clock)
    for name in ("api", "admin"):
        authority.issue(pki, name, dns=["localhost"], ips=["127.0.0.1", "::1"])
    bundle = authority.bundle(pki)
    endpoints = Endpoints.for_localhost(port, site.region, site.domain)
    public = tuple(str(p) for p in site.networks.public)
    transit = site.networks.transit.prefix
    stamp = Stamp(
        site.region, site.domain, "", "", endpoints.management, endpoints.login, public, str(transit),
        str(transit.network_address + 1), images=(built_in("tiny.qcow2"),), simulated=True, overcommit_cpu=1.0,
        internal_prefixes=site.networks.internal, template_servers=tuple(map(str, site.networks.template_servers)),
    )  # fmt: skip
    promised = [capacity(site, h) for h in site.hosts]
    machines = [Machine(h.name, h.vcpus, h.allocatable_mib, h.fault_domain, h.rack, "simulated") for h in promised]
    store = SqliteStore(state / "control.db")
    key = StampKey.open(state / "stamp.key", ids)
    plane = await ControlPlane.open(
        store, stamp, endpoints, key, clock, ids, machines=machines, artifacts=state / "artifacts", federations=of_site(site)
    )
    write_atomic(state / "credentials.json", credentials(plane).encode(), 0o600)
    front = server(plane.app, "localhost", port, pki, "api")
    operators = server(plane.operator_app, "localhost", port + 1, pki, "admin")
    _banner(site, endpoints, bundle, state)
    settled()
    try:
        await asyncio.gather(front.serve(), operators.serve(), plane.run(), *_executors(plane, site))
    finally:
        store.close()


def _refuse_taken(port: int) -> None:
    """Fail before anything is opened when somebody else listens on `port`."""
    for family, kind, _, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            # As the server itself does: connections that linger after the last run do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                message = f"Port {port} of localhost cannot be used ({error.strerror}); choose another with --port."
                raise LazurError("PortInUse", message) from error


def _executors(plane: ControlPlane, site: Site) -> list[asyncio.Task[None]]:
    clock = plane.clock
    network, storage = SimulatedNetwork(h.name for h in site.hosts), SimulatedStorage()
    wanted: list[tuple[str, Sequence[Handler]]] = [
        ("network/main", [NetworkHandler(network)]),
        ("storage/main", storage_handlers(storage.pool())),
    ]
    tasks = [
        asyncio.create_task(Executor(domain, plane.desires(domain), MemoryLedger(), handlers, clock).run())
        for domain, handlers in wanted
    ]
    for host in site.hosts:
        source = plane.desires(f"host/{host.name}")
        handlers = host_handlers(SimulatedHost.beside(storage).parts(clock), clock, source.artifact)
        tasks.append(asyncio.create_task(Executor(f"host/{host.name}", source, MemoryLedger(), handlers, clock).run()))
    return tasks


def _banner(site: Site, endpoints: Endpoints, bundle: Path, state: Path) -> None:
    click.echo(f"SIMULATED cloud '{site.name}' with {len(site.hosts)} hosts: real API, no machines, no packets.")
    click.echo(f"  ARM      {endpoints.management}")
    click.echo(f"  operator {endpoints.admin_management}")
    click.echo(f"  sign-in  {endpoints.adfs if endpoints.use_adfs else endpoints.login}")
    click.echo(f"  CA       {bundle}")
    click.echo(f"  secrets  {state / 'credentials.json'}")
    click.echo('Next, in another shell: eval "$(./lazur env --simulated)"; az group list. Stop with Ctrl-C.')
