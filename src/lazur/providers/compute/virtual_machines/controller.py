"""Virtual machine -> a place, and one desire of the host that has it.

The place is chosen, persisted and wanted in one commit, guarded against a concurrent choice. Must never start anything
before its disks and interfaces are ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Failed, Gone, Plan, Ready, Waiting, outcome_of
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import FAILED, SUCCEEDED, DesireRecord, Document, Record, Wanted
from lazur.providers.compute.sizes import sizes
from lazur.providers.compute.virtual_machines.fleet import HOLDS, HOSTS, fleet_now, set_of
from lazur.providers.compute.virtual_machines.holding import devices, held_elsewhere, still_held, without
from lazur.providers.compute.virtual_machines.payload import machine_payload
from lazur.providers.compute.virtual_machines.placement import choose

_GUARD = "placement"
_LOOK_AGAIN = 2.0


async def reconcile(context: Context, record: Record) -> Plan:
    """Bring the machine to the power state its intent names."""
    stored = [d for d in context.desires(record) if d.wanted.kind == "vm"]
    power = record.intent.get("power", "running")
    if context.lost(f"host/{record.allocated.get('host')}"):
        return _lost_its_host(record)
    if power == "deallocated":
        return _deallocated(record, stored)
    allocated, guard = dict(record.allocated), None
    if power == "running" and _lies_lost(record):
        return Plan(Failed(_loss(record)), desires=())
    # A machine that has its place can always be stopped, whatever became of its disks or of the room for another size.
    if power == "running":
        waiting = _not_ready(context, record)
        if waiting is not None:
            return waiting
        size = sizes()[record.properties["hardwareProfile"]["vmSize"].lower()]
        if allocated.get("host") is None or (allocated["cores"], allocated["memoryMiB"]) != (size.cores, size.memory_mib):
            try:
                allocated = {**_placeless(record), **_place(context, record)}
            except LazurError as error:
                return Plan(Failed(error), status={**record.status, "power": record.status.get("power", "stopped")})
            known = context.store.document(_GUARD)
            guard = Document(_GUARD, known.version, {"machine": record.key})
    elif allocated.get("host") is None:
        return _stopped_without_place(record, stored)
    if any(d.wanted.domain != f"host/{allocated['host']}" for d in stored):
        # It moves: the place is given up, and nothing starts elsewhere, before the old host has let go of the disks.
        return Plan(Waiting("stopping on its former host"), desires=(), status={**record.status, "power": "stopping"})
    return _on_its_host(context, record.with_(allocated=allocated), stored, guard)


def _on_its_host(context: Context, record: Record, stored: Sequence[DesireRecord], guard: Document | None) -> Plan:
    """The machine's desires, once it is settled where it runs."""
    payload, secrets = machine_payload(context, record)
    held = still_held(record, stored)
    taken = held_elsewhere(context, record, devices(payload) - held)
    status = _seen(context, record, stored)
    if taken:
        holders = ", ".join(sorted({other.id.name for other in taken.values()}))
        status["waitingFor"] = reason = f"the host of {holders} has not let go of a disk or interface yet"
        up = any(d.wanted.payload["power"] == "running" and not d.removed for d in stored)
        if payload["power"] == "running" and not up:
            # A guest that came up without its disks would take them for lost.
            return Plan(Waiting(reason, _LOOK_AGAIN), status=status)
        payload = without(payload, taken)
    allocated = {**record.allocated, HOLDS: sorted(held | devices(payload))}
    domain = f"host/{allocated['host']}"
    wanted = [Wanted(domain, "vm", record.uid, payload, secrets)]
    outcome = outcome_of(stored, wanted)
    if taken and not isinstance(outcome, Failed):
        outcome = Waiting(status["waitingFor"], _LOOK_AGAIN)
    if record.intent.get("capture"):
        wanted.append(Wanted(domain, "capture", record.uid, {"vm": record.uid, "nonce": record.intent["capture"]}))
    return Plan(outcome, desires=wanted, allocated=allocated, status=status, guard=guard)


def _deallocated(record: Record, stored: Sequence[DesireRecord]) -> Plan:
    """Give the place up once nothing runs any more; the disks stay."""
    if stored:
        return Plan(Waiting("stopping"), desires=(), status={**record.status, "power": "deallocating"})
    status = {"power": "deallocated", "diskNames": record.status.get("diskNames", [])}
    return Plan(Ready(), desires=(), allocated=_placeless(record), status=status)


def _stopped_without_place(record: Record, stored: Sequence[DesireRecord]) -> Plan:
    """Stopped before it ever ran: there is nothing to stop, and no place is taken for it."""
    if stored:
        return Plan(Waiting("stopping"), desires=(), status={**record.status, "power": "stopping"})
    return Plan(Ready(), desires=(), allocated=_placeless(record), status={**record.status, "power": "stopped"})


def _placeless(record: Record) -> dict[str, Any]:
    return {k: v for k, v in record.allocated.items() if k not in ("host", "cores", "memoryMiB", HOLDS, "lost")}


def _lost_its_host(record: Record) -> Plan:
    """The place is given up with the host; whether the machine runs again is up to its owner."""
    host, status = record.allocated["host"], {"power": "stopped", "diskNames": record.status.get("diskNames", [])}
    lost = record.with_(allocated={**_placeless(record), "lost": {"host": host, "run": _run(record)}})
    outcome = Failed(_loss(lost)) if record.intent.get("power", "running") == "running" else Ready()
    return Plan(outcome, desires=(), allocated=lost.allocated, status=status)


def _lies_lost(record: Record) -> bool:
    """Whether nobody has asked for the machine to run since its host was lost."""
    return "lost" in record.allocated and record.allocated["lost"]["run"] == _run(record)


def _run(record: Record) -> str:
    return f"{record.intent.get('starts', 0)}/{record.intent.get('restart', 0)}"


def _loss(record: Record) -> LazurError:
    message = (
        f"Host '{record.allocated['lost']['host']}', on which machine '{record.id.name}' ran, was declared lost; what its "
        "guest had not yet written to its disks is gone. Start the machine to run it on another host, or delete it."
    )
    return LazurError("HostLost", message, status=500)


def _not_ready(context: Context, record: Record) -> Plan | None:
    """Disks and interfaces first; their failure is this machine's failure."""
    for reference in context.store.references(record.key):
        needed = context.store.get(context.registry.document_of(ArmId.from_path(reference.target)).key)
        if needed is None:
            error = LazurError("ReferencedResourceNotFound", f"'{reference.target}' is gone.", target=reference.path)
            return Plan(Failed(error))
        if needed.state == FAILED and needed.observed >= needed.generation:
            return Plan(Failed(_failure_of(context, needed, reference.path)))
        if needed.observed == 0 and needed.state != SUCCEEDED:
            return Plan(Waiting(f"waiting for {needed.id.name}"))
    return None


def _failure_of(context: Context, needed: Record, path: str) -> LazurError:
    causes = [LazurError.from_body(dict(d.error)) for d in context.desires(needed) if d.failed and d.error]
    message = f"'{needed.id}' at '{path}' could not be provisioned."
    return LazurError("ReferencedResourceNotProvisioned", message, target=str(needed.id), details=causes)


def _place(context: Context, record: Record) -> dict[str, Any]:
    size = sizes()[record.properties["hardwareProfile"]["vmSize"].lower()]
    capacity, domains = fleet_now(context).capacity, _fault_domains(context, record)
    rooms, members = capacity.rooms(besides=record.key), capacity.members(set_of(record), besides=record.key)
    # A machine that has a place keeps to it when it still fits there: its guest services and probes are there already.
    near = [r for r in rooms if r.host.name == record.allocated.get("host")]
    try:
        host = choose(size, near or rooms, members, domains)
    except LazurError:
        if not near:
            raise
        host = choose(size, rooms, members, domains)
    chosen: dict[str, Any] = {"host": host.name, "cores": size.cores, "memoryMiB": size.memory_mib}
    if set_of(record) is not None:
        chosen["faultDomain"] = host.fault_domain % max(domains, 1)
    return chosen


def _fault_domains(context: Context, record: Record) -> int:
    found = context.store.get(set_of(record) or "")
    return int(found.properties.get("platformFaultDomainCount", 2)) if found else 1


def _seen(context: Context, record: Record, stored: Sequence[DesireRecord]) -> dict[str, Any]:
    """What the host reported last, kept for the instance view."""
    desire = next((d for d in stored if d.wanted.kind == "vm" and not d.removed), None)
    observed = desire.observed if desire else {}
    wanted = "running" if record.intent.get("power", "running") == "running" else "stopped"
    power = observed.get("power") or "starting"
    if power != wanted and desire is not None and desire.reported < desire.generation:
        power = "starting" if wanted == "running" else "stopping"
    profile = record.properties["storageProfile"]
    status: dict[str, Any] = {
        "power": power,
        "guest": observed.get("guest", "Unknown"),
        "guestMessage": observed.get("guestMessage", ""),
        "diskNames": [profile["osDisk"]["name"], *(d["name"] for d in profile.get("dataDisks", []))],
    }
    if observed.get("accelerator"):
        status["accelerator"] = observed["accelerator"]
    if context.stamp.simulated or observed.get("accelerator") == "simulated":
        status["simulated"] = True
    if "faultDomain" in record.allocated:
        status["faultDomain"] = record.allocated["faultDomain"]
    return status


def _without_wait(record: Record) -> dict[str, Any]:
    return {k: v for k, v in record.status.items() if k != "waitingFor"}


def _silence(context: Context, domains: Sequence[str]) -> dict[str, str]:
    """Why nothing happens, when that is because the host does not answer."""
    for host in context.store.list(type=HOSTS):
        if f"host/{host.id.name}" in domains and host.status.get("health") == "Unreachable":
            since = host.status["healthSince"]
            return {"waitingFor": f"host {host.id.name} has not answered since {since}; its operator may declare it lost"}
    return {}


async def dismantle(context: Context, record: Record) -> Plan:
    """Stop it; then the record goes, and with it whatever was to be deleted together with the machine."""
    # What only reads (a capture) is in the way of nothing.
    here = [d.wanted.domain for d in context.desires(record) if d.wanted.kind == "vm"]
    if here:
        return Plan(Waiting("stopping"), desires=(), status={**_without_wait(record), **_silence(context, here)})
    properties = record.properties
    profile = properties["storageProfile"]
    also = [
        d["managedDisk"]["id"].lower()
        for d in (profile["osDisk"], *profile.get("dataDisks", []))
        if d.get("deleteOption") == "Delete"
    ]
    for card in properties["networkProfile"]["networkInterfaces"]:
        if card.get("properties", {}).get("deleteOption") == "Delete":
            also.append(card["id"].lower())
    return Plan(Gone(), desires=(), delete=[k for k in also if not context.stays(k, record.key)])
