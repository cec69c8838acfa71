"""What Terraform's azuread asks for, in the order and the words of its versions 2 and 3 (read from its sources)."""

from __future__ import annotations

from typing import Any

from tests.identity.graph.desk import Desk, at_the_desk

ROLE = "22222222-0000-4000-8000-000000000001"


APPLICATION: dict[str, Any] = {
    "api": {
        "acceptMappedClaims": None,
        "knownClientApplications": [],
        "oauth2PermissionScopes": [
            {
                "id": ROLE,
                "adminConsentDescription": "a",
                "adminConsentDisplayName": "b",
                "isEnabled": True,
                "type": "User",
                "userConsentDescription": None,
                "userConsentDisplayName": None,
                "value": "use",
            }
        ],
        "requestedAccessTokenVersion": 2,
    },
    "appRoles": [],
    "displayName": "App",
    "groupMembershipClaims": "SecurityGroup",
    "identifierUris": [],
    "info": {"marketingUrl": "", "privacyStatementUrl": "", "supportUrl": "", "termsOfServiceUrl": ""},
    "isDeviceOnlyAuthSupported": False,
    "isFallbackPublicClient": False,
    "oauth2RequirePostResponse": False,
    "optionalClaims": {
        "accessToken": [{"name": "email", "essential": True, "source": None, "additionalProperties": []}],
        "idToken": [],
        "saml2Token": [],
    },
    "publicClient": {"redirectUris": []},
    "requiredResourceAccess": [],
    "signInAudience": "AzureADMyOrg",
    "spa": {"redirectUris": []},
    "tags": ["WindowsAzureActiveDirectoryIntegratedApp"],
    "web": {
        "homePageUrl": None,
        "implicitGrantSettings": {"enableAccessTokenIssuance": False, "enableIdTokenIssuance": False},
        "logoutUrl": None,
        "redirectUris": [],
    },
}


def clean(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("@")}


def test_a_user_as_version_3_makes_reads_and_changes_it() -> None:
    async def test(desk: Desk) -> None:
        boss = await desk.user(1)
        nothing = (
            "ageGroup",
            "city",
            "companyName",
            "country",
            "department",
            "employeeId",
            "faxNumber",
            "givenName",
            "jobTitle",
            "mail",
            "mobilePhone",
            "officeLocation",
            "passwordPolicies",
            "postalCode",
            "state",
            "surname",
        )
        body: dict[str, Any] = {
            **dict.fromkeys(nothing),
            "@odata.type": "#microsoft.graph.user",
            "accountEnabled": True,
            "displayName": "J Doe",
            "employeeOrgData": {"costCenter": None, "division": "Tools"},
            "mailNickname": "jdoe",
            "otherMails": [],
            "passwordProfile": {"forceChangePasswordNextSignIn": False, "password": "SecretP@sswd99!"},
            "userPrincipalName": f"jdoe@{desk.domain}",
        }
        id = (await desk.post("users", body))["id"]
        shown = {"@odata.type": "#microsoft.graph.user", "showInAddressList": True}
        assert (await desk.ask("PATCH", f"/beta/users/{id}", shown)).status == 204
        ref = {"@odata.id": f"{desk.made.endpoints.graph}/v1.0/directoryObjects/{boss.object_id}"}
        assert (await desk.ask("PUT", f"users/{id}/manager/$ref", ref)).status == 204
        read = clean(await desk.get(f"users/{id}?$select=accountEnabled,employeeOrgData,mailNickname,otherMails,usageLocation"))
        assert read["accountEnabled"] is True and read["employeeOrgData"]["division"] == "Tools" and read["otherMails"] == []
        assert (await desk.get(f"/beta/users/{id}?$select=showInAddressList"))["showInAddressList"] is True
        assert (await desk.get(f"users/{id}/manager"))["@odata.context"].endswith("#users/$entity")
        assert (await desk.ask("PATCH", f"users/{id}", {**body, "passwordProfile": None, "jobTitle": "Boss"})).status == 204
        assert (await desk.ask("DELETE", f"users/{id}")).status == 204
        assert (await desk.ask("DELETE", f"directory/deletedItems/{id}")).status == 404

    at_the_desk(test)


def test_a_group_as_version_3_makes_it() -> None:
    async def test(desk: Desk) -> None:
        user, service = await desk.user(1), desk.made.secrets.client_object_id
        base = f"{desk.made.endpoints.graph}/beta/directoryObjects"
        for id in (user.object_id, service):
            assert (await desk.get(f"directoryObjects/{id}", who=service))["@odata.type"].startswith("#microsoft.graph.")
        body = {
            "@odata.type": "#microsoft.graph.group",
            "description": None,
            "displayName": "Team",
            "groupTypes": [],
            "isAssignableToRole": False,
            "mailEnabled": False,
            "mailNickname": "0a1b2c3d-4",
            "membershipRule": None,
            "resourceBehaviorOptions": [],
            "resourceProvisioningOptions": [],
            "securityEnabled": True,
            "owners@odata.bind": [f"{base}/{service}", f"{base}/{user.object_id}"],
        }
        id = (await desk.ask("POST", "/beta/groups", body, who=service)).json["id"]
        for name in ("TERRAFORM_UPDATE_1", "Team"):
            assert (await desk.ask("PATCH", f"/beta/groups/{id}", {"displayName": name}, who=service)).status == 204
        owners = await desk.ask("GET", f"/beta/groups/{id}/owners", who=service)
        assert set(owners.names("id")) == {service, user.object_id}
        added = await desk.ask(
            "POST", f"/beta/groups/{id}/members/$ref", {"@odata.id": f"{base}/{user.object_id}"}, who=service
        )
        assert added.status == 204
        members = await desk.ask("GET", f"/beta/groups/{id}/members?$select=id", who=service)
        assert [r["@odata.type"] for r in members.value] == ["#microsoft.graph.user"] and members.names("id") == [
            user.object_id
        ]
        assert (await desk.ask("GET", "/beta/groups?$filter=displayName eq 'Team'&$count=true", who=service)).names("id") == [
            id
        ]
        read = clean((await desk.ask("GET", f"/beta/groups/{id}", who=service)).json)
        sent = {name: value for name, value in body.items() if "@" not in name}
        assert {name: read[name] for name in sent} == sent
        assert (await desk.ask("DELETE", f"/beta/groups/{id}", who=service)).status == 204

    at_the_desk(test)


def test_an_application_as_version_2_makes_it() -> None:
    async def test(desk: Desk) -> None:
        me, tenant = desk.made.secrets.client_object_id, desk.made.tenant
        other = (await desk.user(1)).object_id
        url = f"{desk.made.endpoints.graph}/v1.0/{tenant}/directoryObjects"
        body = {**APPLICATION, "owners@odata.bind": [f"{url}/{me}", f"{url}/{other}"]}
        made = (await desk.ask("POST", "/beta/applications", body, who=me)).json
        id = made["id"]
        assert (await desk.ask("PATCH", f"/beta/applications/{id}", {"id": id, "displayName": "App"}, who=me)).status == 204
        assert (await desk.ask("GET", f"/beta/applications/{id}/owners/{me}/$ref", who=me)).json["@odata.id"].endswith(me)
        assert (await desk.ask("DELETE", f"/beta/applications/{id}/owners/{me}/$ref", who=me)).status == 204
        assert (await desk.ask("GET", f"/beta/applications/{id}/owners", who=me)).names("id") == [other]
        read = (await desk.ask("GET", f"/beta/applications/{id}", who=me)).json
        for name in ("appRoles", "groupMembershipClaims", "identifierUris", "optionalClaims", "publicClient", "spa", "tags"):
            assert read[name] == body[name], name
        assert read["api"]["oauth2PermissionScopes"][0] == body["api"]["oauth2PermissionScopes"][0]
        assert read["web"]["implicitGrantSettings"] == body["web"]["implicitGrantSettings"]
        assert (await desk.ask("DELETE", f"/beta/applications/{id}", who=me)).status == 204

    at_the_desk(test)
