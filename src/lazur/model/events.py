"""What the activity log says of a change: made in the same transaction as the change, by whoever accepts or ends it. Pure."""

from __future__ import annotations

import json
from datetime import datetime

from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import FAILED, Event, Record
from lazur.model.rights import Caller

_WORDS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "NoContent", 400: "BadRequest", 403: "Forbidden", 404: "NotFound",
    409: "Conflict", 412: "PreconditionFailed",
}  # fmt: skip


def event(record: Record, caller: Caller, action: str, method: str, status: str, now: datetime, code: int) -> Event:
    """That `caller` did, or began, `action` on `record`; `code` is the HTTP status it is told with."""
    return Event(
        derived(record.uid, record.key, str(record.version), action, status), now, caller.correlation,
        (record.id.subscription or "").lower(), record.id.group or "", record.key, record.id.type, action,
        caller.name, caller.object_id, _claims(caller), status, _WORDS.get(code, str(code)),
        "Error" if status == FAILED else "Informational", method, str(record.id),
    )  # fmt: skip


def refused(id: ArmId, caller: Caller, action: str, method: str, error: LazurError, now: datetime, event_id: str) -> Event:
    """That `caller` was refused `action` on `id`: by which error, without its message, which may quote what was sent."""
    word = _WORDS.get(error.status, str(error.status))
    said = {"statusCode": word, "statusMessage": json.dumps({"error": {"code": error.code}})}
    return Event(
        event_id, now, caller.correlation, (id.subscription or "").lower(), id.group or "", id.key, id.type, action,
        caller.name, caller.object_id, _claims(caller), FAILED, word, "Error", method, str(id), said,
    )  # fmt: skip


def _claims(caller: Caller) -> dict[str, str]:
    """What of the caller's token is shown."""
    claims = {
        "http://schemas.microsoft.com/identity/claims/objectidentifier": caller.object_id,
        "http://schemas.microsoft.com/identity/claims/tenantid": caller.tenant,
        "appid": caller.app_id,
        "name": caller.name,
    }
    return {k: v for k, v in claims.items() if v}
