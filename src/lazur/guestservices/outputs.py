"""The files through which the guest services tell the host agent what they learned: health, probe states, metrics.

They live on a temporary file system, so a write is a rename and no flush. Must never show a half-written file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lazur.kernel.clock import Clock, rfc3339
from lazur.kernel.log import logger

_log = logger("guestservices.outputs")

MAX_MESSAGE = 4096
"""Characters of a guest's own words that are kept."""


@dataclass(frozen=True)
class Health:
    """What a guest last said of its provisioning."""

    state: str
    message: str
    incarnation: str
    at: str


class HealthBook:
    """`<directory>/<vm uid>.json`, one per guest that reported. A guest that was Ready stays so as long as it lives."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._known: dict[str, Health] = {}
        directory.mkdir(parents=True, exist_ok=True)
        for path in directory.glob("*.json"):
            try:
                self._known[path.stem] = Health(**json.loads(path.read_bytes()))
            except (ValueError, TypeError):
                _log.warning("health file not understood; it will be written anew", file=path.name)

    def get(self, vm: str) -> Health | None:
        """The last report of a guest."""
        return self._known.get(vm)

    def report(self, vm: str, ready: bool, message: str, incarnation: str) -> None:
        """Take a guest's report. NotReady after Ready is an agent starting once more, not a provisioning undone."""
        known = self._known.get(vm)
        state, message = ("Ready" if ready else "NotReady"), message[:MAX_MESSAGE]
        if known is not None and (known.state == "Ready" or (known.state, known.message) == (state, message)):
            return
        health = Health(state, message, incarnation[:64], rfc3339(self._clock.now()))
        write_json(self._directory / f"{vm}.json", asdict(health))
        self._known[vm] = health
        _log.info("guest reported", vm=vm, state=state, message=message)

    def keep(self, vms: Iterable[str]) -> None:
        """Forget every guest but these; one that comes back has to report again."""
        for vm in self._known.keys() - set(vms):
            del self._known[vm]
            (self._directory / f"{vm}.json").unlink(missing_ok=True)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace `path` as a whole."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(json.dumps(document, sort_keys=True))
    scratch.replace(path)


def read_json(path: Path) -> Mapping[str, Any]:
    """The document at `path`; empty when it is not there or not one of ours."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
