"""What a host must remember of a machine beyond its desire and its process.

Every field answers a question that neither the desire nor the hypervisor can: which restart was done, whether the guest
left on its own, how often it died. Kept on disk because the agent may be killed between any two steps; must never be
needed for safety, only for doing things once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from lazur.executor.ledger import write_durably
from lazur.kernel.log import logger

_log = logger("compute.records")


@dataclass(frozen=True)
class Record:
    """Facts of one machine on this host. Times are POSIX seconds of the wall clock."""

    restart: int | None = None
    """The restart number that was carried out."""
    run: str = ""
    """The wish to run (`VmWish.run`) that the process was last started or seen running for."""
    started: float | None = None
    """When the process was last started."""
    stop_asked: float | None = None
    """When a stop began, be it for good, for a restart or for a new size."""
    self_stopped: str | None = None
    """The wish to run at which the guest had switched itself off."""
    provisioned: bool = False
    """The guest was ready once; later starts need not wait for it."""
    deaths: int = 0
    """Unexpected deaths in a row, each soon after its start."""
    not_before: float = 0.0
    """No start before this, after deaths."""
    gave_up: str | None = None
    """The wish to run at which its deaths were too many."""
    evidence: str = ""
    """Last words of the process that died last."""
    taps: Sequence[str] = ()
    """Taps that were made for it."""


class Records(Protocol):
    """Records by machine uid."""

    def load(self, uid: str) -> Record:
        """The record, an empty one when there is none."""
        ...

    def save(self, uid: str, record: Record) -> None:
        """Keep it, durably."""
        ...

    def drop(self, uid: str) -> None:
        """Forget the machine."""
        ...

    def list(self) -> Sequence[str]:
        """Uids of all machines with a record."""
        ...


class MemoryRecords:
    """Records of a simulated host; outlive the handler object."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def load(self, uid: str) -> Record:
        return self._records.get(uid, Record())

    def save(self, uid: str, record: Record) -> None:
        self._records[uid] = record

    def drop(self, uid: str) -> None:
        self._records.pop(uid, None)

    def list(self) -> Sequence[str]:
        return sorted(self._records)


class FileRecords:
    """Records as `<folder>/<uid>.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, uid: str) -> Record:
        try:
            return Record(**json.loads((self._folder / f"{uid}.json").read_bytes()))
        except FileNotFoundError:
            return Record()
        except (ValueError, TypeError) as error:
            _log.error("record_unreadable", uid=uid, error=str(error))
            return Record()

    def save(self, uid: str, record: Record) -> None:
        write_durably({self._folder / f"{uid}.json": json.dumps(asdict(record), sort_keys=True).encode()})

    def drop(self, uid: str) -> None:
        (self._folder / f"{uid}.json").unlink(missing_ok=True)

    def list(self) -> Sequence[str]:
        return sorted(path.stem for path in self._folder.glob("[!.]*.json"))
