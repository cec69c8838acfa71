"""`lazur env`: what a shell needs so that az, the SDKs and curl talk to this cloud."""

from __future__ import annotations

import json

import click

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.client_env import client_environment
from lazur.lifecycle.rack.layout import CONTROL, Paths, state_root


@click.command("env")
@click.option("--simulated", is_flag=True, help="Of the simulated cloud instead of the rack.")
@click.option("--format", "form", type=click.Choice(["shell", "json"]), default="shell", show_default=True)
def command(simulated: bool, form: str) -> None:
    """Print the environment for clients: eval "$(./lazur env)"."""
    if simulated:
        # Loaded only here: a rack needs nothing of it, and it brings the whole control plane along.
        from lazur.lifecycle.simulated import simulated_state

        state = simulated_state()
        credentials, pki = state / "credentials.json", state / "pki"
    else:
        paths = Paths(state_root())
        state, pki = paths.state, paths.pki
        credentials = paths.role_state(CONTROL) / "credentials.json"
    found = client_environment(credentials, pki, state / "clients", SystemClock())
    click.echo(json.dumps(dict(found.variables), indent=1) if form == "json" else found.exports())
