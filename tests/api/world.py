"""A small cloud that bad requests are made against: a network, interfaces, a machine, a balancer, addresses, groups."""

from __future__ import annotations

from typing import Any

from lazur.model.armid import ArmId
from tests.api.front import world_of
from tests.cloud.cloud import Cloud, World
from tests.cloud.test_life import nic_body, vm_body, vnet_body

NETWORK, COMPUTE, DEPLOYMENTS = "Microsoft.Network", "Microsoft.Compute", "Microsoft.Resources/deployments"
STANDARD = {"name": "Standard"}
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def net(group: ArmId, type: str, name: str) -> ArmId:
    """A network resource."""
    return group.resource(f"{NETWORK}/{type}", name)


def comp(group: ArmId, type: str, name: str) -> ArmId:
    """A compute resource."""
    return group.resource(f"{COMPUTE}/{type}", name)


def ref(id: ArmId) -> dict[str, str]:
    """How documents point at it."""
    return {"id": str(id)}


def public_body(**properties: Any) -> dict[str, Any]:
    """A public address."""
    return {"location": "local", "sku": STANDARD, "properties": {"publicIPAllocationMethod": "Static", **properties}}


def deployment(resources: Any, **template: Any) -> dict[str, Any]:
    """A deployment of these resources."""
    whole = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources, **template}
    return {"properties": {"mode": "Incremental", "template": whole}}


async def _prepare(cloud: Cloud) -> None:
    rg = await cloud.with_group("rg")
    vnet, nsg = net(rg, "virtualNetworks", "vnet"), net(rg, "networkSecurityGroups", "nsg")
    await cloud.put(nsg, {"location": "local", "properties": {}})
    body = vnet_body()
    body["properties"]["subnets"][0]["properties"]["networkSecurityGroup"] = ref(nsg)
    body["properties"]["subnets"].append({"name": "spare", "properties": {"addressPrefix": "10.0.1.0/24"}})
    await cloud.put(vnet, body)
    for name in ("pip", "pip2", "free"):
        await cloud.put(net(rg, "publicIPAddresses", name), public_body())
    frontend = {"name": "fe", "properties": {"publicIPAddress": ref(net(rg, "publicIPAddresses", "pip2"))}}
    balancer = {"frontendIPConfigurations": [frontend], "backendAddressPools": [{"name": "pool"}]}
    lb = net(rg, "loadBalancers", "lb")
    await cloud.put(lb, {"location": "local", "sku": STANDARD, "properties": balancer})
    inside = {"name": "fe", "properties": {"subnet": ref(vnet.child("subnets", "spare"))}}
    internal = {"location": "local", "sku": STANDARD, "properties": {"frontendIPConfigurations": [inside]}}
    await cloud.put(net(rg, "loadBalancers", "inner"), internal)
    pools = [ref(lb.child("backendAddressPools", "pool"))]
    public = ref(net(rg, "publicIPAddresses", "pip"))
    nic = net(rg, "networkInterfaces", "nic")
    await cloud.put(nic, nic_body(vnet, publicIPAddress=public, loadBalancerBackendAddressPools=pools))
    await cloud.put(net(rg, "networkInterfaces", "nic2"), nic_body(vnet))
    availability = comp(rg, "availabilitySets", "set")
    await cloud.put(availability, {"location": "local", "sku": {"name": "Aligned"}, "properties": {}})
    await cloud.put(comp(rg, "virtualMachines", "vm"), vm_body(nic, availabilitySet=ref(availability)))


def small_cloud() -> World:
    """A copy of it."""
    return world_of("small cloud", _prepare)
