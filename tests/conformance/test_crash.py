"""kill -9 of the whole cloud before and after every effect, for every type and for the example deployment.

Demanded each time: the same state after every step as without the crash, nothing leaked once all is deleted, nothing made
twice, nothing lost that was answered. `LAZUR_EDGES=all` tries every edge of the deployment, not every seventh.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from tests.cloud.cloud import Cloud, World, first_difference, new_world
from tests.conformance.crashing import Step, Told, act, delete, put, tell
from tests.conformance.examples import BY_NAME, NAMES, Maker

TEMPLATE = Path(__file__).parents[2] / "examples" / "load-balanced-web" / "azuredeploy.json"


def prepared(name: str) -> tuple[World, list[Step], int]:
    """A world in which everything an example needs exists, the story of its life, and the step after which it is gone."""
    declared, world, story = BY_NAME[name], new_world(), []

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world).start()
        maker = Maker(cloud, await cloud.with_group())
        await maker.prepare(declared)
        await cloud.settled()
        await cloud.stop()
        id, body = maker.id(declared), maker.body(declared)
        story.append(put(id, body))
        story.append(put(id, {**body, "tags": {"changed": "yes"}}))
        actions = [a.name for a in declared.actions if not (a.reads or a.detached)]
        for action in actions:
            # The first one declared brings the resource back to life for the next.
            story.extend([act(id, action), act(id, actions[0])])
        story.append(delete(id))
        story.append(delete(maker.group))

    run_virtual(main, world.clock())
    return world, story, len(story) - 2


def compare(found: Told, expected: Told, edge: int) -> None:
    where = f"killed at edge {edge} of {expected.edges}"
    assert not found.lost, f"{where}: {found.lost}"
    assert not found.leaked, f"{where}: {found.leaked}"
    for step, (one, other) in enumerate(zip(found.shapes, expected.shapes, strict=True)):
        assert one == other, f"{where}, another state after step {step}: {first_difference(one, other)}"
    assert (found.starts, found.made) == (expected.starts, expected.made), f"{where}: made twice"


@pytest.mark.parametrize("name", NAMES)
def test_every_type_survives_a_crash_at_every_effect(name: str) -> None:
    world, story, _ = prepared(name)
    expected = tell(world, story, None)
    assert not expected.leaked
    for edge in range(1, expected.edges + 1):
        compare(tell(world, story, edge), expected, edge)


def test_the_example_deployment_survives_a_crash_at_every_effect() -> None:
    world, story = new_world(), []
    cloud = Cloud(world.clock(), world=world)
    template = json.loads(TEMPLATE.read_text())
    parameters = {"sshPublicKey": {"value": "ssh-ed25519 AAAAC3 test"}}

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world).start()
        group = await cloud.with_group()
        deployment = group.resource("Microsoft.Resources/deployments", "web")
        properties = {"mode": "Incremental", "template": template, "parameters": parameters}
        story.extend([put(deployment, {"properties": properties}), delete(group)])
        await cloud.settled()
        await cloud.stop()

    run_virtual(main, cloud.clock)
    expected = tell(world, story, None)
    assert not expected.leaked and expected.starts == 2 and expected.made == 2
    stride = 1 if os.environ.get("LAZUR_EDGES") == "all" else 7
    for edge in range(1, expected.edges + 1, stride):
        compare(tell(world, story, edge), expected, edge)
