"""`lazur docs`: what comes from the registry: a part of README.md, and the OpenAPI documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from lazur.lifecycle.coverage import conformance, inserted, openapi_documents, what_works
from lazur.lifecycle.project import ROOT


@click.command("docs")
@click.option("--check", is_flag=True, help="Change nothing; end with 1 when something is not up to date.")
@click.option("--openapi", type=click.Path(file_okay=False, path_type=Path),
              help="Write the OpenAPI document of each provider into this folder instead.")  # fmt: skip
def command(check: bool, openapi: Path | None) -> None:
    """Write the table of what works today into README.md, and docs/conformance.md."""
    if openapi is not None:
        openapi.mkdir(parents=True, exist_ok=True)
        for namespace, document in openapi_documents().items():
            (openapi / f"{namespace}.json").write_text(json.dumps(document, indent=1) + "\n")
        click.echo(f"{openapi}: one OpenAPI document per provider")
        return
    readme, page = ROOT / "README.md", ROOT / "docs" / "conformance.md"
    wanted = {
        readme: inserted(readme.read_text(), what_works()),
        page: conformance(json.loads((ROOT / "tests" / "clients" / "results.json").read_text())),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if check:
            click.echo(f"{name} is not up to date: run `./lazur docs`", err=True)
        else:
            path.write_text(wanted[path])
            click.echo(f"{name} was written anew")
    if not stale:
        click.echo("README.md and docs/conformance.md are up to date")
    if check and stale:
        sys.exit(1)
