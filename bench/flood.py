"""Floods a server as one tenant, as fast as it is answered: `python -m bench.flood PORT GROUP`, the token on standard input.

A process of its own, so that it does not keep waiting whoever measures. Each further line of input is a number of seconds to
flood for, once all that was saved up is spent, which is told by a line of output; another says how many requests were let
through and refused. Must never be pointed at anything but a server of `bench.servers`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter

import uvloop

from bench.client import VERSION
from bench.load import block, request
from bench.tenants import AVAILABILITY_SET

CONNECTIONS = 32


async def main(port: int, group: str) -> None:
    """A quarter lists, a quarter writes, the rest reads of one resource."""
    token = sys.stdin.readline().strip()
    headers = {"Authorization": f"Bearer {token}"}
    sets = f"{group}/providers/Microsoft.Compute/availabilitySets"
    turn = 0

    def ask(number: int) -> bytes:
        nonlocal turn
        turn += 1
        if number % 4 == 0:
            return request("GET", f"{sets}?api-version={VERSION}", headers)
        path = f"{sets}/set{number}?api-version={VERSION}"
        if number % 4 == 1:
            document = {**AVAILABILITY_SET, "tags": {"turn": str(turn)}}
            return request("PUT", path, headers, json.dumps(document).encode())
        return request("GET", path, headers)

    while line := await asyncio.to_thread(sys.stdin.readline):
        told: Counter[str] = Counter()

        def check(number: int, status: int, body: bytes, told: Counter[str] = told) -> str:
            told[f"{'writes' if number % 4 == 1 else 'reads'} {'passed' if status == 200 else 'refused'}"] += 1
            return "" if status in (200, 429) else f"the flood was answered {status} {body[:200]!r}"

        while not (told["writes refused"] and told["reads refused"]):
            await block(port, os.getpid(), 0.2, CONNECTIONS, ask, check)
        told.clear()
        print("spent", flush=True)
        await block(port, os.getpid(), float(line), CONNECTIONS, ask, check)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    # Whoever measures goes first on the core that both share.
    os.nice(10)
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
