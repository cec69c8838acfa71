"""Records and operations to JSON and back. Must never lose a field: a round trip gives an equal document."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache

from lazur.kernel.compact import compact
from lazur.model.armid import ArmId
from lazur.model.documents import Event, Operation, Record

# Longer documents (deployments) are read seldom and would fill the memory of the rest.
_LONGEST = 16 * 1024
_MOMENTS = ("created", "changed")


# With sorted keys, so that equal documents are equal texts; what is never compared as text needs no order.
dumps = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode


def record_text(record: Record) -> str:
    """The stored form of a resource."""
    moments = {name: getattr(record, name).isoformat() for name in _MOMENTS}
    return compact({**vars(record), "id": record.id.path, **moments})


def record_from(text: str) -> Record:
    """The resource of a stored form. What it holds is shared by all who read the same text: copy before changing it."""
    return _remembered(text) if len(text) <= _LONGEST else _record_from(text)


def _record_from(text: str) -> Record:
    fields = json.loads(text)
    fields["id"] = ArmId.from_path(fields["id"])
    for name in _MOMENTS:
        fields[name] = datetime.fromisoformat(fields[name])
    return Record(**fields)


# Keyed by the stored text itself, so it can never be stale: the store is asked every time, only the reading is saved.
_remembered = lru_cache(maxsize=2048)(_record_from)


def operation_text(operation: Operation) -> str:
    """The stored form of an operation."""
    fields = dict(vars(operation))
    fields["started"] = operation.started.isoformat()
    fields["ended"] = operation.ended.isoformat() if operation.ended else None
    return compact(fields)


def operation_from(text: str) -> Operation:
    """The operation of a stored form."""
    fields = json.loads(text)
    fields["started"] = datetime.fromisoformat(fields["started"])
    fields["ended"] = datetime.fromisoformat(fields["ended"]) if fields["ended"] else None
    # Stored before operations lost it; no operation ever gave one.
    fields.pop("output", None)
    return Operation(**fields)


def event_text(event: Event) -> str:
    """The stored form of an event."""
    return compact({**vars(event), "time": moment_text(event.time)})


def event_from(text: str) -> Event:
    """The event of a stored form."""
    fields = json.loads(text)
    fields["time"] = datetime.fromisoformat(fields["time"])
    return Event(**fields)


def moment_text(moment: datetime) -> str:
    """A moment as text that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
