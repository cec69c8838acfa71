"""The unmodified az against a whole cloud: every command of the first slice, in the order a person would type them.

The tests of this file build on each other and take the resources of the earlier ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud
from tests.clients.conftest import GROUPS

LB = "network lb {} -g web --lb-name lb1"


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["name"] for row in rows}


@pytest.fixture(scope="module")
def fresh(az_program: Path, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """az as a person finds it: nothing registered, only the CA is known."""
    home = tmp_path_factory.mktemp("fresh")
    trust = {"REQUESTS_CA_BUNDLE": cloud.environment["REQUESTS_CA_BUNDLE"], "AZURE_CORE_COLLECT_TELEMETRY": "false"}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "ARM_"))}
    shell = Az(az_program, {**clean, **trust, "HOME": str(home), "AZURE_CONFIG_DIR": str(home)}, cloud.environment)
    yield shell
    shell.close()


# -- the cloud and its accounts ---------------------------------------------------------------------------------------


def test_the_cloud_is_registered_by_its_endpoint_alone(fresh: Az, az: Az) -> None:
    # The slash at the end makes az ask for `//metadata/endpoints`.
    fresh("cloud register -n mine --endpoint-resource-manager {lazur_endpoint}/")
    fresh("cloud set -n mine")
    # What `lazur env` wrote is what az itself would have written.
    by_az, by_us = fresh("cloud show"), az("cloud show")
    by_az["endpoints"]["resourceManager"] = by_az["endpoints"]["resourceManager"].rstrip("/")
    assert by_us["endpoints"] == by_az["endpoints"] and by_us["suffixes"] == by_az["suffixes"]
    assert by_us["isActive"] and by_us["profile"] == "latest"


def test_a_person_signs_in(fresh: Az) -> None:
    fresh("config set core.instance_discovery=false")
    refusal = fresh.refused("login -u {lazur_user} -p wrong")
    assert "AADSTS50126" in refusal
    found = fresh("login -u {lazur_user} -p {lazur_password}")
    assert {f["user"]["type"] for f in found} == {"user"} and all(f["state"] == "Enabled" for f in found)
    fresh("logout")
    fresh("login -u {lazur_user} -p {lazur_password} --tenant {lazur_tenant}")
    fresh("account set -s {lazur_subscription}")
    assert fresh("account show")["tenantId"] in fresh("account list --query [].tenantId")
    assert isinstance(fresh("group list"), list)


def test_a_service_principal_signs_in(az: Az, fresh: Az, cloud: Cloud) -> None:
    shown = az("account show")
    assert shown["id"] == cloud.environment["LAZUR_SUBSCRIPTION"]
    assert shown["user"] == {"name": cloud.environment["LAZUR_CLIENT_ID"], "type": "servicePrincipal"}
    refusal = fresh.refused("login --service-principal -u {lazur_client_id} -p wrong --tenant {lazur_tenant}")
    assert "AADSTS7000215" in refusal
    assert [place["name"] for place in az("account list-locations")] == [cloud.environment["LAZUR_REGION"]]
    assert az("account get-access-token")["subscription"] == cloud.environment["LAZUR_SUBSCRIPTION"]


def test_providers(az: Az) -> None:
    assert {"Microsoft.Compute", "Microsoft.Network", "Microsoft.Resources"} <= set(az("provider list --query [].namespace"))
    assert az("provider show -n microsoft.network")["registrationState"] == "Registered"
    az("provider register -n Microsoft.Network")
    assert "InvalidResourceNamespace" in az.refused("provider register -n Microsoft.Nothing", 3)


def test_resource_groups(az: Az) -> None:
    assert az("group create -n web -l {lazur_region}")["properties"]["provisioningState"] == "Succeeded"
    assert az("group create -n WEB -l {lazur_region} --tags a=b")["name"] == "web"
    az("group create -n other -l {lazur_region}")
    assert {"web", "other"} <= names(az("group list"))
    assert names(az("group list --tag a=b")) == {"web"}
    assert az("group update -n web --set tags.c=d")["tags"] == {"a": "b", "c": "d"}
    assert (az("group exists -n Web"), az("group exists -n nothing")) == (True, False)
    az("group delete -n other -y")
    assert az("group exists -n other") is False
    assert "ResourceGroupNotFound" in az.refused("group show -n nothing", 3)
    assert "'mars' is not available" in az.refused("group create -n x -l mars")
    assert az("resource list -g web") == []


# -- network ----------------------------------------------------------------------------------------------------------


def test_the_three_commands_of_the_standard_load_balancer_article(az: Az) -> None:
    az("group create --name article --location {lazur_region}")
    made = az("network public-ip create --resource-group article --name myPublicIP --sku Standard --zone 1 2 3")
    assert made["publicIp"]["sku"]["name"] == "Standard" and made["publicIp"]["ipAddress"]
    balancer = az(
        "network lb create --resource-group article --name myLoadBalancer --sku Standard --public-ip-address myPublicIP"
        " --frontend-ip-name myFrontEnd --backend-pool-name myBackEndPool"
    )["loadBalancer"]
    assert [f["name"] for f in balancer["frontendIPConfigurations"]] == ["myFrontEnd"]
    assert [p["name"] for p in balancer["backendAddressPools"]] == ["myBackEndPool"]
    shown = az("network public-ip show -g article -n mypublicip")
    assert shown["ipConfiguration"]["id"] == balancer["frontendIPConfigurations"][0]["id"]
    assert "myLoadBalancer" in az.refused("network public-ip delete -g article -n myPublicIP")
    az("group delete -n article -y --no-wait")


def test_virtual_network(az: Az) -> None:
    vnet = az(
        "network vnet create -g web -n vnet1 --address-prefixes 10.0.0.0/16 --subnet-name default --subnet-prefixes 10.0.0.0/24"
    )["newVNet"]
    assert vnet["subnets"][0]["addressPrefix"] == "10.0.0.0/24"
    refusal = az.refused("network vnet subnet create -g web --vnet-name vnet1 -n s2 --address-prefixes 10.0.0.128/25")
    assert "10.0.0.128/25 overlaps" in refusal and "'default' (10.0.0.0/24)" in refusal
    az("network vnet subnet create -g web --vnet-name vnet1 -n s2 --address-prefixes 10.0.1.0/24")
    az("network vnet subnet delete -g web --vnet-name vnet1 -n s2")
    assert names(az("network vnet subnet list -g web --vnet-name vnet1")) == {"default"}
    assert names(az("network vnet list -g web")) == {"vnet1"}


def test_security_group(az: Az) -> None:
    group = az("network nsg create -g web -n nsg1")["NewNSG"]
    assert {r["priority"] for r in group["defaultSecurityRules"]} == {65000, 65001, 65500}
    rule = "network nsg rule create -g web --nsg-name nsg1 --access Allow --protocol Tcp"
    assert az(f"{rule} -n ssh --priority 100 --destination-port-ranges 22")["destinationPortRange"] == "22"
    assert az(f"{rule} -n web --priority 110 --destination-port-ranges 80 443")["destinationPortRanges"] == ["80", "443"]
    assert "same Inbound priority 100" in az.refused(f"{rule} -n again --priority 100 --destination-port-ranges 23")
    assert names(az("network nsg rule list -g web --nsg-name NSG1")) == {"ssh", "web"}


def test_load_balancer(az: Az) -> None:
    az("network public-ip create -g web -n pip1 --sku Standard")
    az("network lb create -g web -n lb1 --sku Standard --public-ip-address pip1 --frontend-ip-name fe --backend-pool-name bp")
    assert az(LB.format("probe create") + " -n p1 --protocol http --port 80 --path /")["requestPath"] == "/"
    rule = az(
        LB.format("rule create") + " -n r1 --protocol tcp --frontend-port 80 --backend-port 80 --frontend-ip-name fe"
        " --backend-pool-name bp --probe-name p1 --disable-outbound-snat true --idle-timeout 15 --enable-tcp-reset true"
    )
    assert rule["probe"]["id"].endswith("/probes/p1") and rule["idleTimeoutInMinutes"] == 15
    az(LB.format("address-pool create") + " -n bp2")
    az(
        LB.format("inbound-nat-rule create") + " -n ssh1 --protocol tcp --frontend-port 5022 --backend-port 22"
        " --frontend-ip-name fe"
    )
    shown = az("network lb show -g web -n lb1")
    assert [r["id"] for r in shown["backendAddressPools"][0]["loadBalancingRules"]] == [rule["id"]]
    assert names(shown["inboundNatRules"]) == {"ssh1"} and names(shown["backendAddressPools"]) == {"bp", "bp2"}
    refusal = az.refused(
        LB.format("rule create") + " -n r2 --protocol tcp --frontend-port 80 --backend-port 81 --frontend-ip-name fe"
        " --backend-pool-name bp2"
    )
    assert "same frontend, protocol and port 80" in refusal


def test_network_interface(az: Az) -> None:
    nic = az(
        "network nic create -g web -n nic1 --vnet-name vnet1 --subnet default --network-security-group nsg1"
        " --lb-name lb1 --lb-address-pools bp --private-ip-address 10.0.0.9"
    )["NewNIC"]
    assert nic["ipConfigurations"][0]["privateIPAddress"] == "10.0.0.9"
    pools = "network nic ip-config address-pool add -g web --nic-name nic1 --ip-config-name ipconfig1 --lb-name lb1"
    assert len(az(f"{pools} --address-pool bp2")["loadBalancerBackendAddressPools"]) == 2
    az(
        "network nic ip-config inbound-nat-rule add -g web --nic-name nic1 --ip-config-name ipconfig1 --lb-name lb1"
        " --inbound-nat-rule ssh1"
    )
    create = "network nic create -g web -n nic2 --vnet-name vnet1 --subnet default"
    assert "10.0.0.9 is already allocated" in az.refused(f"{create} --private-ip-address 10.0.0.9")
    assert "does not belong to the range" in az.refused(f"{create} --private-ip-address 10.0.7.9")
    assert "virtualNetworks/nothing" in az.refused("network nic create -g web -n n --vnet-name nothing --subnet default")
    members = az("network lb show -g web -n lb1")["backendAddressPools"][0]["backendIPConfigurations"]
    assert [m["id"] for m in members] == [nic["ipConfigurations"][0]["id"]]
    assert "nic1" in az.refused("network vnet delete -g web -n vnet1")


# -- machines ---------------------------------------------------------------------------------------------------------


def test_what_there_is_to_choose_from(az: Az) -> None:
    assert {"Standard_B1ls", "Standard_D2s_v5"} <= names(az("vm list-skus -l {lazur_region} --resource-type virtualMachines"))
    rows = {row["name"]: row for row in az("vm list-sizes -l {lazur_region}")}
    assert (rows["Standard_B1ls"]["numberOfCores"], rows["Standard_B1ls"]["memoryInMB"]) == (1, 512)
    assert isinstance(az("vm list-usage -l {lazur_region}"), list)
    urns = [row["urn"] for row in az("vm image list -l {lazur_region} --all")]
    assert [u.rpartition(":")[0] for u in urns] == ["Lazur:TinyLinux:1"]
    assert az("vm image show -l {lazur_region} --urn Lazur:TinyLinux:1:latest")["osDiskImage"]["operatingSystem"] == "Linux"


def test_machine_behind_the_load_balancer(az: Az, cloud: Cloud, key: Path) -> None:
    az("vm availability-set create -g web -n as1")
    made = az(
        "vm create -g web -n vm1 --image TinyLinux --size Standard_B1ls --availability-set as1 --nics nic1"
        " --admin-username azureuser --ssh-key-values {key}.pub",
        key=key,
    )
    assert (made["powerState"], made["privateIpAddress"]) == ("VM running", "10.0.0.9")
    members = az("vm availability-set show -g web -n as1")["virtualMachines"]
    assert [m["id"].rpartition("/")[2] for m in members] == ["vm1"]
    address = az("network public-ip show -g web -n pip1")["ipAddress"]
    cloud.world.page(address, ["vm1"])
    cloud.world.shell(address, key, "hostname", "vm1", port=5022)
    assert "vm1" in az.refused("network nic delete -g web -n nic1")


def test_machine_with_all_it_needs(az: Az, cloud: Cloud, key: Path, tmp_path: Path) -> None:
    script = tmp_path / "custom.sh"
    script.write_text("#!/bin/sh\necho custom data ran > /tmp/said\n")
    made = az(
        "vm create -g web -n plain --image Lazur:TinyLinux:1:latest --admin-username azureuser --ssh-key-values {key}.pub"
        " --custom-data {script}",
        key=key, script=script,
    )  # fmt: skip
    assert made["powerState"] == "VM running" and made["publicIpAddress"]
    shown = az("vm show -d -g web -n plain")
    assert shown["hardwareProfile"]["vmSize"] == "Standard_D2s_v5"
    assert (shown["publicIps"], shown["privateIps"]) == (made["publicIpAddress"], made["privateIpAddress"])
    assert {row["name"]: row["powerState"] for row in az("vm list -d -g web")} == {"vm1": "VM running", "plain": "VM running"}
    rows = az("vm list-ip-addresses -g web -n plain")
    assert rows[0]["virtualMachine"]["network"]["publicIpAddresses"][0]["ipAddress"] == made["publicIpAddress"]
    cloud.world.shell(made["publicIpAddress"], key, "hostname; cat /tmp/said", "custom data ran")
    cloud.world.closed(made["publicIpAddress"], 80)
    opened = az("vm open-port -g web -n plain --port 80")
    assert "open-port-80" in names(opened["securityRules"])
    cloud.world.page(made["publicIpAddress"], ["plain"])


def test_power(az: Az, cloud: Cloud, key: Path) -> None:
    def power() -> str:
        view = az("vm get-instance-view -g web -n vm1")["instanceView"]
        return str(view["statuses"][1]["displayStatus"])

    address = az("network public-ip show -g web -n pip1")["ipAddress"]
    cloud.world.shell(address, key, "echo kept > ~/file; sync; echo done", "done", port=5022)
    az("vm stop -g web -n vm1")
    assert power() == "VM stopped"
    az("vm start -g web -n vm1")
    az("vm restart -g web -n vm1")
    assert power() == "VM running"
    az("vm deallocate -g web -n vm1")
    assert power() == "VM deallocated"
    assert az("vm resize -g web -n vm1 --size Standard_B1s")["hardwareProfile"]["vmSize"] == "Standard_B1s"
    az("vm start --ids {}".format(az("vm show -g WEB -n VM1 --query id").lower()))
    assert power() == "VM running"
    cloud.world.shell(address, key, "cat file", "kept", port=5022)
    assert "Standard_Huge provided for the VM size is not valid" in az.refused("vm resize -g web -n vm1 --size Standard_Huge")


def test_disks(az: Az, cloud: Cloud, key: Path) -> None:
    assert az("disk create -g web -n d1 --size-gb 4")["diskState"] == "Unattached"
    az("vm disk attach -g web --vm-name vm1 -n d1")
    shown = az("disk show -g web -n d1")
    assert (shown["diskState"], shown["managedBy"].rpartition("/")[2]) == ("Attached", "vm1")
    az("vm disk attach -g web --vm-name vm1 -n d2 --new --size-gb 2")
    disks = az("vm show -g web -n vm1")["storageProfile"]["dataDisks"]
    assert {(d["name"], d["lun"]) for d in disks} == {("d1", 0), ("d2", 1)}
    address = az("network public-ip show -g web -n pip1")["ipAddress"]
    cloud.world.shell(address, key, "cat /proc/partitions", "4194304", port=5022)
    assert "vm1" in az.refused("disk delete -g web -n d1 -y")
    az("vm disk detach -g web --vm-name vm1 -n d2")
    az("disk delete -g web -n d2 -y")
    assert "d2" not in names(az("disk list -g web"))


def test_boot_diagnostics(az: Az) -> None:
    assert "vm1" in az("vm boot-diagnostics get-boot-log -g web -n vm1")
    links = az("vm boot-diagnostics get-boot-log-uris -g web -n vm1")
    assert "sig=" in links["serialConsoleLogBlobUri"]


def test_machines_that_cannot_be(az: Az, key: Path) -> None:
    create = "vm create -g web --admin-username azureuser --ssh-key-values {key}.pub"
    taken = az.refused(f"{create} -n vm3 --image TinyLinux --size Standard_B1ls --nics nic1", key=key)
    assert "already in use by" in taken and "virtualmachines/vm1" in taken.lower()
    huge = az.refused(f"{create} -n vm3 --image TinyLinux --size Standard_Huge --nics nic1", key=key)
    assert "Standard_Huge provided for the VM size is not valid" in huge
    assert "Lazur:Nothing" in az.refused(f"{create} -n vm3 --image Lazur:Nothing:1:latest", key=key)
    assert "Microsoft.Compute/virtualMachines/vm3" in az.refused("vm show -g web -n vm3", 3)
    assert "Microsoft.Compute/virtualMachines/vm3" in az.refused("vm start -g web -n vm3", 3)


# -- templates and generic resources ----------------------------------------------------------------------------------

TEMPLATE = """{
  // az sends this text as it stands, comments and all.
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {"prefix": {"type": "string", "defaultValue": "t"}},
  "resources": [{
    "type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2024-05-01",
    "name": "[concat(
        parameters('prefix'), '-ip')]",
    "location": "[resourceGroup().location]", "sku": {"name": "Standard"},
    "properties": {"publicIPAllocationMethod": "Static"}
  }],
  "outputs": {"address": {"type": "string", "value": "[reference(concat(parameters('prefix'), '-ip')).ipAddress]"}}
}"""


def test_template_deployment(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "azuredeploy.json"
    file.write_text(TEMPLATE)
    valid = az("deployment group validate -g web -f {file} -p prefix=a", file=file)
    assert valid["properties"]["provisioningState"] == "Succeeded"
    assert "a-ip" not in names(az("network public-ip list -g web"))
    done = az("deployment group create -g web -n dep -f {file} -p prefix=a", file=file)
    address = az("network public-ip show -g web -n a-ip")["ipAddress"]
    assert done["properties"]["outputs"] == {"address": {"type": "String", "value": address}}
    assert az("deployment group show -g web -n dep")["properties"]["provisioningState"] == "Succeeded"
    rows = az("deployment operation group list -g web -n dep")
    targets = [r["properties"]["targetResource"] for r in rows]
    assert targets[0]["resourceName"] == "a-ip" and targets[1:] == [None]
    assert rows[1]["properties"]["provisioningOperation"] == "EvaluateDeploymentOutput"
    assert az("deployment group export -g web -n dep")["contentVersion"] == "1.0.0.0"
    assert "dep" in names(az("deployment group list -g web"))


def test_deployments_above_and_taken_back(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "azuredeploy.json"
    file.write_text(TEMPLATE)
    told = az("deployment group what-if -g web -f {file} -p prefix=w --no-pretty-print", file=file)
    kinds = {c["resourceId"].rpartition("/")[2]: c["changeType"] for c in told["changes"]}
    assert kinds["w-ip"] == "Create" and kinds["a-ip"] == "Ignore"
    schema = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
    kind = "Microsoft.Resources/resourceGroups"
    group = {"type": kind, "apiVersion": "2024-11-01", "name": "by-template", "location": "local"}
    file.write_text(json.dumps({"$schema": schema, "contentVersion": "1.0.0.0", "resources": [group]}))
    done = az("deployment sub create -l local -n above -f {file}", file=file)
    assert done["properties"]["provisioningState"] == "Succeeded" and done["location"] == "local"
    assert az("group exists -n by-template") is True
    rows = az("deployment operation sub list -n above")
    assert rows[0]["properties"]["targetResource"]["resourceName"] == "by-template"
    assert "above" in names(az("deployment sub list"))
    assert "cannot be cancelled" in az.refused("deployment sub cancel -n above")
    assert az("deployment sub delete -n above") is None
    assert "above" not in names(az("deployment sub list"))


def test_template_that_is_wrong(az: Az, tmp_path: Path) -> None:
    file = tmp_path / "azuredeploy.json"
    file.write_text(TEMPLATE.replace("'prefix'), '-ip')]", "'nothing'), '-ip')]"))
    assert "nothing" in az.refused("deployment group validate -g web -f {file}", file=file)
    kind = "Microsoft.Network/publicIPAddresses"
    ring = [
        {
            "type": kind,
            "apiVersion": "2024-05-01",
            "name": n,
            "location": "local",
            "dependsOn": [f"[resourceId('{kind}','{m}')]"],
        }
        for n, m in (("a", "b"), ("b", "a"))
    ]
    schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    file.write_text(json.dumps({"$schema": schema, "contentVersion": "1.0.0.0", "resources": ring}))
    assert "Circular dependency" in az.refused("deployment group create -g web -n ring -f {file}", file=file)


def test_generic_resources(az: Az) -> None:
    kinds = {row["type"] for row in az("resource list -g web")}
    assert {"Microsoft.Compute/virtualMachines", "Microsoft.Network/loadBalancers"} <= kinds
    assert "Microsoft.Resources/deployments" not in kinds
    ip = "-g web -n a-ip --resource-type Microsoft.Network/publicIPAddresses"
    assert az(f"resource tag {ip} --tags use=test")["tags"] == {"use": "test"}
    shown = az(f"resource show {ip}")
    assert shown["tags"] == {"use": "test"} and shown["properties"]["ipAddress"]
    assert names(az("resource list --tag use=test")) == names(az("resource list -g web --name a-ip")) == {"a-ip"}
    az(f"resource delete {ip}")
    assert "ResourceNotFound" in az.refused(f"resource show {ip}", 3)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_machine_goes_and_its_disks_stay(az: Az) -> None:
    az("vm delete -g web -n vm1 -y")
    assert names(az("vm list -g web")) == {"plain"}
    assert {d["diskState"] for d in az("disk list -g web") if not d["name"].startswith("plain")} == {"Unattached"}
    az("network nic delete -g web -n nic1")


def test_a_group_goes_with_everything_in_it(az: Az) -> None:
    az("group delete -n web -y")
    az("group wait -n article --deleted --interval 1")
    assert not [row for row in az("resource list") if row["resourceGroup"].lower() in GROUPS]
    assert not names(az("group list")) & set(GROUPS)
