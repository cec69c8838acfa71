"""The auditor: clean after a deployment, and it finds one planted fault of each kind."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.fsck import Facts, audit
from tests.cloud.auditing import facts_of
from tests.cloud.cloud import Cloud
from tests.cloud.test_example import KEY, TEMPLATE


@pytest.fixture(scope="module")
def clean() -> dict[str, Any]:
    """Facts of a cloud that runs the example."""

    async def main(clock: VirtualClock) -> dict[str, Any]:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        properties = {"mode": "Incremental", "template": TEMPLATE, "parameters": {"sshPublicKey": {"value": KEY}}}
        await cloud.put(group.resource("Microsoft.Resources/deployments", "d"), {"properties": properties})
        facts = asdict(await facts_of(cloud))
        await cloud.stop()
        found: dict[str, Any] = json.loads(json.dumps(facts))
        return found

    return run_virtual(main)


def test_a_settled_cloud_is_clean(clean: dict[str, Any]) -> None:
    assert audit(Facts(**clean)) == []
    machines = [len(h["machines"]) for h in clean["hosts"].values()]
    assert machines == [1, 1] and len(clean["storage"]["disks"]) == 2, "the audit looked at something"


def _machine(facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(d for d in facts["control"]["desires"] if d["kind"] == "vm")
    return found


PLANTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "process": lambda f: f["hosts"]["h01"]["processes"].append(4242),
    "unknown machine": lambda f: f["hosts"]["h01"]["machines"].update(
        {"stray": {"phase": "running", "pid": None, "disks": []}}
    ),
    "dead machine": lambda f: [m.update(pid=None, phase="dead") for m in f["hosts"]["h01"]["machines"].values()],
    "extra tap": lambda f: f["hosts"]["h02"]["taps"].update({"tdeadbeef": "nic-nobody"}),
    "missing tap": lambda f: f["hosts"]["h02"]["taps"].clear(),
    "extra disk": lambda f: f["storage"]["disks"].append("stray.qcow2"),
    "missing disk": lambda f: f["storage"]["disks"].pop(),
    "row": lambda f: f["network"]["drift"].append("unwanted: Logical_Switch ls-stray"),
    "port": lambda f: f["network"]["bindings"].clear(),
    "chassis": lambda f: f["network"]["chassis"].remove("h02"),
    "extra namespace": lambda f: f["hosts"]["h01"]["namespaces"].append("gs-stray"),
    "missing namespace": lambda f: f["hosts"]["h01"]["namespaces"].clear(),
    "desire without owner": lambda f: _machine(f).update(owner="/subscriptions/s/nobody"),
    "unanswered desire": lambda f: _machine(f).update(reported=0),
    "unsettled resource": lambda f: f["control"]["resources"][-1].update(state="Updating"),
    "orphan": lambda f: f["control"]["orphans"].append(["/subscriptions/s/nobody", "public 203.0.113.7"]),
}


@pytest.mark.parametrize("kind", sorted(PLANTS))
def test_a_planted_fault_is_found(clean: dict[str, Any], kind: str) -> None:
    spoiled = copy.deepcopy(clean)
    PLANTS[kind](spoiled)
    assert audit(Facts(**spoiled)), f"{kind} went unnoticed"
