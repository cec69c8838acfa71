"""`list`: a list of 1,000 resources, with token, rights and api-version, against a fixed answer of equal size."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from bench.client import Served, served
from bench.load import reads
from bench.pairing import Block, Effort, Figure, Metric, Say, compare

_CONNECTIONS, _ITEMS, _AT_ONCE = 2, 1000, 16
_METRICS = (Metric("item", "µs CPU per item"),)
_SET = {
    "location": "local", "sku": {"name": "Aligned"}, "tags": {"purpose": "bench"},
    "properties": {"platformFaultDomainCount": 2, "platformUpdateDomainCount": 5},
}  # fmt: skip


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of a group's availability sets; the goal of 20 µs for each is one of time, not of the ratio."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(served("lazur"))
        group = f"{ours.subscription}/resourceGroups/bench"
        await ours.put(group, {"location": "local"})
        path = f"{group}/providers/Microsoft.Compute/availabilitySets"
        for begin in range(0, _ITEMS, _AT_ONCE):
            names = range(begin, min(begin + _AT_ONCE, _ITEMS))
            await asyncio.gather(*(ours.put(f"{path}/set{n:04}", _SET) for n in names))
        _, body, _ = await ours.ask("GET", path)
        assert len(json.loads(body)["value"]) == _ITEMS
        floor = await stack.enter_async_context(served("bare", body))
        twin = await stack.enter_async_context(served("bare", body))
        say(f"  {_ITEMS} availability sets: {len(body)} bytes of JSON")

        def side(server: Served) -> Any:
            async def one() -> Block:
                done = await reads(server, path, body, effort.seconds, _CONNECTIONS)
                return replace(done, costs={**done.costs, "item": done.costs["cpu"] / _ITEMS})

            return one

        return await compare(_METRICS, side(floor), side(twin), side(ours), effort, say)
