"""What the benchmarks of a rack share: finding the one that is up, requests with little waiting, CPU time of its parts.

Must never bring a rack up or down: whoever measures decides which rack is measured.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.machine import group_seconds
from bench.pairing import Skipped, Wrong
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.lifecycle.arm_client import ArmClient
from lazur.lifecycle.project import cache_root
from lazur.lifecycle.rack import Rack, layout

GROUP = "lazur-bench"
_PAUSE = 0.005
CLOCK = SystemClock()


def running() -> Rack:
    """The rack that is up on this machine."""
    if os.geteuid() != 0:
        raise Skipped("looking into a rack needs root")
    site = Rack.remembered(layout.state_root())
    if site is None:
        raise Skipped(f"no rack was ever brought up under {layout.state_root()}: ./lazur up")
    rack = Rack(site, layout.state_root(), cache_root(), CLOCK, lambda _: None)
    down = [name for name in rack.names if not rack.container(name).pid()]
    if down:
        raise Skipped(f"the rack is not up ({', '.join(down)}): ./lazur up")
    return rack


def control_cpu() -> float:
    """Seconds of CPU the `control` container has used: control plane, its executors, OVN central."""
    return group_seconds(f"{layout.CGROUP}/{layout.CONTROL}") or 0.0


class Cloud:
    """ARM requests to a rack, in a resource group of its own."""

    def __init__(self, rack: Rack, client: ArmClient) -> None:
        self.rack = rack
        self._client = client
        self.group = f"{client.subscription}/resourceGroups/{GROUP}"

    def id(self, kind: str, *names: str) -> str:
        """The id of a resource of full type `kind`, children included."""
        namespace, *types = kind.split("/")
        pairs = "".join(f"/{t}/{n}" for t, n in zip(types, names, strict=True))
        return f"{self.group}/providers/{namespace}{pairs}"

    async def submit(self, path: str, body: Any) -> str | None:
        """PUT; where to ask how it goes."""
        return (await self._client.exchange("PUT", path, body))[0].get("Azure-AsyncOperation")

    async def put(self, path: str, body: Any) -> Any:
        """PUT, wait for its end, GET."""
        await self.ended(await self.submit(path, body))
        return await self._client.call("GET", path)

    async def get(self, path: str) -> Any:
        """GET."""
        return await self._client.call("GET", path)

    async def delete(self, path: str) -> None:
        """DELETE and wait until it is gone; nothing there is fine."""
        try:
            headers, _ = await self._client.exchange("DELETE", path)
        except LazurError as error:
            if error.status != 404:
                raise
        else:
            await self.ended(headers.get("Azure-AsyncOperation"))

    async def ended(self, url: str | None, pause: float = _PAUSE) -> None:
        """Follow an operation to its end, asking so often that the asking does not show; and not so often that it slows it."""
        while url:
            said = await self._client.call("GET", url)
            if said["status"] == "Succeeded":
                return
            if said["status"] in ("Failed", "Canceled"):
                raise Wrong(str(LazurError.from_body(said["error"])))
            await CLOCK.sleep(pause)


@asynccontextmanager
async def cloud() -> AsyncIterator[Cloud]:
    """A running rack with an empty resource group, which is gone afterwards."""
    rack = running()
    async with ArmClient.of_file(rack.credentials, Path(rack.paths.pki / "ca.pem"), CLOCK) as client:
        found = Cloud(rack, client)
        await found.delete(found.group)
        await found.put(found.group, {"location": rack.site.region})
        try:
            yield found
        finally:
            await found.delete(found.group)


def network(region: str) -> dict[str, Any]:
    """A virtual network with room for hundreds of ports in its subnet `default`."""
    subnet = {"name": "default", "properties": {"addressPrefix": "10.77.0.0/20"}}
    return {"location": region, "properties": {"addressSpace": {"addressPrefixes": ["10.77.0.0/16"]}, "subnets": [subnet]}}


def interface(cloud: Cloud) -> dict[str, Any]:
    """An interface in that subnet."""
    subnet = cloud.id("Microsoft.Network/virtualNetworks/subnets", "net", "default")
    configuration = {"name": "ipconfig1", "properties": {"subnet": {"id": subnet}}}
    return {"location": cloud.rack.site.region, "properties": {"ipConfigurations": [configuration]}}
