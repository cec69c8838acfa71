"""A guest of a real rack that is somebody: it gets a token with nothing but wget, and the token is worth its role."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lazur.lifecycle.rack import layout
from tests.rack.flows import CONTROL_SERVICES, Cloud, until

GROUP = "who"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
TOKEN = (
    "wget -q -O - --header 'Metadata: true' "
    "'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/'"
)


@pytest.fixture(scope="module")
def address(cloud: Cloud) -> Iterator[str]:
    """The public address of machine `one`, which may read its group."""
    scope = cloud.group(GROUP)
    public, found = cloud.public_ip(GROUP, "ip")
    nic = cloud.nic(GROUP, "nic", cloud.vnet(GROUP), public=public, nsg=cloud.nsg(GROUP, "nsg", ["22"]))
    body = cloud.machine_body("one", nic)
    made = cloud.put(cloud.vm(GROUP, "one"), {**body, "identity": {"type": "SystemAssigned"}})
    properties = {
        "roleDefinitionId": f"{cloud.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}",
        "principalId": made["identity"]["principalId"],
    }
    id = "7a5b3c1d-0000-4000-8000-000000000001"
    cloud.put(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{id}", {"properties": properties})
    yield found
    cloud.delete(scope)


def token(cloud: Cloud, address: str) -> dict[str, Any]:
    """What the guest is told."""
    text = until("a token", lambda: cloud.ssh(address, TOKEN, check=False))
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_guest_reads_itself_with_its_own_token(cloud: Cloud, address: str) -> None:
    told = token(cloud, address)
    assert told["token_type"] == "Bearer" and told["resource"] == "https://management.azure.com/"
    middle = told["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    vm = cloud.vm(GROUP, "one")
    assert claims["oid"] == cloud.get(vm)["identity"]["principalId"] and claims["xms_mirid"].lower() == vm.lower()
    assert cloud.status("GET", vm, told["access_token"]) == 200
    assert cloud.status("DELETE", vm, told["access_token"]) == 403
    refused = cloud.ssh(address, TOKEN.replace("--header 'Metadata: true'", "") + " || echo refused", check=False)
    assert refused.strip() == "refused"


def test_a_kept_token_outlives_the_control_plane_and_goes_with_the_identity(cloud: Cloud, address: str) -> None:
    kept = token(cloud, address)["access_token"]
    control = cloud.rack.container(layout.CONTROL)
    control.hold(list(CONTROL_SERVICES))
    try:
        for service in CONTROL_SERVICES:
            cloud.kill(layout.CONTROL, service)
        # Longer than the host takes the control plane's last word for good.
        time.sleep(35)
        assert token(cloud, address)["access_token"] == kept
    finally:
        control.hold([])
    until("every service is back", cloud.all_ready)
    vm = cloud.vm(GROUP, "one")
    body = cloud.get(vm)
    cloud.put(vm, {**body, "identity": {"type": "None"}})
    until("the guest is nobody", lambda: cloud.ssh(address, TOKEN + " || echo nobody", check=False).strip() == "nobody")
    assert cloud.status("GET", vm, kept) == 401
