"""`lazur logs`: what the rack's services said."""

from __future__ import annotations

import click

from lazur.cli.rack_options import find_site, rack_of
from lazur.kernel.clock import SystemClock
from lazur.lifecycle.rack import logs


@click.command("logs")
@click.argument("role", required=False)
@click.option("--since", "start", help="Only later lines: an age (30s, 10m, 2h, 1d) or an ISO 8601 time.")
def command(role: str | None, start: str | None) -> None:
    """Show logs in the order of their times: all, or of a ROLE: a container (h01), a service (ovn-controller) or both
    (h01/ovn-controller)."""
    rack = rack_of(find_site(None, None, None))
    after = logs.since(start, SystemClock().now()) if start else None
    for line in logs.lines(rack.paths, rack.names, role, after):
        click.echo(f"{line.source}: {line.text}")
