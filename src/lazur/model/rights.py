"""Who may do what where: callers, role definitions, role assignments, and the one pure decision over them.

Authorisation comes before look-up, so this must never need to know whether a resource exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId


@dataclass(frozen=True)
class Caller:
    """An authenticated principal: who it is, in which tenant, and the groups it belongs to."""

    tenant: str
    object_id: str
    name: str
    kind: str = "User"
    app_id: str = ""
    groups: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """The form recorded on what this caller created."""
        return {**vars(self), "groups": list(self.groups)}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Caller:
        """The caller recorded by `document`."""
        fields = {**found, "groups": tuple(found.get("groups", ()))}
        return cls(**fields)


@dataclass(frozen=True)
class Role:
    """A role definition: what it allows and what it takes back, as ARM action patterns with `*`."""

    id: str
    name: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()


_AUTHORIZATION_WRITES = (
    "Microsoft.Authorization/*/Delete",
    "Microsoft.Authorization/*/Write",
    "Microsoft.Authorization/elevateAccess/Action",
)

OWNER = Role("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", ("*",))
CONTRIBUTOR = Role("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", ("*",), _AUTHORIZATION_WRITES)
READER = Role("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", ("*/read",))
BUILT_IN = {r.id: r for r in (OWNER, CONTRIBUTOR, READER)}
"""Azure's general built-in roles under their real ids."""


@dataclass(frozen=True)
class Assignment:
    """`principal` (a user, group or service principal) holds `role` at `scope` and below."""

    principal: str
    role: Role
    scope: str


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(p) for p in text.lower().split("*")) + r"\Z")


def _matches(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(p).match(action) for p in patterns)


def allows(assignments: Sequence[Assignment], caller: Caller, action: str, scope: ArmId) -> bool:
    """Whether any assignment of the caller or its groups, at `scope` or above, grants `action`."""
    who = {caller.object_id, *caller.groups}
    lowered = action.lower()
    for held in assignments:
        if held.principal not in who or not ArmId.parse(held.scope).contains(scope):
            continue
        if _matches(held.role.actions, lowered) and not _matches(held.role.not_actions, lowered):
            return True
    return False


def right(type: str, verb: str) -> str:
    """The action of `verb` (`read`, `write`, `delete`, `start/action`) on `type`, as role definitions spell it."""
    # Azure names a resource group's actions below the subscription, though the type itself has no such segment.
    if type.lower() == "microsoft.resources/resourcegroups":
        type = "Microsoft.Resources/subscriptions/resourceGroups"
    return f"{type}/{verb}"


def denial(caller: Caller, action: str, scope: ArmId) -> LazurError:
    """ARM's 403 naming the missing action and scope; the same bytes whether or not anything is there."""
    message = (
        f"The client '{caller.name}' with object id '{caller.object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
    return LazurError("AuthorizationFailed", message, status=403)
