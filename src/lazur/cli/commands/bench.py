"""`lazur bench`: measure against floors of the same run. Must hold no measurement itself: `bench/` does."""

from __future__ import annotations

import subprocess
import sys

import click

from lazur.lifecycle.project import ROOT


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[NAME]... [-- OPTION]...")
def command(arguments: tuple[str, ...]) -> None:
    """Measure get, put, template, placement, port, vm, memory, or all of them; `-- --help` tells the options.

    Ends with 1 when a gate is missed. A void or skipped measurement says so and fails nothing.
    """
    sys.exit(subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=ROOT, check=False).returncode)
