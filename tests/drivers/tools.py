"""The host image's own QEMU, run in place without a chroot, and the tiny image; skips loudly where they cannot be had."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lazur.kernel.errors import LazurError
from lazur.lifecycle.guest_image import ensure_tiny_image
from lazur.lifecycle.host_image import ensure_host_image

CACHE = Path(os.environ.get("LAZUR_CACHE", "/var/cache/lazur"))


@functools.cache
def host_image() -> Path:
    """The host image's root."""
    if os.geteuid() != 0:
        pytest.skip("SKIPPED REAL HYPERVISOR: building the host image needs root")
    try:
        return ensure_host_image(CACHE, print)
    except (LazurError, OSError) as error:
        pytest.skip(f"SKIPPED REAL HYPERVISOR: no host image: {error}")


@functools.cache
def tiny_image() -> Path:
    """The catalogue's tiny Linux disk image."""
    host_image()
    try:
        return ensure_tiny_image(CACHE, print)
    except (LazurError, OSError) as error:
        pytest.skip(f"SKIPPED REAL HYPERVISOR: no tiny image: {error}")


def command(program: str) -> Sequence[str]:
    """A program of the host image through the image's own loader and libraries."""
    root = host_image()
    found = (str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / "usr/lib/x86_64-linux-gnu"))
    data = ("-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/share/seabios"))
    return (*found, str(root / "usr/bin" / program), *(data if program.startswith("qemu-system") else ()))


def environment() -> Mapping[str, str]:
    """So that the image's QEMU does not load the machine's modules."""
    return {**os.environ, "QEMU_MODULE_DIR": str(host_image() / "usr/lib/x86_64-linux-gnu/qemu")}
