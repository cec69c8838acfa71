"""`lazur quickstart`: from a bare machine to a real load-balanced page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from lazur.cli.rack_options import find_site, rack_of, site_options
from lazur.kernel.clock import SystemClock
from lazur.lifecycle.arm_client import ArmClient
from lazur.lifecycle.checks import CHECKS
from lazur.lifecycle.quickstart import Built, Quickstart, summary
from lazur.lifecycle.rack import Rack
from lazur.lifecycle.site import Profile


@click.command("quickstart")
@site_options
@click.option("--accept", "accepted", multiple=True, type=click.Choice(CHECKS), help="Go on despite this pre-check.")
def command(site_file: Path | None, hosts: int | None, profile: Profile | None, accepted: tuple[str, ...]) -> None:
    """Bring up the cloud and deploy the example; safe to repeat."""
    clock = SystemClock()
    rack = rack_of(find_site(site_file, hosts, profile))
    begun = clock.monotonic()
    rack.up(accepted)
    took = clock.monotonic() - begun
    click.echo(summary(asyncio.run(_deploy(rack, clock, took)), rack))


async def _deploy(rack: Rack, clock: SystemClock, up_seconds: float) -> Built:
    run = Quickstart(rack, clock, lambda line: click.echo(line, err=True))
    run.built.steps.append(("rack in a box", up_seconds))
    async with ArmClient.of_file(rack.credentials, rack.paths.pki / "ca.pem", clock) as client:
        return await run.run(client)
