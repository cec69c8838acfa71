"""Who may do what where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.model.armid import ArmId
from lazur.model.rights import BUILT_IN, CONTRIBUTOR, OWNER, READER, Assignment, Caller, Rights, Role, denial

VM = ArmId.parse("/subscriptions/s/resourceGroups/web/providers/Microsoft.Compute/virtualMachines/vm1")
READ, WRITE, START = (f"Microsoft.Compute/virtualMachines/{v}" for v in ("read", "write", "start/action"))
GRANT = "Microsoft.Authorization/roleAssignments/write"
ANN = Caller("t", "ann", "Ann", groups=("staff", "admins"))


def _may(role: Role, action: str, scope: str = "/subscriptions/s", principal: str = "ann", at: ArmId = VM) -> bool:
    return Rights([Assignment(principal, role, scope)]).allows(ANN, action, at)


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        (OWNER, (READ, WRITE, START, GRANT), ()),
        (
            CONTRIBUTOR,
            (READ, WRITE, START, "Microsoft.Authorization/roleAssignments/read"),
            (
                GRANT,
                GRANT.upper(),
                "Microsoft.Authorization/roleAssignments/delete",
                "Microsoft.Authorization/elevateAccess/Action",
            ),
        ),
        (
            READER,
            (READ, READ.upper(), "Microsoft.Authorization/roleAssignments/read"),
            (WRITE, START, GRANT, "Microsoft.X/readers/write"),
        ),
        (
            Role(
                "i",
                "Operator",
                ("Microsoft.Compute/*/read", "Microsoft.Compute/virtualMachines/*/action"),
                ("microsoft.compute/VIRTUALMACHINES/delete*/action",),
            ),
            (READ, START),
            (
                WRITE,
                "Microsoft.Compute/virtualMachines/deallocate2/read/x",
                "Microsoft.Network/virtualNetworks/read",
                "Microsoft.Compute/virtualMachines/deleteAll/action",
            ),
        ),
        (Role("i", "Nothing", ()), (), (READ,)),
        (
            Role("i", "Dots", ("Microsoft.Compute/virtualMachines/read",)),
            (READ,),
            ("MicrosoftXCompute/virtualMachines/read", READ + "x"),
        ),
    ],
    ids=lambda p: p.name if isinstance(p, Role) else "",
)
def test_roles(role: Role, allowed: tuple[str, ...], refused: tuple[str, ...]) -> None:
    assert [a for a in allowed if not _may(role, a)] == []
    assert [a for a in refused if _may(role, a)] == []


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("/", True),
        ("/subscriptions/S", True),
        ("/subscriptions/s/resourceGroups/WEB", True),
        (str(VM), True),
        ("/subscriptions/other", False),
        ("/subscriptions/s/resourceGroups/we", False),
        (f"{VM}2", False),
        (f"{VM}/extensions/e", False),
    ],
)
def test_scopes(scope: str, granted: bool) -> None:
    assert _may(READER, READ, scope) is granted


def test_groups_and_strangers() -> None:
    assert _may(READER, READ, principal="staff") and _may(READER, READ, principal="admins")
    assert (
        not _may(READER, READ, principal="bob")
        and not _may(READER, READ, principal="Ann")
        and not _may(READER, READ, principal="")
    )
    assert not Rights([]).allows(ANN, READ, VM)


def test_what_one_assignment_takes_back_another_may_give() -> None:
    both = [Assignment("ann", CONTRIBUTOR, "/subscriptions/s"), Assignment("staff", OWNER, str(VM))]
    assert Rights(both).allows(ANN, GRANT, VM)
    assert not Rights(both).allows(ANN, GRANT, VM.scope)


@given(
    st.text(max_size=30), st.lists(st.text("ab*/.", max_size=8), max_size=3), st.lists(st.text("ab*/.", max_size=8), max_size=3)
)
def test_not_actions_only_take_away(action: str, actions: list[str], not_actions: list[str]) -> None:
    with_, without = Role("i", "r", tuple(actions), tuple(not_actions)), Role("i", "r", tuple(actions))
    assert not _may(with_, action) or _may(without, action)


def test_the_refusal_says_the_same_whatever_is_there() -> None:
    error = denial(ANN, READ, VM)
    assert (error.code, error.status) == ("AuthorizationFailed", 403)
    assert all(text in error.message for text in (READ, str(VM), "'Ann'", "'ann'"))


def test_a_recorded_caller_is_the_same() -> None:
    assert Caller.from_document(ANN.document()) == ANN


def test_built_in_roles_are_azures_and_mean_what_they_say() -> None:
    assert len(BUILT_IN) >= 17 and len({r.name for r in BUILT_IN.values()}) == len(BUILT_IN)
    assert all(role.id == id and role.description for id, role in BUILT_IN.items())
    machines = BUILT_IN["9980e02c-c2be-4d73-94e8-173b1dc7cf3c"]
    assert machines.grants(START.lower()) and not machines.grants("microsoft.network/virtualnetworks/write")
    login = BUILT_IN["fb879df8-f326-4884-b1cf-06f3ad86be52"]
    action = "microsoft.compute/virtualmachines/login/action"
    assert login.grants(action, data=True) and not login.grants(action)
    assert not OWNER.grants(action, data=True)
