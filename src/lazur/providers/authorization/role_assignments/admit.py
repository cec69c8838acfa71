"""Admission of role assignments: a role of the directory that may be assigned there, to somebody who does not hold it. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.conditions import condition
from lazur.model.documents import Claim, Reference
from lazur.model.resource import Decision, Facts
from lazur.model.rights import BUILT_IN
from lazur.providers.authorization.role_assignments.resource import ASSIGNED, RoleAssignmentSpec
from lazur.providers.authorization.roles import ASSIGNABLE, CUSTOM_ROLES


def admit(spec: RoleAssignmentSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Every fault, or the claim that keeps the same from being assigned twice."""
    faults, references = [], []
    role = ArmId.parse(spec.role_definition_id).name.lower()
    custom = _custom(role, facts)
    faults += _condition(spec)
    if role not in BUILT_IN and custom is None:
        message = f"The specified role definition with ID '{role}' does not exist."
        faults.append(_fault("RoleDefinitionDoesNotExist", message, "roleDefinitionId"))
    if custom is not None:
        references.append(Reference(facts.id.key, "roleDefinitionId", custom))
        scopes = facts.over(facts.id.scope)
        if facts.old is None and not any(facts.pools.holder(ASSIGNABLE, f"{role}|{scope}") for scope in scopes):
            message = f"The role definition '{role}' may not be assigned at '{facts.id.scope}', by its assignable scopes."
            faults.append(_fault("RoleAssignmentScopeNotAssignableToRoleDefinition", message, "roleDefinitionId"))
    kind = facts.kind_of(spec.principal_id)
    # Azure takes a service principal's word: one made a moment ago may not be known everywhere yet.
    if not kind and spec.principal_type != "ServicePrincipal":
        message = (
            f"Principal {spec.principal_id} does not exist in the directory. Check that you have the correct principal ID and "
            "that it belongs to the directory of this scope."
        )
        faults.append(_fault("PrincipalNotFound", message, "principalId"))
    elif kind and spec.principal_type not in (None, kind):
        message = f"The PrincipalId '{spec.principal_id}' has type '{kind}', which is different from '{spec.principal_type}'."
        faults.append(_fault("UnmatchedPrincipalType", message, "principalType"))
    held = f"{facts.id.scope.key}|{spec.principal_id.lower()}|{role}"
    holder = facts.pools.holder(ASSIGNED, held)
    if holder not in (None, facts.id.key):
        name = ArmId.from_path(str(holder)).name
        message = f"The role assignment already exists. The ID of the existing role assignment is {name.replace('-', '')}."
        faults.append(LazurError("RoleAssignmentExists", message, status=409))
    body = {**body, "properties": {**body["properties"], "principalType": kind or spec.principal_type}}
    return Decision(faults, claims=[Claim(ASSIGNED, held, facts.id.key)], references=references, body=body)


def _condition(spec: RoleAssignmentSpec) -> list[LazurError]:
    """What is wrong with the condition: one that was kept and not obeyed would give more than was meant."""
    if not spec.condition:
        return []
    faults = []
    if spec.condition_version != "2.0":
        message = "The given role assignment condition is invalid: its version must be '2.0'."
        faults.append(_fault("RoleAssignmentConditionNotValid", message, "conditionVersion"))
    try:
        condition(spec.condition)
    except LazurError as error:
        faults.append(error)
    return faults


def _custom(role: str, facts: Facts) -> str | None:
    """The key of a custom role; that of another directory is as good as none."""
    found = facts.pools.holder(CUSTOM_ROLES, role)
    same = found is not None and facts.over(ArmId.from_path(found))[-2] == facts.over(facts.id)[-2]
    return found if same else None


def _fault(code: str, message: str, target: str) -> LazurError:
    return LazurError(code, message, target=f"properties.{target}")
