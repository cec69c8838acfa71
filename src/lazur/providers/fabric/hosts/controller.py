"""Host -> its part in the overlay, what is known of it, and the fence around one that its operator declared lost.

A silent agent proves nothing: its guests may run and write. So silence is only shown. Declared lost, a host's desires are
given up (`Context.lost`): its machines may go elsewhere or be deleted, and the overlay's gateways leave it. The removals stay
in the store until the host comes back, takes away what they name before it does anything else, and says so; then it is a
host again. Must never take a machine down itself: that is its owner's decision, or a later migration's.
"""

from __future__ import annotations

from typing import Any

from lazur.control.context import LOST_DOMAINS, Context
from lazur.control.plan import Gone, Plan, Ready, Waiting
from lazur.kernel.clock import rfc3339
from lazur.model.documents import Document, Record, Wanted

_MACHINES = "microsoft.compute/virtualmachines"
_LOOK_AGAIN = 5.0
_LISTEN_AGAIN = 30.0
SILENT_SECONDS = 75.0
"""An executor's question may stay open for 30 seconds; two of them unheard are a silence."""


async def reconcile(context: Context, record: Record) -> Plan:
    """Show whether it answers; raise the fence when it is declared lost, and take it down when it has come back clean."""
    domain = f"host/{record.id.name}"
    declared = record.intent.get("lost", 0)
    known = context.store.document(LOST_DOMAINS)
    fence: dict[str, Any] = dict(known.content or {})
    if declared > record.allocated.get("returned", 0):
        if domain not in fence:
            fence[domain] = {"declared": declared, "since": rfc3339(context.clock.now())}
            status = {"health": "Lost", "healthSince": fence[domain]["since"]}
            guard = Document(LOST_DOMAINS, known.version, fence)
            return Plan(Ready(_LOOK_AGAIN), desires=(), status=status, guard=guard, wake=_machines(context, record))
        if not _came_back(context, domain, fence[domain]["since"]):
            return Plan(Ready(_LOOK_AGAIN), wake=_machines(context, record))
        del fence[domain]
        guard = Document(LOST_DOMAINS, known.version, fence)
        returned = {**record.allocated, "returned": declared}
        return Plan(Ready(_LISTEN_AGAIN), desires=_part(record), status={}, allocated=returned, guard=guard)
    known_silent = record.status.get("health") == "Unreachable"
    # A control plane that has just begun to listen goes on saying what was said before.
    heard = context.presence.seen(domain) is not None or not known_silent
    part = _part(record)
    if context.presence.silent(domain) < SILENT_SECONDS and heard:
        return Plan(Ready(_LISTEN_AGAIN), part, status={}, wake=_machines(context, record) if known_silent else ())
    if known_silent:
        return Plan(Ready(_LISTEN_AGAIN), part)
    status = {"health": "Unreachable", "healthSince": rfc3339(context.clock.now())}
    return Plan(Ready(_LISTEN_AGAIN), part, status=status, wake=_machines(context, record))


def _part(record: Record) -> list[Wanted]:
    """Its part in the overlay, where it may serve gateways. Nobody waits for it: a host is one before its network is up."""
    return [Wanted("network/main", "host", record.uid, {"uid": record.uid, "name": record.id.name})]


def _came_back(context: Context, domain: str, since: str) -> bool:
    """It has answered since it was declared lost, and nothing of what it was to take away is left."""
    seen = context.presence.seen(domain)
    return seen is not None and rfc3339(seen) > since and not context.store.domain(domain, 0)[1]


def _machines(context: Context, record: Record) -> list[str]:
    """Keys of the machines that have their place here."""
    return [m.key for m in context.store.list(type=_MACHINES) if m.allocated.get("host") == record.id.name]


async def dismantle(context: Context, record: Record) -> Plan:
    """Wait for the last machine to leave, for the host to have taken away what was here, unless it is lost, and for the
    overlay to have let it go."""
    domain, reason = f"host/{record.id.name}", ""
    machines = _machines(context, record)
    if machines:
        names = ", ".join(k.rpartition("/")[2] for k in machines[:5])
        reason = f"{len(machines)} machines still have their place here: {names}"
    elif not context.lost(domain) and context.store.domain(domain, 0)[1]:
        reason = "the host has not yet taken away what was here; switched off for good, it can be declared lost"
    elif context.desires(record):
        reason = "the overlay still has it as a member"
    if reason:
        # While its machines are here, so may be the gateways that serve them.
        desires = None if machines else ()
        return Plan(Waiting(reason, _LOOK_AGAIN), desires, status={**record.status, "waitingFor": reason}, wake=machines)
    known = context.store.document(LOST_DOMAINS)
    fence = {d: said for d, said in (known.content or {}).items() if d != domain}
    # Should the server come back after all, nothing is wanted of it any more: its executor takes away what it holds.
    guard = Document(LOST_DOMAINS, known.version, fence) if context.lost(domain) else None
    return Plan(Gone(), guard=guard, abandoned=domain)
