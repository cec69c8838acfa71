"""What the activity log says of a change: made in the same transaction as the change, by whoever accepts or ends it. Pure."""

from __future__ import annotations

from datetime import datetime

from lazur.kernel.ids import derived
from lazur.model.documents import FAILED, Event, Record
from lazur.model.rights import Caller

_WORDS = {200: "OK", 201: "Created", 202: "Accepted", 204: "NoContent", 409: "Conflict"}


def event(record: Record, caller: Caller, action: str, method: str, status: str, now: datetime, code: int) -> Event:
    """That `caller` did, or began, `action` on `record`; `code` is the HTTP status it is told with."""
    claims = {
        "http://schemas.microsoft.com/identity/claims/objectidentifier": caller.object_id,
        "http://schemas.microsoft.com/identity/claims/tenantid": caller.tenant,
        "appid": caller.app_id,
        "name": caller.name,
    }
    return Event(
        derived(record.uid, record.key, str(record.version), action, status), now, caller.correlation,
        (record.id.subscription or "").lower(), record.id.group or "", record.key, record.id.type, action,
        caller.name, caller.object_id, {k: v for k, v in claims.items() if v}, status, _WORDS.get(code, str(code)),
        "Error" if status == FAILED else "Informational", method, str(record.id),
    )  # fmt: skip
