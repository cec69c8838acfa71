"""The unmodified az over managed identities, and clients that are a machine: az and azure-identity signed in from inside.

The tests of this file build on each other. What is inside a machine of a rack is tried in `tests/rack`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.az import Az, registered
from tests.clients.clouds import Cloud
from tests.clients.results import Results
from tests.clients.test_sdk import told

GROUP = "azid"
SDK = Path(__file__).with_name("sdk_guest.py")
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


@pytest.fixture(scope="module", autouse=True)
def group(az: Az) -> Iterator[None]:
    """The group of this file."""
    az(f"group create -n {GROUP} -l local")
    yield
    az(f"group delete -n {GROUP} -y")


def inside(cloud: Cloud, home: Path) -> dict[str, str]:
    """The environment of a program in machine `vm1`, which asks its own metadata service."""
    if cloud.guests is None:
        pytest.skip("machines of a rack are asked from inside: tests/rack")
    return {**cloud.environment, "AZURE_POD_IDENTITY_AUTHORITY_HOST": f"{cloud.guests}/vm1", "HOME": str(home)}


def test_an_identity(az: Az) -> None:
    made = az(f"identity create -g {GROUP} -n reader --tags a=b")
    assert made["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities" and made["tags"] == {"a": "b"}
    assert az(f"identity show -g {GROUP} -n reader")["principalId"] == made["principalId"]
    assert [i["name"] for i in az(f"identity list -g {GROUP}")] == ["reader"]
    principal = az("ad sp show --id {id}", id=made["principalId"])
    assert (principal["servicePrincipalType"], principal["appId"]) == ("ManagedIdentity", made["clientId"])
    refused = az.refused("ad sp credential reset --id {id}", id=made["principalId"])
    assert "managed identity" in refused.lower()
    credential = f"identity federated-credential {{verb}} -g {GROUP} --identity-name reader"
    said = "--issuer https://ci.example --subject repo:x --audiences api://AzureADTokenExchange"
    az(f"{credential} -n main {said}", verb="create")
    assert [c["subject"] for c in az(f"{credential}", verb="list")] == ["repo:x"]
    az(f"{credential} -n main -y", verb="delete")


def test_a_machine_with_an_identity_and_a_role(az: Az, cloud: Cloud, key: Path) -> None:
    scope = f"/subscriptions/{cloud.environment['LAZUR_SUBSCRIPTION']}/resourceGroups/{GROUP}"
    made = az(
        f"vm create -g {GROUP} -n vm1 --image TinyLinux --size Standard_B1ls --admin-username azureuser --public-ip-address ''"
        " --ssh-key-values {key}.pub --assign-identity --role Reader --scope {scope}", key=key, scope=scope,
    )  # fmt: skip
    own = made["identity"]["systemAssignedIdentity"]
    assert own == az(f"vm identity show -g {GROUP} -n vm1")["principalId"]
    (held,) = az("role assignment list --assignee {own} --scope {scope}", own=own, scope=scope)
    assert (held["roleDefinitionId"].rpartition("/")[2], held["principalType"]) == (READER, "ServicePrincipal")


def test_identities_are_assigned_and_removed(az: Az) -> None:
    now = az(f"vm identity assign -g {GROUP} -n vm1 --identities reader")
    assert len(now["userAssignedIdentities"]) == 1 and now["systemAssignedIdentity"]
    assert "InUse" in az.refused(f"identity delete -g {GROUP} -n reader")
    left = az(f"vm identity remove -g {GROUP} -n vm1 --identities reader")
    assert left["type"] == "SystemAssigned" and not left.get("userAssignedIdentities")
    az(f"vm identity assign -g {GROUP} -n vm1 --identities reader")
    assert az(f"vm identity show -g {GROUP} -n vm1")["type"] == "SystemAssigned, UserAssigned"


def test_az_is_the_machine(az_program: Path, az: Az, cloud: Cloud, results: Results, tmp_path: Path) -> None:
    with registered(az_program, {**cloud.environment, **inside(cloud, tmp_path), "AZURE_CONFIG_DIR": str(tmp_path)}) as guest:
        guest("login --identity")
        assert guest("account show --query user.assignedIdentityInfo") == "MSI"
        assert guest(f"vm show -g {GROUP} -n vm1")["name"] == "vm1"
        assert "AuthorizationFailed" in guest.refused(f"vm delete -y -g {GROUP} -n vm1")
        client = az(f"identity show -g {GROUP} -n reader --query clientId")
        assert "no subscriptions" in guest.refused("login --identity --client-id {client}", client=client).lower()
        guest("login --identity --allow-no-subscriptions --client-id {client}", client=client)
        results.flow("managed identity", f"az {guest('version')['azure-cli']}")


def test_a_program_is_the_machine(sdk_python: Path, az: Az, cloud: Cloud, tmp_path: Path) -> None:
    environment = inside(cloud, tmp_path)
    assert told([sdk_python, "-I", SDK, GROUP, "vm1"], environment) == {"machine": "vm1"}
    client = az(f"identity show -g {GROUP} -n reader --query clientId")
    assert told([sdk_python, "-I", SDK, GROUP, "vm1", client], environment)["refused"] == 403
    stranger = az("account show --query user.name")
    assert told([sdk_python, "-I", SDK, GROUP, "vm1", stranger], environment)["refused"] == "sign-in"
    az(f"vm identity remove -g {GROUP} -n vm1 --identities [system] reader")
    assert az(f"vm identity show -g {GROUP} -n vm1") is None
    assert told([sdk_python, "-I", SDK, GROUP, "vm1"], environment)["refused"] == "sign-in"
