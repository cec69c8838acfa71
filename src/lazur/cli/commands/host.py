"""`lazur host`: the hosts of the rack on this machine."""

from __future__ import annotations

import click

from lazur.cli.rack_options import find_site, rack_of
from lazur.lifecycle.rack.roles import capacity


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
