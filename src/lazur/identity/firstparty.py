"""The applications every directory knows without registering them, under the ids they have in Azure everywhere.

Constants only. Ids as published in Microsoft's permissions reference and first-party application list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazur.identity.objects import Application, ServicePrincipal
from lazur.kernel.ids import derived

AZ_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
AZ_POWERSHELL = "1950a258-227b-4e31-a9cf-717495945fc2"
FAMILY = frozenset({AZ_CLI, AZ_POWERSHELL})
"""Programs of one family redeem each other's refresh tokens: a person signs in to all of them at once."""
MICROSOFT_GRAPH = "00000003-0000-0000-c000-000000000000"
ARM = "797f4846-ba00-4fd7-ba43-dac1f8f63013"

# Microsoft Graph's application permissions that this directory honours.
GRAPH_ROLES = {
    "Application.Read.All": "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    "Application.ReadWrite.All": "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
    "Application.ReadWrite.OwnedBy": "18a4783c-866b-4cc7-a460-3d5e5662c884",
    "AppRoleAssignment.ReadWrite.All": "06b708a9-e830-4db3-a914-8e69da51d44f",
    "Directory.Read.All": "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
    "Directory.ReadWrite.All": "19dbc75e-c2e2-444c-a770-ec69d8559fc7",
    "Group.Read.All": "5b567255-7703-4780-807c-7be8301ae99b",
    "Group.ReadWrite.All": "62a82d76-70ea-41e2-9197-370581804d09",
    "GroupMember.ReadWrite.All": "dbaae8cf-10b5-4b86-a4a1-f871c94c6695",
    "RoleManagement.ReadWrite.Directory": "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8",
    "User.Read.All": "df021288-bdef-4463-88db-98f22de89214",
    "User.ReadWrite.All": "741f803b-c850-494e-b5df-cde7c675a1ca",
}
_GRAPH_SCOPES = {
    "Directory.AccessAsUser.All": "0e263e50-5827-48a4-b97c-d940288653c7",
    "Directory.Read.All": "06da0dbc-49e2-44d2-8312-53f166ab848a",
    "User.Read": "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
    "email": "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
    "offline_access": "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
    "openid": "37f7f235-527c-4136-accd-4a02d197296e",
    "profile": "14dad69e-099b-42c9-810b-d002981feec1",
}


def _role(value: str, id: str) -> Mapping[str, Any]:
    return {"id": id, "value": value, "displayName": value, "description": value, "isEnabled": True,
            "allowedMemberTypes": ["Application"]}  # fmt: skip


def _scope(value: str, id: str) -> Mapping[str, Any]:
    return {"id": id, "value": value, "type": "User", "isEnabled": True, "adminConsentDisplayName": value,
            "adminConsentDescription": value}  # fmt: skip


def _public(app_id: str, name: str) -> Application:
    return Application(
        app_id, app_id, "", name, public=True, properties={"publicClient": {"redirectUris": ["http://localhost"]}}
    )


FIRST_PARTY = (
    _public(AZ_CLI, "Azure CLI"),
    _public(AZ_POWERSHELL, "Azure PowerShell"),
    Application(
        MICROSOFT_GRAPH, MICROSOFT_GRAPH, "", "Microsoft Graph",
        properties={
            "appRoles": [_role(*row) for row in GRAPH_ROLES.items()],
            "api": {"oauth2PermissionScopes": [_scope(*row) for row in _GRAPH_SCOPES.items()]},
        },
    ),
    Application(
        ARM, ARM, "", "Windows Azure Service Management API",
        properties={"api": {"oauth2PermissionScopes": [_scope("user_impersonation", "41094075-9dad-400e-a0bd-54e686782033")]}},
    ),
)  # fmt: skip


def principals(tenant_id: str) -> list[ServicePrincipal]:
    """Their presence in a directory. The object ids are derived: the same directory shows the same ones always."""
    return [ServicePrincipal(derived(tenant_id, a.app_id), a.app_id, tenant_id, a.display_name) for a in FIRST_PARTY]
