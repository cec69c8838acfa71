"""A host leaves only when nothing runs on it any more; from the moment of the wish it gets no new machines.

Must never take a machine down itself: that is its owner's decision, or a later migration's.
"""

from __future__ import annotations

from lazur.control.context import Context
from lazur.control.plan import Gone, Plan, Ready, Waiting
from lazur.model.documents import Record

_MACHINES = "microsoft.compute/virtualmachines"
_LOOK_AGAIN = 5.0


async def reconcile(context: Context, record: Record) -> Plan:
    """A host is what its operator says it is."""
    return Plan(Ready())


async def dismantle(context: Context, record: Record) -> Plan:
    """Wait for the last machine to leave."""
    here = [m.id.name for m in context.store.list(type=_MACHINES) if m.allocated.get("host") == record.id.name]
    if here:
        reason = f"{len(here)} machines still have their place here: {', '.join(here[:5])}"
        return Plan(Waiting(reason, _LOOK_AGAIN), status={"waitingFor": reason})
    return Plan(Gone())
