"""The example template, deployed in the in-process cloud."""

from __future__ import annotations

import json
from pathlib import Path

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from tests.cloud.cloud import Cloud

TEMPLATE = json.loads((Path(__file__).parents[2] / "examples/load-balanced-web/azuredeploy.json").read_text())
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqh0W4GfsWwZBCwH0ToB9yK3xL3b6c4Jm0nLzUPn8kP example"


def test_the_example_deploys_and_goes() -> None:
    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        deployment = group.resource("Microsoft.Resources/deployments", "example")
        properties = {"mode": "Incremental", "template": TEMPLATE, "parameters": {"sshPublicKey": {"value": KEY}}}
        await cloud.put(deployment, {"properties": properties})
        shown = cloud.show(deployment)["properties"]
        assert shown["provisioningState"] == "Succeeded", shown
        assert shown["outputs"]["machines"]["value"] == ["web1", "web2"]
        assert shown["outputs"]["url"]["value"] == "http://203.0.113.1/"
        assert KEY not in json.dumps(shown)
        hosts = [cloud.world.store.get(group.resource("Microsoft.Compute/virtualMachines", n).key) for n in ("web1", "web2")]
        assert {h.allocated["host"] for h in hosts if h} == {"h01", "h02"}, "an availability set spreads over fault domains"
        await cloud.delete(group)
        outside = cloud.outside()
        assert outside["disks"] == [] and not any(h["machines"] or h["taps"] for h in outside["hosts"].values())
        await cloud.stop()

    run_virtual(main)
