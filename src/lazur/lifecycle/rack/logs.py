"""The logs of the rack's services, merged by time. Must never keep a file open longer than it takes to read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lazur.kernel.errors import LazurError
from lazur.lifecycle.rack import layout

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"(\d+)([smhd])")
# OVS and the supervisor write 2026-01-01T00:00:00.000Z, FRR 2026/01/01 00:00:00; both in UTC inside the containers.
_STAMP = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d{1,6})?")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Line:
    """One line of a log; one without a time of its own has that of the line before it."""

    time: datetime
    source: str
    """`<container>/<service>`."""
    number: int
    text: str


def since(text: str, now: datetime) -> datetime:
    """The moment `text` means: `10m` (s, m, h, d) ago, or an ISO 8601 time, UTC where it names no zone."""
    if ago := _AGO.fullmatch(text):
        return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LazurError("InvalidTime", f"'{text}' is neither an age such as 10m or 2h nor an ISO 8601 time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def lines(paths: layout.Paths, containers: Iterable[str], role: str | None, after: datetime | None) -> list[Line]:
    """Lines of `role` (a container, a service, or `<container>/<service>`; None: all) later than `after`, in order."""
    found: list[Line] = []
    sources = []
    for container in containers:
        for log in sorted(paths.logs(container).glob("*.log")):
            source = f"{container}/{log.stem}"
            sources.append(source)
            if role is None or role in (container, log.stem, source):
                found += (line for line in _read(log, source) if after is None or line.time > after)
    if role is not None and not any(role in (s, *s.split("/")) for s in sources):
        raise LazurError("NoSuchLog", f"There is no log of {role}; there are {', '.join(sources) or 'none yet'}.", status=404)
    return sorted(found)


def _read(log: Path, source: str) -> Iterator[Line]:
    time = _LONG_AGO
    older = sorted(log.parent.glob(f"{log.name}.*"), reverse=True)
    texts = (text for part in (*older, log) for text in part.read_text(errors="replace").splitlines())
    for number, text in enumerate(texts):
        time = _time_of(text) or time
        yield Line(time, source, number, text)


def _time_of(text: str) -> datetime | None:
    stamp = _STAMP.match(text)
    if stamp is None and text.startswith("{"):
        try:
            stamp = _STAMP.match(str(json.loads(text).get("timestamp", "")))
        except ValueError:
            return None
    if stamp is None:
        return None
    year, month, day, hour, minute, second, fraction = stamp.groups()
    try:
        return datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second}{fraction or ''}+00:00")
    except ValueError:
        return None  # looks like a time, is none
