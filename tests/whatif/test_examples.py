"""Deploying again what was deployed is no change, for every declared type: nothing the cloud adds looks like one."""

from __future__ import annotations

import pytest

from lazur.model.armid import ArmId
from lazur.providers.resources.template import parse_template, steps
from lazur.providers.resources.template.expand import expand
from lazur.providers.resources.whatif import Shapes, what_if
from tests.api.front import Door, at_the_door
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY, Maker
from tests.conformance.worlds import GROUP, made
from tests.template.cloud import context, template
from tests.whatif.test_what_if import World


@pytest.mark.parametrize("name", [n for n in NAMES if not BY_NAME[n].runs and "group" in BY_NAME[n].scopes])
def test_the_same_again_is_no_change(name: str) -> None:
    async def main(door: Door) -> None:
        maker = Maker(door.cloud, ArmId(door.cloud.subscription.subscription, GROUP))
        id, body = maker.id(BY_NAME[name]), maker.body(BY_NAME[name])
        record = door.store.get(id.key)
        assert record is not None
        resource = {"type": name, "apiVersion": record.api_version, "name": id.name, "scope": str(maker.group), **body}
        found = steps(expand(parse_template(template([resource])), {}, context()), World())
        pipeline, owner = door.plane.pipeline, door.cloud.owner
        answer = what_if(
            found, lambda _: record.body, Shapes(REGISTRY), foresee=lambda _, body: pipeline.foresee(owner, id, body)
        )
        (change,) = answer["properties"]["changes"]
        assert (change["changeType"], change.get("delta", [])) == ("NoChange", [])
        assert change["resourceId"] == str(id)

    at_the_door(made(name), main)
