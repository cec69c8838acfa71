"""Options several commands share, and how a site and its rack are found from them. Must hold no command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.project import ROOT, cache_root
from lazur.lifecycle.rack import Rack
from lazur.lifecycle.rack.layout import state_root
from lazur.lifecycle.site import Profile, Site

DEFAULT_SITE = ROOT / "sites" / "laptop.yaml"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def site_options(command: _Command) -> _Command:
    """`--site`, `--hosts` and `--profile`."""
    for option in (
        click.option("--profile", type=click.Choice(["laptop", "lab", "rack"]), help="What the machine is held to."),
        click.option("--hosts", type=click.IntRange(min=1), help="How many hosts, instead of those of the site file."),
        click.option("--site", "site_file", type=click.Path(path_type=Path), help="Site file; a laptop's by default."),
    ):
        command = option(command)
    return command


def find_site(site_file: Path | None, hosts: int | None, profile: Profile | None) -> Site:
    """The site the options name; without a file the one the rack here was last brought up with, else a laptop's."""
    remembered = Rack.remembered(state_root()) if site_file is None else None
    site = remembered or Site.load(site_file or DEFAULT_SITE)
    if hosts is not None:
        site = site.with_hosts(hosts)
    return site if profile is None else site.model_copy(update={"profile": profile})


def rack_of(site: Site) -> Rack:
    """The rack of `site` on this machine; it tells its steps on standard error."""
    return Rack(site, state_root(), cache_root(), SystemClock(), lambda line: click.echo(line, err=True))
