"""The OpenAPI documents are whole and true: every operation is in them, every example validates.

That every answer of the suites is as documented is checked where the answers come in, at the front door.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis

from lazur.api.openapi import documents
from lazur.model.fields import Ref, WriteOnly, marked
from tests.api.contract import contract, validator_of
from tests.api.front import Door, at_the_door
from tests.cloud.cloud import new_world
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY
from tests.conformance.levels import levels
from tests.conformance.test_authorisation import common, operations

DOCUMENTS = documents(REGISTRY)


def document_of(name: str) -> dict[str, Any]:
    return DOCUMENTS[name.partition("/")[0]]


@pytest.mark.parametrize("namespace", DOCUMENTS)
def test_the_document_is_openapi(namespace: str) -> None:
    schemathesis.openapi.from_dict(DOCUMENTS[namespace]).validate()


@pytest.mark.parametrize("namespace", DOCUMENTS)
def test_operations_have_names_of_their_own(namespace: str) -> None:
    found = [o["operationId"] for item in DOCUMENTS[namespace]["paths"].values() for o in item.values() if isinstance(o, dict)]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_of_a_type_is_documented(name: str) -> None:
    missing = [o.name for o in operations(BY_NAME[name], "s") if not contract().knows(o.method, o.path)]
    assert not missing


def test_every_data_route_is_documented() -> None:
    routes = [o for o in common("s", {}) if o.name.startswith(("data ", "poll "))]
    assert routes and not [o.name for o in routes if not contract().knows(o.method, o.path)]


@pytest.mark.parametrize("name", NAMES)
def test_every_example_validates(name: str) -> None:
    document, found = document_of(name), 0
    for path, item in document["paths"].items():
        for method in ("put", "patch"):
            body = item.get(method, {}).get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in body:
                found += 1
                faults = list(validator_of(document, body["schema"], answer=False).iter_errors(body["example"]))
                assert not faults, f"{method} {path}: {faults[0].message}"
    assert found


@pytest.mark.parametrize("name", NAMES)
def test_what_fields_are_marked_with_is_said(name: str) -> None:
    components = document_of(name)["components"]["schemas"]
    for _, model in levels(BY_NAME[name].Spec):
        found = [c for n, c in components.items() if n == model.__name__ or n.endswith(f"__{model.__name__}")]
        assert found, model.__name__
        for field, ref in marked(model, Ref).items():
            alias = model.model_fields[field].alias or field
            wanted = {"allowedResources": [{"type": ref.type}]}
            assert any(c["properties"].get(alias, {}).get("x-ms-arm-id-details") == wanted for c in found), alias
        for field in marked(model, WriteOnly):
            alias = model.model_fields[field].alias or field
            assert any(c["properties"].get(alias, {}).get("x-ms-secret") for c in found), alias
        for alias in model.read_only:
            assert any(c["properties"].get(alias, {}).get("readOnly") for c in found), alias


def test_a_secret_in_an_answer_is_a_fault() -> None:
    profile = {"$ref": "#/components/schemas/OSProfile"}
    document = document_of("Microsoft.Compute/virtualMachines")
    body = {"computerName": "vm1", "adminUsername": "azureuser"}
    assert validator_of(document, profile).is_valid(body)
    assert not validator_of(document, profile).is_valid({**body, "adminPassword": "Lazur-12345"})


def test_everybody_may_read_what_the_api_is() -> None:
    async def main(door: Door) -> None:
        for path in ("/metadata/openapi/Microsoft.Compute", "/metadata/openapi/microsoft.compute/"):
            answer = await door.ask("GET", path, token=None, version=None)
            assert answer.status == 200 and answer.json["servers"] == [{"url": door.endpoints.management}]
            assert answer.json["paths"] == DOCUMENTS["Microsoft.Compute"]["paths"]
        assert (await door.ask("GET", "/metadata/openapi/Microsoft.Nothing", token=None)).status == 401

    at_the_door(new_world(), main, executors=False)
