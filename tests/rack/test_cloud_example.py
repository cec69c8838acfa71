"""The example on a real rack: the page, who sees whom, names, ssh, probes, and addresses that stay closed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.rack.flows import NETWORK, USER, Cloud, Example, fetch, page, until

_WHO = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho from=$REMOTE_ADDR\n"
_SECRET = "correct-horse-7"


@pytest.fixture(scope="module")
def lone(cloud: Cloud) -> Iterator[str]:
    """The public address of a machine of its own network, without any NSG, with custom data and a password."""
    cloud.group("lone")
    public, address = cloud.public_ip("lone", "ip")
    nic = cloud.nic("lone", "nic", cloud.vnet("lone"), public=public)
    script = base64.b64encode(b"#!/bin/sh\necho ran as $(id -un) > /www/custom\n").decode()
    body = cloud.machine_body("lone", nic, adminPassword=_SECRET, customData=script)
    cloud.put(cloud.vm("lone", "lone"), body)
    yield address
    cloud.delete(f"{cloud.subscription}/resourceGroups/lone")


def test_both_machines_serve_the_page(example: Example) -> None:
    example.served_by(*example.machines)


def test_hosts_of_the_set_differ(cloud: Cloud, example: Example) -> None:
    assert len({cloud.placed(example.vm(name))[0] for name in example.machines}) == 2
    domains = [cloud.get(example.vm(n) + "/instanceView")["platformFaultDomain"] for n in example.machines]
    assert sorted(domains) == [0, 1]


def test_the_guest_sees_the_clients_address(example: Example) -> None:
    script = base64.b64encode(_WHO.encode()).decode()
    for name in example.machines:
        example.ssh(name, f"echo {script} | base64 -d | sudo tee /www/cgi-bin/who; sudo chmod 755 /www/cgi-bin/who")
    assert "10.239.2.1" in fetch(example.address, "/cgi-bin/who").rpartition("from=")[2]


def test_names_are_known_in_guests(example: Example) -> None:
    for asker, other in (("web1", "web2"), ("web2", "web1")):
        assert "Address: 10.0.0." in example.ssh(asker, f"nslookup {other}")
        assert f"Hello from {other}" in example.ssh(asker, f"timeout 10 wget -q -O - http://{other}/")


def test_backends_themselves_reach_the_balanced_address(example: Example) -> None:
    for name in example.machines:
        seen = example.ssh(name, f"for i in 1 2 3 4 5 6 7 8; do timeout 10 wget -q -O - http://{example.address}/; done")
        assert seen.count("Hello from") == 8, seen


def test_an_internal_balancer_answers_in_its_network(cloud: Cloud, example: Example) -> None:
    path = example.id(f"{NETWORK}/loadBalancers", "inner")
    subnet = example.id(f"{NETWORK}/virtualNetworks", "web-vnet/subnets/web")
    front = {"subnet": {"id": subnet}, "privateIPAllocationMethod": "Static", "privateIPAddress": "10.0.0.100"}
    rule = {
        "frontendIPConfiguration": {"id": f"{path}/frontendIPConfigurations/front"},
        "backendAddressPool": {"id": f"{path}/backendAddressPools/pool"},
        "protocol": "Tcp", "frontendPort": 8080, "backendPort": 80,
    }  # fmt: skip
    properties = {
        "frontendIPConfigurations": [{"name": "front", "properties": front}],
        "backendAddressPools": [{"name": "pool"}],
        "loadBalancingRules": [{"name": "web", "properties": rule}],
    }
    cloud.put(path, cloud.body(properties, sku={"name": "Standard"}))
    nic = example.id(f"{NETWORK}/networkInterfaces", "web2-nic")
    before = cloud.get(nic)
    try:
        changed = json.loads(json.dumps(before))
        pools = changed["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"]
        pools.append({"id": f"{path}/backendAddressPools/pool"})
        cloud.put(nic, changed)
        until(
            "the inner address answers",
            lambda: "Hello from web2" in example.ssh("web1", "timeout 5 wget -q -O - http://10.0.0.100:8080/", check=False),
        )
        # A backend reaches itself by way of the balancer as well.
        assert "Hello from web2" in example.ssh("web2", "timeout 5 wget -q -O - http://10.0.0.100:8080/")
    finally:
        cloud.put(nic, before)
        cloud.delete(path)


def test_the_key_opens_and_sudo_works(example: Example) -> None:
    for name in example.machines:
        assert example.ssh(name, "hostname; id -un; sudo id -un").split() == [name, USER, "root"]


def test_a_standard_address_is_closed_until_an_nsg_opens_it(cloud: Cloud, lone: str) -> None:
    until("the guest runs", lambda: "LAZUR-READY" in cloud.serial(cloud.vm("lone", "lone")))
    assert page(lone, patience=3) == ""
    nsg = cloud.nsg("lone", "nsg", ["22", "80"])
    nic = cloud.path("lone", f"{NETWORK}/networkInterfaces", "nic")
    body = cloud.get(nic)
    body["properties"]["networkSecurityGroup"] = {"id": nsg}
    cloud.put(nic, body)
    until("the rule opens it", lambda: page(lone, patience=2) == "lone")
    cloud.nsg("lone", "nsg", ["22"])
    until("without its rule it is closed", lambda: page(lone, patience=2) == "")
    assert page(lone, patience=3) == ""
    cloud.nsg("lone", "nsg", ["22", "80"])
    until("and open again", lambda: page(lone, patience=2) == "lone")


def test_custom_data_ran_and_the_password_opens(cloud: Cloud, lone: str) -> None:
    assert "ran as root" in until("custom data", lambda: fetch(lone, "/custom", patience=2))
    assert cloud.ssh_by_password(lone, _SECRET, "sudo id -un").strip() == "root"
    assert cloud.ssh_by_password(lone, "another-one-8", "id -un") == ""


def test_a_sick_backend_leaves_and_comes_back(cloud: Cloud, example: Example) -> None:
    path = example.id(f"{NETWORK}/loadBalancers", "web-lb")
    body = cloud.get(path)
    body["properties"]["probes"][0]["properties"]["requestPath"] = "/cgi-bin/health"
    cloud.put(path, body)
    example.served_by("web1", "web2")
    example.ssh("web2", "sudo touch /var/lib/sick")
    try:
        example.served_by("web1")
        assert "Hello from web2" in example.ssh("web1", "timeout 5 wget -q -O - http://web2/"), "its port is open all the while"
    finally:
        example.ssh("web2", "sudo rm -f /var/lib/sick")
    example.served_by("web1", "web2")


def test_a_backend_switched_off_leaves_and_comes_back(cloud: Cloud, example: Example) -> None:
    cloud.post(example.vm("web2"), "powerOff")
    example.served_by("web1")
    cloud.post(example.vm("web2"), "start")
    example.served_by("web1", "web2")
