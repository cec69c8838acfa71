"""`lazur down`: take the rack away and leave the machine as it was."""

from __future__ import annotations

import click

from lazur.cli.rack_options import DEFAULT_SITE, find_site, rack_of
from lazur.kernel.errors import LazurError
from lazur.lifecycle.site import Site


@click.command("down")
@click.option("--purge", is_flag=True, help="Delete the state as well: disks, images, keys, everything customers have.")
def command(purge: bool) -> None:
    """Stop everything and remove every process, namespace, mount, interface, route, cgroup and hosts-file line."""
    try:
        site = find_site(None, None, None)
    except LazurError as error:
        # What is on the machine is found by looking at it; the file only helps.
        click.echo(f"the remembered site is damaged and is not used: {error.message}", err=True)
        site = Site.load(DEFAULT_SITE)
    rack_of(site).down(purge=purge)
    if not purge:
        click.echo("Disks and state are kept; `lazur up` brings everything back, `lazur down --purge` deletes them.", err=True)
