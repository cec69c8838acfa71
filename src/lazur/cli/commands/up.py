"""`lazur up`: bring up the rack in a box, or bring back what of it is missing."""

from __future__ import annotations

from pathlib import Path

import click

from lazur.cli.rack_options import find_site, rack_of, site_options
from lazur.lifecycle.checks import CHECKS
from lazur.lifecycle.site import Profile


@click.command("up")
@site_options
@click.option("--simulated", is_flag=True, help="The same control plane on simulated hosts: no root, no packets.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where a simulated cloud listens on localhost; 8443 by default.")
@click.option("--accept", "accepted", multiple=True, type=click.Choice(CHECKS), help="Go on despite this pre-check.")
def command(
    site_file: Path | None,
    hosts: int | None,
    profile: Profile | None,
    simulated: bool,
    port: int | None,
    accepted: tuple[str, ...],
) -> None:
    """Bring up the cloud on this machine; safe to repeat at any time."""
    site = find_site(site_file, hosts, profile)
    if port is not None and not simulated:
        raise click.UsageError("--port belongs to --simulated: a rack listens on 443 of its own addresses.")
    if simulated:
        # Loaded only here: a rack needs nothing of it, and it brings the whole control plane along.
        from lazur.lifecycle.simulated import PORT, run_simulated

        run_simulated(site, port or PORT)
        return
    rack_of(site).up(accepted)
