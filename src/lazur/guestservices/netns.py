"""Entering a network namespace for the length of a `with` block, on Pythons with and without `os.setns`.

A socket belongs for ever to the namespace it was made in, so a block of two system calls is enough to hand the event
loop sockets of any namespace. Must never await inside the block: another task would run in the wrong namespace.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(namespace: Path) -> Iterator[None]:
    """Run the block with this thread in the network namespace bound to `namespace`.

    `OSError` when there is none there (`EINVAL` for a file that is no namespace). A thread that cannot go back ends the
    process: its supervisor starts it anew, in the right namespace.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            try:
                _setns(home)
            except OSError:
                os._exit(70)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
