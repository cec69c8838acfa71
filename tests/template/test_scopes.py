"""Deployments at the four scopes and across them: ids, functions allowed, locations demanded, nesting."""

from __future__ import annotations

from typing import Any

import pytest

from lazur.kernel.errors import LazurError
from lazur.providers.resources.template import Target, check_location, steps, target
from tests.template.cloud import RG, SUBSCRIPTION, context, expanded, template
from tests.template.fuzz import Nothing

SUB = f"/subscriptions/{SUBSCRIPTION}"
MG = "/providers/Microsoft.Management/managementGroups/mg1"
OTHER = "11111111-2222-3333-4444-555555555555"
KINDS = {"resourceGroup": RG, "subscription": SUB, "managementGroup": MG, "tenant": ""}


def nested(name: str = "n", inner: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": name,
        "properties": {"mode": "Incremental", "template": inner or template()},
        **more,
    }


def refusal(raw: dict[str, Any], kind: str = "resourceGroup", **changes: Any) -> LazurError:
    with pytest.raises(LazurError) as caught:
        expanded(raw, kind=kind, **changes)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("placed", "scope"),
    [
        ({"scope": "/"}, ""),
        ({"scope": "Microsoft.Management/managementGroups/mg2"}, MG.replace("mg1", "mg2")),
        ({"scope": MG}, MG),
        ({"subscriptionId": OTHER}, f"/subscriptions/{OTHER}"),
        ({"subscriptionId": OTHER, "resourceGroup": "r"}, f"/subscriptions/{OTHER}/resourceGroups/r"),
        ({"scope": f"[format('/subscriptions/{{0}}', '{OTHER}')]"}, f"/subscriptions/{OTHER}"),
    ],
)
def test_a_deployment_goes_from_every_scope_to_every_scope(kind: str, placed: dict[str, Any], scope: str) -> None:
    goal = target(scope)
    assert goal is not None
    assert goal.id == scope
    location = {} if goal.kind == "resourceGroup" else {"location": "local"}
    made = expanded(template([nested(**placed, **location)]), kind=kind).nodes[0]
    assert made.scope_id == scope
    assert made.id == f"{scope}/providers/Microsoft.Resources/deployments/n"


@pytest.mark.parametrize("kind", KINDS)
def test_ids_begin_with_the_scope(kind: str) -> None:
    assert expanded(template([{"type": "A.B/c", "name": "x", "apiVersion": "1"}]), kind=kind).nodes[0].scope_id == KINDS[kind]
    assert context(kind).deployment_id == f"{KINDS[kind]}/providers/Microsoft.Resources/deployments/d1"


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        ("resourceGroup()", {"resourceGroup"}),
        ("subscription()", {"resourceGroup", "subscription"}),
        ("managementGroup()", {"managementGroup"}),
        ("tenant()", set(KINDS)),
        ("deployment().name", set(KINDS)),
        ("subscriptionResourceId('A.B/c', 'x')", {"resourceGroup", "subscription"}),
        (f"subscriptionResourceId('{OTHER}', 'A.B/c', 'x')", set(KINDS)),
        ("managementGroupResourceId('A.B/c', 'x')", {"managementGroup"}),
        ("managementGroupResourceId('mg2', 'A.B/c', 'x')", set(KINDS)),
        ("tenantResourceId('A.B/c', 'x')", set(KINDS)),
    ],
)
def test_functions_of_the_scopes(function: str, kinds: set[str]) -> None:
    raw = template([{"type": "A.B/c", "name": f"[uniqueString(string({function}))]", "apiVersion": "1"}])
    for kind in KINDS:
        if kind in kinds:
            assert expanded(raw, kind=kind).nodes
        else:
            assert refusal(raw, kind).code == "InvalidTemplate"


@pytest.mark.parametrize(
    ("placed", "code", "words"),
    [
        ({"subscriptionId": OTHER}, "InvalidDeployment", "must be specified for 'n'"),
        ({"scope": "/"}, "InvalidDeployment", "must be specified"),
        ({"resourceGroup": "r", "location": "local"}, "InvalidDeployment", "not allowed for 'n' at resource group scope"),
        ({"scope": f"{RG}/providers/A.B/c/x"}, "InvalidTemplate", "can't be deployed to"),
    ],
)
def test_where_a_location_is_needed(placed: dict[str, Any], code: str, words: str) -> None:
    error = refusal(template([nested(**placed)]))
    assert (error.code, words in error.message) == (code, True), error.message


def test_the_deployment_itself_needs_a_location_above_groups() -> None:
    check_location("d", "resourceGroup", None)
    check_location("d", "tenant", "local")
    with pytest.raises(LazurError, match="must be specified for 'd'"):
        check_location("d", "tenant", None)


def test_a_group_without_subscription_above_subscriptions() -> None:
    assert "needs the property 'subscriptionId'" in refusal(template([nested(resourceGroup="r")]), "tenant").message


def test_existing_resources_of_other_groups() -> None:
    body = {"existing": True, "type": "A.B/c", "apiVersion": "1", "name": "x", "resourceGroup": "other"}
    raw = template({"e": body}, languageVersion="2.0")
    assert expanded(raw).nodes[0].id == f"{SUB}/resourceGroups/other/providers/A.B/c/x"
    del body["existing"]
    assert "'Microsoft.Resources/deployments' and existing ones only" in refusal(raw).message


@pytest.mark.parametrize(
    ("id", "goal"),
    [
        ("", Target("tenant")),
        ("/", Target("tenant")),
        (f"{RG}/", Target("resourceGroup", SUBSCRIPTION, "rg1")),
        (RG.upper(), Target("resourceGroup", SUBSCRIPTION.upper(), "RG1")),
        (f"{RG}/providers/A.B/c/x", None),
        ("/providers/A.B/c", None),
        ("/subscriptions", None),
    ],
)
def test_scopes_told_from_ids(id: str, goal: Target | None) -> None:
    assert target(id) == goal


@pytest.mark.parametrize("resources", [1.5, "x", True, None, [1], {"a": 1}])
def test_nesting_is_counted_whatever_stands_in_a_nested_template(resources: Any) -> None:
    assert expanded(template([nested(inner={"resources": resources})])).nodes


def test_nesting_is_limited_whatever_is_around() -> None:
    raw = template()
    for _ in range(5):
        raw = template([nested(inner=raw)])
    assert expanded(raw).nodes
    assert "actual: '6'" in refusal(raw, nesting=1).message
    assert "actual: '6'" in refusal(template([nested(inner=raw)])).message


def test_a_whole_deployment_has_one_budget() -> None:
    costly = "[length(sort(range(0, 2000), lambda('a', 'b', less(lambdaVariables('b'), lambdaVariables('a')))))]"
    body = {"type": "A.B/c", "apiVersion": "1", "name": "[format('x{0}', copyIndex())]", "properties": {"n": costly}}
    made = expanded(template([{**body, "copy": {"name": "c", "count": 800}}]))
    found = steps(made, Nothing())
    assert 0 < len(found.resources) < 800
    (fault,) = found.faults
    assert "too many steps" in fault.message
