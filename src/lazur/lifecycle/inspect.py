"""What a container really has, and what the store wants: facts for fsck, as JSON on standard output.

Run inside the containers (`python3 -m lazur.lifecycle.inspect control|network|storage|host`), so that it sees what they see.
Must never change anything, and must work with every control process dead.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lazur.kernel.clock import SystemClock
from lazur.lifecycle.role_config import RoleConfig
from lazur.model.desire import Desire
from lazur.model.documents import DesireRecord, Record
from lazur.store.sqlite import snapshot

_HOSTS = "microsoft.fabric.admin/hosts"
_PROC = Path("/proc")


def main(what: str) -> None:
    """Print the facts `what`."""
    config = RoleConfig.load()
    facts = {"control": _control, "network": _network, "storage": _storage, "host": _host}[what]
    json.dump(asyncio.run(facts(config)), sys.stdout)


def public_names(database: Path) -> dict[str, str]:
    """Names of public addresses with the addresses, from a store that may not be there yet."""
    found = [r.allocated for r in snapshot(database)[0] if "fqdn" in r.allocated] if database.exists() else []
    return {allocated["fqdn"]: allocated["address"] for allocated in found}


def _snapshot(config: RoleConfig) -> tuple[Sequence[Record], Sequence[DesireRecord], Sequence[tuple[str, str]]]:
    return snapshot(Path(config.state) / "control.db")


async def _control(config: RoleConfig) -> dict[str, Any]:
    return documents(*_snapshot(config))


def documents(records: Sequence[Record], desires: Sequence[DesireRecord], orphans: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Resources with their state, every desire, and what belongs to nobody."""
    names = ("uid", "state", "generation", "observed", "deleting")
    return {
        "resources": [{"id": str(r.id), **{n: getattr(r, n) for n in names}} for r in records],
        "desires": [
            {**{n: getattr(d.wanted, n) for n in ("domain", "kind", "key", "payload")},
             **{n: getattr(d, n) for n in ("owner", "generation", "removed", "reported", "state")}}
            for d in desires
        ],
        "orphans": orphans,
        "lost": [r.id.name for r in records if r.type == _HOSTS and r.status.get("health") == "Lost"],
    }  # fmt: skip


async def _network(config: RoleConfig) -> dict[str, Any]:
    """How the overlay's rows differ from what the desires compile to, and which ports are up where."""
    from lazur.drivers.network.ovn import OvnNetwork, OvnSettings
    from lazur.providers.network.host import NetworkHandler

    wanted = [
        Desire(d.wanted.domain, d.wanted.kind, d.wanted.key, d.generation, d.wanted.payload, d.removed)
        for d in _snapshot(config)[1]
        if d.wanted.domain == "network/main"
    ]
    driver = OvnNetwork(OvnSettings(config.northbound, config.southbound), SystemClock())
    try:
        drift = list(await NetworkHandler(driver).drift(wanted))
        bindings, chassis = dict(await driver.port_bindings()), sorted(await driver.chassis())
    finally:
        await driver.close()
    return {"drift": drift, "bindings": bindings, "chassis": chassis}


async def _storage(config: RoleConfig) -> dict[str, Any]:
    """Files of the disk pool."""
    from lazur.providers.compute.host import disk_inventory, real_pool

    return {"disks": list(await disk_inventory(real_pool(Path(config.disks).parent)))}


async def _host(config: RoleConfig) -> dict[str, Any]:
    """Machines, taps, provisioning discs, records, QEMU processes and guest-service namespaces of this host."""
    from lazur.providers.compute.host import inventory, real_host

    parts = real_host(Path(config.state), Path(config.disks).parent, Path(config.runtime), SystemClock())
    found = dict(await inventory(parts))
    found["processes"] = _machine_processes()
    found["namespaces"] = sorted(p.name for p in Path("/run/netns").glob("gs-*"))
    found["ports"] = sorted(set(_integration_ports()) - found["taps"].keys())
    return found


def _integration_ports() -> list[str]:
    """Ports of the integration bridge that OVN did not make itself: taps, guest services and whatever does not belong."""
    asked = ["ovs-vsctl", "--no-wait", "--timeout=10"]
    there = subprocess.run([*asked, "list-ifaces", "br-int"], capture_output=True, text=True, check=True).stdout.split()
    table = subprocess.run(
        [*asked, "--format=json", "--columns=name,type", "list", "Interface"], capture_output=True, text=True, check=True
    ).stdout
    plugged = {name for name, kind in json.loads(table)["data"] if kind in ("", "system", "tap")}
    return [name for name in there if name in plugged]


def _machine_processes() -> list[int]:
    """Every QEMU machine process in this container, known to the agent or not."""
    pids = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv and Path(argv[0].decode(errors="replace")).name.startswith("qemu-system"):
            pids.append(int(entry.name))
    return sorted(pids)


if __name__ == "__main__":
    main(sys.argv[1])
