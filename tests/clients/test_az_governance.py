"""The unmodified az over what governs resources: tags, locks, roles, moves, the activity log, management groups.

The tests of this file build on each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud

GROUPS = ("azgov-one", "azgov-two")


@pytest.fixture(scope="module")
def person(az_program: Path, cloud: Cloud, az: Az, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """az signed in as the administrator, who owns the root of the directory."""
    home = tmp_path_factory.mktemp("person")
    environment = {**os.environ, **cloud.environment, "HOME": str(home), "AZURE_CONFIG_DIR": str(home)}
    shell = Az(az_program, environment, cloud.environment)
    try:
        shell("cloud register -n mine --endpoint-resource-manager {lazur_endpoint}")
        shell("cloud set -n mine")
        shell("config set core.instance_discovery=false")
        shell("login -u {lazur_user} -p {lazur_password} --tenant {lazur_tenant}")
        yield shell
    finally:
        shell.close()


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


def test_locks(az: Az, address: str) -> None:
    lock = az(f"lock create --name keep --lock-type CanNotDelete -g {GROUPS[0]} --resource pip "
              "--resource-type Microsoft.Network/publicIPAddresses")  # fmt: skip
    assert "ScopeLocked" in az.refused("network public-ip delete --ids {address}", address=address)
    assert [found["id"] for found in az(f"lock list -g {GROUPS[0]}")] == [lock["id"]]
    az("lock delete --ids {id}", id=lock["id"])
    assert az(f"lock list -g {GROUPS[0]}") == []


def test_roles_of_ones_own(az: Az, person: Az, cloud: Cloud) -> None:
    scope = f"/subscriptions/{cloud.environment['LAZUR_SUBSCRIPTION']}"
    role = f'{{"Name": "azgov", "Description": "d", "Actions": ["*/read"], "AssignableScopes": ["{scope}"]}}'
    made = az("role definition create --role-definition {role}", role=role)
    try:
        assert [r["roleName"] for r in az("role definition list --name azgov")] == ["azgov"]
        assert "Virtual Machine Contributor" in [r["roleName"] for r in az("role definition list")]
        assert "Owner" in [r["roleDefinitionName"] for r in az("role assignment list --all")]
    finally:
        az("role definition delete --name {name}", name=made["name"])


def test_a_move(az: Az, address: str, cloud: Cloud) -> None:
    az(f"resource move --destination-group {GROUPS[1]} --ids {{address}}", address=address)
    assert az(f"network public-ip list -g {GROUPS[0]}") == []
    assert [p["name"] for p in az(f"network public-ip list -g {GROUPS[1]}")] == ["pip"]


def test_the_activity_log(az: Az, address: str) -> None:
    told = az(f"monitor activity-log list -g {GROUPS[0]} --offset 1h")
    assert {"Microsoft.Network/publicIPAddresses/write"} <= {event["operationName"]["value"] for event in told}


def test_management_groups(person: Az, cloud: Cloud) -> None:
    subscription = cloud.environment["LAZUR_SUBSCRIPTION"]
    assert person("account management-group create --name azgov --display-name Gov")["displayName"] == "Gov"
    try:
        member = f"account management-group subscription {{}} --name azgov --subscription {subscription}"
        person(member.format("add"))
        shown = person("account management-group show --name azgov --expand")
        assert [child["name"] for child in shown["children"]] == [subscription]
        assert "azgov" in [group["name"] for group in person("account management-group list")]
        person(member.format("remove"))
    finally:
        person("account management-group delete --name azgov")


def test_providers_and_previews(az: Az) -> None:
    assert az("provider show -n Microsoft.Network")["registrationState"] == "Registered"
    assert az("feature list") == []
    assert "FeatureNotFound" in az.refused("feature register --namespace Microsoft.Compute --name x", code=3)
