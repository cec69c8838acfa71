"""Declaration of role definitions that customers make."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lazur.model.fields import Caseless, IdText, Model
from lazur.model.resource import Answers, Resource


class PermissionSpec(Model):
    """What is allowed, and what of it is taken back."""

    actions: list[str] = []
    not_actions: list[str] = []
    data_actions: list[str] = []
    not_data_actions: list[str] = []


class RoleDefinitionSpec(Model):
    """A set of permissions with a name."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"createdOn", "updatedOn", "createdBy", "updatedBy", "provisioningState"}
    )
    role_name: Annotated[str, Field(min_length=1, max_length=512)]
    description: str | None = None
    type: Annotated[Literal["CustomRole", "BuiltInRole"], Caseless()] = "CustomRole"
    permissions: Annotated[list[PermissionSpec], Field(min_length=1)]
    assignable_scopes: Annotated[list[IdText], Field(min_length=1)]


class RoleDefinition(Resource[RoleDefinitionSpec]):
    """A role beside those that are built in."""

    type = "Microsoft.Authorization/roleDefinitions"
    api_versions = ("2022-05-01-preview", "2022-04-01", "2018-07-01", "2015-07-01")
    tracked = False
    scopes = ("tenant", "managementGroup", "subscription", "group")
    patched = False
    missing = ("RoleDefinitionDoesNotExist", "The specified role definition with ID '{name}' does not exist.")
    answers = Answers(create=201, update=201, delete=200, asynchronous=False, removed=True)
    envelope = frozenset()
    name_pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
    example_name = "00000000-0000-4000-8000-00000000000{n}"
    example: ClassVar = {
        "properties": {
            "roleName": "Operator of machines",
            "permissions": [{"actions": ["Microsoft.Compute/*/read", "Microsoft.Compute/virtualMachines/start/action"]}],
            "assignableScopes": ["@Microsoft.Resources/resourceGroups"],
        }
    }
