"""Every field typed as a resource id, with ids that lead into somebody else's subscription or are no ids at all.

What is not the caller's to join is refused with the same words whether or not it is there; what is no id is refused where it
stands; another spelling of a good id is a good id.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from lazur.lifecycle.control_plane import SYSTEM
from lazur.model.armid import ArmId
from tests.api.front import Answer, Door, at_the_door, world_of
from tests.cloud.cloud import Cloud, World
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY, Maker
from tests.conformance.id_fields import IdField, id_fields
from tests.conformance.test_documents import Case
from tests.conformance.worlds import GROUP, made, ready_for

TYPES = [n for n in NAMES if id_fields(BY_NAME[n])]
NO_IDS: dict[str, Callable[[str], str]] = {
    "no slash before": lambda id: id.removeprefix("/"),
    "up and down again": lambda id: id.replace("/resourceGroups/", "/resourceGroups/other/../"),
    "staying": lambda id: id.replace("/providers/", "/./providers/"),
    "encoded slash": lambda id: id.replace("/providers/", "%2fproviders/"),
    "encoded letter": lambda id: id.replace("/providers/", "/%70roviders/"),
    "encoded twice": lambda id: id.replace("/providers/", "%252fproviders/"),
    "backslash": lambda id: id.replace("/", "\\"),
    "wide slash": lambda id: id.replace("/providers/", "\uff0fproviders\uff0f"),
    "NUL": lambda id: id + "\x00",
    "line break": lambda id: id.replace("/providers", "\n/providers"),
    "query": lambda id: id + "?api-version=2024-01-01",
    "fragment": lambda id: id + "#x",
    "URL": lambda id: "https://management.local.lazur.internal" + id,
    "nothing": lambda id: "",
    "blank": lambda id: " ",
    "root": lambda id: "/",
    "no name": lambda id: id.rpartition("/")[0],
    "endless": lambda id: id + "x" * 5000,
    "deep": lambda id: id + "/a/b" * 2000,
}


def foreign(name: str) -> World:
    """The example of the type is ready for in the customer's subscription and made in the operator's."""

    async def prepare(cloud: Cloud) -> None:
        await Maker(cloud, await cloud.with_group(GROUP)).prepare(BY_NAME[name])
        customer, cloud.owner = cloud.owner, SYSTEM
        group = ArmId(elsewhere(cloud), GROUP)
        await cloud.put(group, {"location": "local"})
        maker = Maker(cloud, group)
        for field in id_fields(BY_NAME[name]):
            declared = REGISTRY.find(field.ref.type) if field.ref else None
            declared = declared or (REGISTRY.find(field.ref.type.rpartition("/")[0]) if field.ref else None)
            if declared is not None and cloud.world.store.get(maker.id(declared).key) is None:
                await maker.make(declared)
        cloud.owner = customer

    return world_of(f"foreign {name}", prepare)


def elsewhere(cloud: Cloud) -> str:
    """The subscription that is not the customer's."""
    rows = cloud.world.store.document("subscriptions").content
    found = next(row["id"] for row in rows if row["id"] != cloud.plane.stamp.subscription)
    return str(found)


def target_of(field: IdField, group: ArmId, number: int = 1) -> ArmId:
    """An id that fits the field: of the example of its type, or of a child of that."""
    maker = Maker(None, group)
    assert field.ref is not None
    declared = REGISTRY.find(field.ref.type)
    if declared is not None:
        return maker.id(declared, number)
    parent, _, child = field.ref.type.rpartition("/")
    declared = BY_NAME[parent]
    embedded = next(c for c in declared.embedded if c.type == child)
    known = maker.body(declared)["properties"].get(embedded.list) or [{"name": "further"}]
    return maker.id(declared, number).child(child, known[0]["name"])


def without(answer: Answer, *words: str) -> str:
    """The answer's body with the ids of the question blotted out."""
    text = answer.raw.decode()
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "#")
    return text


async def asked(case: Case, field: IdField, id: str) -> tuple[Answer, str]:
    """A PUT that says `id` in `field`, and where a fault must stand."""
    found = field.body(case.maker, case.declared, id)
    assert found is not None, f"{field.name}: no example leads here; SEEDS needs a smallest item"
    body, path = found
    return await case.put(body), path


@pytest.mark.parametrize("name", TYPES)
def test_ids_of_another_subscription(name: str) -> None:
    async def main(door: Door) -> None:
        case, before = Case(door, name), door.stored()
        group = ArmId(elsewhere(door.cloud), GROUP)
        for field in id_fields(case.declared):
            if field.ref is None or field.ref.soft:
                continue
            told = []
            there = target_of(field, group)
            if there.subscription is None:
                continue
            for id in (there, target_of(field, ArmId(group.subscription, "absent")), target_of(field, group, 7)):
                for text in (str(id), str(id).upper(), str(id).lower(), str(id).replace("/", "//")):
                    answer, path = await asked(case, field, text)
                    assert answer.status in (400, 403), f"{field.name} {text}: {answer.status}"
                    faults = {t: c for c, t in answer.faults() if t.startswith(path)}
                    assert set(faults.values()) == {"LinkedAuthorizationFailed"}, f"{field.name} {text}: {answer.raw!r}"
                told.append(without((await asked(case, field, str(id)))[0], str(id)))
            assert told[0] == told[1] == told[2], f"{field.name}: tells what is there: {told}"
        assert door.stored() == before

    at_the_door(foreign(name), main, executors=False)


@pytest.mark.parametrize("name", TYPES)
def test_what_is_no_id(name: str) -> None:
    async def main(door: Door) -> None:
        case, before = Case(door, name), door.stored()
        for field in id_fields(case.declared):
            good = target_of(field, case.maker.group) if field.ref else case.maker.group.resource("Microsoft.X/ys", "z")
            for what, change in NO_IDS.items():
                bad = change(str(good))
                if field.ref is None and what in ("root", "wide slash"):
                    continue
                answer, path = await asked(case, field, bad)
                assert answer.status in (400, 403, 404), f"{field.name}, {what}: {answer.status} {answer.raw[:300]!r}"
                spots = [t for _, t in answer.faults()]
                assert any(t.startswith(path) for t in spots), f"{field.name}, {what}: {spots}"
                assert len(answer.raw) < 20_000, f"{field.name}, {what}: {len(answer.raw)} bytes of answer"
        assert door.stored() == before

    at_the_door(ready_for(name), main, executors=False)


@pytest.mark.parametrize("name", [n for n in TYPES if n != "Microsoft.Authorization/roleDefinitions"])
def test_a_good_id_in_another_spelling(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        known = {(r.path, r.target) for r in door.store.references(case.id.key)}
        for change in (str.upper, str.lower, lambda id: id.replace("/", "//") + "/"):
            answer = await case.put(_spelled(copy.deepcopy(case.body), change))
            assert answer.status < 300, answer.raw
            await door.is_idle()
            assert {(r.path, r.target) for r in door.store.references(case.id.key)} == known
        assert (await case.shown())["properties"]["provisioningState"] == "Succeeded"

    at_the_door(made(name), main)


def _spelled(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {k: _spelled(v, change) for k, v in value.items()}
    if isinstance(value, list):
        return [_spelled(v, change) for v in value]
    return change(value) if isinstance(value, str) and value.startswith(("/subscriptions/", "/providers/")) else value
