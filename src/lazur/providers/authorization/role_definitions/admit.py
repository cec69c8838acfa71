"""Admission of custom roles: a name nobody has, scopes of one's own, actions that can be. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Claim
from lazur.model.resource import Decision, Facts
from lazur.model.rights import BUILT_IN
from lazur.providers.authorization.role_definitions.resource import RoleDefinitionSpec
from lazur.providers.authorization.roles import ASSIGNABLE, CUSTOM_ROLES, ROLE_NAMES

_MOST_ACTIONS = 2048


def admit(spec: RoleDefinitionSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Every fault, or the claims of the role's id and name."""
    name, key = facts.id.name.lower(), facts.id.key
    faults = list(_shape(spec, facts))
    holder = facts.pools.holder(CUSTOM_ROLES, name)
    if name in BUILT_IN or holder not in (None, key):
        message = f"The role definition '{facts.id.name}' exists already; give the new one an id of its own."
        faults.append(LazurError("RoleDefinitionExists", message, status=409))
    label = f"{facts.over(facts.id)[-2]}|{spec.role_name.lower()}"
    known = {role.name.lower() for role in BUILT_IN.values()}
    if spec.role_name.lower() in known or facts.pools.holder(ROLE_NAMES, label) not in (None, key):
        message = f"A custom role with the name '{spec.role_name}' already exists in this directory. Use a different name."
        target = "properties.roleName"
        faults.append(LazurError("RoleDefinitionWithSameNameExists", message, target=target, status=409))
    scopes = dict.fromkeys(_at(scope, facts).key for scope in spec.assignable_scopes)
    held = [Claim(ASSIGNABLE, f"{name}|{scope}", key) for scope in scopes]
    return Decision(faults, claims=[Claim(CUSTOM_ROLES, name, key), Claim(ROLE_NAMES, label, key), *held])


def _at(scope: str, facts: Facts) -> ArmId:
    return ArmId.parse(scope).of(facts.id.tenant)


def _shape(spec: RoleDefinitionSpec, facts: Facts) -> list[LazurError]:
    faults = []
    if spec.type != "CustomRole":
        message = "Only roles of type 'CustomRole' can be made."
        faults.append(LazurError("InvalidRoleDefinitionType", message, target="properties.type"))
    for i, scope in enumerate(spec.assignable_scopes):
        at = _at(scope, facts)
        if at.reach == "tenant" or (facts.id.subscription and (at.subscription or "").lower() != facts.id.subscription.lower()):
            message = f"'{scope}' cannot be an assignable scope here: name subscriptions and groups, not the root or another's."
            faults.append(LazurError("InvalidAssignableScope", message, target=f"properties.assignableScopes[{i}]"))
    count = sum(len(p.actions) + len(p.not_actions) + len(p.data_actions) + len(p.not_data_actions) for p in spec.permissions)
    if count > _MOST_ACTIONS:
        message = f"A role may have {_MOST_ACTIONS} actions; this one has {count}."
        faults.append(LazurError("RoleDefinitionLimitExceeded", message, target="properties.permissions"))
    for i, permission in enumerate(spec.permissions):
        if any(not a or (a != "*" and "/" not in a) for a in (*permission.actions, *permission.data_actions)):
            message = "An action is '*' or has the form 'Provider/type/verb', in which '*' may stand for any part."
            faults.append(LazurError("InvalidActionOrNotAction", message, target=f"properties.permissions[{i}]"))
    return faults
