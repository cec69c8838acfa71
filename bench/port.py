"""`port`: one network port ready, and 100 in one deployment, against `ovn-nbctl --wait=hv lsp-add` one by one. Needs a rack.

Ready means the same on both sides: every host says it has taken the change over (the raw command's `hv`, our Succeeded).
Ours is asked for through the ARM endpoint and durable; the raw one is a row.
"""

from __future__ import annotations

from typing import Any

from bench.pairing import Block, Effort, Figure, Metric, Say, Wrong, compare
from bench.rackside import CLOCK, Cloud, cloud, control_cpu, interface, network
from bench.ratios import Target
from lazur.lifecycle.rack import layout

_FEW, _MANY = 5, 100
# One question of a deployment costs the control plane as much as half an interface.
_SELDOM = 0.05
_SWITCH = "lazur-bench-raw"
_NIC = "Microsoft.Network/networkInterfaces"
_WORK = "the time a client waits"
_ONE = (Metric("one", f"ms per port, {_WORK}", Target(1.15, 1.5)),)
_HUNDRED = (Metric("hundred", f"ms per port of {_MANY}, {_WORK}", Target(0.1, 0.1)),)

# Timed inside the container, so that entering it does not count against the raw side.
_RAW = """
i=0
while [ $i -lt $2 ]; do
    name=$1-$i
    begun=$(date +%s%N)
    ovn-nbctl --wait=hv lsp-add $1 $name -- lsp-set-addresses $name "$(printf 02:00:00:00:%02x:%02x $((i / 256)) $((i % 256)))"
    echo $(($(date +%s%N) - begun))
    i=$((i + 1))
done
"""


async def run(effort: Effort, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of both questions."""
    figures: list[Figure] = []
    rows: dict[str, Any] = {}
    async with cloud() as found:
        await found.put(found.id("Microsoft.Network/virtualNetworks", "net"), network(found.rack.site.region))
        for metrics, count, ours in ((_ONE, _FEW, _separately), (_HUNDRED, _MANY, _together)):
            floor, mine = _raw(found, metrics[0].name, count), _ours(found, metrics[0].name, count, ours)
            some, blocks = await compare(metrics, floor, floor, mine, effort, say)
            figures += some
            rows[metrics[0].name] = blocks
    return figures, rows


def _raw(found: Cloud, metric: str, count: int) -> Any:
    control = found.rack.container(layout.CONTROL)

    async def one() -> Block:
        control.run(["ovn-nbctl", "--if-exists", "ls-del", _SWITCH, "--", "ls-add", _SWITCH])
        try:
            said = control.run(["sh", "-euc", _RAW, "sh", _SWITCH, str(count)], timeout=600).stdout.split()
            there = control.run(["ovn-nbctl", "--bare", "--columns=name", "find", "Logical_Switch_Port"]).stdout.split()
        finally:
            control.run(["ovn-nbctl", "--wait=hv", "--if-exists", "ls-del", _SWITCH])
        if sum(name.startswith(_SWITCH) for name in there) != count:
            raise Wrong(f"not all {count} raw ports are there")
        return Block({metric: sum(map(int, said)) / count / 1e6})

    return one


def _ours(found: Cloud, metric: str, count: int, work: Any) -> Any:
    async def one() -> Block:
        cpu, begun = control_cpu(), CLOCK.monotonic()
        await work(found, count)
        wall, spent = CLOCK.monotonic() - begun, control_cpu() - cpu
        ports = [f"port{n}" for n in range(count)]
        for name in (ports[0], ports[-1]):
            shown = (await found.get(found.id(_NIC, name)))["properties"]
            if shown["provisioningState"] != "Succeeded":
                raise Wrong(f"{name} is {shown['provisioningState']}")
        for name in ports:
            await found.delete(found.id(_NIC, name))
        return Block({metric: wall / count * 1e3}, {"controlCpuMs": spent / count * 1e3})

    return one


async def _separately(found: Cloud, count: int) -> None:
    body = interface(found)
    for n in range(count):
        await found.ended(await found.submit(found.id(_NIC, f"port{n}"), body))


async def _together(found: Cloud, count: int) -> None:
    resource = {
        "type": _NIC, "apiVersion": "2023-11-01", "name": "[format('port{0}', copyIndex())]",
        "copy": {"name": "ports", "count": count}, **interface(found),
    }  # fmt: skip
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [resource],
    }
    body = {"properties": {"mode": "Incremental", "template": template}}
    await found.ended(await found.submit(found.id("Microsoft.Resources/deployments", "ports"), body), _SELDOM)
