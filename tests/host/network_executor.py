"""Runs inside the host image: one JSON list of desires per line in, one JSON list of reports (or errors) per line out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys

from lazur.drivers.network.ovn import OvnNetwork, OvnSettings
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.model.desire import Desire
from lazur.providers.network.host import NetworkHandler


async def main(northbound: str, southbound: str) -> None:
    driver = OvnNetwork(OvnSettings(northbound, southbound, spread=6.0), SystemClock())
    handler = NetworkHandler(driver)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            reports = await handler.reconcile([Desire(**desire) for desire in json.loads(line)])
            answer = [dataclasses.asdict(report) for report in reports]
        except LazurError as error:
            answer = [{"state": "Error", "error": error.body()}]
        print(json.dumps(answer), flush=True)
    await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
