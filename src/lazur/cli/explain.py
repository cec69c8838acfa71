"""A failure in words for a person at a terminal. Must never leave out a cause or a piece of evidence."""

from __future__ import annotations

from lazur.kernel.errors import LazurError


def explain(error: LazurError) -> str:
    """`error` for a person: what happened, then every cause and piece of evidence indented below it."""
    lines = [f"{error.code}: {error.message}"]
    for cause in error.details:
        lines += [f"  {line}" for line in explain(cause).splitlines()]
    for piece in error.info:
        shown = piece.info if isinstance(piece.info, list) else [piece.info]
        lines += [f"  {piece.type}:", *(f"    {line}" for line in shown)]
    return "\n".join(lines)
