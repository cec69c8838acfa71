"""Values as compact JSON text, as fast as it can be had: every write and every answer pays for it."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_json

# One encoder for all: `json.dumps` with options makes a new one each time.
_slowly = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def compact(value: Any) -> str:
    """`value` as JSON, in the order it has."""
    try:
        return to_json(value).decode()
    except ValueError:
        # Nested deeper than pydantic goes, or no JSON at all: Python's own encoder, at six times the price, takes or tells it.
        return _slowly(value)
