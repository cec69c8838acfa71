"""`lazur test`: the form check, then the tests. Must never report success when either failed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from lazur.cli.explain import explain
from lazur.kernel.errors import LazurError
from lazur.lifecycle.client_environments import CLIENTS, ensure_client
from lazur.lifecycle.guest_image.build import ensure_tiny_image
from lazur.lifecycle.host_image import ensure_host_image
from lazur.lifecycle.project import ROOT, cache_root
from lazur.lifecycle.tool import Report

_MACHINE_TESTS = ("tests/host", "tests/rack", "tests/clients")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--unit", is_flag=True, help="Only what needs no privilege: no hosts, no rack, no real clients.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def command(unit: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Run the form check and all tests; what follows `--` goes to pytest."""
    form = subprocess.run([sys.executable, "-m", "tests.form"], cwd=ROOT, check=False).returncode
    if form:
        # Said before the tests, whose own summary stays the last line.
        click.echo("lazur test: the form check FAILED, see above, and so will this run; the tests follow", err=True)
    pytest = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache_root() / 'pytest'}"]
    if unit:
        pytest += [f"--ignore={folder}" for folder in _MACHINE_TESTS]
    elif os.geteuid() == 0:
        _download()
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(cache_root() / "hypothesis")}
    tests = subprocess.run([*pytest, *pytest_arguments], cwd=ROOT, env=environment, check=False).returncode
    sys.exit(tests or form)


def _download() -> None:
    """Fill the cache before the first rack stands: its networks may hide the addresses packages come from."""
    wanted: list[Callable[[Path, Report], object]] = [ensure_host_image, ensure_tiny_image]
    wanted += [partial(ensure_client, kind) for kind in CLIENTS]
    for ensure in wanted:
        try:
            ensure(cache_root(), lambda line: click.echo(f"lazur test: {line}", err=True))
        except LazurError as error:
            # The tests that need it will fail or say why they skip; the others still count.
            click.echo(explain(error), err=True)
