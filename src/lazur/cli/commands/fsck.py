"""`lazur fsck`: is everything that should be there, and nothing else?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from lazur.cli.rack_options import find_site, rack_of
from lazur.lifecycle.fsck import audit, gather


@click.command("fsck")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(form: str) -> None:
    """Compare wanted with actual for every resource and every object of every host; ends with 1 when they differ."""
    facts = gather(rack_of(find_site(None, None, None)))
    found = audit(facts)
    if form == "json":
        click.echo(json.dumps([asdict(f) for f in found], indent=1))
    else:
        for finding in found:
            click.echo(str(finding))
        looked = len(facts.control["resources"]), len(facts.control["desires"]), len(facts.hosts)
        verdict = f"{len(found)} findings" if found else "clean"
        click.echo(f"fsck: {verdict} ({looked[0]} resources, {looked[1]} desires, {looked[2]} hosts)")
    sys.exit(1 if found else 0)
