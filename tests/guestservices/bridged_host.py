"""A guest-service process for tests on a machine without Open vSwitch: a Linux bridge per virtual network.

Called as `python -m tests.guestservices.bridged_host <root> <prefix>`; the bridges `<prefix><vnet>` must be there.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from lazur.guestservices.access import KernelAccess
from lazur.guestservices.service import GuestServices
from lazur.kernel.clock import SystemClock
from tests.guestservices.cloud import NoControl, settings


class BridgeSwitch:
    """Linux bridges in the place of the integration bridge."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def plugged(self) -> frozenset[str]:
        shown = subprocess.run(["bridge", "link", "show"], capture_output=True, text=True, check=True).stdout
        names = (line.split()[1].split("@")[0].rstrip(":") for line in shown.splitlines())
        return frozenset(name for name in names if name.startswith(self._prefix))

    async def plug(self, interface: str, vnet: str) -> None:
        subprocess.run(["ip", "link", "set", interface, "master", f"br-{vnet}"], check=True)

    async def unplug(self, interface: str) -> None:
        subprocess.run(["ip", "link", "set", interface, "nomaster"], check=False, capture_output=True)


def main() -> None:
    """Serve until killed."""
    root, prefix = Path(sys.argv[1]), sys.argv[2]
    chosen = replace(settings(root), prefix=prefix, poll_seconds=0.1)
    access = KernelAccess(chosen, BridgeSwitch(prefix))
    asyncio.run(GuestServices(chosen, SystemClock(), access, NoControl()).run())


if __name__ == "__main__":
    main()
