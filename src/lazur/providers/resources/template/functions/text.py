"""format: .NET's composite formatting, `{index[,alignment][:format]}`."""

from __future__ import annotations

import re
from typing import Any

from lazur.providers.resources.template.faults import MAX_STRING
from lazur.providers.resources.template.frame import Frame
from lazur.providers.resources.template.functions import dotnet_numbers
from lazur.providers.resources.template.functions.registry import fault, function, text
from lazur.providers.resources.template.values import is_number, text_of

_ITEM = re.compile(r"\{\{|\}\}|\{\s*(\d{1,7})\s*(?:,\s*(-?\d{1,7})\s*)?(?::((?:[^{}]|\{\{|\}\})*))?\}|[{}]")


@function("format", 1, None, deep=True)
def composite(frame: Frame, args: list[Any]) -> Any:
    """The first argument with its items replaced; objects and arrays appear as JSON in single quotes."""
    form = text("format", args[0])
    values = args[1:]
    total = 0

    def item(match: re.Match[str]) -> str:
        nonlocal total
        found = match.group()
        if found in ("{{", "}}"):
            return found[0]
        if match.group(1) is None:
            raise fault("format", "the input string was not in a correct format: a brace is not closed or not doubled")
        index = int(match.group(1))
        if index >= len(values):
            raise fault(
                "format",
                "the index (zero based) must be greater than or equal to zero and less than the size of the "
                f"argument list, not '{index}'",
            )
        width = int(match.group(2) or 0)
        written = _one(values[index], match.group(3) or "")
        total += max(len(written), abs(width))
        if total > MAX_STRING:
            raise fault("format", f"the result is longer than {MAX_STRING} characters")
        return written.ljust(-width) if width < 0 else written.rjust(width)

    return _ITEM.sub(item, form)


def _one(value: Any, form: str) -> str:
    if is_number(value) and form:
        try:
            return dotnet_numbers.write(value, form.replace("{{", "{").replace("}}", "}"))
        except dotnet_numbers.BadFormat as e:
            raise fault("format", f"an item has no valid format of a number: {e}") from None
    if isinstance(value, dict | list):
        return text_of(value).replace('"', "'")
    return text_of(value)
