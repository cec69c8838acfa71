"""`fair`: how long a tenant waits for its reads while another floods the same control plane, against the same without it.

The other has one principal, that asks on many connections as fast as it is answered; throttles are on. The tenant itself asks
at a pace of its own, by many principals, so that no throttle meets it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from contextlib import AsyncExitStack, closing
from typing import Any

from bench.client import VERSION, Served, served
from bench.flood import CONNECTIONS
from bench.load import paced, request
from bench.machine import cpu_seconds, pin
from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from bench.ratios import Target
from bench.tenants import SETS
from lazur.lifecycle.project import ROOT

_RATE, _CONNECTIONS = 200.0, 8
_METRICS = (Metric("p99", "ms, the 99th of 100 reads", Target(1.3, 1.3)), Metric("p50", "ms, the middle read"))


class _Flood:
    """The other tenant's process."""

    def __init__(self, server: Served) -> None:
        self._told = server.tenants["a"]
        argv = [sys.executable, "-m", "bench.flood", str(server.port), self._told["group"]]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pin(self._process.pid, 1)
        self._say(self._told["tokens"][0])

    def begin(self, seconds: float) -> None:
        """Flood for so long; returns when the tenant has spent all that it had saved up and begins to be refused."""
        self._say(str(seconds))
        self._line()

    def ended(self) -> dict[str, float]:
        """How many requests passed and were refused; waits for the end."""
        found: dict[str, float] = json.loads(self._line())
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Wrong("the flood ended before its time")
        return line

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of one tenant's reads by id."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(served("shared"))
        flood = stack.enter_context(closing(_Flood(server)))
        told = server.tenants["b"]
        tokens, names = itertools.cycle(told["tokens"]), itertools.cycle(range(SETS))

        def ask(_: int) -> bytes:
            path = f"{told['group']}/providers/Microsoft.Compute/availabilitySets/set{next(names)}?api-version={VERSION}"
            return request("GET", path, {"Authorization": f"Bearer {next(tokens)}"})

        def check(_: int, status: int, body: bytes) -> str:
            right = status == 200 and json.loads(body)["name"].startswith("set")
            return "" if right else f"the read was answered {status} {body[:200]!r}"

        async def alone() -> Block:
            return await paced(server.port, effort.seconds, _RATE, _CONNECTIONS, ask, check)

        async def beside() -> Block:
            await asyncio.to_thread(flood.begin, effort.seconds)
            cpu = cpu_seconds(server.pid)
            found = await alone()
            spent = cpu_seconds(server.pid) - cpu
            told = await asyncio.to_thread(flood.ended)
            return Block(found.costs, {n: value / effort.seconds for n, value in {**told, "busy": spent}.items()})

        found, rows = await compare(_METRICS, alone, alone, beside, effort, say)
        facts = [pair[1]["facts"] for pair in rows["pairs"]]
        told = {n: sum(f.get(n, 0) for f in facts) / len(facts) for n in ("reads passed", "writes passed", "busy")}
        refused = sum(f.get(n, 0) for f in facts for n in ("reads refused", "writes refused")) / len(facts)
        say(
            f"  the flood, on {CONNECTIONS} connections: {told['reads passed']:.0f} reads and {told['writes passed']:.0f}"
            f" writes a second passed, {refused:.0f} were refused; the server busy {told['busy']:.0%} of the time"
        )
        return found, rows
