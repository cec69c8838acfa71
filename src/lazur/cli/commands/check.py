"""`lazur check`: the form of the sources. Must never change a file."""

from __future__ import annotations

import subprocess
import sys

import click

from lazur.lifecycle.project import ROOT


@click.command()
def command() -> None:
    """Check the form of the sources: rules, ruff, mypy, imports."""
    sys.exit(subprocess.run([sys.executable, "-m", "tests.form"], cwd=ROOT, check=False).returncode)
