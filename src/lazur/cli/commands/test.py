"""`lazur test`: the form check, then the tests: side by side what may be, one by one what needs the machine.

Must never report success when any of it failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
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

# One at a time: a machine carries one rack, and what survives a kill within seconds must not share its cores.
_MACHINE_TESTS = ("tests/host", "tests/rack")
_PRIVILEGED_TESTS = (*_MACHINE_TESTS, "tests/clients")
# Files side by side, each by one worker: what its tests share is made once.
_PARALLEL: Sequence[str] = ("--numprocesses=logical", "--maxprocesses=4", "--dist=loadfile")
_INTERRUPTED = 2
"""pytest's exit code when somebody wanted it to end."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--unit", is_flag=True, help="Only what needs no privilege: no hosts, no rack, no real clients.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def command(unit: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Run the form check and all tests; what follows `--` goes to pytest."""
    form = subprocess.run([sys.executable, "-m", "tests.form"], cwd=ROOT, check=False).returncode
    if form:
        # Said before the tests, whose own summary stays the last line.
        click.echo("lazur test: the form check FAILED, see above, and so will this run; the tests follow", err=True)
    if not unit and os.geteuid() == 0:
        _download()
    left_out = [f"--ignore={folder}" for folder in (_PRIVILEGED_TESTS if unit else _MACHINE_TESTS)]
    if pytest_arguments:
        failed = _pytest(*(left_out if unit else ()), *pytest_arguments)
    else:
        failed = _pytest(*_PARALLEL, *left_out)
        if not unit and failed != _INTERRUPTED:
            failed = _pytest(*_MACHINE_TESTS) or failed
    sys.exit(failed or form)


def _pytest(*arguments: str) -> int:
    """Run it; its exit code."""
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache_root() / 'pytest'}", *arguments]
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(cache_root() / "hypothesis")}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as tests:
        try:
            return tests.wait()
        except KeyboardInterrupt:
            # It has heard that too, tidies up and says where it stood.
            return tests.wait()


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
