"""A host of a real rack is gone, is declared lost, and comes back."""

from __future__ import annotations

import asyncio

import pytest

from lazur.cli.commands.host import declare_lost
from lazur.kernel.errors import LazurError
from tests.rack.flows import Cloud, Example, until
from tests.rack.support import CHECKS


def test_machines_of_a_lost_host_run_elsewhere_and_nowhere_twice(cloud: Cloud, example: Example) -> None:
    example.served_by(*example.machines)
    # The worse half of a loss: with two hosts, the one that serves the network's gateway has no heir of its own.
    home = _gateway(cloud, example)
    gone = next(name for name in example.machines if cloud.placed(example.vm(name))[0] == home)
    stays = next(name for name in example.machines if name != gone)
    vm = example.vm(gone)
    with pytest.raises(LazurError, match="switch it off first"):
        asyncio.run(declare_lost(cloud.rack, home, force=False))
    cloud.rack.container(home).stop()
    try:
        asyncio.run(declare_lost(cloud.rack, home, force=True))
        until("the machine to fail", lambda: cloud.get(vm)["properties"]["provisioningState"] == "Failed")
        example.served_by(stays)
        cloud.post(vm, "start")
        assert cloud.placed(vm)[0] != home != _gateway(cloud, example)
        example.served_by(*example.machines)
        before = cloud.guests_of(cloud.placed(vm)[0])
    finally:
        cloud.rack.up(CHECKS)
    until("the host to be one again", lambda: not cloud.facts().control["lost"])
    assert cloud.guests_of(home) == {} and cloud.guests_of(cloud.placed(vm)[0]) == before
    # Back to where the other tests expect it: in a fault domain of its own.
    cloud.post(vm, "deallocate")
    cloud.post(vm, "start")
    assert cloud.placed(vm)[0] == home
    example.served_by(*example.machines)


def _gateway(cloud: Cloud, example: Example) -> str:
    """The host on which the example's network meets the outside."""
    facts, network = cloud.facts(), example.id("Microsoft.Network/virtualNetworks", "").lower()
    (uid,) = (d["key"] for d in facts.control["desires"] if d["kind"] == "vnet" and d["owner"].lower().startswith(network))
    found = until("a gateway", lambda: cloud.facts().network["bindings"].get(f"cr-lrp-ext-{uid}"))
    assert isinstance(found, str)
    return found
