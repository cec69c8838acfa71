"""What is declared against what Azure publishes, and against what a reader of the documentation needs.

`facts/properties.json` holds, for each of our types, the property names Azure publishes at every level that we model (`^`
read-only, `!` required, `~` write-only). `facts/differences.txt` holds what is different on purpose, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from lazur.model.fields import Caseless, WriteOnly, marked, pointers
from lazur.model.registry import API_VERSION, AnyResource
from lazur.model.resource import Action, View
from tests.conformance.examples import BY_NAME, NAMES, REGISTRY, Maker
from tests.conformance.levels import levels

FACTS = Path(__file__).parent / "facts"
PUBLISHED: dict[str, Any] = json.loads((FACTS / "properties.json").read_text())


OURS = {line.partition(":")[0] for line in (FACTS / "ours.txt").read_text().splitlines() if line and line[0] != "#"}


def test_every_type_has_its_facts() -> None:
    missing = set(NAMES) - PUBLISHED.keys() - OURS
    assert not missing, f"{missing}: run tests.conformance.extract_facts, or list what Azure has not in facts/ours.txt"
    assert not OURS & PUBLISHED.keys() and set(NAMES) >= OURS, "a type of ours alone that Azure has as well, or that is no more"


def differences() -> set[str]:
    """`<type> <path> <name>: <reason>` lines, without the reasons."""
    lines = (FACTS / "differences.txt").read_text().splitlines()
    found = [line.partition(":") for line in lines if line and not line.startswith("#")]
    assert all(reason.strip() for _, _, reason in found), "a difference without a reason"
    return {name for name, _, _ in found}


def contradictions(declared: AnyResource) -> Iterator[str]:
    """`<type> <path> <name>` for every property that Azure does not have, or has otherwise."""
    known = PUBLISHED[declared.type]["levels"]
    for path, model in levels(declared.Spec):
        azure = known.get(path, {})
        fields = {info.alias or name for name, info in model.model_fields.items()}
        secret = {model.model_fields[n].alias or n for n in marked(model, WriteOnly)}
        for name in sorted(fields | model.read_only):
            flags = azure.get(name)
            if flags is None or ("^" in flags and name in fields) or ("~" in flags and name not in secret | model.read_only):
                yield f"{declared.type} {path} {name}"


def test_every_difference_is_known() -> None:
    found = {line for name in PUBLISHED for line in contradictions(BY_NAME[name])}
    assert found == differences()


@pytest.mark.parametrize("name", NAMES)
def test_required_properties_are_azures(name: str) -> None:
    if name in OURS:
        return
    for path, model in levels(BY_NAME[name].Spec):
        azure = PUBLISHED[name]["levels"].get(path, {})
        for field, info in model.model_fields.items():
            spot = f"{name} {path} {info.alias or field}"
            if "!" in azure.get(info.alias or field, "") and spot not in differences():
                assert info.is_required() or _has_rule(BY_NAME[name]), f"{spot}: Azure requires it"


def _has_rule(declared: AnyResource) -> bool:
    """A property may be optional in form and required by a rule that says more."""
    return bool(declared.rules) or REGISTRY.behaviour(declared, "admit") is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_declaration_is_whole(name: str) -> None:
    declared = BY_NAME[name]
    assert declared.__doc__ and declared.__doc__.strip().endswith(".")
    assert declared.api_versions and all(API_VERSION.match(v) for v in declared.api_versions)
    assert list(declared.api_versions) == sorted(declared.api_versions, reverse=True), "newest first"
    assert re.match(declared.name_pattern, declared.example_name.replace("{n}", "1"))
    parts: tuple[Action | View, ...] = (*declared.actions, *declared.views)
    for part in parts:
        assert part.doc.endswith("."), f"{name}: {part.name} is not documented"
    for child in declared.embedded:
        alias = {i.alias or n for n, i in declared.Spec.model_fields.items()}
        assert child.list in alias, f"{name}: no list '{child.list}'"
        child.spec.model_validate(Maker(None, _nowhere()).filled(dict(child.example)))


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_valid(name: str) -> None:
    declared = BY_NAME[name]
    body = Maker(None, _nowhere()).body(declared)
    spec = declared.Spec.model_validate(body.get("properties", {}))
    assert [fault for rule in declared.rules for fault in rule(spec)] == []
    assert not spec.__pydantic_extra__, "the example uses properties that are not declared"
    for pointer in pointers(spec):
        document = REGISTRY.document_of(REGISTRY.canonical(pointer.target))
        assert REGISTRY.find(document.type), f"{pointer.path} names a type nobody declares"


def _nowhere() -> Any:
    from lazur.model.armid import ArmId

    return ArmId("s", "g")


@pytest.mark.parametrize("name", NAMES)
def test_every_object_and_property_is_documented(name: str) -> None:
    for path, model in levels(BY_NAME[name].Spec):
        assert model.__doc__ and model.__doc__.strip().endswith("."), f"{name} {path}: {model.__name__} says nothing"
        for field, info in model.model_fields.items():
            # A property that bears Azure's own name needs no words; one that is ours alone does.
            azure = PUBLISHED.get(name, {"levels": {}})["levels"].get(path)
            ours = azure is not None and (info.alias or field) not in azure
            assert info.description or not ours, f"{name} {path} {field}: Azure does not explain this one"


@pytest.mark.parametrize("name", NAMES)
def test_choices_are_read_in_any_spelling(name: str) -> None:
    for path, model in levels(BY_NAME[name].Spec):
        for field, info in model.model_fields.items():
            choices = [a for a in (info.annotation, *get_args(info.annotation)) if "Literal" in str(a)]
            spoken = any(isinstance(m, Caseless) for m in info.metadata) or "Caseless" in str(info.annotation)
            assert not choices or spoken, f"{name} {path} {field}: an enumeration that is not read without case"
