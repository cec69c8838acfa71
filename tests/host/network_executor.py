"""Runs inside the host image: one JSON list of desires per line in, one JSON list of reports per line out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys

from lazur.drivers.network.ovn import OvnNetwork, OvnSettings
from lazur.kernel.clock import SystemClock
from lazur.model.desire import Desire
from lazur.providers.network.host import NetworkHandler


async def main(northbound: str, southbound: str) -> None:
    driver = OvnNetwork(OvnSettings(northbound, southbound, spread=20.0), SystemClock())
    handler = NetworkHandler(driver)
    while line := await asyncio.to_thread(sys.stdin.readline):
        reports = await handler.reconcile([Desire(**desire) for desire in json.loads(line)])
        print(json.dumps([dataclasses.asdict(report) for report in reports]), flush=True)
    await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
