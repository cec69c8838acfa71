"""Declaration of role assignments."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from lazur.kernel.clock import rfc3339
from lazur.model.armid import ArmId
from lazur.model.fields import Caseless, IdText, Model, Mut
from lazur.model.resource import Answers, Rendering, Resource

ASSIGNED = "assigned"
"""Claim pool: which principal holds which role where."""


class RoleAssignmentSpec(Model):
    """Who holds which role."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"scope", "createdOn", "updatedOn", "createdBy", "updatedBy", "provisioningState"}
    )
    role_definition_id: Annotated[IdText, Mut.CREATE_ONLY]
    """Id of the role definition, at whatever scope it is spelled."""
    principal_id: Annotated[str, AfterValidator(str.lower), Mut.CREATE_ONLY]
    """Object id of a user, group or service principal."""
    principal_type: Annotated[
        Literal["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"] | None, Caseless()
    ] = None
    description: str | None = None
    condition: str | None = None
    condition_version: str | None = None


class RoleAssignment(Resource[RoleAssignmentSpec]):
    """A principal holding a role at a scope and everything below it."""

    type = "Microsoft.Authorization/roleAssignments"
    api_versions = ("2022-04-01", "2020-10-01-preview", "2020-04-01-preview", "2018-07-01", "2015-07-01")
    tracked = False
    scopes = ("tenant", "managementGroup", "subscription", "group", "resource")
    patched = False
    missing = ("RoleAssignmentNotFound", "The role assignment '{name}' is not found.")
    answers = Answers(create=201, update=200, delete=200, asynchronous=False, removed=True)
    envelope = frozenset()
    name_pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
    example_name = "00000000-0000-4000-8000-00000000000{n}"
    example: ClassVar = {
        "properties": {
            "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "principalId": "00000000-0000-0000-0000-0000000000aa",
            "principalType": "ServicePrincipal",
        }
    }

    @classmethod
    def attributes(cls, spec: RoleAssignmentSpec) -> dict[str, str]:
        """Which role is given to whom."""
        role = ArmId.parse(spec.role_definition_id).name
        found = {"RoleDefinitionId": role, "PrincipalId": spec.principal_id, "PrincipalType": spec.principal_type}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With its scope and who made it."""
        record = shown.record
        return {
            **shown.properties,
            "scope": str(record.id.scope),
            "createdOn": rfc3339(record.created),
            "updatedOn": rfc3339(record.changed),
            "createdBy": record.created_by.get("object_id", ""),
            "updatedBy": record.changed_by.get("object_id", ""),
        }
