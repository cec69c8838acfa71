"""How the guest services stand in their virtual networks: a namespace and a localport each.

`KernelAccess` makes them, `LoopbackAccess` stands for them where there is no privilege. Must never touch a namespace, an
interface or a switch port that does not bear this process's mark.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lazur.guestservices.netns import entered
from lazur.guestservices.settings import METADATA_SERVER, WIRE_SERVER, GuestServicesSettings
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import short

MAC = "12:34:56:78:9a:bc"
"""The services' hardware address, the same in every virtual network, as guests know it from Azure."""

_GATEWAY = "168.63.129.1"
_INNER = "eth0"
_NAMESPACES = Path("/run/netns")
_OWNER = "lazur-owner"
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


class NetworkAccess(Protocol):
    """Attachments to virtual networks. An attachment's name derives from the network's uid; see `name`."""

    def name(self, vnet: str) -> str:
        """The attachment name of a virtual network."""
        ...

    async def present(self) -> Mapping[str, bool]:
        """Attachments of which anything exists, whoever made them before, and whether all of it does."""
        ...

    async def attach(self, vnet: str) -> None:
        """Make the attachment, or adopt and complete what is there without disturbing its traffic. Idempotent."""
        ...

    async def detach(self, name: str) -> None:
        """Take every part of an attachment away. Idempotent."""
        ...

    def listener(self, vnet: str, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        """A non-blocking socket bound in the virtual network."""
        ...

    def connector(self, vnet: str) -> socket.socket:
        """A non-blocking TCP socket of the virtual network whose source is 168.63.129.16."""
        ...


class Switch(Protocol):
    """What the outer ends of attachments are plugged into."""

    async def plugged(self) -> frozenset[str]:
        """Interfaces plugged in by this process or an earlier one."""
        ...

    async def plug(self, interface: str, vnet: str) -> None:
        """Plug an interface in as the localport of a virtual network. Idempotent."""
        ...

    async def unplug(self, interface: str) -> None:
        """Take an interface out. Idempotent."""
        ...


class OvsSwitch:
    """The integration bridge of this host."""

    def __init__(self, settings: GuestServicesSettings) -> None:
        # Without --no-wait a plug would hang as long as the daemon of the switch is being restarted.
        self._vsctl = (*settings.ovs_vsctl, f"--db={settings.ovs_db}", "--no-wait", "--timeout=10")
        self._bridge = settings.bridge
        self._mark = settings.prefix

    async def plugged(self) -> frozenset[str]:
        listing = await _run(
            *self._vsctl, "--format=json", "--columns=name", "find", "Interface", f"external_ids:{_OWNER}={self._mark}"
        )
        return frozenset(row[0] for row in json.loads(listing)["data"])

    async def plug(self, interface: str, vnet: str) -> None:
        ids = (f"external_ids:iface-id=gs-{vnet}", f"external_ids:{_OWNER}={self._mark}")
        add = ("--may-exist", "add-port", self._bridge, interface, "--", "set", "Interface", interface, *ids)
        await _run(*self._vsctl, *add)

    async def unplug(self, interface: str) -> None:
        await _run(*self._vsctl, "--if-exists", "del-port", self._bridge, interface)


class KernelAccess:
    """Namespaces and veth pairs of this machine. The outer end bears the namespace's name, the inner one is `eth0`."""

    def __init__(self, settings: GuestServicesSettings, switch: Switch | None = None) -> None:
        self._prefix = settings.prefix
        self._switch = switch if switch is not None else OvsSwitch(settings)

    def name(self, vnet: str) -> str:
        return self._prefix + short(vnet)

    async def present(self) -> Mapping[str, bool]:
        links = {name for _, name in socket.if_nameindex() if name.startswith(self._prefix)}
        namespaces = {path.name for path in _NAMESPACES.glob(f"{self._prefix}*")}
        plugged = await self._switch.plugged()
        return {name: name in links & namespaces & plugged for name in links | namespaces | plugged}

    async def attach(self, vnet: str) -> None:
        name = self.name(vnet)
        if not self._usable(name):
            # What an `ip netns add` killed half-way left, or a file that outlived its container's namespaces.
            await self._remove(name)
            await _run("ip", "netns", "add", name)
        if not self._has_inner(name):
            await _run("ip", "link", "delete", name, tolerate="Cannot find device")
            await _run("ip", "link", "add", name, "type", "veth", "peer", "name", _INNER, "netns", name)
        inside = (
            "link set lo up",
            f"link set {_INNER} address {MAC} up",
            f"address replace {WIRE_SERVER}/24 dev {_INNER}",
            f"address replace {METADATA_SERVER}/30 dev {_INNER}",
            f"route replace default via {_GATEWAY} dev {_INNER}",
        )
        await _run("ip", "link", "set", name, "up")
        await _run("ip", "-netns", name, "-batch", "-", feed="\n".join(inside))
        # The userspace switch takes a frame as it is: a checksum left to hardware would never be computed.
        _checksum_in_software(name)
        with entered(_NAMESPACES / name):
            _checksum_in_software(_INNER)
        await self._switch.plug(name, vnet)

    async def detach(self, name: str) -> None:
        await self._switch.unplug(name)
        await _run("ip", "link", "delete", name, tolerate="Cannot find device")
        await self._remove(name)

    def listener(self, vnet: str, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        with entered(_NAMESPACES / self.name(vnet)):
            return _bound(kind, address, port)

    def connector(self, vnet: str) -> socket.socket:
        with entered(_NAMESPACES / self.name(vnet)):
            return _bound(socket.SOCK_STREAM, WIRE_SERVER, 0)

    def _usable(self, name: str) -> bool:
        try:
            with entered(_NAMESPACES / name):
                return True
        except OSError:
            return False

    def _has_inner(self, name: str) -> bool:
        with entered(_NAMESPACES / name):
            inner = any(interface == _INNER for _, interface in socket.if_nameindex())
        return inner and any(interface == name for _, interface in socket.if_nameindex())

    async def _remove(self, name: str) -> None:
        path = _NAMESPACES / name
        if path.exists():
            await _run("ip", "netns", "delete", name, tolerate="")
            path.unlink(missing_ok=True)


class LoopbackAccess:
    """Virtual networks that are ports of 127.0.0.1; `endpoint` says which. For tests and simulated hosts: no isolation."""

    def __init__(self) -> None:
        self._attached: set[str] = set()
        self._endpoints: dict[tuple[str, str, int, socket.SocketKind], tuple[str, int]] = {}

    def name(self, vnet: str) -> str:
        return f"gs-{vnet}"

    def endpoint(self, vnet: str, address: str, port: int, kind: socket.SocketKind) -> tuple[str, int]:
        """Where the service of `vnet` at `address` and `port` is really to be found; `KeyError` when it is not."""
        return self._endpoints[vnet, address, port, kind]

    async def present(self) -> Mapping[str, bool]:
        return dict.fromkeys(self._attached, True)

    async def attach(self, vnet: str) -> None:
        self._attached.add(self.name(vnet))

    async def detach(self, name: str) -> None:
        self._attached.discard(name)
        self._endpoints = {k: v for k, v in self._endpoints.items() if self.name(k[0]) != name}

    def listener(self, vnet: str, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        sock = _bound(kind, "127.0.0.1", 0)
        self._endpoints[vnet, address, port, kind] = sock.getsockname()
        return sock

    def connector(self, vnet: str) -> socket.socket:
        if self.name(vnet) not in self._attached:
            raise FileNotFoundError(f"no attachment for {vnet}")
        return _bound(socket.SOCK_STREAM, "127.0.0.1", 0)


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if port:
            # Connections of a killed predecessor may linger at this very address.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _checksum_in_software(interface: str) -> None:
    """What `ethtool -K <interface> tx off` does."""
    command = array.array("B", struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", interface.encode(), command.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)


async def _run(*argv: str, feed: str | None = None, tolerate: str | None = None) -> str:
    """Run a tool and return what it printed; `tolerate`: failures that say so are fine (empty: all of them)."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL if feed is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(None if feed is None else feed.encode())
    words = err.decode("utf-8", "replace").strip()
    if process.returncode and (tolerate is None or tolerate not in words):
        raise LazurError("NetworkToolFailed", f"{_shown(argv)}: {words or process.returncode}", retryable=True, status=500)
    return out.decode("utf-8", "replace")


def _shown(argv: Sequence[str]) -> str:
    return " ".join(argv)
