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
    gone, stays = example.machines
    vm, home = example.vm(gone), cloud.placed(example.vm(gone))[0]
    with pytest.raises(LazurError, match="switch it off first"):
        asyncio.run(declare_lost(cloud.rack, home, force=False))
    cloud.rack.container(home).stop()
    asyncio.run(declare_lost(cloud.rack, home, force=True))
    until("the machine to fail", lambda: cloud.get(vm)["properties"]["provisioningState"] == "Failed")
    example.served_by(stays)
    cloud.post(vm, "start")
    assert cloud.placed(vm)[0] != home
    example.served_by(*example.machines)
    before = cloud.guests_of(cloud.placed(vm)[0])
    cloud.rack.up(CHECKS)
    until("the host to be one again", lambda: not cloud.facts().control["lost"])
    assert cloud.guests_of(home) == {} and cloud.guests_of(cloud.placed(vm)[0]) == before
    # Back to where the other tests expect it: in a fault domain of its own.
    cloud.post(vm, "deallocate")
    cloud.post(vm, "start")
    assert cloud.placed(vm)[0] == home
    example.served_by(*example.machines)
