"""What the guest services of this host found out: which guests reported ready, which backends answer their probes.

The real ones leave files (see `lazur.guestservices.outputs`); a simulated host has guests that get ready by themselves.
Must never talk to a guest or to the guest-service daemon.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lazur.drivers.hypervisor.simulated import MachineRoom, SimulatedHypervisor


@dataclass(frozen=True)
class Health:
    """What a guest last reported of itself."""

    ready: bool
    message: str


@dataclass(frozen=True)
class Rotation:
    """Backends of one load balancer by what their probes found, as `<probe uid>/<nic uid>`."""

    up: Sequence[str] = ()
    down: Sequence[str] = ()


class Guests(Protocol):
    """Read-only view, cheap enough to be asked twice a second."""

    def health(self, uid: str) -> Health | None:
        """What the guest of this machine reported last; None before its first report."""
        ...

    def rotation(self, lb: str, targets: Sequence[tuple[str, str]]) -> Rotation | None:
        """What is known of the `(probe/nic, vm)` targets of a load balancer; None before the first look."""
        ...

    def marks(self) -> Mapping[tuple[str, str], object]:
        """A value per ("vm", uid) and ("probes", lb) that changes whenever the answers above do."""
        ...


class FileGuests:
    """Over the files in the guest services' run-time folder."""

    def __init__(self, folder: Path) -> None:
        self._health = folder / "health"
        self._probes = folder / "probes.json"
        self._probes_read: tuple[object, Mapping[str, Any]] = (None, {})

    def health(self, uid: str) -> Health | None:
        found = _document(self._health / f"{uid}.json")
        if "state" not in found:
            return None
        return Health(found["state"] == "Ready", str(found.get("message", "")))

    def rotation(self, lb: str, targets: Sequence[tuple[str, str]]) -> Rotation | None:
        found = self._all_probes().get(lb)
        if found is None:
            return None
        wanted = {name for name, _ in targets}
        return Rotation(sorted(wanted & set(found.get("up", ()))), sorted(wanted & set(found.get("down", ()))))

    def marks(self) -> Mapping[tuple[str, str], object]:
        marks: dict[tuple[str, str], object] = {}
        if self._health.is_dir():
            for path in self._health.glob("[!.]*.json"):
                marks["vm", path.stem] = _signature(path)
        for lb, found in self._all_probes().items():
            marks["probes", lb] = found
        return marks

    def _all_probes(self) -> Mapping[str, Any]:
        signature = _signature(self._probes)
        if signature != self._probes_read[0]:
            self._probes_read = (signature, _document(self._probes))
        return self._probes_read[1]


class SimulatedGuests:
    """Guests that report ready `boot_seconds` after their start, and answer every probe from then on."""

    def __init__(self, room: MachineRoom, hypervisor: SimulatedHypervisor) -> None:
        self._room = room
        self._hypervisor = hypervisor

    def health(self, uid: str) -> Health | None:
        uptime = self._hypervisor.uptime(uid)
        if uptime is None or uptime < self._room.boot_seconds:
            return None
        if uid in self._room.sick:
            return Health(False, "simulated: provisioning failed")
        return Health(True, "simulated")

    def rotation(self, lb: str, targets: Sequence[tuple[str, str]]) -> Rotation | None:
        ready = {vm for _, vm in targets if (health := self.health(vm)) is not None and health.ready}
        up = sorted(name for name, vm in targets if vm in ready)
        return Rotation(up, sorted({name for name, _ in targets} - set(up)))

    def marks(self) -> Mapping[tuple[str, str], object]:
        healths = {uid: self.health(uid) for uid in self._room.machines}
        marks: dict[tuple[str, str], object] = {("vm", uid): health for uid, health in healths.items()}
        # Any guest may be any balancer's backend.
        marks["probes", ""] = tuple(sorted((uid, health is not None) for uid, health in healths.items()))
        return marks


def _document(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _signature(path: Path) -> object:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_mtime_ns, facts.st_ino, facts.st_size
