"""Hosts and machines as placement needs them, counted once and then kept in step with the store.

Reading every machine for every choice would cost what the fleet costs. So the fleet follows the change feed: before each
look it is brought to the position the store is at now, by reading again just what changed since. It is a view, not a
memory: a choice made with it is as good as one made from the documents, and guarded like that. Must never be looked at
without `fleet_now`.
"""

from __future__ import annotations

from collections.abc import Collection
from weakref import WeakKeyDictionary

from lazur.control.context import Context
from lazur.model.documents import Record
from lazur.providers.compute.virtual_machines.placement import Capacity, Host, Placed
from lazur.store.interface import Store

HOLDS = "holds"
HOSTS = "microsoft.fabric.admin/hosts"
MACHINES = "microsoft.compute/virtualmachines"

_DRAINING = "it is draining and takes no new machines"
_SILENT = {"Unreachable": "it does not answer", "Lost": "it was declared lost"}


class Fleet:
    """All hosts, what is taken of them, and which devices their processes may have open."""

    def __init__(self, context: Context) -> None:
        """The fleet as the store has it."""
        self._holders: dict[str, str] = {}
        self._holds: dict[str, Collection[str]] = {}
        self.capacity = Capacity()
        self._position = context.store.position()
        for type in (HOSTS, MACHINES):
            for record in context.store.list(type=type):
                self._take(context, record.key, record)

    def holder(self, device: str) -> str | None:
        """Key of the machine whose host may have the device open."""
        return self._holders.get(device)

    def follow(self, context: Context) -> bool:
        """Come to where the store is; False when the feed no longer tells what happened since the last look."""
        while self._position < context.store.position():
            entries = context.store.feed(self._position)
            if not entries or entries[0].sequence != self._position + 1:
                return False
            for key in dict.fromkeys(e.key for e in entries if e.what == "resource"):
                if HOSTS in key or MACHINES in key:
                    self._take(context, key, context.store.get(key))
            self._position = entries[-1].sequence
        return True

    def _take(self, context: Context, key: str, record: Record | None) -> None:
        """Count what the resource `key` is now; None: gone."""
        if HOSTS in key:
            self.capacity.host(key.rpartition("/")[2], _host(context, record) if record is not None else None)
            return
        self.capacity.machine(key, _placed(record) if record is not None else None)
        for device in self._holds.pop(key, ()):
            if self._holders.get(device) == key:
                del self._holders[device]
        if record is not None and HOLDS in record.allocated:
            self._holds[key] = record.allocated[HOLDS]
            self._holders |= dict.fromkeys(self._holds[key], key)


_fleets: WeakKeyDictionary[Store, Fleet] = WeakKeyDictionary()


def fleet_now(context: Context) -> Fleet:
    """The fleet at this moment; to be asked anew after every wait."""
    fleet = _fleets.get(context.store)
    if fleet is None or not fleet.follow(context):
        fleet = _fleets[context.store] = Fleet(context)
    return fleet


def set_of(machine: Record) -> str | None:
    """Key of the availability set the machine belongs to."""
    found = machine.properties.get("availabilitySet")
    return found["id"].lower() if found else None


def _host(context: Context, record: Record) -> Host:
    said, stamp = record.properties, context.stamp
    drains = said.get("state", "Available") != "Available" or record.deleting
    return Host(
        record.id.name,
        said.get("faultDomain", 0),
        int(said["cores"] * stamp.overcommit_cpu),
        int(said["memoryMiB"] * stamp.overcommit_memory),
        _DRAINING if drains else _SILENT.get(record.status.get("health", ""), ""),
    )


def _placed(machine: Record) -> Placed | None:
    held = machine.allocated
    return Placed(held["host"], held["cores"], held["memoryMiB"], set_of(machine)) if held.get("host") else None
