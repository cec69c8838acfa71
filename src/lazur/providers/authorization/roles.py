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
ASSIGNABLE = "custom-role-scopes"
"""Claim pool: GUID of a custom role and the key of a scope it may be assigned in."""
DEFINITIONS = "Microsoft.Authorization/roleDefinitions"


def built_in(role: Role, scope: ArmId) -> dict[str, Any]:
    """A built-in role as it is shown at `scope`."""
    permission = {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": list(role.not_data_actions),
    }
    id = ArmId(scope.subscription).resource(DEFINITIONS, role.id)
    properties = {
        "roleName": role.name, "type": "BuiltInRole", "description": role.description, "assignableScopes": ["/"],
        "permissions": [permission],
    }  # fmt: skip
    return {"id": str(id), "type": DEFINITIONS, "name": role.id, "properties": properties}


def assignable(scopes: Sequence[str], over: Sequence[str], tenant: str) -> bool:
    """Whether a role with these assignable scopes may be assigned where `over` are the scope and all above it."""
    return any(ArmId.parse(s, tenant).key in over for s in scopes)
