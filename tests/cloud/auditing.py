"""The auditor over an in-process cloud: the same comparison as on a rack, over what the simulated outside really holds."""

from __future__ import annotations

from typing import Any

from lazur.kernel.ids import short
from lazur.lifecycle.fsck import Facts, Finding, audit
from lazur.lifecycle.inspect import documents
from lazur.model.desire import Desire
from lazur.providers.compute.host import disk_inventory, inventory
from lazur.providers.network.host import NetworkHandler
from tests.cloud.cloud import Cloud


async def facts_of(cloud: Cloud) -> Facts:
    """Everything the auditor looks at. Guest services are not simulated: their namespaces follow from the machines."""
    store, world = cloud.world.store, cloud.world
    records = store.list()
    desires = [d for r in records for d in store.desires(r.key)]
    control = documents(records, desires, [])
    wanted = [
        Desire(d.wanted.domain, d.wanted.kind, d.wanted.key, d.generation, d.wanted.payload, d.removed)
        for d in desires
        if d.wanted.domain == "network/main"
    ]
    drift = list(await NetworkHandler(world.network).drift(wanted))
    hosts: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    for name, host in world.hosts.items():
        if name in control["lost"]:
            continue
        seen = dict(await inventory(host.parts(cloud.clock)))
        machines = [d for d in desires if d.wanted.domain == f"host/{name}" and d.wanted.kind == "vm"]
        vnets = {nic["vnet"] for d in machines for nic in d.wanted.payload["nics"]}
        seen["processes"] = [m["pid"] for m in seen["machines"].values() if m["pid"] is not None]
        seen["namespaces"] = sorted(f"gs-{short(v)}" for v in vnets)
        bindings |= dict.fromkeys(host.board.taps.values(), name)
        hosts[name] = seen
    network = {"drift": drift, "bindings": bindings, "chassis": sorted(await world.network.chassis())}
    return Facts(control, network, {"disks": list(await disk_inventory(world.storage.pool()))}, hosts)


async def findings(cloud: Cloud) -> list[Finding]:
    """What the auditor finds wrong now."""
    return audit(await facts_of(cloud))
