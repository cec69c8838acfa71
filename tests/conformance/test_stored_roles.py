"""The authorisation table once more for roles that customers make: definitions and assignments stored as resources.

For every operation of the registry: a role with exactly its action, assigned where it is needed, lets it through; a role with
everything but that action, assigned over the whole subscription, does not.
"""

from __future__ import annotations

from typing import Any

import pytest

from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door
from tests.conformance.examples import BY_NAME, NAMES
from tests.conformance.test_authorisation import Operation, common, everything_exists, operations

DEFINITIONS, ASSIGNMENTS = "Microsoft.Authorization/roleDefinitions", "Microsoft.Authorization/roleAssignments"


def guid(kind: str, number: int) -> str:
    return f"00000000-0000-4000-{kind}-{number:012}"


class Holder:
    """A principal with one custom role that says something else for each operation."""

    def __init__(self, door: Door, number: int) -> None:
        self.door = door
        self.who = guid("9000", number)
        self.token = door.token(self.who)
        self._top = ArmId(door.plane.stamp.subscription)
        self._role = self._top.resource(DEFINITIONS, guid("9001", number))
        self._spots: set[str] = set()

    async def may(self, scope: ArmId, **permission: Any) -> None:
        """Let the role say `permission`, and hold it at `scope`."""
        said = {"roleName": f"role of {self.who}", "permissions": [permission], "assignableScopes": [str(self._top)]}
        answer = await self.door.put(self._role, {"properties": said})
        assert answer.status == 201, answer.raw
        if scope.key in self._spots:
            return
        self._spots.add(scope.key)
        name = guid(self.who[-4:], len(self._spots))
        held = {"roleDefinitionId": str(self._role), "principalId": self.who, "principalType": "ServicePrincipal"}
        answer = await self.door.put(scope.resource(ASSIGNMENTS, name), {"properties": held})
        if answer.status == 404 and len(scope.names) > 1:
            # A child that is about to be made has nothing yet that could be assigned on it.
            answer = await self.door.put(scope.parent.resource(ASSIGNMENTS, name), {"properties": held})
        assert answer.status in (201, 409), answer.raw


async def check(door: Door, needed: Operation, exact: Holder, rest: Holder) -> None:
    """One operation, asked by both; the one who may comes last."""
    await rest.may(ArmId(door.plane.stamp.subscription), actions=["*"], notActions=[needed.right])
    await exact.may(needed.scope, actions=[needed.right])
    refused = await door.ask(needed.method, needed.path, needed.body, token=rest.token)
    assert refused.status == 403 and f"'{needed.right}'" in refused.error["message"], f"{needed.name}: {refused.raw!r}"
    answer = await door.ask(needed.method, needed.path, needed.body, token=exact.token)
    assert answer.status not in (401, 403, 405) and answer.status < 500, f"{needed.name}: {answer.status} {answer.raw!r}"


# Over what lies in no subscription its owner has nothing to give.
@pytest.mark.parametrize("name", [n for n in NAMES if BY_NAME[n].scopes != ("tenant",)])
def test_custom_roles_over_a_type(name: str) -> None:
    async def main(door: Door) -> None:
        exact, rest = Holder(door, 1), Holder(door, 2)
        for needed in operations(BY_NAME[name], door.plane.stamp.subscription):
            await check(door, needed, exact, rest)

    at_the_door(everything_exists(name), main, executors=False)


def test_custom_roles_over_no_type() -> None:
    async def main(door: Door) -> None:
        exact, rest = Holder(door, 1), Holder(door, 2)
        for needed in common(door.plane.stamp.subscription, {}):
            if needed.scope.subscription:
                await check(door, needed, exact, rest)

    at_the_door(everything_exists("Microsoft.Compute/virtualMachines"), main, executors=False)
