"""What assignments, definitions and the lists of both share: where custom roles are claimed, how a role is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazur.model.armid import ArmId
from lazur.model.rights import Role

CUSTOM_ROLES = "custom-roles"
"""Claim pool: GUID of a custom role -> the key of its definition."""
ROLE_NAMES = "custom-role-names"
"""Claim pool: directory and name of a custom role."""
DEFINITIONS = "Microsoft.Authorization/roleDefinitions"


def built_in(role: Role, scope: ArmId) -> dict[str, Any]:
    """A built-in role as it is shown at `scope`."""
    permission = {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": list(role.not_data_actions),
    }
    return definition(scope, role.id, {
        "roleName": role.name, "type": "BuiltInRole", "description": role.description, "assignableScopes": ["/"],
        "permissions": [permission],
    })  # fmt: skip


def definition(scope: ArmId, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A role definition as it is shown at `scope`: below its subscription, else at the directory's root."""
    above = ArmId(scope.subscription)
    return {"id": str(above.resource(DEFINITIONS, name)), "type": DEFINITIONS, "name": name, "properties": properties}


def assignable(scopes: Sequence[str], over: Sequence[str], tenant: str) -> bool:
    """Whether a role with these assignable scopes may be assigned where `over` are the scope and all above it."""
    return any(ArmId.parse(s, tenant).key in over for s in scopes)
