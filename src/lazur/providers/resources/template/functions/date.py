"""dateTimeAdd, dateTimeFromEpoch, dateTimeToEpoch, utcNow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from lazur.providers.resources.template.frame import Frame, Phase
from lazur.providers.resources.template.functions import dotnet_dates
from lazur.providers.resources.template.functions.registry import fault, function, text, whole

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(name: str, value: Any) -> datetime:
    found = dotnet_dates.read(text(name, value))
    if found is None:
        raise fault(name, "argument 1 is no ISO 8601 time")
    return found


def _written(name: str, value: datetime, form: str) -> str:
    written = dotnet_dates.write(value, form)
    if written is None:
        raise fault(name, "the format is none that .NET has for a time")
    return written


@function("dateTimeAdd", 2, 3, cost=20)
def add(frame: Frame, args: list[Any]) -> Any:
    """A time plus a duration; a year is 365 days and a month 30, as in Azure."""
    base = _time("dateTimeAdd", args[0])
    duration = dotnet_dates.read_duration(text("dateTimeAdd", args[1], 2))
    if duration is None:
        raise fault("dateTimeAdd", "argument 2 is no ISO 8601 duration")
    try:
        result = base + duration
    except OverflowError:
        raise fault("dateTimeAdd", "the result is no time .NET can hold") from None
    if len(args) == 2 or args[2] is None:
        return dotnet_dates.iso(result)
    return _written("dateTimeAdd", result, text("dateTimeAdd", args[2], 3))


@function("dateTimeFromEpoch", 1, cost=20)
def from_epoch(frame: Frame, args: list[Any]) -> Any:
    """The time so many seconds after 1970."""
    try:
        return dotnet_dates.iso(_EPOCH + timedelta(seconds=whole("dateTimeFromEpoch", args[0])))
    except OverflowError:
        raise fault("dateTimeFromEpoch", f"'{args[0]}' seconds is no time .NET can hold") from None


@function("dateTimeToEpoch", 1, cost=20)
def to_epoch(frame: Frame, args: list[Any]) -> Any:
    """Whole seconds since 1970."""
    return int((_time("dateTimeToEpoch", args[0]) - _EPOCH).total_seconds() // 1)


@function("utcNow", 0, 1, cost=20)
def utc_now(frame: Frame, args: list[Any]) -> Any:
    """The time of the deployment, `yyyyMMddTHHmmssZ` by default; only in the default value of a parameter."""
    frame.only("utcNow", Phase.DEFAULT)
    form = text("utcNow", args[0]) if args else ""
    return _written("utcNow", frame.scope.context.utcnow.astimezone(UTC), form or "yyyyMMdd'T'HHmmss'Z'")
