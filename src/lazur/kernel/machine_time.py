"""The machine's time for programs that must start before anything else does, without asyncio and its weight.

Must never be used by anything that could take a `Clock`: whatever does cannot be simulated.
"""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds that never go backwards."""
    return time.monotonic()


def stamp() -> str:
    """The wall-clock time in UTC to the second, as `2026-01-01T00:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
