"""Deletes a resource group's resources in the order their references allow, then the group.

Level-driven: each turn marks whatever nothing else needs any more; the feed brings the next turn. Must never force a
deletion past a reference from outside the group.
"""

from __future__ import annotations

from lazur.control.context import Context
from lazur.control.plan import Gone, Plan, Ready, Waiting
from lazur.model.documents import Record


async def reconcile(context: Context, record: Record) -> Plan:
    """A live group is always as wanted."""
    return Plan(Ready())


async def dismantle(context: Context, record: Record) -> Plan:
    """Mark what can go now; done when the group is empty."""
    members = context.store.list(prefix=record.key + "/")
    if not members:
        return Plan(Gone())
    free, stuck = [], []
    for member in members:
        users = {r.source for r in context.store.referrers(member.key) if r.blocking and r.source != member.key}
        if member.deleting:
            continue
        if not users:
            free.append(member.key)
        elif not any(u.startswith(record.key + "/") for u in users):
            stuck.append(f"{member.id.name} is used by {sorted(users)[0]}")
    reason = f"{len(members)} resources are left" + (f"; {'; '.join(stuck)}" if stuck else "")
    return Plan(Waiting(reason, 5.0), delete=free, status={"waitingFor": reason} if stuck else {})
