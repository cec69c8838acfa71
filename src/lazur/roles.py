"""What each process of a rack runs: `python3 -m lazur.roles control | executor DOMAIN | guestservices HOST`.

The only module that knows all layers: it reads the container's role file and starts services from it. Must never hold
behaviour of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from lazur.kernel.clock import Clock, SystemClock
from lazur.kernel.log import configure
from lazur.lifecycle.role_config import RoleConfig


async def control(config: RoleConfig, clock: Clock) -> None:
    """API, identity and controllers of the stamp; the only writer of its store."""
    from lazur.api.desires import desire_app
    from lazur.identity.endpoints import Endpoints
    from lazur.identity.files import write_atomic
    from lazur.identity.sealing import StampKey
    from lazur.kernel.ids import SystemIds
    from lazur.lifecycle.catalogue import listed
    from lazur.lifecycle.control_plane import ControlPlane, Machine, credentials
    from lazur.lifecycle.outside_identity import of_container
    from lazur.lifecycle.serving import peer, server, settled
    from lazur.model.stamp import Stamp
    from lazur.store.sqlite import SqliteStore

    state, pki, ids = Path(config.state), Path(config.pki), SystemIds()
    endpoints = Endpoints.for_region(config.region, config.domain)
    network = config.network
    stamp = Stamp(
        config.region, config.domain, "", "", endpoints.management, endpoints.login, network.public, network.transit,
        network.transit_gateway, network.guest_mtu, listed(Path(config.images)), overcommit_cpu=1.0,
        internal_prefixes=(network.underlay, network.infrastructure, network.link, network.transit),
        template_servers=network.template_servers, throttled=config.throttled,
    )  # fmt: skip
    machines = [
        Machine(h.name, h.vcpus, h.allocatable_mib, h.fault_domain, h.rack, h.driver)
        for h in config.hosts
        if h.driver == "qemu"
    ]
    store = SqliteStore(state / "control.db")
    key = StampKey.open(state / "stamp.key", ids)
    plane = await ControlPlane.open(
        store, stamp, endpoints, key, clock, ids, machines=machines, artifacts=state / "artifacts",
        federations=of_container(config.federation, pki),
    )  # fmt: skip
    write_atomic(state / "credentials.json", credentials(plane).encode(), 0o600)
    front = server(plane.app, config.api_address, config.api_port, pki, "api")
    operators = server(plane.operator_app, config.admin_address, config.api_port, pki, "admin")
    port = int(config.desires_url.rpartition(":")[2])
    back = server(desire_app(plane.desires, peer, plane.tokens), config.control_address, port, pki, "desires", mutual=True)
    settled()
    await asyncio.gather(front.serve(), operators.serve(), back.serve(), plane.run())


async def executor(config: RoleConfig, clock: Clock, domain: str) -> None:
    """The executor of one domain, with credentials for nothing else."""
    from lazur.executor.client import HttpSource, client_context
    from lazur.executor.core import Executor
    from lazur.executor.handlers import Handler
    from lazur.executor.ledger import FileLedger

    kind, _, name = domain.partition("/")
    pki = Path(config.pki)
    certificate = f"executor-{name if kind == 'host' else kind}"
    context = client_context(pki / "ca.pem", pki / f"{certificate}.pem", pki / f"{certificate}.key")
    source = HttpSource(config.desires_url, domain, context)
    handlers: Sequence[Handler]
    if kind == "network":
        from lazur.drivers.network.ovn import OvnNetwork, OvnSettings
        from lazur.providers.network.host import NetworkHandler

        settings = OvnSettings(config.northbound, config.southbound)
        handlers = [NetworkHandler(OvnNetwork(settings, clock))]
    else:
        from lazur.providers.compute.host import host_handlers, real_host, real_pool, storage_handlers

        pool = Path(config.disks).parent
        if kind == "storage":
            handlers = storage_handlers(real_pool(pool), Path(config.state) / "disks-made")
        else:
            parts = real_host(Path(config.state), pool, Path(config.runtime), clock)
            handlers = host_handlers(parts, clock, source.artifact)
    root = Path(config.state) / ("ledger" if kind == "host" else f"ledger-{kind}")
    mark = Path(config.runtime) / "served" if kind == "host" else None
    await Executor(domain, source, FileLedger(root, domain, mark), handlers, clock).run()


async def guestservices(config: RoleConfig, clock: Clock) -> None:
    """Metadata, wire server, DNS and probes of this host's guests."""
    from lazur.executor.client import client_context
    from lazur.guestservices import GuestServicesSettings, HttpTokens, run

    state = Path(config.state)
    settings = replace(
        GuestServicesSettings(),
        ledger=state / "ledger",
        runtime=Path(config.runtime) / "guest",
        certificates=state / "guest-certificates",
        internal_domain=f"internal.{config.domain}",
    )
    # The host proves itself for its guests as for its machines.
    pki, certificate = Path(config.pki), f"executor-{config.container}"
    context = client_context(pki / "ca.pem", pki / f"{certificate}.pem", pki / f"{certificate}.key")
    tokens = HttpTokens(config.desires_url, context)
    try:
        await run(settings, clock, tokens)
    finally:
        await tokens.close()


def main(argv: Sequence[str]) -> None:
    """Run the role named on the command line until it is stopped."""
    configure("info")
    config, clock = RoleConfig.load(), SystemClock()
    if argv[0] == "control":
        uvloop.run(control(config, clock))
    elif argv[0] == "executor":
        uvloop.run(executor(config, clock, argv[1]))
    elif argv[0] == "guestservices":
        asyncio.run(guestservices(config, clock))
    else:
        raise SystemExit(f"unknown role {argv[0]!r}: control, executor DOMAIN or guestservices HOST")


if __name__ == "__main__":
    main(sys.argv[1:])
