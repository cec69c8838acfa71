"""`lazur host`: the hosts of the rack on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lazur.cli.rack_options import find_site, rack_of
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.lifecycle.arm_client import ArmClient
from lazur.lifecycle.rack import Rack
from lazur.lifecycle.rack.roles import capacity

_VERSION = "2026-11-01"


@click.group("host")
def command() -> None:
    """The hosts guests run on."""


@command.command("list")
def _list() -> None:
    """List the hosts with their place, what they may promise to guests, and whether they run."""
    rack = rack_of(find_site(None, None, None))
    rows = [("HOST", "ADDRESS", "RACK", "FAULT DOMAIN", "VCPUS", "MEMORY MIB", "DRIVER", "STATE")]
    for host in rack.site.hosts:
        offer = capacity(rack.site, host)
        simulated = host.driver == "simulated"
        state = "simulated" if simulated else "running" if rack.container(host.name).pid() else "not running"
        places = (host.name, offer.address, host.rack, str(host.fault_domain))
        rows.append((*places, str(offer.vcpus), str(offer.allocatable_mib), host.driver, state))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command("lost")
@click.argument("name")
@click.option("--force", is_flag=True, help="Do not wait until the host is shown as unreachable.")
def _lost(name: str, force: bool) -> None:
    """Say that host NAME is switched off for good: its machines may then be started elsewhere or deleted.

    A host that still runs would write to the same disks as the host that takes over: switch it off first.
    """
    asyncio.run(declare_lost(rack_of(find_site(None, None, None)), name, force))
    click.echo(f"{name} is declared lost. When it comes back it takes away what it had, and is a host again.")


async def declare_lost(rack: Rack, name: str, force: bool) -> None:
    """As the administrator, whose subscription the hosts are in."""
    authority = Path(rack.paths.pki / "ca.pem")
    async with ArmClient.of_file(rack.credentials, authority, SystemClock(), administrator=True) as client:
        for subscription in (await client.call("GET", "/subscriptions"))["value"]:
            group = f"{subscription['id']}/resourceGroups/system.{rack.site.region}"
            path = f"{group}/providers/Microsoft.Fabric.Admin/hosts/{name}"
            try:
                await client.call("GET", path, version=_VERSION)
            except LazurError as error:
                if error.status in (403, 404):
                    continue
                raise
            query = f"?api-version={_VERSION}{'&force=true' if force else ''}"
            headers, _ = await client.exchange("POST", f"{path}/declareLost{query}", {})
            await client.wait_for(headers)
            return
    raise LazurError("HostNotFound", f"This cloud has no host '{name}'.", status=404)
