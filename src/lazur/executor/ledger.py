"""The ledger: what an executor was last asked to do, on its own disk, so that it can act with the control plane dead.

A desire is in the ledger before anything is done about it. Layout below the root, every file written beside its place
and renamed into it, mode 0600 because desires may carry passwords:

    <kind>/<key>.json               {"kind","key","generation","payload"}: wanted. Others may read these folders
    .removing/<kind>/<key>.json     the same, not wanted any more but not yet known to be gone
    .history/<kind>/<key>/<gen>.json  the last five goal states without their secrets, for people

Must never accept an older generation, nor the same generation with another content.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from lazur.kernel.errors import LazurError
from lazur.kernel.log import logger
from lazur.model.desire import Desire

HISTORY = 5
"""Goal states kept per key."""

_SYNCS = 16
_REMOVING = ".removing"
_HISTORY = ".history"

_log = logger("executor.ledger")


class Ledger(Protocol):
    """Durable memory of one executor."""

    current: bool
    """Whether an executor served from this ledger since the machine was switched on. What an older one wants may have been
    given to others meanwhile: the control plane is asked before anything is done."""

    def load(self) -> list[Desire]:
        """Every desire that is wanted or still being removed."""
        ...

    def accept(self, desire: Desire) -> bool:
        """Remember `desire`, for good once `keep` has returned; False when exactly this was known already.

        Raises `LazurError` `GenerationOutdated` for an older generation, `GenerationConflict` for the same generation
        with another content; nothing was changed then.
        """
        ...

    def keep(self) -> None:
        """Return when everything accepted is safe from a power cut: one wait for a whole batch."""
        ...

    def forget(self, kind: str, key: str) -> None:
        """Drop what is known of a key; called once it is gone."""
        ...


def _check(known: Desire | None, new: Desire) -> bool:
    """Whether `new` replaces `known`; raises as `Ledger.accept` says."""
    if known is None or new.generation > known.generation:
        return True
    if new.generation < known.generation:
        raise LazurError(
            "GenerationOutdated",
            f"Generation {new.generation} of {new.kind} '{new.key}' is older than the known {known.generation}.",
            target=f"{new.kind}/{new.key}",
        )
    if new.removed != known.removed or dict(new.payload) != dict(known.payload):
        raise LazurError(
            "GenerationConflict",
            f"Generation {new.generation} of {new.kind} '{new.key}' came with two different contents.",
            target=f"{new.kind}/{new.key}",
        )
    return False


class MemoryLedger:
    """A ledger for simulated hosts: outlives the executor object, not the process."""

    def __init__(self) -> None:
        self.current = True
        self._desires: dict[tuple[str, str], Desire] = {}

    def load(self) -> list[Desire]:
        return list(self._desires.values())

    def accept(self, desire: Desire) -> bool:
        slot = (desire.kind, desire.key)
        if not _check(self._desires.get(slot), desire):
            return False
        self._desires[slot] = desire
        return True

    def keep(self) -> None:
        pass

    def forget(self, kind: str, key: str) -> None:
        self._desires.pop((kind, key), None)


class FileLedger:
    """A ledger of JSON files; see the module's text for the layout."""

    def __init__(self, root: Path, domain: str, mark: Path | None = None) -> None:
        """`mark` is a file that does not outlast the machine's present run; without one the ledger is always current."""
        self._root = root
        self._mark = mark
        self._domain = domain
        self._desires: dict[tuple[str, str], Desire] = {}
        self._accepted: dict[tuple[str, str], Desire] = {}
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for desire in self._read_all():
            slot = (desire.kind, desire.key)
            known = self._desires.get(slot)
            # Both files of a key exist after a crash between writing the one and deleting the other; the newer counts.
            if known is None or desire.generation > known.generation:
                self._desires[slot] = desire
        for desire in self._desires.values():
            self._path(desire, not desire.removed).unlink(missing_ok=True)

    @property
    def current(self) -> bool:
        return self._mark is None or self._mark.exists()

    @current.setter
    def current(self, served: bool) -> None:
        if self._mark is not None and served:
            self._mark.touch()

    def load(self) -> list[Desire]:
        return list(self._desires.values())

    def accept(self, desire: Desire) -> bool:
        slot = (desire.kind, desire.key)
        if not _check(self._desires.get(slot), desire):
            return False
        self._path(desire, desire.removed)  # refuses what cannot be the name of a file
        self._desires[slot] = self._accepted[slot] = desire
        return True

    def keep(self) -> None:
        accepted, self._accepted = list(self._accepted.values()), {}
        write_durably({self._path(d, d.removed): json.dumps(_document(d), sort_keys=True).encode() for d in accepted})
        for desire in accepted:
            self._path(desire, not desire.removed).unlink(missing_ok=True)
            self._remember(desire)

    def forget(self, kind: str, key: str) -> None:
        desire = self._desires.pop((kind, key), None)
        self._accepted.pop((kind, key), None)
        if desire is None:
            return
        self._path(desire, False).unlink(missing_ok=True)
        self._path(desire, True).unlink(missing_ok=True)
        shutil.rmtree(self._root / _HISTORY / kind / key, ignore_errors=True)

    def _path(self, desire: Desire, removing: bool) -> Path:
        for part in (desire.kind, desire.key):
            if not part or part.startswith(".") or "/" in part:
                raise LazurError("InvalidDesire", f"'{part}' cannot name a ledger entry.")
        base = self._root / _REMOVING if removing else self._root
        return base / desire.kind / f"{desire.key}.json"

    def _read_all(self) -> Iterator[Desire]:
        for base, removed in ((self._root, False), (self._root / _REMOVING, True)):
            for path in sorted(base.glob("[!.]*/[!.]*.json")):
                try:
                    document: dict[str, Any] = json.loads(path.read_bytes())
                    yield Desire(
                        self._domain,
                        document["kind"],
                        document["key"],
                        int(document["generation"]),
                        document["payload"],
                        removed,
                    )
                except (OSError, ValueError, KeyError, TypeError) as error:
                    # The control plane has the truth and sends everything at the next start; a torn disk must not
                    # keep the host down.
                    _log.error("ledger_entry_unreadable", path=str(path), error=str(error))

    def _remember(self, desire: Desire) -> None:
        folder = self._root / _HISTORY / desire.kind / desire.key
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shown = {k: v for k, v in desire.payload.items() if k != "secrets"}
        text = json.dumps(_document(desire) | {"payload": shown, "removed": desire.removed}, indent=1, sort_keys=True)
        path = folder / f"{desire.generation:012d}.json"
        _write(path, text.encode()).rename(path)
        for old in sorted(folder.glob("*.json"))[:-HISTORY]:
            old.unlink(missing_ok=True)


def _document(desire: Desire) -> dict[str, Any]:
    return {"kind": desire.kind, "key": desire.key, "generation": desire.generation, "payload": dict(desire.payload)}


def write_durably(files: Mapping[Path, bytes]) -> None:
    """Put each content at its path so that after a crash every file is the old one or the new one, mode 0600."""
    for folder in {path.parent for path in files}:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = {path: _write(path, content) for path, content in files.items()}
    _sync(list(written.values()))
    for path, temporary in written.items():
        temporary.rename(path)
    _sync(sorted({path.parent for path in files}))


def _write(path: Path, content: bytes) -> Path:
    """A file beside `path`, mode 0600, that is to take its place."""
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return temporary


def _sync(paths: Sequence[Path]) -> None:
    """Wait for the disk; for all of `paths` together, because a disk takes many syncs at a time."""
    if len(paths) == 1:
        _sync_one(paths[0])
    elif paths:
        with ThreadPoolExecutor(min(len(paths), _SYNCS)) as pool:
            list(pool.map(_sync_one, paths))


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
