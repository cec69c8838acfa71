"""`lazur docs`: the part of README.md that comes from the registry."""

from __future__ import annotations

import sys

import click

from lazur.lifecycle.coverage import inserted, what_works
from lazur.lifecycle.project import ROOT


@click.command("docs")
@click.option("--check", is_flag=True, help="Change nothing; end with 1 when the table is not up to date.")
def command(check: bool) -> None:
    """Write the table of what works today into README.md."""
    readme = ROOT / "README.md"
    before = readme.read_text()
    after = inserted(before, what_works())
    if before == after:
        click.echo("README.md is up to date")
    elif check:
        click.echo("README.md is not up to date: run `./lazur docs`", err=True)
        sys.exit(1)
    else:
        readme.write_text(after)
        click.echo("README.md: the table of what works was written anew")
