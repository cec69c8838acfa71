"""`memory`: what the platform itself takes of the machine. Needs a rack.

The sum over every process that is no guest of its proportional set size, which counts shared pages once.
"""

from __future__ import annotations

from typing import Any

from bench.pairing import Effort, Figure, Say
from bench.rackside import running

_MIB = 1 << 20
_LIMIT = 1024
_LIMIT_HOSTS = 2


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """No ratio: a sum, held to 1 GiB on a rack of two hosts."""
    status = running().status()
    parts = {c.name: round(c.memory.platform / _MIB, 1) for c in status.containers}
    guests = sum(c.memory.guests for c in status.containers) / _MIB
    total = status.platform_memory / _MIB
    held = len(status.containers) - 2 == _LIMIT_HOSTS
    verdict = f"; goal at most {_LIMIT} MiB with {_LIMIT_HOSTS} hosts: {'met' if total <= _LIMIT else 'missed'}" if held else ""
    shown = ", ".join(f"{name} {size:.0f}" for name, size in parts.items())
    say(f"  {total:.0f} MiB ({shown}); guests {guests:.0f} MiB{verdict}")
    return [], {"platformMiB": round(total, 1), "guestsMiB": round(guests, 1), "containers": parts}
