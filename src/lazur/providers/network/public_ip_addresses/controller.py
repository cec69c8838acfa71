"""Public IP address -> one desire of the network domain when it has a name, so that guests can resolve it."""

from __future__ import annotations

from lazur.control.context import Context
from lazur.control.plan import Plan, outcome_of
from lazur.model.documents import Record, Wanted


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the name; the address itself becomes real with whoever uses it."""
    wanted: list[Wanted] = []
    if "fqdn" in record.allocated:
        payload = {
            "id": record.key, "uid": record.uid, "name": record.allocated["fqdn"], "address": record.allocated["address"],
        }  # fmt: skip
        wanted = [Wanted("network/main", "name", record.uid, payload)]
    return Plan(outcome_of(context.desires(record), wanted), desires=wanted)
