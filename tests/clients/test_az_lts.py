"""az with long-term support and the hybrid profile 2020-09-01, unmodified: what its users of other private clouds type.

The tests build on each other and take the resources of the earlier ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud
from tests.clients.test_az import TEMPLATE

PROFILE, GROUP = "2020-09-01-hybrid", "lts"


@pytest.fixture(scope="module")
def az(lts_program: Path, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """az as a person finds it, but for the CA; signed in."""
    home = tmp_path_factory.mktemp("lts")
    settings = {"REQUESTS_CA_BUNDLE": cloud.environment["REQUESTS_CA_BUNDLE"], "AZURE_CORE_COLLECT_TELEMETRY": "false",
                "AZURE_CORE_INSTANCE_DISCOVERY": "false", "AZURE_CONFIG_DIR": str(home), "HOME": str(home)}  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "ARM_"))}
    shell = Az(lts_program, {**clean, **settings}, cloud.environment)
    try:
        shell(f"cloud register -n hybrid --profile {PROFILE} --endpoint-resource-manager {{lazur_endpoint}}")
        shell("cloud set -n hybrid")
        shell("login --service-principal -u {lazur_client_id} -p {lazur_client_secret} --tenant {lazur_tenant}")
        yield shell
    finally:
        shell.close()


def test_the_profile_is_the_hybrid_one(az: Az) -> None:
    assert az("version")["azure-cli"].startswith("2.66.")
    assert az("cloud show")["profile"] == PROFILE
    assert az("group create -n {g} -l {lazur_region}", g=GROUP)["properties"]["provisioningState"] == "Succeeded"


def test_network(az: Az) -> None:
    assert az("network public-ip create -g lts -n pip1 --sku Standard")["publicIp"]["ipAddress"]
    vnet = "network vnet create -g lts -n vnet1 --address-prefixes 10.0.0.0/16 --subnet-name default"
    assert az(f"{vnet} --subnet-prefixes 10.0.0.0/24")["newVNet"]["subnets"][0]["addressPrefix"] == "10.0.0.0/24"
    az("network nsg create -g lts -n nsg1")
    rule = "network nsg rule create -g lts --nsg-name nsg1 -n ssh --priority 100 --destination-port-ranges 22"
    assert az(f"{rule} --access Allow --protocol Tcp")["destinationPortRange"] == "22"
    made = az(
        "network lb create -g lts -n lb1 --sku standard --public-ip-address pip1 --frontend-ip-name fe1"
        " --backend-pool-name bp1"
    )
    assert [f["name"] for f in made["loadBalancer"]["frontendIPConfigurations"]] == ["fe1"]


def test_machine(az: Az, key: Path) -> None:
    made = az(
        "vm create -g lts -n vm1 --image Lazur:TinyLinux:1:latest --size Standard_B1ls --admin-username azureuser"
        " --ssh-key-values {key}.pub",
        key=key,
    )
    assert made["powerState"] == "VM running" and made["publicIpAddress"]
    assert az("vm show -g lts -n vm1 -d")["privateIps"] == made["privateIpAddress"]
    az("vm deallocate -g lts -n vm1")
    assert az("vm get-instance-view -g lts -n vm1")["instanceView"]["statuses"][1]["code"] == "PowerState/deallocated"
    az("vm delete -g lts -n vm1 -y")
    assert az("vm list -g lts") == []


def test_template(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "azuredeploy.json"
    file.write_text(TEMPLATE)
    done = az("deployment group create -g lts -n dep -f {file} -p prefix=a", file=file)
    assert done["properties"]["outputs"]["address"]["value"]
    assert {row["type"] for row in az("resource list -g lts")} >= {"Microsoft.Network/publicIPAddresses"}
    file.write_text(json.dumps({"resources": []}))
    assert "InvalidTemplate" in az.refused("deployment group create -g lts -n bad -f {file}", file=file)


def test_the_group_goes(az: Az) -> None:
    az("group delete -n lts -y")
    assert az("group exists -n lts") is False
