"""A cache of built directories, addressed by the hash of what they are built from.

An entry is either whole or absent: it is built beside its place and renamed, so a killed build leaves only a folder that
the next build removes. Must never hand out an entry that is still being built, nor remove one that is mounted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BUILDING = ".building-"


def digest(*parts: str | bytes) -> str:
    """A short content hash of `parts`, each kept apart from the next by its length."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()[:24]


class Cache:
    """Entries of several kinds under one folder: `<root>/<kind>/<key>`; the `keep` last used of each kind stay."""

    def __init__(self, root: Path, keep: int = 2) -> None:
        self._root = root
        self._keep = keep

    def path(self, kind: str, key: str) -> Path:
        """Where the entry is or will be; it exists only when it is whole."""
        return self._root / kind / key

    def entry(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """The folder of `key`, built by `build(empty folder)` if it is not there. Safe against other processes."""
        place = self.path(kind, key)
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            with _exclusively(place.parent / ".lock"):
                if not place.is_dir():
                    self._build(place, build)
        os.utime(place)
        return place

    def _build(self, place: Path, build: Callable[[Path], None]) -> None:
        for stale in place.parent.glob(f"{_BUILDING}*"):
            remove_tree(stale)
        unfinished = place.parent / f"{_BUILDING}{place.name}"
        unfinished.mkdir()
        try:
            build(unfinished)
            # The rename must not reach the disk before the files it publishes.
            subprocess.run(["sync", "-f", str(unfinished)], check=True)
            unfinished.rename(place)
        except BaseException:
            remove_tree(unfinished)
            raise
        self._prune(place)

    def _prune(self, newest: Path) -> None:
        others = [p for p in newest.parent.iterdir() if p.is_dir() and p != newest and not p.name.startswith(".")]
        others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[self._keep - 1 :]:
            if not _is_mounted(old):
                remove_tree(old)


def remove_tree(folder: Path) -> None:
    """Remove `folder` and all below it; refuses while anything is mounted there, which would be emptied as well."""
    if _is_mounted(folder):
        raise RuntimeError(f"{folder} is still mounted: unmount it, then try again")
    shutil.rmtree(folder, ignore_errors=False)


def _is_mounted(folder: Path) -> bool:
    """True if `folder` holds a mount or serves one as a layer."""
    name = str(folder)
    table = Path("/proc/self/mountinfo").read_text()
    return any(mark in table for mark in (f"{name} ", f"{name}/", f"{name}:", f"{name},"))


@contextmanager
def _exclusively(lock: Path) -> Iterator[None]:
    """Hold `lock` against every other process; the kernel lets go of it when this one dies."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
