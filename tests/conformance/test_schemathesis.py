"""Schemathesis against an in-process cloud, by the OpenAPI documents: no 5xx, nothing that is not documented, no answer without
a good token, nothing that is still there once it was deleted.

A bounded number of deterministic examples of each operation, then sequences of operations. Ids are those of a real
subscription and group, so that requests reach what lies behind the rights.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from schemathesis import openapi
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from lazur.api.openapi import documents
from lazur.kernel.errors import LazurError
from tests.api.bridge import OWNER, Bridge, bridged
from tests.api.front import world_of
from tests.cloud.cloud import Cloud, World
from tests.conformance.examples import REGISTRY, Maker
from tests.conformance.worlds import GROUP

DOCUMENTS = documents(REGISTRY)
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "ignored_auth", "use_after_free", "ensure_resource_availability")  # fmt: skip
EXAMPLES, SEQUENCES, STEPS = 6, 12, 6
# Every scope has tags, none at the least: deleted, they are an empty set, as in Azure.
NEVER_GONE = "/Microsoft.Resources/tags/default"


def everything() -> World:
    """A world with an example of every type."""

    async def prepare(cloud: Cloud) -> None:
        maker = Maker(cloud, await cloud.with_group(GROUP))
        for declared in REGISTRY.types():
            if cloud.world.store.get(maker.id(declared).key) is None:
                try:
                    await maker.make(declared)
                except LazurError as error:
                    # What serves one resource already cannot serve this one as well.
                    assert error.code == "ResourceInUse", error
                    await maker.make(declared, 2)

    return world_of("an example of everything", prepare)


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with bridged(everything) as found:
        yield found


def narrowed(document: dict[str, Any], subscription: str) -> dict[str, Any]:
    """`document` for what exists: this subscription, this group, names of examples, the newest api-version."""
    found = copy.deepcopy(document)
    found.pop("servers")
    # A parameter with slashes in it is one that only a server's own routes understand.
    found["paths"] = {path: item for path, item in found["paths"].items() if "{resourceUri}" not in path}
    parameters = found["components"]["parameters"]
    fixed = {"subscriptionId": [subscription], "resourceGroupName": [GROUP], "location": ["local"],
             "apiVersion": ["2024-11-01"], "managementGroupId": ["x1"], "ifMatch": ["*"]}  # fmt: skip
    for name, values in fixed.items():
        parameters[name]["schema"] = {"type": "string", "enum": values}
    for path, item in found["paths"].items():
        kind = re.findall(r"/providers/([\w.]+/\w+)/\{", path)
        declared = REGISTRY.find(kind[-1]) if kind else None
        fitting = [declared.example_name.replace("{n}", n) for n in "12"] if declared else ["x1", "x2"]
        for parameter in item["parameters"]:
            if parameter.get("name", "").endswith("Name"):
                parameter["schema"] = {"type": "string", "enum": [*fitting, "default"]}
        for delete in (item.get("delete"),):
            links = item.get("put", {}).get("responses", {})
            for status in ("200", "202", "204"):
                if delete and status in delete["responses"]:
                    known: dict[str, Any] = next((r["links"] for r in links.values() if "links" in r), {})
                    delete["responses"][status]["links"] = {k: v for k, v in known.items() if k == "Get"}
    return found


def settings() -> SchemathesisConfig:
    """Deterministic and bounded."""
    return SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": OWNER},
            "seed": 1,
            "workers": 1,
            "continue-on-failure": True,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none", "no-shrink": True},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {
                "examples": {"enabled": True},
                "coverage": {"enabled": False},
                "fuzzing": {"enabled": True},
                "stateful": {"enabled": True, "max-steps": STEPS, "generation": {"max-examples": SEQUENCES}},
            },
        }
    )


ALL_ANSWERED: Counter[str] = Counter()


@pytest.mark.parametrize("namespace", DOCUMENTS)
def test_the_documents_hold(namespace: str, bridge: Bridge) -> None:
    document = narrowed(DOCUMENTS[namespace], bridge.ready.result())
    schema = openapi.from_dict(document, config=settings())
    schema.app = bridge
    faults: list[str] = []
    answered: Counter[str] = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, (events.NonFatalError, events.FatalError)):
            faults.append(str(event))
        if isinstance(event, events.ScenarioFinished):
            answered.update(_statuses(event))
            if event.status in (Status.FAILURE, Status.ERROR):
                faults += list(_told(event))
    assert not faults, "\n\n".join(faults[:20])
    assert answered.total() > len(document["paths"])
    # Requests reach what lies behind the checks, so that there is something to look at.
    if REGISTRY.providers[namespace.lower()].types:
        assert {"GET 2xx", "PUT 2xx"} <= answered.keys(), answered
    ALL_ANSWERED.update(answered)


def test_something_was_taken_away() -> None:
    """What is used after it was deleted must have been deleted."""
    if not ALL_ANSWERED:
        pytest.skip("it speaks of the tests before it")
    assert ALL_ANSWERED["DELETE 2xx"] > 10, ALL_ANSWERED


def _statuses(event: Any) -> Iterator[str]:
    for found in event.recorder.interactions.values():
        if found.response is not None:
            yield f"{found.request.method} {found.response.status_code // 100}xx"


def _told(event: Any) -> Iterator[str]:
    for case, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                asked = event.recorder.cases[case].value.as_curl_command()
                if check.name == "use_after_free" and NEVER_GONE in asked:
                    continue
                yield f"{check.name}: {failure.title}: {failure.message[:600]}\n  {asked[:1500]}"
