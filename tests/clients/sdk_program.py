"""Runs in an environment that has Azure's SDKs of today: what a user of them writes, told as JSON.

`sdk_program.py sign-in` tries every way to sign in; `sdk_program.py work` deploys the template it reads and does some of what
each management library is for. Must never import this package.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    DeviceCodeCredential,
    InteractiveBrowserCredential,
    UsernamePasswordCredential,
)
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ENDPOINT, HOST, REGION = os.environ["LAZUR_ENDPOINT"], os.environ["AZURE_AUTHORITY_HOST"], os.environ["LAZUR_REGION"]
SUBSCRIPTION, GROUP = os.environ["AZURE_SUBSCRIPTION_ID"], "sdk"
PUBLIC = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The public application everybody may sign in with: az's own."""


def secret(tenant: str) -> Any:
    """A service principal with its secret."""
    id, word = os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"]
    return ClientSecretCredential(tenant, id, word, authority=HOST, disable_instance_discovery=True)


def approve(url: str, code: str, _: Any) -> None:
    """The person with a browser who is shown a device's code."""
    subprocess.run([sys.executable, os.environ["LAZUR_PERSON"], url, code], check=True)


def ways(tenant: str) -> dict[str, Callable[[], Any]]:
    """Every way to sign in at one authority."""
    common: dict[str, Any] = {"authority": HOST, "tenant_id": tenant, "client_id": PUBLIC, "disable_instance_discovery": True}
    user = {"username": os.environ["LAZUR_USER"], "password": os.environ["LAZUR_PASSWORD"]}
    return {
        "client secret": lambda: secret(tenant),
        "user and password": lambda: UsernamePasswordCredential(**common, **user),
        "device code": lambda: DeviceCodeCredential(**common, prompt_callback=approve),
        "browser": lambda: InteractiveBrowserCredential(**common),
    }


def client(kind: Any, credential: Any, *more: Any) -> Any:
    """A management client of this cloud."""
    return kind(credential, *more, base_url=ENDPOINT, credential_scopes=[f"{ENDPOINT}/.default"])


def graph(credential: Any, method: str, path: str, body: Any) -> Any:
    """One request to the directory."""
    with urlopen(f"{ENDPOINT}/metadata/endpoints?api-version=2022-09-01") as answer:
        resource = json.load(answer)["microsoftGraphResourceId"].rstrip("/")
    token = credential.get_token(f"{resource}/.default").token
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urlopen(Request(f"{resource}/v1.0{path}", json.dumps(body).encode(), headers, method=method)) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def certified(credential: Any) -> tuple[str, str, bytes]:
    """A new application with a certificate: its client id, its principal's object id, key and certificate as PEM."""
    key, now = rsa.generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sdk")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(days=9))
    made = builder.sign(key, hashes.SHA256())
    encoded = base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()
    keys = [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": encoded}]
    app = graph(credential, "POST", "/applications", {"displayName": "sdk", "keyCredentials": keys})
    principal = graph(credential, "POST", "/servicePrincipals", {"appId": app["appId"]})
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *form) + made.public_bytes(serialization.Encoding.PEM)
    return app["appId"], principal["id"], pem


def by_certificate() -> list[str]:
    """A service principal that has a certificate and the role Reader, given to it with the authorization library."""
    owner, scope = secret(os.environ["AZURE_TENANT_ID"]), f"/subscriptions/{SUBSCRIPTION}"
    app, principal, pem = certified(owner)
    authorization = client(AuthorizationManagementClient, owner, SUBSCRIPTION)
    (reader,) = authorization.role_definitions.list(scope, filter="roleName eq 'Reader'")
    held = {"properties": {"roleDefinitionId": reader.id, "principalId": principal, "principalType": "ServicePrincipal"}}
    made = authorization.role_assignments.create(scope, str(uuid.uuid4()), held)
    names = [a.name for a in authorization.role_assignments.list_for_scope(scope, filter="atScope()")]
    assert made.name in names, names
    tenant = os.environ["LAZUR_TENANT"]
    credential = CertificateCredential(
        tenant, app, certificate_data=pem, authority=HOST, disable_instance_discovery=True
    )
    found = [s.subscription_id for s in client(SubscriptionClient, credential).subscriptions.list()]
    authorization.role_assignments.delete(scope, made.name)
    return found


def sign_in() -> dict[str, Any]:
    """Which subscriptions each way to sign in leads to, by authority."""
    said: dict[str, Any] = {}
    for style, tenant in (("AAD-like", os.environ["LAZUR_TENANT"]), ("ADFS-like", "adfs")):
        for way, make in ways(tenant).items():
            # Asking an AAD-like authority about a user, MSAL forgets the port of its address.
            if (style, way) == ("AAD-like", "user and password") and urlsplit(HOST).port:
                continue
            found = client(SubscriptionClient, make()).subscriptions.list()
            said[f"{way}, {style}"] = [s.subscription_id for s in found]
    found = client(SubscriptionClient, DefaultAzureCredential(disable_instance_discovery=True)).subscriptions.list()
    said["environment variables"] = [s.subscription_id for s in found]
    said["certificate, AAD-like"] = by_certificate()
    return {"client": f"azure-identity {version('azure-identity')}", "ways": said}


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
    print(json.dumps({"sign-in": sign_in, "work": work}[sys.argv[1]]()))
