"""`lazur docs`: what comes from the registry: a part of README.md, and the OpenAPI documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from lazur.lifecycle.coverage import inserted, openapi_documents, what_works
from lazur.lifecycle.project import ROOT


@click.command("docs")
@click.option("--check", is_flag=True, help="Change nothing; end with 1 when the table is not up to date.")
@click.option("--openapi", type=click.Path(file_okay=False, path_type=Path),
              help="Write the OpenAPI document of each provider into this folder instead.")  # fmt: skip
def command(check: bool, openapi: Path | None) -> None:
    """Write the table of what works today into README.md."""
    if openapi is not None:
        openapi.mkdir(parents=True, exist_ok=True)
        for namespace, document in openapi_documents().items():
            (openapi / f"{namespace}.json").write_text(json.dumps(document, indent=1) + "\n")
        click.echo(f"{openapi}: one OpenAPI document per provider")
        return
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
