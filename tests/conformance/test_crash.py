"""kill -9 of the whole cloud before and after every effect, for every type and for the example deployment.

Demanded each time: the same state after every step as without the crash, nothing leaked once all is deleted, nothing made
twice, nothing lost that was answered. `LAZUR_EDGES=all` tries every edge of the deployment, not every fifth.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from tests.cloud.cloud import Cloud, World, first_difference, new_world
from tests.cloud.parallel import spread
from tests.conformance.crashing import Step, Told, act, delete, put, tell
from tests.conformance.examples import BY_NAME, NAMES, Maker

TEMPLATE = Path(__file__).parents[2] / "examples" / "load-balanced-web" / "azuredeploy.json"
DEPLOYMENT = "the example deployment"
STRIDE = 1 if os.environ.get("LAZUR_EDGES") == "all" else 5


@cache
def prepared(name: str) -> tuple[World, Sequence[Step], Told]:
    """A world in which everything the story needs exists, the story, and how it goes undisturbed."""
    world, story = new_world(), []

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock, world=world).start()
        maker = Maker(cloud, await cloud.with_group())
        story.extend(example_deployment(maker) if name == DEPLOYMENT else await life(maker, name))
        story.append(delete(maker.group))
        await cloud.settled()
        await cloud.stop()

    run_virtual(main, world.clock())
    return world, story, tell(world, story, None)


async def life(maker: Maker, name: str) -> list[Step]:
    """Create, change, every action, delete."""
    declared = BY_NAME[name]
    await maker.prepare(declared)
    id, body = maker.id(declared), maker.body(declared)
    story = [put(id, body), put(id, {**body, "tags": {"changed": "yes"}})]
    actions = [a.name for a in declared.actions if not (a.reads or a.detached)]
    for action in actions:
        # The first one declared brings the resource back to life for the next.
        story += [act(id, action), act(id, actions[0])]
    return [*story, delete(id)]


def example_deployment(maker: Maker) -> list[Step]:
    deployment = maker.group.resource("Microsoft.Resources/deployments", "web")
    parameters = {"sshPublicKey": {"value": "ssh-ed25519 AAAAC3 test"}}
    properties = {"mode": "Incremental", "template": json.loads(TEMPLATE.read_text()), "parameters": parameters}
    return [put(deployment, {"properties": properties})]


def crashed(at: tuple[str, int]) -> str:
    """What is wrong after a crash at one edge of a story; empty when nothing is."""
    name, edge = at
    world, story, expected = prepared(name)
    try:
        found = tell(world, story, edge)
    except Exception as error:
        return f"killed at edge {edge}: {error!r}"
    where = f"killed at edge {edge} of {expected.edges}"
    if found.lost or found.leaked:
        return f"{where}: {[*found.lost, *found.leaked]}"
    for step, (one, other) in enumerate(zip(found.shapes, expected.shapes, strict=True)):
        if one != other:
            return f"{where}, another state after step {step}: {first_difference(one, other)}"
    if (found.starts, found.made) != (expected.starts, expected.made):
        return f"{where}: {found.starts} starts and {found.made} disks instead of {expected.starts} and {expected.made}"
    return ""


@pytest.mark.parametrize("name", [*NAMES, DEPLOYMENT])
def test_survives_a_crash_at_every_effect(name: str) -> None:
    expected = prepared(name)[2]
    assert not expected.leaked and expected.edges >= 8
    edges = range(1, expected.edges + 1, STRIDE if name == DEPLOYMENT else 1)
    places = [(name, edge) for edge in edges]
    found = spread(crashed, places, 8) if len(places) > 60 else [crashed(p) for p in places]
    assert not any(found), "\n".join(f for f in found if f)


def test_a_leak_is_found() -> None:
    """The suite itself: something of the outside world that no document asks for."""
    world, story, _ = prepared("Microsoft.Compute/disks")
    spoilt = world.copy()
    spoilt.storage.shelf.disks["planted.qcow2"] = 1
    assert tell(spoilt, story, None).leaked == ["disks planted.qcow2"]
