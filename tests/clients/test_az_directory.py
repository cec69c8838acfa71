"""The unmodified az, both of them, against the directory: users, groups, applications, service principals.

The tests of this file build on each other and take the objects of the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.az import ADMINISTRATOR, Az
from tests.clients.clouds import Cloud


@pytest.fixture(scope="module")
def az(each_az: Az) -> Az:
    """Both of them, one after the other."""
    return each_az


@pytest.fixture(scope="module", autouse=True)
def clean(az: Az) -> Iterator[None]:
    """Nothing of these tests before and after them."""
    _swept(az)
    yield
    _swept(az)


def _swept(az: Az) -> None:
    """Without what an earlier run on the same rack left."""
    for kind in ("user", "group"):
        for id in az(f"ad {kind} list --query \"[?starts_with(displayName,'aztest-')].id\""):
            az(f"ad {kind} delete {'--id' if kind == 'user' else '-g'} {{id}}", id=id)
    for id in az("ad app list --all --query \"[?starts_with(displayName,'aztest-')].id\""):
        az("ad app delete --id {id}", id=id)


@pytest.fixture(scope="module")
def domain(cloud: Cloud) -> str:
    """The domain people of the stamp's own directory bear."""
    return cloud.environment["LAZUR_USER"].partition("@")[2]


def test_who_is_signed_in(administrator: Az, az: Az, cloud: Cloud) -> None:
    assert administrator("ad signed-in-user show")["userPrincipalName"] == cloud.environment["LAZUR_USER"]
    assert isinstance(administrator("ad signed-in-user list-owned-objects"), list)
    assert "/me request is only valid with delegated" in az.refused("ad signed-in-user show")


def test_the_organization(az: Az, cloud: Cloud, domain: str) -> None:
    graph = az("cloud show --query endpoints.microsoftGraphResourceId")
    (row,) = az("rest --url {graph}v1.0/organization --resource {graph}", graph=graph)["value"]
    assert row["id"] == cloud.environment["LAZUR_TENANT"] and row["verifiedDomains"][0]["name"] == domain


def test_users(az: Az, administrator: Az, domain: str) -> None:
    upn = f"aztest-alice@{domain}"
    made = az("ad user create --display-name aztest-alice --password correct-Horse1 --user-principal-name {upn}", upn=upn)
    assert az("ad user show --id {upn}", upn=upn)["id"] == made["id"]
    assert [u["id"] for u in az("ad user list --upn {upn}", upn=upn)] == [made["id"]]
    assert [u["id"] for u in az("ad user list --display-name aztest-")] == [made["id"]]
    az("ad user update --id {upn} --display-name aztest-Alice2", upn=upn)
    assert az("ad user list --filter \"startswith(displayName,'aztest-alice2')\"")[0]["userPrincipalName"] == upn
    again = az.refused("ad user create --display-name x --password correct-Horse1 --user-principal-name {upn}", upn=upn)
    assert "already exists" in again
    assert "does not exist" in az.refused("ad user show --id nobody@{domain}", domain=domain, code=3)


def test_groups(az: Az, domain: str) -> None:
    upn = f"aztest-alice@{domain}"
    user = az("ad user show --id {upn} --query id", upn=upn)
    outer = az("ad group create --display-name aztest-outer --mail-nickname outer")["id"]
    inner = az("ad group create --display-name aztest-inner --mail-nickname inner --description d")["id"]
    az("ad group member add -g aztest-outer --member-id {inner}", inner=inner)
    az("ad group member add -g aztest-inner --member-id {user}", user=user)
    assert az("ad group member check -g aztest-outer --member-id {user}", user=user) == {"value": True}
    assert az("ad group member check -g aztest-inner --member-id {outer}", outer=outer) == {"value": False}
    assert [m["id"] for m in az("ad group member list -g aztest-inner")] == [user]
    assert {g["displayName"] for g in az("ad user get-member-groups --id {upn}", upn=upn)} == {"aztest-outer", "aztest-inner"}
    assert az("ad group get-member-groups -g aztest-inner") == [outer]
    az("ad group owner add -g aztest-inner --owner-object-id {user}", user=user)
    assert [o["id"] for o in az("ad group owner list -g aztest-inner")] == [user]
    assert "already exist" in az.refused("ad group member add -g {inner} --member-id {user}", inner=inner, user=user)
    az("ad group member remove -g aztest-inner --member-id {user}", user=user)
    assert az("ad group member list -g aztest-inner") == []
    az("ad group delete -g aztest-inner")
    assert [g["displayName"] for g in az("ad group list --display-name aztest-")] == ["aztest-outer"]


def test_applications(az: Az) -> None:
    made = az("ad app create --display-name aztest-app --identifier-uris api://aztest --web-redirect-uris https://x.example/cb")
    id = made["appId"]
    assert az("ad app show --id api://aztest")["web"]["redirectUris"] == ["https://x.example/cb"]
    az("ad app update --id {id} --set displayName=aztest-app2", id=id)
    secret = az("ad app credential reset --id {id} --append --display-name one", id=id)
    assert secret["appId"] == id and secret["password"]
    (row,) = az("ad app credential list --id {id}", id=id)
    az("ad app credential delete --id {id} --key-id {key}", id=id, key=row["keyId"])
    az("ad app credential reset --id {id} --create-cert --append", id=id)
    (row,) = az("ad app credential list --id {id} --cert", id=id)
    assert row["type"] == "AsymmetricX509Cert"
    parameters = '{"name":"ci-main","issuer":"https://ci.example","subject":"repo:x","audiences":["api://AzureADTokenExchange"]}'
    az("ad app federated-credential create --id {id} --parameters {p}", id=id, p=parameters)
    assert az("ad app federated-credential list --id {id}", id=id)[0]["subject"] == "repo:x"
    az("ad app federated-credential delete --id {id} --federated-credential-id ci-main", id=id)
    az("ad app permission add --id {id} --api 00000003-0000-0000-c000-000000000000 --api-permissions"
       " e1fe6dd8-ba31-4d61-89e7-88639da4683d=Scope", id=id)  # fmt: skip
    assert len(az("ad app permission list --id {id}", id=id)) == 1
    az("ad sp create --id {id}", id=id)
    given = az("ad app permission grant --id {id} --api 797f4846-ba00-4fd7-ba43-dac1f8f63013 --scope user_impersonation", id=id)
    assert [g["id"] for g in az("ad app permission list-grants --id {id}", id=id)] == [given["id"]]
    me = az("ad sp show --id {lazur_client_id} --query id")
    az("ad app owner add --id {id} --owner-object-id {me}", id=id, me=me)
    assert me in [o["id"] for o in az("ad app owner list --id {id}", id=id)]
    az("ad app owner remove --id {id} --owner-object-id {me}", id=id, me=me)
    az("ad app delete --id {id}", id=id)
    assert "does not exist" in az.refused("ad app show --id {id}", id=id, code=3)


def test_service_principal_for_the_roles_of_arm(az: Az, cloud: Cloud) -> None:
    scope = f"/subscriptions/{cloud.environment['LAZUR_SUBSCRIPTION']}"
    made = az("ad sp create-for-rbac -n aztest-sp --role Reader --scopes {scope}", scope=scope)
    assert made["tenant"] == cloud.environment["LAZUR_TENANT"]
    shown = az("ad sp show --id {id}", id=made["appId"])
    assert shown["servicePrincipalType"] == "Application" and shown["appDisplayName"] == "aztest-sp"
    assert [sp["appId"] for sp in az("ad sp list --display-name aztest-sp")] == [made["appId"]]
    given = az("role assignment create --assignee {id} --role Contributor --scope {scope}", id=made["appId"], scope=scope)
    assert given["principalId"] == shown["id"]
    rows = az("role assignment list --assignee {id} --scope {scope}", id=made["appId"], scope=scope)
    found = {(row["principalName"], row["roleDefinitionName"]) for row in rows}
    assert found == {(made["appId"], "Reader"), (made["appId"], "Contributor")}
    reset = az("ad sp credential reset --id {id}", id=made["appId"])
    assert reset["password"] != made["password"]
    az("ad sp credential reset --id {id} --create-cert --append", id=made["appId"])
    (certificate,) = az("ad sp credential list --id {id} --cert", id=made["appId"])
    az("ad sp credential delete --id {id} --cert --key-id {key}", id=made["appId"], key=certificate["keyId"])
    assert az("ad sp credential list --id {id} --cert", id=made["appId"]) == []
    az("ad sp update --id {id} --set {tags}", id=made["appId"], tags='tags=["here"]')
    assert az("ad sp show --id {id} --query tags", id=made["appId"]) == ["here"]
    assert isinstance(az("ad sp owner list --id {id}", id=made["appId"]), list)
    # What was assigned to it stays, to nobody.
    az("ad sp delete --id {id}", id=made["appId"])
    rows = az("role assignment list --scope {scope} --query \"[?principalId=='{oid}']\"", scope=scope, oid=shown["id"])
    assert [r.get("principalName") or "" for r in rows] == ["", ""]
    for row in rows:
        az("role assignment delete --ids {id}", id=row["id"])


def test_a_new_service_principal_signs_in(az: Az, administrator: Az) -> None:
    made = az("ad sp create-for-rbac -n aztest-login")
    administrator("logout")
    administrator(
        "login --service-principal -u {id} -p {secret} --tenant {tenant} --allow-no-subscriptions",
        id=made["appId"], secret=made["password"], tenant=made["tenant"],
    )  # fmt: skip
    assert "Insufficient privileges" in administrator.refused("ad user list")
    administrator("logout")
    administrator(ADMINISTRATOR)
