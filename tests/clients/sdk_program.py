"""Runs in an environment that has Azure's SDKs of today: what a user of them writes, told as JSON.

It deploys the template it reads and does some of what each management library is for. Must never import this package.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

ENDPOINT, HOST, REGION = os.environ["LAZUR_ENDPOINT"], os.environ["AZURE_AUTHORITY_HOST"], os.environ["LAZUR_REGION"]
SUBSCRIPTION, GROUP = os.environ["AZURE_SUBSCRIPTION_ID"], "sdk"


def secret(tenant: str) -> Any:
    """A service principal with its secret."""
    id, word = os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"]
    return ClientSecretCredential(tenant, id, word, authority=HOST, disable_instance_discovery=True)


def client(kind: Any, credential: Any, *more: Any) -> Any:
    """A management client of this cloud."""
    return kind(credential, *more, base_url=ENDPOINT, credential_scopes=[f"{ENDPOINT}/.default"])


def deploy(credential: Any) -> dict[str, Any]:
    """A group with a template's resources."""
    resources = client(ResourceManagementClient, credential, SUBSCRIPTION)
    deployments = client(DeploymentsMgmtClient, credential, SUBSCRIPTION)
    group = resources.resource_groups.create_or_update(GROUP, {"location": REGION, "tags": {"a": "b"}})
    template, parameters = json.load(sys.stdin), {"prefix": {"value": GROUP}}
    properties = {"mode": "Incremental", "template": template, "parameters": parameters}
    valid = deployments.deployments.begin_validate(GROUP, "dep", {"properties": properties}).result()
    done = deployments.deployments.begin_create_or_update(GROUP, "dep", {"properties": properties}).result()
    operations = deployments.deployment_operations.list(GROUP, "dep")
    return {
        "group": group.name,
        "tags": group.tags,
        "valid": valid.properties.provisioning_state,
        "state": done.properties.provisioning_state,
        "outputs": done.properties.outputs,
        "operations": sorted(o.properties.target_resource.resource_name for o in operations if o.properties.target_resource),
        "types": sorted({r.type for r in resources.resources.list_by_resource_group(GROUP)}),
        "providers": sorted(p.namespace for p in resources.providers.list()),
    }


def connect(credential: Any) -> dict[str, Any]:
    """A network and its parts."""
    network = client(NetworkManagementClient, credential, SUBSCRIPTION)
    guard = network.network_security_groups.begin_create_or_update(GROUP, "nsg", {"location": REGION}).result()
    rule = {"protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 100, "sourceAddressPrefix": "*",
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22"}  # fmt: skip
    network.security_rules.begin_create_or_update(GROUP, "nsg", "ssh", {"properties": rule}).result()
    inner = {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": guard.id}}
    outer = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "default", "properties": inner}]}
    whole = {"location": REGION, "properties": outer}
    made = network.virtual_networks.begin_create_or_update(GROUP, "net", whole).result()
    configuration = {"name": "one", "properties": {"subnet": {"id": made.subnets[0].id}}}
    card = {"location": REGION, "properties": {"ipConfigurations": [configuration]}}
    nic = network.network_interfaces.begin_create_or_update(GROUP, "card", card).result()
    found = {"rules": [r.name for r in network.security_rules.list(GROUP, "nsg")], "nic": nic.id,
             "address": nic.ip_configurations[0].private_ip_address,
             "networks": [n.name for n in network.virtual_networks.list_all()]}  # fmt: skip
    network.network_interfaces.begin_delete(GROUP, "card").result()
    return found


def compute(credential: Any) -> dict[str, Any]:
    """Disks, what machines there could be, and refusals."""
    found = client(ComputeManagementClient, credential, SUBSCRIPTION)
    size = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}
    disk = {"location": REGION, "properties": size}
    said = {
        "disk": found.disks.begin_create_or_update(GROUP, "d", disk).result().disk_state,
        "grown": found.disks.begin_update(GROUP, "d", {"properties": {"diskSizeGB": 2}}).result().disk_size_gb,
        "skus": len(list(found.resource_skus.list())),
        "machines": [m.name for m in found.virtual_machines.list(GROUP)],
    }
    try:
        found.virtual_machines.get(GROUP, "nothing")
    except ResourceNotFoundError as error:
        said["missing"] = error.error.code
    try:
        found.disks.begin_create_or_update(GROUP, "e", {**disk, "properties": {**size, "diskSizeGB": None}}).result()
    except HttpResponseError as error:
        said["refused"] = [error.error.code, error.error.target]
    found.disks.begin_delete(GROUP, "d").result()
    return said


def work() -> dict[str, Any]:
    """The whole run."""
    credential = secret(os.environ["AZURE_TENANT_ID"])
    said = {"deployment": deploy(credential), "network": connect(credential), "compute": compute(credential)}
    groups = client(ResourceManagementClient, credential, SUBSCRIPTION).resource_groups
    exists = groups.check_existence(GROUP)
    groups.begin_delete(GROUP).result()
    return {**said, "exists": exists, "left": groups.check_existence(GROUP)}


if __name__ == "__main__":
    print(json.dumps(work()))
