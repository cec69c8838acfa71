"""The payload of a `vm` desire, typed. Pure; must never fill in what a controller should have decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.kernel.ids import short
from lazur.model.desire import Desire


@dataclass(frozen=True)
class DiskWish:
    """A disk of the pool as a device; `lun` None is the OS disk."""

    uid: str
    file: str
    lun: int | None
    size: int
    """Bytes the guest shall see at least."""


@dataclass(frozen=True)
class NicWish:
    """A network card and the logical port it stands for."""

    uid: str
    port: str
    mac: str
    mtu: int

    @property
    def tap(self) -> str:
        """The tap's name, the same on every host and at every start."""
        return tap_name(self.uid)


@dataclass(frozen=True)
class Provisioning:
    """What the guest's first boot is told through the CD. `ssh_keys` are (path in the guest, public key)."""

    host_name: str
    user_name: str
    password_login: bool
    password: str | None
    ssh_keys: Sequence[tuple[str, str]]
    custom_data: str | None


@dataclass(frozen=True)
class VmWish:
    """What a controller wants of one machine."""

    uid: str
    vm_id: str
    name: str
    running: bool
    starts: int
    restart: int
    hard_stop: bool
    cores: int
    memory_mib: int
    os_disk: DiskWish
    data_disks: Sequence[DiskWish]
    nics: Sequence[NicWish]
    provisioning: Provisioning | None
    expects_agent: bool
    """Whether the image declares an agent that reports when the guest is ready."""
    ready_seconds: float

    @property
    def run(self) -> str:
        """Changes with every wish to run, and with nothing else: what a guest or a crash ended stays ended until then."""
        return f"{self.starts}/{self.restart}"


def tap_name(nic_uid: str) -> str:
    """The name of a network card's tap on its host."""
    return f"t{short(nic_uid)}"


def vm_wish(desire: Desire) -> VmWish:
    """Read a `vm` desire; raises `LazurError` `InvalidDesire` naming what is missing."""
    payload = desire.payload
    try:
        disks = [
            DiskWish(d["uid"], d["path"], None if d["role"] == "os" else int(d["lun"]), int(d.get("sizeBytes", 0)))
            for d in payload["disks"]
        ]
        os_disks = [d for d in disks if d.lun is None]
        if len(os_disks) != 1:
            raise ValueError(f"{len(os_disks)} OS disks")
        return VmWish(
            uid=desire.key,
            vm_id=payload["vmId"],
            name=payload["name"],
            running=payload["power"] == "running",
            starts=int(payload.get("starts", 0)),
            restart=int(payload.get("restart", 0)),
            hard_stop=bool(payload.get("hardStop", False)),
            cores=int(payload["cores"]),
            memory_mib=int(payload["memoryMiB"]),
            os_disk=os_disks[0],
            data_disks=[d for d in disks if d.lun is not None],
            nics=[NicWish(n["uid"], n["port"], n["mac"], int(n.get("mtu", 1500))) for n in payload["nics"]],
            provisioning=_provisioning(payload),
            expects_agent=bool(payload.get("image", {}).get("agent", False)),
            ready_seconds=float(payload.get("readyDeadlineSeconds", 600)),
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"The desire of machine '{desire.key}' cannot be read: {type(error).__name__}: {error}"
        raise LazurError("InvalidDesire", message, target=desire.key) from error


def _provisioning(payload: Mapping[str, Any]) -> Provisioning | None:
    told = payload.get("provisioning")
    if told is None:
        return None
    secrets = payload.get("secrets") or {}
    return Provisioning(
        host_name=told["hostName"],
        user_name=told["userName"],
        password_login=not told.get("disablePasswordAuthentication", False),
        password=secrets.get("adminPassword"),
        ssh_keys=[(key["path"], key["value"]) for key in told.get("sshKeys") or ()],
        custom_data=secrets.get("customData"),
    )
