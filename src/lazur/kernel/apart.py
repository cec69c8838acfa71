"""One thread for work of a second or so that only computes, so that whoever waits for an answer waits for no such work.

There is one, so that much of it holds up itself and nobody else. Must never be given work that waits, or that shares what it
changes with anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")

LARGE = 32 * 1024
"""Bytes that are read at once; what is larger is read apart."""
_thread = ThreadPoolExecutor(1, "apart")


async def apart(work: Callable[[], R]) -> R:
    """What `work` comes to."""
    return await asyncio.get_running_loop().run_in_executor(_thread, work)
