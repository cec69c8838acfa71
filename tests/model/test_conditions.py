"""Conditions on role assignments, as Azure's portal writes them and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.kernel.errors import LazurError
from lazur.model.conditions import condition

TYPE = "Microsoft.Authorization/roleAssignments"
WRITE, DELETE, READ = (f"{TYPE}/{verb}" for verb in ("write", "delete", "read"))
ONE, TWO, OTHER = (f"0000000{n}-0000-4000-8000-00000000000a" for n in (1, 2, 3))


def constrained(name: str, test: str) -> str:
    """The portal's template: what is written and what is deleted must pass the same test."""
    halves = [
        f"(\n (\n  !(ActionMatches{{'{TYPE}/{verb}'}})\n )\n OR \n (\n  @{source}[{TYPE}:{name}] {test}\n )\n)"
        for verb, source in (("write", "Request"), ("delete", "Resource"))
    ]
    return "\nAND\n".join(halves)


ROLES = constrained("RoleDefinitionId", f"ForAnyOfAnyValues:GuidEquals {{{ONE}, {TWO}}}")
BUT = constrained("RoleDefinitionId", f"ForAnyOfAllValues:GuidNotEquals {{{ONE}, {TWO}}}")
KINDS = constrained("PrincipalType", "ForAnyOfAnyValues:StringEqualsIgnoreCase {'User', 'Group'}")
WHOM = constrained("PrincipalId", f"ForAnyOfAnyValues:GuidEquals {{'{ONE}'}}")


def holds(text: str, action: str = WRITE, **said: str) -> bool:
    """Whether it does when the request or the resource says so."""
    source = "resource" if action == DELETE else "request"
    return condition(text).holds(action, lambda: {f"@{source}[{TYPE}:{k}]".lower(): v for k, v in said.items()})


@pytest.mark.parametrize("action", [WRITE, DELETE])
def test_the_templates_of_the_portal(action: str) -> None:
    assert holds(ROLES, action, RoleDefinitionId=TWO.upper()) and not holds(ROLES, action, RoleDefinitionId=OTHER)
    assert holds(BUT, action, RoleDefinitionId=OTHER) and not holds(BUT, action, RoleDefinitionId=TWO)
    assert holds(KINDS, action, PrincipalType="user") and not holds(KINDS, action, PrincipalType="ServicePrincipal")
    assert holds(WHOM, action, PrincipalId=ONE) and not holds(WHOM, action, PrincipalId=TWO)
    both = f"({ROLES}) && ({KINDS})"
    assert holds(both, action, RoleDefinitionId=ONE, PrincipalType="Group")
    assert not holds(both, action, RoleDefinitionId=ONE, PrincipalType="ServicePrincipal")


def test_other_actions_are_not_meant() -> None:
    for text in (ROLES, BUT, KINDS, WHOM):
        assert holds(text, READ) and condition(text).holds(READ, None)
        assert not holds(text, WRITE) and not holds(text, DELETE)


def test_what_nobody_said_grants_nothing() -> None:
    asked = f"@Request[{TYPE}:PrincipalType] StringEquals 'User'"
    for text in (asked, f"!({asked})", f"NOT ({asked})", f"!({asked}) AND {asked}"):
        assert not holds(text), text
    assert holds(f"{asked} OR ActionMatches{{'{TYPE}/*'}}")
    assert not holds(f"@Resource[{TYPE}:PrincipalType] StringEquals 'User'", PrincipalType="User"), "another source"


def test_operators_and_quantifiers() -> None:
    name = f"@Request[{TYPE}:PrincipalType]"
    rows = [
        ("StringEquals 'User'", True), ("StringEquals 'user'", False), ("StringNotEquals 'user'", True),
        ("StringEqualsIgnoreCase 'user'", True), ("StringNotEqualsIgnoreCase 'user'", False),
        ("ForAnyOfAnyValues:StringNotEquals {'User', 'x'}", True), ("ForAnyOfAllValues:StringNotEquals {'User', 'x'}", False),
        ("ForAllOfAnyValues:StringEquals {'User', 'x'}", True), ("ForAllOfAllValues:StringEquals {'User', 'x'}", False),
    ]  # fmt: skip
    for text, expected in rows:
        assert holds(f"{name} {text}", PrincipalType="User") is expected, text


@pytest.mark.parametrize(
    "text",
    [
        "", "true", "(", "()", "ActionMatches", "ActionMatches{}", "ActionMatches{'a'", "ActionMatches{'a'} OR",
        "ActionMatches{'a'} ActionMatches{'b'}", "ActionMatches{'a'})", "SubOperationMatches{'Blob.List'}", "!", "!!",
        "@Request[x:y] StringEquals 'a'", f"@Principal[{TYPE}:PrincipalId] StringEquals 'a'",
        "@Environment[UtcNow] DateTimeGreaterThan '2023'", f"@Request[{TYPE}:PrincipalId] StringLike 'a*'",
        f"@Request[{TYPE}:PrincipalId] ForNone:GuidEquals {{{ONE}}}", f"@Request[{TYPE}:PrincipalId] GuidEquals 'x'",
        f"@Request[{TYPE}:PrincipalId] GuidEquals", f"Exists @Request[{TYPE}:PrincipalId]", "(" * 60 + ")" * 60,
        "ActionMatches{'" + "a" * 9000 + "'}", "ActionMatches{'a'} XOR ActionMatches{'b'}", "ActionMatches{\"a\"}", "é",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(LazurError) as refused:
        condition(text)
    assert refused.value.code == "RoleAssignmentConditionNotValid" and refused.value.target == "properties.condition"
    assert refused.value.message.startswith("The given role assignment condition is invalid")


@given(st.lists(st.sampled_from([*ROLES.split(), "(", ")", "!", "AND", "OR", ",", "{", "}", "'x'"]), max_size=40))
def test_any_order_of_words_is_a_condition_or_a_fault(words: list[str]) -> None:
    try:
        found = condition(" ".join(words))
    except LazurError as error:
        assert error.code == "RoleAssignmentConditionNotValid"
    else:
        assert found.holds(WRITE, None) in (True, False)
