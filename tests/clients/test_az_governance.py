"""The unmodified az over what governs resources: tags, locks, roles, moves, the activity log, management groups.

The tests of this file build on each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud

GROUPS = ("azgov-one", "azgov-two")


@pytest.fixture(scope="module")
def az(each_az: Az) -> Az:
    """Both of them, one after the other."""
    return each_az


@pytest.fixture(scope="module")
def address(az: Az) -> Iterator[str]:
    """A public address in one of two groups."""
    for group in GROUPS:
        az("group create -n {group} -l local", group=group)
    made: str = az(f"network public-ip create -g {GROUPS[0]} -n pip --sku Standard")["publicIp"]["id"]
    yield made
    for group in GROUPS:
        az("group delete -n {group} -y", group=group)


def test_tags(az: Az, address: str) -> None:
    merged = az("tag update --resource-id {address} --operation merge --tags env=test cost=1", address=address)
    assert merged["properties"]["tags"] == {"env": "test", "cost": "1"}
    less = az("tag update --resource-id {address} --operation delete --tags cost=1", address=address)
    assert less["properties"]["tags"] == {"env": "test"}
    assert az("tag list --resource-id {address}", address=address)["properties"]["tags"] == {"env": "test"}
    assert "env" in [name["tagName"] for name in az("tag list")]
    assert [r["id"] for r in az("resource list --tag env=test")] == [address]
    replaced = az("tag create --resource-id {address} --tags team=one", address=address)
    assert replaced["properties"]["tags"] == {"team": "one"}
    az("tag delete --resource-id {address} -y", address=address)
    assert not az("network public-ip show --ids {address} --query tags", address=address)
    az("resource tag --ids {address} --tags env=test", address=address)
    az(f"group update -n {GROUPS[0]} --set tags.of=group")
    assert [g["name"] for g in az("group list --tag of=group")] == [GROUPS[0]]


def test_tag_names(az: Az) -> None:
    assert az("tag create -n aztest-cost")["tagName"] == "aztest-cost"
    assert az("tag add-value -n aztest-cost --value high")["tagValue"] == "high"
    (row,) = az("tag list --query \"[?tagName=='aztest-cost']\"")
    assert [value["tagValue"] for value in row["values"]] == ["high"]
    az("tag remove-value -n aztest-cost --value high")
    az("tag delete -n aztest-cost -y")
    assert "aztest-cost" not in [name["tagName"] for name in az("tag list")]


def test_locks(az: Az, address: str) -> None:
    lock = az(f"lock create --name keep --lock-type CanNotDelete -g {GROUPS[0]} --resource pip "
              "--resource-type Microsoft.Network/publicIPAddresses")  # fmt: skip
    assert "ScopeLocked" in az.refused("network public-ip delete --ids {address}", address=address)
    assert [found["id"] for found in az(f"lock list -g {GROUPS[0]}")] == [lock["id"]]
    changed = az("lock update --ids {id} --notes why --lock-type ReadOnly", id=lock["id"])
    assert (changed["level"], changed["notes"]) == ("ReadOnly", "why")
    assert az("lock show --ids {id}", id=lock["id"])["level"] == "ReadOnly"
    assert "ScopeLocked" in az.refused("resource tag --ids {address} --tags env=other", address=address)
    az("lock delete --ids {id}", id=lock["id"])
    assert az(f"lock list -g {GROUPS[0]}") == []


def test_locks_further_up(az: Az, address: str) -> None:
    az(f"group lock create -n all -g {GROUPS[0]} --lock-type CanNotDelete")
    assert "ScopeLocked" in az.refused(f"group delete -n {GROUPS[0]} -y")
    assert [found["name"] for found in az(f"group lock list -g {GROUPS[0]}")] == ["all"]
    az(f"group lock delete -n all -g {GROUPS[0]}")
    az("account lock create -n aztest-everything --lock-type CanNotDelete")
    assert "ScopeLocked" in az.refused("network public-ip delete --ids {address}", address=address)
    assert "aztest-everything" in [found["name"] for found in az("account lock list")]
    az("account lock delete -n aztest-everything")


def test_roles_of_ones_own(az: Az, address: str, cloud: Cloud) -> None:
    scope = f"/subscriptions/{cloud.environment['LAZUR_SUBSCRIPTION']}"
    role = f'{{"Name": "azgov", "Description": "d", "Actions": ["*/read"], "AssignableScopes": ["{scope}"]}}'
    made = az("role definition create --role-definition {role}", role=role)
    try:
        assert [r["roleName"] for r in az("role definition list --name azgov")] == ["azgov"]
        assert "Virtual Machine Contributor" in [r["roleName"] for r in az("role definition list")]
        assert "Owner" in [r["roleDefinitionName"] for r in az("role assignment list --all")]
        wider = role.replace('"*/read"', '"*/read", "Microsoft.Compute/*"')
        assert az("role definition update --role-definition {role}", role=wider)["permissions"][0]["actions"][1:] == [
            "Microsoft.Compute/*"
        ]
        me = az("ad sp show --id {lazur_client_id} --query id")
        group = f"{scope}/resourceGroups/{GROUPS[0]}"
        who = "--assignee-object-id {me} --assignee-principal-type ServicePrincipal"
        given = az(f"role assignment create --role azgov --scope {group} {who} --description mine", me=me)
        assert (given["scope"], given["description"]) == (group, "mine")
        listed = az(f"role assignment list -g {GROUPS[0]} --include-inherited --query [].roleDefinitionName")
        assert {"azgov", "Owner"} <= set(listed)
        az(f"role assignment delete --role azgov --assignee {{me}} --scope {group}", me=me)
        assert az(f"role assignment list -g {GROUPS[0]}") == []
    finally:
        az("role definition delete --name {name}", name=made["name"])


def test_a_move(az: Az, address: str, cloud: Cloud) -> None:
    az(f"resource move --destination-group {GROUPS[1]} --ids {{address}}", address=address)
    assert az(f"network public-ip list -g {GROUPS[0]}") == []
    assert [p["name"] for p in az(f"network public-ip list -g {GROUPS[1]}")] == ["pip"]


def test_the_activity_log(az: Az, address: str) -> None:
    told = az(f"monitor activity-log list -g {GROUPS[0]} --offset 1h")
    assert {"Microsoft.Network/publicIPAddresses/write"} <= {event["operationName"]["value"] for event in told}
    one = told[0]["correlationId"]
    about = az("monitor activity-log list --correlation-id {one} --offset 1h", one=one)
    assert about and {event["correlationId"] for event in about} == {one}
    moved = address.replace(f"/{GROUPS[0]}/", f"/{GROUPS[1]}/")
    assert {event["resourceId"] for event in az("monitor activity-log list --resource-id {id}", id=moved)} <= {moved}


# az itself would ask again every ten seconds whether it may begin; `--no-register` says that it may.
def test_management_groups(administrator: Az, cloud: Cloud) -> None:
    subscription = cloud.environment["LAZUR_SUBSCRIPTION"]
    made = administrator("account management-group create --name azgov --display-name Gov --no-register")
    assert made["displayName"] == "Gov"
    try:
        member = f"account management-group subscription {{}} --name azgov --subscription {subscription}"
        administrator(member.format("add"))
        shown = administrator("account management-group show --name azgov --expand --no-register")
        assert [child["name"] for child in shown["children"]] == [subscription]
        assert "azgov" in [group["name"] for group in administrator("account management-group list --no-register")]
        shown = administrator(member.format("show"))
        assert shown["name"] == subscription
        administrator(member.format("remove"))
        named = administrator("account management-group update --name azgov --display-name Named")
        assert named["displayName"] == "Named"
        administrator("account management-group create --name azgov-below --parent azgov --no-register")
        shown = administrator("account management-group show --name azgov --expand --recurse --no-register")
        assert "azgov-below" in str(shown)
        administrator("account management-group delete --name azgov-below --no-register")
    finally:
        administrator("account management-group delete --name azgov --no-register")


def test_providers_and_previews(az: Az) -> None:
    assert az("provider show -n Microsoft.Network")["registrationState"] == "Registered"
    az("provider register -n Microsoft.Compute --wait")
    assert {"Microsoft.Compute", "Microsoft.Network"} <= {row["namespace"] for row in az("provider list")}
    assert "Microsoft.Network" in [row["namespace"] for row in az("provider list --expand resourceTypes/aliases")]
    operations = az("provider operation show --namespace Microsoft.Network")
    assert "virtualNetworks" in [kind["name"] for kind in operations["resourceTypes"]]
    assert az("feature list") == az("feature list --namespace Microsoft.Compute") == []
    assert "FeatureNotFound" in az.refused("feature register --namespace Microsoft.Compute --name x", code=3)


def test_any_request(az: Az, cloud: Cloud) -> None:
    base = "{lazur_endpoint}/subscriptions/{lazur_subscription}/resourcegroups/azgov-rest?api-version=2021-04-01"
    made = az(f"rest --method put --url {base} --body {{body}}", body='{"location": "local"}')
    assert made["name"] == "azgov-rest"
    az(f"rest --method delete --url {base}")
    az("group wait -n azgov-rest --deleted")
    assert az("group exists -n azgov-rest") is False
    rows = az("rest --url /subscriptions?api-version=2022-12-01 --query value[].subscriptionId")
    assert cloud.environment["LAZUR_SUBSCRIPTION"] in rows
    assert "local" in [place["name"] for place in az("account list-locations")]


def test_what_comes_later_says_so(az: Az) -> None:
    for later in ("policy assignment list", "stack sub list", "ts list"):
        assert "InvalidResourceType" in az.refused(later, code=3)


def test_generic_resources(az: Az, address: str, cloud: Cloud) -> None:
    kind, group = "--resource-type Microsoft.Network/networkSecurityGroups", GROUPS[1]
    made = az(f"resource create -g {group} -n guard {kind} --properties {{p}} --api-version 2024-05-01", p="{}")
    assert az("resource show --ids {id}", id=made["id"])["name"] == "guard"
    port = {"protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*"}
    rule = {"name": "ssh", "properties": {**port, "destinationPortRange": "22", "access": "Allow", "direction": "Inbound",
                                          "priority": 100}}  # fmt: skip
    az("resource update --ids {id} --set properties.securityRules={r}", id=made["id"], r=json.dumps([rule]))
    assert len(az("resource show --ids {id}", id=made["id"])["properties"]["securityRules"]) == 1
    assert az(f"resource list -g {group} {kind} --query [].name") == ["guard"]
    assert az("resource wait --ids {id} --exists", id=made["id"]) is None
    az("resource delete --ids {id}", id=made["id"])
    assert "ResourceNotFound" in az.refused("resource show --ids {id}", id=made["id"], code=3)
