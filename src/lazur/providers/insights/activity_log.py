"""The activity log of a subscription: who changed what, when, and what came of it.

Must never show what happened in another subscription than the one that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from lazur.api.message import Request
from lazur.api.pipeline import Pipeline
from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Event

_PAGE = 200
_KEPT = timedelta(days=90)
_TERM = re.compile(r"\s*(\w+)\s+(eq|ge|le)\s+'?([^']*?)'?\s*", re.IGNORECASE)

_FIELDS: Mapping[str, Callable[[Event], str]] = {
    "resourcegroupname": lambda e: e.group,
    "resourceuri": lambda e: e.key,
    "resourceid": lambda e: e.key,
    "resourceprovider": lambda e: e.type.partition("/")[0],
    "resourcetype": lambda e: e.type,
    "correlationid": lambda e: e.correlation,
    "caller": lambda e: e.caller,
    "status": lambda e: e.status,
    "levels": lambda e: e.level,
    "operations": lambda e: e.action,
    "eventchannels": lambda _: "Operation",
}


def activity_log(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`eventtypes/management/values`: newest first, with `$filter`, `$select` and paging."""
    since, until, wanted = _asked(pipeline, request.query.get("$filter", ""))
    after = _after(request.query.get("$skiptoken", ""))
    chosen: list[Event] = []
    while len(chosen) <= _PAGE:
        found = pipeline.store.events((request.scope.subscription or "").lower(), since, until, _PAGE, after)
        chosen += [e for e in found if all(_FIELDS[n](e).lower() == v for n, v in wanted.items())]
        if len(found) < _PAGE:
            break
        after = (found[-1].time, found[-1].id)
    names = {n.strip() for n in request.query.get("$select", "").split(",") if n.strip()}
    shown = [_shown(pipeline, e) for e in chosen[:_PAGE]]
    out: dict[str, Any] = {"value": [{k: v for k, v in s.items() if not names or k in names} for s in shown]}
    if len(chosen) > _PAGE:
        last = chosen[_PAGE - 1]
        rest = {**request.query, "$skiptoken": f"{last.time.isoformat()}|{last.id}"}
        out["nextLink"] = f"{pipeline.stamp.url(quote(request.path))}?{urlencode(rest, quote_via=quote)}"
    return out


def event_categories(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """Administrative events are the only ones there are."""
    return {"value": [{"value": "Administrative", "localizedValue": "Administrative"}]}


def _asked(pipeline: Pipeline, text: str) -> tuple[datetime, datetime, dict[str, str]]:
    """From when, until when, and what fields must be; raises for a filter that is not understood."""
    now = pipeline.clock.now()
    since, until, wanted = now - _KEPT, now, {}
    for part in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE) if text.strip() else ():
        match = _TERM.fullmatch(part)
        name = match[1].lower() if match else ""
        if match and name == "eventtimestamp" and match[2].lower() != "eq":
            moment = _moment(match[3])
            since, until = (moment, until) if match[2].lower() == "ge" else (since, moment)
        elif match and name in _FIELDS and match[2].lower() == "eq":
            wanted[name] = match[3].lower().rstrip("/")
        else:
            known = "eventTimestamp ge or le, or eq of one of " + ", ".join(_FIELDS)
            message = f"The filter '{part[:80]}' is not supported. Use terms joined by 'and': {known}."
            raise LazurError("BadRequest", message, target="$filter")
    return since, until, wanted


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise LazurError("BadRequest", f"'{text[:60]}' is not a time.", target="$filter") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _after(token: str) -> tuple[datetime, str] | None:
    moment, _, id = token.partition("|")
    return (_moment(moment), id) if token else None


def _shown(pipeline: Pipeline, event: Event) -> dict[str, Any]:
    id = event.path or event.key
    ticks = int(event.time.timestamp() * 10_000_000) + 621_355_968_000_000_000
    begun = event.status in ("Accepted", "Started")
    return {
        "authorization": {"action": event.action, "scope": id},
        "caller": event.caller,
        "channels": "Operation",
        "claims": dict(event.claims),
        "correlationId": event.correlation,
        "description": "",
        "eventDataId": event.id,
        "eventName": _named("BeginRequest" if begun else "EndRequest"),
        "category": _named("Administrative"),
        "eventTimestamp": rfc3339(event.time),
        "id": f"{id}/events/{event.id}/ticks/{ticks}",
        "level": event.level,
        "operationId": event.correlation,
        "operationName": _named(event.action),
        "properties": dict(event.properties),
        "httpRequest": {"method": event.method},
        "resourceGroupName": event.group,
        "resourceId": id,
        "resourceProviderName": _named(event.type.partition("/")[0]),
        "resourceType": _named(event.type),
        "status": _named(event.status),
        "subStatus": _named(event.sub_status),
        "submissionTimestamp": rfc3339(event.time),
        "subscriptionId": event.subscription,
        "tenantId": pipeline.authority.tenant_of(ArmId(event.subscription)),
    }


def _named(text: str) -> dict[str, str]:
    return {"value": text, "localizedValue": text}
