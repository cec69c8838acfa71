"""Which disks and interfaces a machine's host may have open, and which of those another machine has to wait for.

A document changes at once; the process behind it lets go later, and not at all while its host cannot be asked. So every
machine keeps, in the same commit as its desire, the devices its host may have open (`holds` among what was allocated): it
grows with every wish and shrinks only with the host's answer to the present one. Once a document names a device no more,
its machine's holds can only lose it; therefore whoever sees no holder may take it. Pure but for reading documents.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lazur.control.context import Context
from lazur.model.documents import DesireRecord, Record
from lazur.providers.compute.virtual_machines.fleet import HOLDS, fleet_now


def devices(payload: Mapping[str, Any]) -> set[str]:
    """Uids of the disks and interfaces a machine's desire names."""
    return {d["uid"] for d in payload["disks"]} | {n["uid"] for n in payload["nics"]}


def still_held(record: Record, machines: Sequence[DesireRecord]) -> set[str]:
    """What the hosts of `machines`, all desires of kind `vm` that `record` has, may have open."""
    held: set[str] = set()
    for desire in machines:
        open_now = desire.observed.get("disks") if desire.reported == desire.generation else None
        # A desire being removed is answered by its disappearance, a failed step by nothing that could be relied on.
        unknown = desire.removed or open_now is None
        held |= devices(desire.wanted.payload) | set(record.allocated.get(HOLDS, ()) if unknown else open_now or ())
    return held


def held_elsewhere(context: Context, record: Record, wanted: Collection[str]) -> Mapping[str, Record]:
    """Device -> the machine whose host may still have it open, for those of `wanted` that are not free."""
    found: dict[str, Record] = {}
    for device in wanted:
        holder = fleet_now(context).holder(device)
        other = context.store.get(holder) if holder not in (None, record.key) else None
        if other is not None:
            found[device] = other
    return found


def without(payload: dict[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """The payload of a machine that goes on, or stops, without the data disks it cannot have yet."""
    return {**payload, "disks": [d for d in payload["disks"] if d["role"] == "os" or d["uid"] not in taken]}
