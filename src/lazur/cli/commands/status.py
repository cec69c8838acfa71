"""`lazur status`: containers, services, restarts and memory of the rack."""

from __future__ import annotations

import sys

import click

from lazur.cli.rack_options import find_site, rack_of
from lazur.lifecycle.rack import Status

_MIB = 1 << 20


@click.command("status")
def command() -> None:
    """Show how the rack on this machine does; ends with 1 unless everything runs."""
    status = rack_of(find_site(None, None, None)).status()
    click.echo(table(status))
    running = all(container.pid for container in status.containers)
    sys.exit(0 if running and all(s["state"] == "ready" for c in status.containers for s in c.services.values()) else 1)


def table(status: Status) -> str:
    """The status as text: one line per service, memory per container."""
    rows = [("CONTAINER", "SERVICE", "STATE", "RESTARTS", "SINCE", "LAST EXIT")]
    for container in status.containers:
        if not container.pid:
            rows.append((container.name, "-", "not running", "", "", ""))
        for name, service in container.services.items():
            shown = (service["state"], str(service["restarts"]), service["since"], service["lastExit"])
            rows.append((container.name, name, *shown))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    memory = ", ".join(f"{c.name} {c.memory.platform // _MIB}" for c in status.containers)
    guests = sum(container.memory.guests for container in status.containers) // _MIB
    lines += [
        "",
        f"platform memory: {status.platform_memory // _MIB} MiB ({memory}); guests: {guests} MiB",
        f"packets to outside addresses: {status.outside.packets} (refused)",
    ]
    lines += [f"  {' to '.join(flow)}" for flow in status.outside.flows]
    return "\n".join(lines)
