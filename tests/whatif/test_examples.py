"""Deploying again what was deployed is no change, for every declared type: nothing the cloud adds looks like one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lazur.api.decode import decode
from lazur.kernel.ids import SeededIds
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.model.fields import pointers
from lazur.model.resource import Facts
from lazur.providers.resources.template import parse_template, steps
from lazur.providers.resources.template.expand import expand
from lazur.providers.resources.whatif import Shapes, what_if
from tests.api.front import Door, at_the_door
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY, Maker
from tests.conformance.worlds import GROUP, made
from tests.template.cloud import context, template
from tests.whatif.test_what_if import World


def foreseen(door: Door, record: Record, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the type's own admission would keep of a body."""
    declared = REGISTRY.type_of(record.id)
    module = REGISTRY.behaviour(declared, "admit")
    decoded, faults = decode(declared, record.id, body, door.cloud.plane.stamp)
    assert decoded is not None and not faults
    if module is None:
        return body
    keys = {pointer.target.key for pointer in pointers(decoded.spec)} | {record.id.scope.key}
    related = {key: found for key in keys if (found := door.store.get(REGISTRY.document_of(ArmId.parse(key)).key))}
    claims = {pool: door.store.claims(pool) for pool in declared.pools(decoded.spec, related, record)}
    facts = Facts(record.id, record.uid, record, related, claims, door.cloud.plane.stamp, SeededIds(0).uuid)
    decision = module.admit(decoded.spec, decoded.body, facts)
    assert not decision.faults
    kept: Mapping[str, Any] = decision.body or decoded.body
    return kept


@pytest.mark.parametrize("name", [n for n in NAMES if not BY_NAME[n].runs and "group" in BY_NAME[n].scopes])
def test_the_same_again_is_no_change(name: str) -> None:
    async def main(door: Door) -> None:
        maker = Maker(door.cloud, ArmId(door.cloud.subscription.subscription, GROUP))
        id, body = maker.id(BY_NAME[name]), maker.body(BY_NAME[name])
        record = door.store.get(id.key)
        assert record is not None
        resource = {"type": name, "apiVersion": record.api_version, "name": id.name, "scope": str(maker.group), **body}
        found = steps(expand(parse_template(template([resource])), {}, context()), World())
        answer = what_if(found, lambda _: record.body, Shapes(REGISTRY), foresee=lambda _, body: foreseen(door, record, body))
        (change,) = answer["properties"]["changes"]
        assert (change["changeType"], change.get("delta", [])) == ("NoChange", [])
        assert change["resourceId"] == str(id)

    at_the_door(made(name), main)
