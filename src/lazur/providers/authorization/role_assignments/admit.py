"""Admission of role assignments: the role and the principal must be there, and nobody holds the same role there twice. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Claim, Reference
from lazur.model.resource import Decision, Facts
from lazur.model.rights import BUILT_IN
from lazur.providers.authorization.role_assignments.resource import ASSIGNED, RoleAssignmentSpec
from lazur.providers.authorization.roles import CUSTOM_ROLES


def admit(spec: RoleAssignmentSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Every fault, or the claim that keeps the same from being assigned twice."""
    faults, references = [], []
    role = ArmId.parse(spec.role_definition_id).name.lower()
    custom = facts.pools.holder(CUSTOM_ROLES, role)
    if spec.condition:
        # A condition that is kept and not obeyed would give more than was meant.
        faults.append(_fault("NotSupported", "Conditions on role assignments are not offered.", "condition"))
    if role not in BUILT_IN and custom is None:
        message = f"The specified role definition with ID '{role}' does not exist."
        faults.append(_fault("RoleDefinitionDoesNotExist", message, "roleDefinitionId"))
    if custom is not None:
        references.append(Reference(facts.id.key, "roleDefinitionId", custom))
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


def _fault(code: str, message: str, target: str) -> LazurError:
    return LazurError(code, message, target=f"properties.{target}")
