"""Times as .NET's invariant culture writes and reads them, and ISO 8601 durations as .NET's XML reader does.

Azure's date functions show .NET's habits: a year is 365 days and a month 30 (Azure/bicep issues 8188, 11804, 12853), and
`utcNow('d')` is `03/05/2019`, the invariant culture. Fractions are kept to microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "m": "MMMM dd",
    "M": "MMMM dd",
    "o": "yyyy'-'MM'-'dd'T'HH':'mm':'ss'.'fffffff'Z'",
    "O": "yyyy'-'MM'-'dd'T'HH':'mm':'ss'.'fffffff'Z'",
    "r": "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'",
    "s": "yyyy'-'MM'-'dd'T'HH':'mm':'ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy'-'MM'-'dd HH':'mm':'ss'Z'",
    "U": "dddd, dd MMMM yyyy HH:mm:ss",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
}
_PIECE = re.compile(r"'([^']*)'|\"([^\"]*)\"|\\(.)|%|([dfFghHKmMstyz])\4*|(.)", re.DOTALL)
_DATE = re.compile(
    r"\s*(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?\s*",
    re.IGNORECASE,
)
_DURATION = re.compile(
    r"\s*([+-])?P(?=\d|T\d)(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,8})D)?"
    r"(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12}(?:\.\d{1,9})?)S)?)?\s*"
)


def read(text: str) -> datetime | None:
    """The time an ISO 8601 text stands for, in UTC (assumed where none is said), or None."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        value = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]), tzinfo=_zone(zone),
        )  # fmt: skip
        return value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def read_duration(text: str) -> timedelta | None:
    """The length of an ISO 8601 duration such as `-P9D` or `PT1H30M`, or None."""
    match = _DURATION.fullmatch(text)
    if match is None or text.rstrip().endswith("T"):
        return None
    sign, years, months, weeks, days, hours, minutes, seconds = match.groups()
    try:
        length = timedelta(
            days=int(years or 0) * 365 + int(months or 0) * 30 + int(weeks or 0) * 7 + int(days or 0),
            hours=int(hours or 0),
            minutes=int(minutes or 0),
            seconds=float(seconds or 0),
        )
    except OverflowError:
        return None
    return -length if sign == "-" else length


def iso(value: datetime) -> str:
    """A time as JSON carries it: `2023-05-02T15:16:13Z`, with a fraction when there is one."""
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    return f"{value:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + fraction + "Z"


def write(value: datetime, form: str) -> str | None:
    """A time in a standard or custom format of .NET; None when the format is none."""
    if len(form) == 1:
        if form not in _STANDARD:
            return None
        form = _STANDARD[form]
    out: list[str] = []
    for match in _PIECE.finditer(form):
        quoted, double, escaped, letter, other = match.groups()
        if letter:
            out.append(_CUSTOM[letter](value, len(match.group())))
        elif other in ("'", '"', "\\"):
            return None
        else:
            out.append(quoted or double or escaped or other or "")
    return "".join(out)


def _day(value: datetime, count: int) -> str:
    if count <= 2:
        return f"{value.day:0{count}d}"
    name = _DAYS[value.weekday()]
    return name[:3] if count == 3 else name


def _month(value: datetime, count: int) -> str:
    if count <= 2:
        return f"{value.month:0{count}d}"
    name = _MONTHS[value.month - 1]
    return name[:3] if count == 3 else name


def _year(value: datetime, count: int) -> str:
    if count <= 2:
        return f"{value.year % 100:0{count}d}"
    return f"{value.year:0{count}d}"


def _fraction(value: datetime, count: int) -> str:
    return f"{value.microsecond:06d}".ljust(7, "0")[: min(count, 7)]


def _shortened(value: datetime, count: int) -> str:
    return _fraction(value, count).rstrip("0")


def _hour12(value: datetime, count: int) -> str:
    return f"{(value.hour + 11) % 12 + 1:0{min(count, 2)}d}"


def _half(value: datetime, count: int) -> str:
    name = "AM" if value.hour < 12 else "PM"
    return name[:1] if count == 1 else name


def _offset(value: datetime, count: int) -> str:
    return ("+0", "+00", "+00:00")[min(count, 3) - 1]


_CUSTOM: dict[str, Callable[[datetime, int], str]] = {
    "d": _day,
    "M": _month,
    "y": _year,
    "f": _fraction,
    "F": _shortened,
    "g": lambda value, count: "A.D.",
    "h": _hour12,
    "H": lambda value, count: f"{value.hour:0{min(count, 2)}d}",
    "m": lambda value, count: f"{value.minute:0{min(count, 2)}d}",
    "s": lambda value, count: f"{value.second:0{min(count, 2)}d}",
    "t": _half,
    "z": _offset,
    "K": lambda value, count: "Z" * count,
}
