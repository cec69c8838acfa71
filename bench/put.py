"""`put`: durable PUT by 64 clients at once with group commit, against one transaction and one sync per request."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

from bench.client import VERSION, Served, served
from bench.load import block, request
from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from bench.ratios import Target

_CONNECTIONS = 64
_METRICS = (
    Metric("rate", "PUTs per second", Target(5.0, 5.0, most=False)),
    Metric("cpu", "µs CPU per PUT"),
)
_TYPE = "providers/Microsoft.Compute/availabilitySets"


class _Writers:
    """Each connection changes a resource of its own; the last acknowledged value of each must be found afterwards."""

    def __init__(self, server: Served, group: str, effort: Effort) -> None:
        self._server = server
        self._group = group
        self._effort = effort
        self._count = 0
        self._sent = [0] * _CONNECTIONS

    def path(self, number: int) -> str:
        return f"{self._group}/{_TYPE}/set{number}"

    def ask(self, number: int) -> bytes:
        self._count += 1
        self._sent[number] = self._count
        document = {
            "location": "local", "sku": {"name": "Aligned"}, "tags": {"turn": str(self._count)},
            "properties": {"platformFaultDomainCount": 2, "platformUpdateDomainCount": 5},
        }  # fmt: skip
        path = f"{self.path(number)}?api-version={VERSION}"
        return request("PUT", path, self._server.headers, json.dumps(document).encode())

    def check(self, number: int, status: int, body: bytes) -> str:
        right = status == 200 and json.loads(body)["tags"] == {"turn": str(self._sent[number])}
        return "" if right else f"PUT answered {status} {body[:300]!r}"

    async def __call__(self) -> Block:
        server = self._server
        found = await block(server.port, server.pid, self._effort.seconds, _CONNECTIONS, self.ask, self.check)
        for number, turn in enumerate(self._sent):
            kept = json.loads((await server.ask("GET", self.path(number)))[1])["tags"]
            if kept != {"turn": str(turn)}:
                raise Wrong(f"acknowledged turn {turn} of {self.path(number)}, found {kept}")
        return found


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of updates of availability sets, which are done when they are committed."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(served("lazur"))
        floor = await stack.enter_async_context(served("fsync"))
        twin = await stack.enter_async_context(served("fsync"))
        group = f"{ours.subscription}/resourceGroups/bench"
        await ours.put(group, {"location": "local"})
        once, again, cloud = (_Writers(server, group, effort) for server in (floor, twin, ours))
        return await compare(_METRICS, once, again, cloud, effort, say)
