"""Runs in az's environment, which has Azure's management SDKs: a deployment and a few look-ups, told as JSON.

It is what a user of the SDKs writes; only the sign-in is done with MSAL alone, as az brings no azure-identity.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import msal  # type: ignore[import-not-found]
from azure.core.credentials import AccessToken  # type: ignore[import-not-found]
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError  # type: ignore[import-not-found]
from azure.mgmt.compute import ComputeManagementClient  # type: ignore[import-not-found]
from azure.mgmt.resource.deployments import DeploymentsMgmtClient  # type: ignore[import-not-found]
from azure.mgmt.resource.resources import ResourceManagementClient  # type: ignore[import-not-found]

ENDPOINT = os.environ["LAZUR_ENDPOINT"]


class Credential:
    """A service principal's tokens."""

    def __init__(self) -> None:
        authority = f"{os.environ['AZURE_AUTHORITY_HOST']}/{os.environ['AZURE_TENANT_ID']}"
        self._app = msal.ConfidentialClientApplication(
            os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"], authority, instance_discovery=False
        )

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """As azure-core asks for it."""
        found = self._app.acquire_token_for_client(list(scopes))
        return AccessToken(found["access_token"], int(time.time()) + found["expires_in"])


def client(kind: Any) -> Any:
    """A management client of this cloud."""
    scopes = [f"{ENDPOINT}/.default"]
    return kind(Credential(), os.environ["AZURE_SUBSCRIPTION_ID"], base_url=ENDPOINT, credential_scopes=scopes)


def main() -> None:
    """The whole run."""
    resources, deployments, compute = (
        client(kind) for kind in (ResourceManagementClient, DeploymentsMgmtClient, ComputeManagementClient)
    )
    group = resources.resource_groups.create_or_update("sdk", {"location": os.environ["LAZUR_REGION"], "tags": {"a": "b"}})
    said: dict[str, Any] = {"group": group.name, "tags": group.tags}
    template, parameters = json.load(sys.stdin), {"prefix": {"value": "sdk"}}
    properties = {"mode": "Incremental", "template": template, "parameters": parameters}
    done = deployments.deployments.begin_create_or_update("sdk", "dep", {"properties": properties}).result()
    said["state"], said["outputs"] = done.properties.provisioning_state, done.properties.outputs
    operations = deployments.deployment_operations.list("sdk", "dep")
    said["operations"] = sorted(o.properties.target_resource.resource_name for o in operations)
    said["types"] = sorted({r.type for r in resources.resources.list_by_resource_group("sdk")})
    location = os.environ["LAZUR_REGION"]
    disk = {"location": location, "creation_data": {"create_option": "Empty"}, "disk_size_gb": 1}
    said["disk"] = compute.disks.begin_create_or_update("sdk", "d", disk).result().disk_state
    said["sizes"] = len(list(compute.virtual_machine_sizes.list(location)))
    said["machines"] = [m.name for m in compute.virtual_machines.list("sdk")]
    said["exists"] = resources.resource_groups.check_existence("sdk")
    try:
        compute.virtual_machines.get("sdk", "nothing")
    except ResourceNotFoundError as error:
        said["missing"] = error.error.code
    try:
        compute.disks.begin_create_or_update("sdk", "e", {**disk, "disk_size_gb": None}).result()
    except HttpResponseError as error:
        said["refused"] = [error.error.code, error.error.target]
    compute.disks.begin_delete("sdk", "d").result()
    resources.resource_groups.begin_delete("sdk").result()
    said["left"] = resources.resource_groups.check_existence("sdk")
    print(json.dumps(said))


if __name__ == "__main__":
    main()
