"""Files that executors deliver (serial logs, screenshots): one folder per machine, gone with the machine.

Must never let an executor write what belongs to a machine it does not hold, nor a path outside its folder.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.kernel.log import logger
from lazur.model.armid import ArmId
from lazur.store.interface import Store

log = logger("artifacts")

_NAME = re.compile(r"(?P<key>[A-Za-z0-9-]{1,80})/(?P<file>[A-Za-z0-9-]{1,80}(\.[A-Za-z0-9-]{1,20}){0,3})", re.ASCII)
# Beside the files: the key and uid of the resource they belong to.
_OWNER = ".owner"
_PAUSE = 30.0


class Artifacts:
    """The files below `root`, named `<key of a desire>/<file>`."""

    def __init__(self, root: Path, store: Store) -> None:
        self._root = root
        self._store = store

    def write(self, domain: str, name: str, content: bytes) -> None:
        """Keep `content` as `name`, replacing an earlier one; refused unless `domain` is wanted to have that desire."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise LazurError("InvalidArtifactName", f"'{name[:80]}' is not a valid artifact name.")
        owner = self._store.wanted(domain, found["key"])
        record = None if owner is None else self._store.get(owner)
        if record is None:
            raise LazurError("ArtifactForbidden", f"Nothing named '{found['key']}' is wanted in '{domain}'.", status=403)
        folder = self._root / found["key"]
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / _OWNER, _owned(record.key, record.uid))
        _replace(folder / found["file"], content)

    def path(self, name: str) -> Path | None:
        """Where the file is, None when nothing can have that name."""
        return self._root / name if _NAME.fullmatch(name) else None

    async def keep_tidy(self, clock: Clock) -> None:
        """`trim` now and then, until cancelled."""
        while True:
            await clock.sleep(_PAUSE)
            try:
                self.trim()
            except OSError as error:
                log.warning("artifacts not tidied", error=str(error))

    def trim(self) -> None:
        """Remove the files of resources that are gone."""
        holders: dict[str, dict[str, str]] = {}
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            note = folder / _OWNER
            key, _, uid = (note.read_text() if note.exists() else "").partition("\n")
            record = self._store.get(key)
            if record is not None and record.uid == uid:
                continue
            # A move gives a resource another key and leaves it its type and uid. Asked for only when something left.
            type = ArmId.from_path(key).type if key else ""
            if type and type not in holders:
                holders[type] = {r.uid: r.key for r in self._store.list(type=type)}
            moved = holders.get(type, {}).get(uid)
            if moved is None:
                shutil.rmtree(folder)
            else:
                _replace(note, _owned(moved, uid))


def _owned(key: str, uid: str) -> bytes:
    return f"{key}\n{uid}".encode()


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
