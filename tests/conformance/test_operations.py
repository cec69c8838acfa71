"""Status codes and polling headers as Azure's clients accept them, operation by operation.

`facts/operations.csv` holds what az accepts for our types, the versions' common ground: type, method, path below the type,
statuses, how the final state is found; `facts/operations_published.csv` what Azure publishes where az's code does not tell.
`facts/not_offered.txt` holds the operations of both that this cloud does not have.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api.contract import contract
from tests.api.front import Answer, Door, at_the_door
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY
from tests.conformance.test_documents import PATCHED, Case
from tests.conformance.worlds import made, ready_for

FACTS = Path(__file__).parent / "facts"
IN_SUBSCRIPTION = "*subscription*"


@dataclass(frozen=True)
class Row:
    """One operation of Azure."""

    type: str
    method: str
    below: str
    statuses: frozenset[int]
    final_state: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.type} {self.method} {self.below}".strip()


def rows() -> list[Row]:
    found: list[dict[str, str]] = []
    for name in ("operations.csv", "operations_published.csv"):
        lines = (FACTS / name).read_text().splitlines()
        found += csv.DictReader(line for line in lines if not line.startswith("#"))
    return [
        Row(r["type"], r["method"], r["below"], frozenset(map(int, r["statuses"].split())), frozenset(r["final_state"].split()))
        for r in found
    ]


def not_offered() -> set[str]:
    lines = (FACTS / "not_offered.txt").read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


OPERATIONS = {r.name: r for r in rows()}
OFFERED = {(r.type, r.method, r.below): r for r in rows() if r.name not in not_offered()}


def test_the_facts_are_of_our_types() -> None:
    assert {r.type for r in rows()} <= set(NAMES)
    assert not_offered() <= {r.name for r in rows()}, "an operation that Azure does not have either"


@pytest.mark.parametrize("name", sorted({r.type for r in rows()}))
def test_statuses_and_headers(name: str) -> None:
    async def main(door: Door) -> None:
        case, seen = Case(door, name), _Seen(name)
        for body in (case.body, {**case.body, "tags": {"a": "b"}}):
            seen.check("PUT", "/{}", await case.put(body))
            await door.is_idle()
        if case.declared.patched:
            seen.check("PATCH", "/{}", await door.ask("PATCH", str(case.id), {"tags": {"a": "c"}}))
        await door.is_idle()
        for method in ("GET", "HEAD"):
            seen.check(method, "/{}", await door.ask(method, str(case.id)))
        await _lists(case, seen)
        for child in case.declared.embedded:
            await _children(case, child, seen)
        for view in case.declared.views:
            seen.check("GET", f"/{{}}/{view.name}", await door.ask("GET", f"{case.id}/{view.name}"))
        for action in case.declared.actions:
            # The first one brings the resource back to where the others can be done.
            await door.ask("POST", f"{case.id}/{case.declared.actions[0].name}", case.body)
            await door.is_idle()
            if action.name == "cancel":
                await case.put(case.body)
            seen.check("POST", f"/{{}}/{action.name}", await door.ask("POST", f"{case.id}/{action.name}", case.body))
            await door.is_idle()
        seen.check("DELETE", "/{}", await door.ask("DELETE", str(case.id)))
        await door.is_idle()
        seen.check("HEAD", "/{}", await door.ask("HEAD", str(case.id)))
        if case.declared.scopes != ("subscription",):
            seen.check("DELETE", "/{}", await door.ask("DELETE", str(case.id)))
        assert not seen.missing(), f"offered by Azure, neither answered here nor listed: {seen.missing()}"

    at_the_door(ready_for(name), main)


async def _lists(case: Case, seen: _Seen) -> None:
    top = f"/subscriptions/{case.id.subscription}"
    if case.id.namespace is None:
        seen.check("GET", IN_SUBSCRIPTION, await case.door.ask("GET", f"{top}/resourcegroups"))
        return
    for below, path in ((IN_SUBSCRIPTION, top), ("", str(case.id.scope))):
        seen.check("GET", below, await case.door.ask("GET", f"{path}/providers/{case.declared.type}"))


async def _children(case: Case, child: Any, seen: _Seen) -> None:
    below, id = f"/{{}}/{child.type}", case.id.child(child.type, "further")
    body = {"properties": case.maker.filled(dict(child.example))}
    for _ in range(2):
        seen.check("PUT", f"{below}/{{}}", await case.door.ask("PUT", str(id), body))
        await case.door.is_idle()
    seen.check("GET", f"{below}/{{}}", await case.door.ask("GET", str(id)))
    seen.check("GET", below, await case.door.ask("GET", f"{case.id}/{child.type}"))
    for _ in range(2):
        seen.check("DELETE", f"{below}/{{}}", await case.door.ask("DELETE", str(id)))
        await case.door.is_idle()


class _Seen:
    """Compares answers with the facts of one type and remembers which operations were tried."""

    def __init__(self, type: str) -> None:
        self._type = type
        self._seen: set[tuple[str, str]] = set()

    def check(self, method: str, below: str, answer: Answer) -> None:
        row = OFFERED.get((self._type, method, below))
        if row is None:
            return
        self._seen.add((method, below))
        assert answer.status in row.statuses, f"{row.name}: {answer.status}, az accepts {sorted(row.statuses)}: {answer.raw!r}"
        polls = "azure-asyncoperation" in answer.headers
        if answer.status == 202:
            assert polls and answer.headers["location"] and answer.headers["retry-after"] == "1", row.name
        if polls and method in ("DELETE", "POST"):
            assert answer.headers.get("location"), f"{row.name}: no Location to poll"
        if polls and row.final_state & {"azure-async-operation", "location", "default"}:
            assert answer.headers["azure-asyncoperation"].startswith("https://")

    def missing(self) -> list[str]:
        wanted = [r for r in OFFERED.values() if r.type == self._type and (r.method, r.below) not in self._seen]
        # What a provider declares as a route of its own is tested where it is made.
        return [r.name for r in wanted if not contract().knows(r.method, _example_path(r))]


def _example_path(row: Row) -> str:
    group, below = "/subscriptions/s/resourceGroups/g", row.below.replace("{}", "x1")
    if row.type == "Microsoft.Resources/resourceGroups":
        return "/subscriptions/s/resourceGroups" + below
    if BY_NAME[row.type].scopes == ("tenant",):
        return f"/providers/{row.type}{below}"
    return f"{group}/providers/{row.type}{below}"


def test_what_is_not_offered_is_refused_and_changes_nothing() -> None:
    async def main(door: Door) -> None:
        before = door.stored()
        for line in sorted(not_offered()):
            method = OPERATIONS[line].method
            path = _example_path(OPERATIONS[line]).replace("/s/", f"/{door.cloud.group().subscription}/").replace("/g/", "/rg/")
            answer = await door.ask(method, path, {"properties": {}})
            assert answer.status in (404, 405) and answer.error["code"], f"{line}: {answer.status}"
        assert door.stored() == before

    at_the_door(ready_for("Microsoft.Compute/virtualMachines"), main)


def test_what_azure_patches_is_what_is_patched_here() -> None:
    lines = (FACTS / "patched.txt").read_text().splitlines()
    known = {line.partition(":")[0] for line in lines if line and not line.startswith("#")}
    routed = {p.namespace + "/" + r.pattern.partition("/")[0] for p in REGISTRY.providers.values()
              for r in p.routes if r.method == "PATCH"}  # fmt: skip
    assert {n for n in NAMES if BY_NAME[n].patched} | (routed & set(NAMES)) == known
    assert {r.type for r in rows() if (r.method, r.below) == ("PATCH", "/{}")} <= known


@pytest.mark.parametrize("name", NAMES)
def test_what_azure_does_not_patch_is_refused_and_changes_nothing(name: str) -> None:
    async def main(door: Door) -> None:
        case, before = Case(door, name), door.stored()
        asked = [] if name in PATCHED or case.declared.scopes == ("tenant",) else [str(case.id)]
        asked += [f"{case.id}/{child.type}/x" for child in case.declared.embedded]
        for path in asked:
            answer = await door.ask("PATCH", path, {"tags": {"a": "b"}})
            assert (answer.status, answer.error["code"]) == (405, "MethodNotAllowed"), answer.raw
            assert (await door.ask("PATCH", path, {}, token=None)).status == 401
        assert door.stored() == before

    at_the_door(made(name), main, executors=False)


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_is_polled_to_its_end(name: str) -> None:
    async def main(door: Door) -> None:
        case = Case(door, name)
        for method, body in (("PUT", case.body), ("DELETE", None)):
            answer = await door.ask(method, str(case.id), body)
            if "azure-asyncoperation" not in answer.headers:
                assert not case.declared.answers.asynchronous or method == "DELETE"
                await door.is_idle()
                continue
            status = _path(answer.headers["azure-asyncoperation"])
            first = await door.ask("GET", status)
            assert first.status == 200 and first.json["status"] in ("InProgress", "Succeeded")
            await door.is_idle()
            last = await door.ask("GET", status)
            assert last.json["status"] == "Succeeded" and last.json["endTime"] and "retry-after" not in last.headers
            if "location" in answer.headers:
                result = await door.ask("GET", _path(answer.headers["location"]))
                assert result.status in (200, 204), result.raw

    at_the_door(ready_for(name), main)


def _path(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2].partition("?")[0]
