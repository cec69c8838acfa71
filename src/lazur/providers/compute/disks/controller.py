"""Disk -> one desire of the storage domain. What it is copied from is in the way of nothing once the copy is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Plan, Ready, outcome_of
from lazur.model.documents import Record, Wanted


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the volume with its size."""
    payload = {
        "uid": record.uid,
        "path": f"{record.uid}.qcow2",
        "sizeBytes": record.allocated["sizeBytes"],
        "source": record.allocated["source"],
    }
    wanted = [Wanted("storage/main", "disk", record.uid, payload)]
    outcome = outcome_of(context.desires(record), wanted)
    held = context.store.references(record.key)
    done = isinstance(outcome, Ready) and any(r.blocking for r in held)
    released = [replace(r, blocking=False) for r in held] if done else None
    return Plan(outcome, desires=wanted, references=released, status=_holder(context, record))


def _holder(context: Context, record: Record) -> dict[str, Any]:
    """The machine it is attached to, and whether that is deallocated, for whoever wants to grow it."""
    machine = next(iter(context.sources(record, "Microsoft.Compute/virtualMachines").values()), None)
    if machine is None:
        return {}
    boots = machine.properties["storageProfile"]["osDisk"].get("managedDisk", {}).get("id", "").lower() == record.key
    idle = machine.status.get("power") == "deallocated"
    return {"machine": machine.id.name, "role": "os" if boots else "data", "idle": idle}
