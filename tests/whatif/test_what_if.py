"""What a deployment would change: kinds of changes, property by property, through nested templates, without secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import lazur.providers
from lazur.model.registry import Registry
from lazur.providers.resources.template import Context, Expansion, NestedDeployment, Unanswerable, steps
from lazur.providers.resources.whatif import Shapes, delta, what_if
from tests.template.cloud import RG, Live, expanded, template

SHAPES = Shapes(Registry.discover(lazur.providers))
VNET = f"{RG}/providers/Microsoft.Network/virtualNetworks/v"


class Now(Live):
    """Answers what there is, and nothing else."""

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        if id.lower() not in self.resources:
            raise Unanswerable(id)
        return super().reference(id, api_version, full)


@dataclass
class World:
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, Any] = field(default_factory=dict)

    @property
    def lookup(self) -> Now:
        return Now(self.documents)

    def context(self, nested: NestedDeployment, around: Context) -> Context:
        return replace(around, deployment_name=nested.name, nesting=around.nesting + 1)

    def linked(self, nested: NestedDeployment, around: Context) -> Mapping[str, Any] | None:
        return self.links.get(nested.name)

    def current(self, id: str) -> dict[str, Any] | None:
        return {key.lower(): value for key, value in self.documents.items()}.get(id.lower())

    def ask(self, made: Expansion, **options: Any) -> dict[str, Any]:
        others = self.documents.items() if options.pop("others", False) else ()
        return what_if(steps(made, self), self.current, SHAPES, others=others, **options)


def vnet(*prefixes: str, subnets: tuple[Any, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "location": "local",
        "properties": {"addressSpace": {"addressPrefixes": list(prefixes)}, "subnets": list(subnets)},
        **more,
    }


def wish(name: str = "v", kind: str = "Microsoft.Network/virtualNetworks", **body: Any) -> dict[str, Any]:
    return {"type": kind, "apiVersion": "2024-01-01", "name": name, **body}


def subnet(name: str, prefix: str) -> dict[str, Any]:
    return {"name": name, "properties": {"addressPrefix": prefix}}


def only(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["status"] == "Succeeded", answer
    (change,) = answer["properties"]["changes"]
    found: dict[str, Any] = change
    return found


def told(change: dict[str, Any]) -> set[tuple[str, str]]:
    return {(item["path"], item["propertyChangeType"]) for item in change.get("delta", ())}


def test_a_new_resource_is_shown_whole() -> None:
    change = only(World().ask(expanded(template([wish(**vnet("10.0.0.0/16"))]))))
    assert change["changeType"] == "Create"
    assert change["resourceId"] == VNET
    assert "before" not in change and "delta" not in change
    assert list(change["after"]) == ["apiVersion", "id", "location", "name", "properties", "type"]
    assert change["after"]["type"] == "Microsoft.Network/virtualNetworks"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (vnet("10.0.0.0/16"), vnet("10.0.0.0/16")),
        (vnet("10.0.0.0/16"), vnet("10.0.0.0/16", location="LOCAL")),
        (vnet("10.0.0.0/16"), {**vnet("10.0.0.0/16"), "tags": {}}),
        (vnet("10.0.0.0/16"), {"location": "local", "properties": {"AddressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}),
        (
            vnet("10.0.0.0/16", subnets=(subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24"))),
            vnet("10.0.0.0/16", subnets=(subnet("B", "10.0.1.0/24"), subnet("a", "10.0.0.0/24"))),
        ),
    ],
)
def test_what_makes_no_difference_is_no_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    change = only(World({VNET: before}).ask(expanded(template([wish(**after)]))))
    assert told(change) == set()
    assert change["changeType"] == "NoChange"


def test_every_kind_of_property_change() -> None:
    before = vnet(
        "10.0.0.0/16", "10.1.0.0/16",
        subnets=(subnet("a", "10.0.0.0/24"), subnet("old", "10.0.2.0/24")),
        tags={"owner": "a", "gone": "x"},
    )  # fmt: skip
    after = vnet(
        "10.0.0.0/16", "10.2.0.0/16",
        subnets=(subnet("new", "10.0.3.0/24"), subnet("a", "10.0.1.0/24")),
        tags={"owner": "b", "fresh": "y"},
    )  # fmt: skip
    after["properties"]["provisioningState"] = "Succeeded"
    change = only(World({VNET: before}).ask(expanded(template([wish(**after)]))))
    assert change["changeType"] == "Modify"
    assert told(change) == {
        ("tags.owner", "Modify"),
        ("tags.gone", "Delete"),
        ("tags.fresh", "Create"),
        ("properties.addressSpace.addressPrefixes", "Array"),
        ("properties.subnets", "Array"),
        ("properties.provisioningState", "NoEffect"),
    }
    by_path = {item["path"]: item for item in change["delta"]}
    assert (by_path["tags.owner"]["before"], by_path["tags.owner"]["after"]) == ("a", "b")
    prefixes = by_path["properties.addressSpace.addressPrefixes"]["children"]
    assert [(c["path"], c["propertyChangeType"], c["before"], c["after"]) for c in prefixes] == [
        ("1", "Delete", "10.1.0.0/16", None),
        ("1", "Create", None, "10.2.0.0/16"),
    ]
    subnets = {(c["path"], c["propertyChangeType"]): c for c in by_path["properties.subnets"]["children"]}
    assert set(subnets) == {("1", "Delete"), ("0", "Create"), ("1", "Modify")}
    (inner,) = subnets["1", "Modify"]["children"]
    assert (inner["path"], inner["before"], inner["after"]) == ("properties.addressPrefix", "10.0.0.0/24", "10.0.1.0/24")


def test_what_the_template_does_not_mention_is_ignored_or_deleted() -> None:
    other = f"{RG}/providers/Microsoft.Network/virtualNetworks/other"
    world = World({VNET: vnet("10.0.0.0/16"), other: vnet("10.9.0.0/16")})
    made = expanded(template([wish(**vnet("10.0.0.0/16"))]))
    for complete, kind in ((False, "Ignore"), (True, "Delete")):
        changes = world.ask(made, others=True, complete=complete)["properties"]["changes"]
        assert {c["resourceId"]: c["changeType"] for c in changes} == {VNET: "NoChange", other: kind}
        assert changes[0]["before"]["name"] == "other"


def test_children_apart_from_their_parent_are_no_deletions() -> None:
    before = vnet("10.0.0.0/16", subnets=(subnet("a", "10.0.0.0/24"), subnet("gone", "10.0.9.0/24")))
    child = wish("v/A", "Microsoft.Network/virtualNetworks/subnets", properties={"addressPrefix": "10.0.0.0/24"})
    world = World({VNET: before, f"{VNET}/subnets/A": before["properties"]["subnets"][0]})
    parent = wish(location="local", properties={"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}})
    changes = world.ask(expanded(template([parent, child])))["properties"]["changes"]
    assert [c["changeType"] for c in changes] == ["Modify", "NoChange"]
    (deleted,) = changes[0]["delta"]
    assert (deleted["path"], deleted["propertyChangeType"]) == ("properties.subnets", "Delete")
    assert [item["name"] for item in deleted["before"]] == ["gone"]


def test_ids_only() -> None:
    made = expanded(template([wish(**vnet("10.0.0.0/16")), wish("new", **vnet("10.0.0.0/16"))]))
    changes = World({VNET: vnet("10.0.0.0/8")}).ask(made, full=False)["properties"]["changes"]
    assert [(c["changeType"], set(c) & {"before", "after", "delta"}) for c in changes] == [("Create", set()), ("Deploy", set())]


def test_what_is_not_known_yet_stays_an_expression() -> None:
    raw = template(
        [
            wish(**vnet("10.0.0.0/16")),
            wish(
                "w",
                **vnet("10.0.0.0/16"),
                tags={"seen": "[reference('v').x]", "known": f"[reference('{RG}/providers/A.B/c/x', '1').y]"},
            ),
        ]
    )
    world = World({f"{RG}/providers/A.B/c/x": {"properties": {"y": "here"}}})
    changes = world.ask(expanded(raw))["properties"]["changes"]
    assert changes[1]["after"]["tags"] == {"seen": "[reference('v').x]", "known": "here"}


@pytest.mark.parametrize("inner", [True, False])
def test_nested_templates_are_looked_into(inner: bool) -> None:
    options = {"expressionEvaluationOptions": {"scope": "inner"}} if inner else {}
    asked = f"[reference('{VNET}', '1').x]"
    nested = template([wish("deep", **vnet("10.0.0.0/16"), tags={"t": asked})])
    deployment = wish("n", "Microsoft.Resources/deployments", properties={"mode": "Incremental", "template": nested, **options})
    answer = World().ask(expanded(template([wish(**vnet("10.0.0.0/16")), deployment])))
    changes = {c["resourceId"].rsplit("/", 1)[1]: c for c in answer["properties"]["changes"]}
    assert set(changes) == {"v", "deep"}
    assert changes["deep"]["after"]["tags"] == {"t": asked}
    assert changes["deep"]["deploymentId"].endswith("/deployments/n")


def test_what_cannot_be_looked_into_is_said() -> None:
    number = {"n": {"type": "int"}}
    nested = template([], parameters=number)
    short = wish(
        "short", "Microsoft.Resources/deployments",
        properties={"template": nested, "parameters": {"n": {"value": "[reference('v').x]"}},
                    "expressionEvaluationOptions": {"scope": "inner"}},
    )  # fmt: skip
    named = template([wish("[parameters('n')]")], parameters={"n": {"type": "string"}})
    unknown = wish(
        "unknown", "Microsoft.Resources/deployments",
        properties={"template": named, "parameters": {"n": {"value": "[reference('v').x]"}},
                    "expressionEvaluationOptions": {"scope": "inner"}},
    )  # fmt: skip
    linked = wish("linked", "Microsoft.Resources/deployments", properties={"templateLink": {"uri": "https://x.test/t"}})
    world = World()
    answer = world.ask(expanded(template([wish(**vnet("10.0.0.0/16")), short, unknown, linked])))["properties"]
    assert {(d["code"], d["target"].rsplit("/", 1)[1]) for d in answer["diagnostics"]} == {
        ("NestedDeploymentShortCircuited", "short"),
        ("NestedDeploymentNotExpanded", "linked"),
    }
    unsupported = [c for c in answer["changes"] if c["changeType"] == "Unsupported"]
    assert len(unsupported) == 1
    assert "cannot be calculated until" in unsupported[0]["unsupportedReason"]
    world.links["linked"] = template([wish("far", **vnet("10.0.0.0/16"))])
    answer = world.ask(expanded(template([linked])))["properties"]
    assert [c["resourceId"].rsplit("/", 1)[1] for c in answer["changes"]] == ["far"]


def test_a_wrong_template_fails_with_all_its_faults() -> None:
    nested = wish("n", "Microsoft.Resources/deployments", properties={"template": template([{"type": "A.B/c"}])})
    answer = World().ask(expanded(template([wish(tags={"a": "[variables('none')]"}), nested])))
    assert answer["status"] == "Failed"
    assert "properties" not in answer
    assert [d["code"] for d in answer["error"]["details"]] == ["InvalidTemplate", "InvalidTemplate"]


def test_no_secret_is_shown() -> None:
    machine = wish(
        "m", "Microsoft.Compute/virtualMachines", location="local",
        tags={"note": "[concat('x-', parameters('p'))]"},
        properties={"osProfile": {"computerName": "m", "adminUsername": "u", "adminPassword": "[parameters('p')]"}},
    )  # fmt: skip
    raw = template([machine], parameters={"p": {"type": "securestring"}})
    old = {"location": "local", "tags": {"note": "x-canary"}, "properties": {"osProfile": {"adminUsername": "u"}}}
    for documents in ({}, {f"{RG}/providers/Microsoft.Compute/virtualMachines/m": old}):
        text = json.dumps(World(documents).ask(expanded(raw, {"p": "canary"}), others=True))
        assert "canary" not in text
        assert "adminUsername" in text and "adminPassword" not in text


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ({"a": 1}, {"a": True}, ["Modify"]),
        ({"a": None}, {}, []),
        ({"a": []}, {"a": {}}, ["Modify"]),
        ({"a": {"b": {"c": 1}}}, {"A": {"B": {"C": 2}}}, ["Modify"]),
        ({"a": [[1]]}, {"a": [[2]]}, ["Array"]),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}, {"x": 3}]}, ["Array"]),
        ({"a": list(range(3000))}, {"a": [*range(2999), 1]}, ["Array"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["Array"]),
    ],
)
def test_differences(before: dict[str, Any], after: dict[str, Any], kinds: list[str]) -> None:
    assert [c["propertyChangeType"] for c in delta(before, after)] == kinds
    assert delta(before, before) == []
