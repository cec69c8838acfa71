"""`template`: a deployment of 800 resources, durable and resumable, against 800 plain PUTs of the same resources.

The resources are availability sets, which nothing outside has to make, so what is measured is the deployment alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from bench.client import Served, served
from bench.machine import cpu_seconds
from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from bench.ratios import Target
from lazur.kernel.clock import SystemClock

COUNT = 800
_AT_ONCE = 16
_TIMES = 5
_TYPE = "Microsoft.Compute/availabilitySets"
_SET = {
    "location": "local",
    "sku": {"name": "Aligned"},
    "properties": {"platformFaultDomainCount": 2, "platformUpdateDomainCount": 5},
}
_METRICS = (
    Metric("cpu", "µs CPU per resource", Target(2.0, 4.0)),
    Metric("wall", "µs per resource"),
)


def template(count: int) -> dict[str, Any]:
    """A template of `count` availability sets that do not wait for each other."""
    resource = {
        "type": _TYPE, "apiVersion": "2024-07-01", "name": "[format('set{0}', copyIndex())]",
        "copy": {"name": "sets", "count": count}, **_SET, "location": "[resourceGroup().location]",
    }  # fmt: skip
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [resource],
    }


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures, and the cost of expanding and validating the template."""
    say(f"  {COUNT} availability sets, a fresh control plane for each block")
    found = await compare(_METRICS, _block(_one_by_one), _block(_one_by_one), _block(_deployed), effort, say)
    validate = await _validated()
    spent = sorted(cost for cost, _ in validate)[len(validate) // 2]
    say(f"  expand and validate: {spent:.2f} s CPU, the median of {_TIMES}; goal at most 0.3 s")
    cpu = next(figure for figure in found[0] if figure.name == "cpu")
    say(f"  {cpu.ours / 1000:.2f} ms CPU per resource; goal at most 1.3 ms on a machine that does nothing else")
    return found[0], {**found[1], "validate": [{"cpu": cost, "wall": wall} for cost, wall in validate]}


async def _validated() -> list[tuple[float, float]]:
    """CPU and wall seconds of `validate`, several times on one server; the first includes what is only loaded once."""
    spent = []
    async with served("lazur") as server:
        path = f"{await _group(server)}{_DEPLOYMENT}/validate"
        for _ in range(_TIMES):
            cpu, begun, clock = cpu_seconds(server.pid), SystemClock().monotonic(), SystemClock()
            status, text, _ = await server.ask("POST", path, _deployment())
            if status != 200 or len(json.loads(text)["properties"]["validatedResources"]) != COUNT:
                raise Wrong(f"validate: {status} {text[:300]!r}")
            spent.append((cpu_seconds(server.pid) - cpu, clock.monotonic() - begun))
    return spent


_DEPLOYMENT = "/providers/Microsoft.Resources/deployments/bench"


def _deployment() -> dict[str, Any]:
    return {"properties": {"mode": "Incremental", "template": template(COUNT)}}


async def _group(server: Served) -> str:
    group = f"{server.subscription}/resourceGroups/bench"
    await server.put(group, {"location": "local"})
    return group


def _block(work: Callable[[Served, str], Awaitable[None]]) -> Callable[[], Awaitable[Block]]:
    async def one() -> Block:
        clock = SystemClock()
        async with served("lazur") as server:
            group = await _group(server)
            cpu, begun = cpu_seconds(server.pid), clock.monotonic()
            await work(server, group)
            wall, spent = clock.monotonic() - begun, cpu_seconds(server.pid) - cpu
            names = set()
            url: str | None = f"{group}/providers/{_TYPE}"
            while url:
                page = json.loads((await server.ask("GET", url))[1])
                names |= {item["name"] for item in page["value"]}
                url = page.get("nextLink")
        if names != {f"set{n}" for n in range(COUNT)}:
            raise Wrong(f"{len(names)} of {COUNT} resources are there")
        return Block({"cpu": spent / COUNT * 1e6, "wall": wall / COUNT * 1e6}, {"seconds": wall})

    return one


async def _deployed(server: Served, group: str) -> None:
    status, text, headers = await server.ask("PUT", group + _DEPLOYMENT, _deployment())
    if status >= 300:
        raise Wrong(f"PUT deployment: {status} {text[:500]!r}")
    await server.ended(headers["azure-asyncoperation"], pause=0.25)


async def _one_by_one(server: Served, group: str) -> None:
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def put(number: int) -> None:
        async with at_once:
            status, text, _ = await server.ask("PUT", f"{group}/providers/{_TYPE}/set{number}", _SET)
            if status != 200:
                raise Wrong(f"PUT: {status} {text[:300]!r}")

    await asyncio.gather(*(put(n) for n in range(COUNT)))
