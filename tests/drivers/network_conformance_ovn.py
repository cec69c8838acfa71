"""Runs the checks on the real driver inside the host image, whose Python has `ovs`.

Writes a JSON line per event: `{"check", "failure"}` for a finished check, `{"please"}` for what its caller has to do, to
which it expects a line in answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from pathlib import Path

from lazur.drivers.network.ovn import OvnNetwork, OvnSettings
from lazur.kernel.clock import SystemClock
from tests.drivers.network_conformance import CHECKS


class _Bench:
    def __init__(self, northbound: str, southbound: str, *identity: str) -> None:
        key, certificate, ca = map(Path, identity) if identity else (None, None, None)
        self.driver = OvnNetwork(OvnSettings(northbound, southbound, key, certificate, ca, answer=6.0), SystemClock())

    async def plant(self) -> None:
        self._please("plant")

    async def spoil(self) -> None:
        self._please("spoil")

    async def join(self) -> None:
        self._please("join")

    async def cut(self) -> None:
        self._please("cut")

    async def mend(self) -> None:
        self._please("mend")

    def _please(self, what: str) -> None:
        print(json.dumps({"please": what}), flush=True)
        sys.stdin.readline()


async def _main(northbound: str, southbound: str, *identity: str) -> None:
    bench = _Bench(northbound, southbound, *identity)
    for check in CHECKS:
        failure = None
        try:
            await bench.driver.apply({})
            await check(bench)
        except Exception:
            failure = traceback.format_exc()
        print(json.dumps({"check": check.__name__, "failure": failure}), flush=True)
    await bench.driver.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
