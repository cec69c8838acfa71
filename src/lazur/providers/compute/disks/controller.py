"""Disk -> one desire of the storage domain."""

from __future__ import annotations

from lazur.control.context import Context
from lazur.control.plan import Plan, outcome_of
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
    return Plan(outcome_of(context.desires(record), wanted), desires=wanted)
