"""`get`: GET of a resource by its id, with token, rights, api-version and entity tag, against a fixed answer of equal size."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

from bench.client import Served, served
from bench.load import reads
from bench.pairing import Effort, Figure, Metric, Say, compare
from bench.ratios import Target

_CONNECTIONS = 8
_METRICS = (
    Metric("cpu", "µs CPU per request", Target(4.0, 6.0)),
    Metric("rate", "requests per second"),
)
NETWORK = {
    "location": "local",
    "tags": {"purpose": "bench"},
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
    },
}


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of one virtual network with a subnet."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(served("lazur"))
        group = f"{ours.subscription}/resourceGroups/bench"
        await ours.put(group, {"location": "local"})
        path = f"{group}/providers/Microsoft.Network/virtualNetworks/net"
        shown = await ours.put(path, NETWORK)
        body = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
        floor = await stack.enter_async_context(served("bare", body))
        twin = await stack.enter_async_context(served("bare", body))
        say(f"  one virtual network with a subnet: {len(body)} bytes of JSON")

        def side(server: Served) -> Any:
            return lambda: reads(server, path, body, effort.seconds, _CONNECTIONS)

        return await compare(_METRICS, side(floor), side(twin), side(ours), effort, say)
