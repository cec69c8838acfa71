"""Taps on Open vSwitch's integration bridge.

A tap belongs to a machine when its name has the machines' form; others on the bridge (guest services, tunnels) are left
alone. Must never create the bridge or write anything but its own ports: the rest belongs to ovn-controller.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lazur.drivers.switch.interface import Plug
from lazur.kernel.errors import LazurError, Unavailable

_TAP = re.compile(r"t[0-9a-f]{10}")


@dataclass(frozen=True)
class OvsSettings:
    """The database's address, the bridge and the tools; `prefix` runs `ip` elsewhere (`ip netns exec NAME`)."""

    database: str = "unix:/run/openvswitch/db.sock"
    bridge: str = "br-int"
    prefix: Sequence[str] = ()
    vsctl: Sequence[str] = ("ovs-vsctl",)
    wait_seconds: int = 10


class OvsSwitch:
    """`Switch` by `ip` and `ovs-vsctl`."""

    def __init__(self, settings: OvsSettings) -> None:
        self._settings = settings

    async def plug(self, port: str, tap: str, mtu: int) -> None:
        _check(tap)
        if tap not in await self._links():
            await self._run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        await self._run("ip", "link", "set", "dev", tap, "mtu", str(mtu), "up")
        await self._vsctl(
            *("--may-exist", "add-port", self._settings.bridge, tap),
            *("--", "set", "Interface", tap, f"external_ids:iface-id={port}", f"mtu_request={mtu}"),
        )

    async def unplug(self, tap: str) -> None:
        _check(tap)
        await self._vsctl("--if-exists", "del-port", self._settings.bridge, tap)
        if tap in await self._links():
            await self._run("ip", "link", "delete", "dev", tap)

    async def ports(self) -> Mapping[str, Plug]:
        bound = await self._bound()
        links = await self._links()
        return {tap: Plug(tap, bound.get(tap), links.get(tap, 0)) for tap in sorted(bound.keys() | links.keys())}

    async def _links(self) -> dict[str, int]:
        """Taps of machines and the frames their guests have sent."""
        found = json.loads(await self._run("ip", "-j", "-s", "link", "show") or b"[]")
        return {
            link["ifname"]: int(link.get("stats64", {}).get("rx", {}).get("packets", 0))
            for link in found
            if _TAP.fullmatch(link.get("ifname", ""))
        }

    async def _bound(self) -> dict[str, str]:
        """Taps of machines on the bridge and the logical ports they stand for."""
        names = (await self._vsctl("list-ports", self._settings.bridge)).decode().split()
        taps = {name for name in names if _TAP.fullmatch(name)}
        if not taps:
            return {}
        table = json.loads(await self._vsctl("--format=json", "--columns=name,external_ids", "list", "Interface"))
        return {name: dict(ids[1]).get("iface-id", "") for name, ids in table["data"] if name in taps}

    async def _vsctl(self, *arguments: str) -> bytes:
        # --no-wait: a dead ovs-vswitchd takes the port up when it is back; waiting here would not help it.
        settings = self._settings
        common = (f"--db={settings.database}", f"--timeout={settings.wait_seconds}", "--no-wait")
        code, output, words = await self._call(*settings.vsctl, *common, *arguments)
        if code != 0:
            raise Unavailable("The host's virtual switch does not answer.", internal=words)
        return output

    async def _run(self, *command: str) -> bytes:
        code, output, words = await self._call(*self._settings.prefix, *command)
        if code != 0:
            raise LazurError("TapFailed", f"{' '.join(command[:3])} failed: {words}", status=500, retryable=True)
        return output

    async def _call(self, *command: str) -> tuple[int | None, bytes, str]:
        """Exit code, output and last words of a tool."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await process.communicate()
        return process.returncode, output, complaint.decode(errors="replace").strip()[-2000:]


def _check(tap: str) -> None:
    if not _TAP.fullmatch(tap):
        raise LazurError("InvalidTapName", f"'{tap}' is not the name of a machine's tap.")
