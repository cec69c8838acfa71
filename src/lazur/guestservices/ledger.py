"""What the guest services know of their host: the host agent's ledger, read from its directory.

Must never write there, and must never keep a secret of a guest: passwords and custom data in the ledger are not read.
A file that cannot be understood leaves the last understood version in force, for a guest must not lose its services over
a bad document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from lazur.kernel.log import logger

T = TypeVar("T")

_log = logger("guestservices.ledger")


@dataclass(frozen=True)
class Nic:
    """One network interface of a guest. `domain` is its virtual network's DNS zone without a trailing dot, if known."""

    uid: str
    mac: str
    vnet: str
    addresses: tuple[str, ...]
    prefix_length: int
    primary: bool
    domain: str | None


@dataclass(frozen=True)
class Provisioning:
    """What a first boot is told, without its secrets. `ssh_keys` are (path in the guest, OpenSSH public key)."""

    user_name: str
    password_authentication: bool
    ssh_keys: tuple[tuple[str, str], ...]
    has_custom_data: bool


@dataclass(frozen=True)
class Machine:
    """One guest of this host. `compute` is the `compute` section of its instance metadata; `tenant` is the directory in which
    it may be one of `clients` (application ids), empty for a guest that is nobody."""

    uid: str
    vm_id: str
    name: str
    computer_name: str
    nics: tuple[Nic, ...]
    provisioning: Provisioning | None
    compute: Mapping[str, Any]
    tenant: str = ""
    clients: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProbeTarget:
    """One backend to be probed: `path` None means a TCP connect, otherwise an HTTP GET. Seconds; `key` is `probe/nic`."""

    lb: str
    key: str
    vnet: str
    address: str
    port: int
    path: str | None
    interval: float
    threshold: int


@dataclass(frozen=True)
class Snapshot:
    """The ledger at one moment, indexed for the services."""

    machines: Mapping[str, Machine] = field(default_factory=dict)
    balancers: Mapping[str, Sequence[ProbeTarget]] = field(default_factory=dict)
    by_address: Mapping[tuple[str, str], Machine] = field(default_factory=dict)
    """(virtual network uid, address) to the guest whose address it is; port security keeps it true on the wire."""

    @property
    def vnets(self) -> frozenset[str]:
        """Uids of the virtual networks with a guest on this host."""
        return frozenset(nic.vnet for machine in self.machines.values() for nic in machine.nics)


class Ledger:
    """The directory `<root>/<kind>/<key>.json`, followed by its modification times."""

    def __init__(self, root: Path) -> None:
        self._vms = _Folder(root / "vm", _machine)
        self._probes = _Folder(root / "probes", _targets)
        self.snapshot = Snapshot()

    def refresh(self) -> bool:
        """Look again; true when something changed. Costs two `stat` calls when nothing did."""
        changed = [folder.refresh() for folder in (self._vms, self._probes)]
        if any(changed):
            machines = dict(self._vms.parsed())
            addresses = {(n.vnet, a): m for m in machines.values() for n in m.nics for a in n.addresses}
            self.snapshot = Snapshot(
                MappingProxyType(machines), MappingProxyType(dict(self._probes.parsed())), MappingProxyType(addresses)
            )
        return any(changed)


class _Folder(Generic[T]):
    """The parsed files of one kind."""

    def __init__(self, path: Path, parse: Callable[[str, Mapping[str, Any]], T]) -> None:
        self._path = path
        self._parse = parse
        self._files: dict[str, tuple[tuple[int, int, int], T | None]] = {}
        self._modified = 0
        self._settled = False

    def parsed(self) -> dict[str, T]:
        return {key: value for key, (_, value) in self._files.items() if value is not None}

    def refresh(self) -> bool:
        try:
            modified = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            changed, self._files, self._modified = bool(self._files), {}, 0
            return changed
        # A file renamed into place just after a look may leave the directory's coarse time as it was: one look more.
        if modified == self._modified and self._settled:
            return False
        self._settled = modified == self._modified
        self._modified = modified
        return self._scan()

    def _scan(self) -> bool:
        changed = False
        seen = set()
        for path in self._path.iterdir():
            if path.suffix != ".json" or path.name.startswith("."):
                continue
            try:
                facts = path.stat()
                signature = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
                seen.add(path.stem)
                known = self._files.get(path.stem)
                if known is not None and known[0] == signature:
                    continue
                self._files[path.stem] = (signature, self._read(path, known[1] if known else None))
                changed = True
            except FileNotFoundError:
                seen.discard(path.stem)
        for key in self._files.keys() - seen:
            del self._files[key]
            changed = True
        return changed

    def _read(self, path: Path, last: T | None) -> T | None:
        try:
            return self._parse(path.stem, json.loads(path.read_bytes())["payload"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.error("ledger file not understood; its last version stays in force", file=path.name, error=repr(error))
            return last


def _machine(key: str, payload: Mapping[str, Any]) -> Machine:
    provisioning, identity = payload.get("provisioning"), payload.get("identity") or {}
    return Machine(
        uid=key,
        vm_id=str(payload["vmId"]),
        name=str(payload["name"]),
        computer_name=str(payload.get("computerName") or payload["name"]),
        nics=tuple(_nic(nic) for nic in payload["nics"]),
        provisioning=None if provisioning is None else _provisioning(provisioning),
        compute=dict(payload.get("imds") or {}),
        tenant=str(identity.get("tenantId") or ""),
        clients=frozenset(str(id) for id in identity.get("clientIds") or ()),
    )


def _nic(nic: Mapping[str, Any]) -> Nic:
    return Nic(
        uid=str(nic["uid"]),
        mac=str(nic["mac"]),
        vnet=str(nic["vnet"]),
        addresses=tuple(str(address) for address in nic["addresses"]),
        prefix_length=int(nic["prefixLength"]),
        primary=bool(nic.get("primary", False)),
        domain=str(nic["domainName"]).rstrip(".").lower() if nic.get("domainName") else None,
    )


def _provisioning(document: Mapping[str, Any]) -> Provisioning:
    return Provisioning(
        user_name=str(document.get("userName") or ""),
        password_authentication=not document.get("disablePasswordAuthentication", False),
        ssh_keys=tuple((str(key["path"]), str(key["value"])) for key in document.get("sshKeys") or ()),
        has_custom_data=bool(document.get("hasCustomData", False)),
    )


def _targets(lb: str, payload: Mapping[str, Any]) -> tuple[ProbeTarget, ...]:
    return tuple(
        ProbeTarget(
            lb=lb,
            key=f"{probe['uid']}/{target['nic']}",
            vnet=str(target["vnet"]),
            address=str(target["address"]),
            port=int(probe["port"]),
            path=str(probe.get("path") or "/") if str(probe["protocol"]).lower() == "http" else None,
            interval=max(1.0, float(probe.get("intervalSeconds") or 15)),
            threshold=max(1, int(probe.get("threshold") or 1)),
        )
        for probe in payload["probes"]
        for target in probe["targets"]
    )
