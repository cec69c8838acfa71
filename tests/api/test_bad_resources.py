"""Requests that name, overlap, use or delete what they must not: status, code and target of each, and nothing stored."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lazur.model.armid import ArmId
from tests.api.front import Door, at_the_door
from tests.api.world import COMPUTE, NETWORK, comp, net, public_body, ref, small_cloud
from tests.cloud.test_life import nic_body, vm_body, vnet_body

IPS = "properties.ipConfigurations[0].properties"
Make = Callable[[ArmId], tuple[ArmId, Any]]


@dataclass(frozen=True)
class Bad:
    """One PUT and what is wrong with it: (code, target) of every fault."""

    name: str
    make: Make
    faults: set[tuple[str, str]]
    status: int = 400


def _vnet(rg: ArmId) -> ArmId:
    return net(rg, "virtualNetworks", "vnet")


def _network(prefixes: list[str], *subnets: str) -> Make:
    body = {"addressSpace": {"addressPrefixes": prefixes},
            "subnets": [{"name": f"s{i}", "properties": {"addressPrefix": s}} for i, s in enumerate(subnets)]}  # fmt: skip
    return lambda rg: (net(rg, "virtualNetworks", "new"), {"location": "local", "properties": body})


def _card(**inner: Any) -> Make:
    return lambda rg: (net(rg, "networkInterfaces", "new"), nic_body(_vnet(rg), **inner))


def _static(address: str) -> Make:
    return _card(privateIPAllocationMethod="Static", privateIPAddress=address)


def _card_in(*subnet: str) -> Make:
    """A card in a subnet given as (type, name, child type, child)."""

    def make(rg: ArmId) -> tuple[ArmId, Any]:
        target = net(rg, subnet[0], subnet[1])
        inner = {"subnet": ref(target.child(*subnet[2:]) if subnet[2:] else target)}
        return net(rg, "networkInterfaces", "new"), nic_body(_vnet(rg), **inner)

    return make


def _machine(card: str, **changes: Any) -> Make:
    def make(rg: ArmId) -> tuple[ArmId, Any]:
        body = vm_body(net(rg, "networkInterfaces", card), size=changes.get("size", "Standard_B1ls"))
        body["properties"]["osProfile"] |= changes.get("profile", {})
        body["properties"]["storageProfile"] |= changes.get("storage", {})
        return comp(rg, "virtualMachines", "new"), body

    return make


def _with(make: Make, **envelope: Any) -> Make:
    return lambda rg: (make(rg)[0], {**copy.deepcopy(make(rg)[1]), **envelope})


def _changed_vnet(*subnets: tuple[str, str], space: str = "10.0.0.0/16") -> Make:
    def make(rg: ArmId) -> tuple[ArmId, Any]:
        body = vnet_body(space)
        body["properties"]["subnets"] = [{"name": n, "properties": {"addressPrefix": p}} for n, p in subnets]
        return _vnet(rg), body

    return make


def _public(rg: ArmId) -> tuple[ArmId, Any]:
    return net(rg, "publicIPAddresses", "new"), public_body()


def _two_disks(rg: ArmId) -> tuple[ArmId, Any]:
    disks = [{"lun": 0, "createOption": "FromImage"}, {"lun": 0, "createOption": "Empty", "diskSizeGB": 4}]
    return _machine("nic2", storage={"dataDisks": disks})(rg)


SUBNET = "properties.subnets[{}].properties.addressPrefix"
BAD = [
    Bad("overlapping ranges", _network(["10.0.0.0/16", "10.0.128.0/17"]),
        {("NetcfgAddressSpaceOverlap", "properties.addressSpace.addressPrefixes[1]")}),
    Bad("overlapping subnets", _network(["10.0.0.0/16"], "10.0.0.0/24", "10.0.0.128/25"),
        {("NetcfgSubnetRangesOverlap", SUBNET.format(1))}),
    Bad("subnet outside", _network(["10.0.0.0/16"], "10.1.0.0/24"), {("NetcfgSubnetRangeOutsideVnet", SUBNET.format(0))}),
    Bad("subnet too small", _network(["10.0.0.0/16"], "10.0.0.0/30"), {("NetcfgInvalidSubnet", SUBNET.format(0))}),
    Bad("two faults at once", _network(["10.0.0.0/16"], "10.1.0.0/24", "10.0.0.0/30"),
        {("NetcfgSubnetRangeOutsideVnet", SUBNET.format(0)), ("NetcfgInvalidSubnet", SUBNET.format(1))}),
    Bad("no prefix at all", _network(["10.0.0.1/16"]), {("InvalidParameter", "properties.addressSpace.addressPrefixes[0]")}),
    Bad("no properties", lambda rg: (_vnet(rg), {"location": "local"}),
        {("MissingRequiredParameter", "properties.addressSpace")}),
    Bad("address outside its subnet", _static("10.0.9.9"), {("PrivateIPAddressNotInSubnet", f"{IPS}.privateIPAddress")}),
    Bad("reserved address", _static("10.0.0.3"), {("PrivateIPAddressInReservedRange", f"{IPS}.privateIPAddress")}),
    Bad("broadcast address", _static("10.0.0.255"), {("PrivateIPAddressInReservedRange", f"{IPS}.privateIPAddress")}),
    Bad("address taken", _static("10.0.0.4"), {("PrivateIPAddressIsAllocated", f"{IPS}.privateIPAddress")}),
    Bad("no address", _static("10.0.0.400"), {("InvalidParameter", f"{IPS}.privateIPAddress")}),
    Bad("static without address", _card(privateIPAllocationMethod="Static"),
        {("PrivateIPAddressIsRequired", f"{IPS}.privateIPAddress")}),
    Bad("unknown network", _card_in("virtualNetworks", "none", "subnets", "default"),
        {("InvalidResourceReference", f"{IPS}.subnet")}),
    Bad("unknown subnet", _card_in("virtualNetworks", "vnet", "subnets", "none"),
        {("InvalidResourceReference", f"{IPS}.subnet")}),
    Bad("network for a subnet", _card_in("virtualNetworks", "vnet"), {("LinkedInvalidPropertyId", f"{IPS}.subnet")}),
    Bad("no id", _card(subnet={"id": "vnet/default"}), {("InvalidParameter", f"{IPS}.subnet.id")}),
    Bad("public address used", lambda rg: _card(publicIPAddress=ref(net(rg, "publicIPAddresses", "pip")))(rg),
        {("ResourceInUse", f"{IPS}.publicIPAddress")}, 409),
    Bad("public address of a balancer", lambda rg: _card(publicIPAddress=ref(net(rg, "publicIPAddresses", "pip2")))(rg),
        {("ResourceInUse", f"{IPS}.publicIPAddress")}, 409),
    Bad("card attached", _machine("nic"), {("ResourceInUse", "properties.networkProfile.networkInterfaces[0].id")}, 409),
    Bad("card unknown", _machine("none"),
        {("InvalidResourceReference", "properties.networkProfile.networkInterfaces[0].id")}),
    Bad("size unknown", _machine("nic2", size="Standard_Huge"), {("InvalidParameter", "properties.hardwareProfile.vmSize")}),
    Bad("three faults", _machine("nic2", size="Standard_Huge", storage={"imageReference": None}),
        {("InvalidParameter", "properties.hardwareProfile.vmSize"),
         ("InvalidParameter", "properties.storageProfile.imageReference")}),
    Bad("no way to sign in", _machine("nic2", profile={"adminPassword": None}),
        {("InvalidParameter", "properties.osProfile.adminPassword")}),
    Bad("disks without size, one place for two", _two_disks,
        {("InvalidParameter", "properties.storageProfile.dataDisks"),
         ("InvalidParameter", "properties.storageProfile.dataDisks[0].diskSizeGB")}),
    Bad("disk with a path for a name",
        _machine("nic2", storage={"osDisk": {"createOption": "FromImage", "name": "../x"}}),
        {("InvalidParameter", "properties.storageProfile.osDisk.name")}),
    Bad("wrong location", _with(_public, location="mars"), {("LocationNotAvailableForResourceType", "location")}),
    Bad("no location", _with(_public, location=None), {("LocationRequired", "location")}),
    Bad("zones that are no list", _with(_public, zones=True), {("InvalidRequestContent", "zones")}),
    Bad("envelope of wrong form", _with(_public, sku="Standard", zones="1", tags={"a": 1}),
        {("InvalidRequestContent", "sku"), ("InvalidRequestContent", "zones"), ("InvalidTagNameOrValue", "tags.a")}),
    Bad("sku unknown", _with(_public, sku={"name": "Golden"}), {("InvalidSku", "sku.name")}),
    Bad("another name in the body", _with(_public, name="other"), {("InvalidRequestContent", "name")}),
    Bad("no group", lambda rg: (net(ArmId(rg.subscription, "none"), "publicIPAddresses", "new"), public_body()),
        {("ResourceGroupNotFound", "")}, 404),
    Bad("child of nothing", lambda rg: (net(rg, "virtualNetworks", "none").child("subnets", "s"), {"properties": {}}),
        {("ParentResourceNotFound", "")}, 404),
    Bad("name not allowed", lambda rg: (net(rg, "publicIPAddresses", "-new"), public_body()),
        {("InvalidResourceName", "name")}),
    Bad("child's name not allowed", _changed_vnet(("default", "10.0.0.0/24"), ("spare", "10.0.1.0/24"), ("a/b", "10.0.2.0/24")),
        {("InvalidResourceName", "properties.subnets[2].name")}),
    Bad("child twice", _changed_vnet(("default", "10.0.0.0/24"), ("spare", "10.0.1.0/24"), ("SPARE", "10.0.2.0/24")),
        {("InvalidRequestFormat", "properties.subnets[2].name")}),
    Bad("used subnet shrunk", _changed_vnet(("default", "10.0.0.8/29"), ("spare", "10.0.1.0/24")),
        {("InUsePrefixCannotBeDeleted", SUBNET.format(0))}),
    Bad("used subnet moved", _changed_vnet(("default", "10.0.0.0/24"), ("spare", "10.0.5.0/24")),
        {("InUsePrefixCannotBeDeleted", SUBNET.format(1))}),
    Bad("another address space", _changed_vnet(("default", "10.9.0.0/24"), ("spare", "10.9.1.0/24"), space="10.9.0.0/16"),
        {("InUsePrefixCannotBeDeleted", SUBNET.format(0)), ("InUsePrefixCannotBeDeleted", SUBNET.format(1))}),
    Bad("used subnets gone", _changed_vnet(), {("InUseSubnetCannotBeDeleted", "properties.subnets")}),
    Bad("machine where no group is", lambda rg: (ArmId(rg.subscription).resource(f"{NETWORK}/publicIPAddresses", "new"),
        public_body()), {("InvalidResourceType", "")}, 404),
    Bad("group within a group", lambda rg: (rg.resource("Microsoft.Resources/resourceGroups", "new"), {"location": "local"}),
        {("InvalidResourceType", "")}, 404),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda b: b.name)
def test_what_is_refused(bad: Bad) -> None:
    async def main(door: Door) -> None:
        before = door.stored()
        id, body = bad.make(door.cloud.group())
        answer = await door.put(id, body)
        assert (answer.status, answer.faults()) == (bad.status, bad.faults), answer.raw
        assert door.stored() == before

    at_the_door(small_cloud(), main, executors=False)


USED = {
    "networkSecurityGroups/nsg": "InUseNetworkSecurityGroupCannotBeDeleted",
    "virtualNetworks/vnet": "InUseVirtualNetworkCannotBeDeleted",
    "virtualNetworks/vnet/subnets/default": "InUseSubnetCannotBeDeleted",
    "virtualNetworks/vnet/subnets/spare": "InUseSubnetCannotBeDeleted",
    "publicIPAddresses/pip": "InUsePublicIPAddressCannotBeDeleted",
    "publicIPAddresses/pip2": "InUsePublicIPAddressCannotBeDeleted",
    "networkInterfaces/nic": "InUseNetworkInterfaceCannotBeDeleted",
    "loadBalancers/lb": "InUseLoadBalancerCannotBeDeleted",
    "loadBalancers/lb/backendAddressPools/pool": "InUseBackendAddressPoolCannotBeDeleted",
    "availabilitySets/set": "InUseAvailabilitySetCannotBeDeleted",
}


def test_what_is_used_stays() -> None:
    async def main(door: Door) -> None:
        rg, before = door.cloud.group(), door.stored()
        for path, code in USED.items():
            provider = COMPUTE if path.startswith("availability") else NETWORK
            answer = await door.ask("DELETE", f"{rg}/providers/{provider}/{path}")
            assert (answer.status, answer.error["code"]) == (400, code), answer.raw
            assert all(d["code"] == "InUseBy" and d["target"].startswith("/sub") for d in answer.error["details"])
        disk = next(r for r in before.values() if r.type == f"{COMPUTE}/disks".lower())
        assert (await door.ask("DELETE", str(disk.id))).error["code"] == "InUseDiskCannotBeDeleted"
        assert door.stored() == before

    at_the_door(small_cloud(), main, executors=False)


def test_a_full_cloud_says_what_would_fit() -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group()
        id = comp(rg, "virtualMachines", "big")
        answer = await door.put(id, vm_body(net(rg, "networkInterfaces", "nic2"), size="Standard_E4s_v5"))
        assert answer.status == 201, answer.raw
        await door.is_idle()
        status = await door.get(answer.headers["azure-asyncoperation"].partition(".internal")[2].partition("?")[0])
        assert status["status"] == "Failed"
        error = status["error"]
        assert (error["code"], error["target"]) == ("AllocationFailed", "properties.hardwareProfile.vmSize")
        assert {d["target"] for d in error["details"]} == {"h01", "h02"}
        assert all(d["code"] == "HostConstraint" and "memory" in d["message"] for d in error["details"])
        assert "smallest change" in error["message"] and error["additionalInfo"][0]["info"]["smallestChange"]
        assert (await door.get(id))["properties"]["provisioningState"] == "Failed"

    at_the_door(small_cloud(), main)


# -- what may change --------------------------------------------------------------------------------------------------


def test_a_subnet_may_shrink_around_its_addresses() -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group()
        fits = _changed_vnet(("default", "10.0.0.0/29"), ("spare", "10.0.1.0/28"))
        assert (await door.put(*fits(rg))).status == 200
        child = _vnet(rg).child("subnets", "default")
        answer = await door.put(child, {"properties": {"addressPrefix": "10.0.7.0/24"}})
        assert answer.error["code"] == "InUsePrefixCannotBeDeleted"
        assert {d["target"].rpartition("/")[2] for d in answer.error["details"]} == {"nic", "nic2"}

    at_the_door(small_cloud(), main)


def test_a_card_that_moves_gives_its_address_up() -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group()
        card, vnet = net(rg, "networkInterfaces", "nic2"), _vnet(rg)
        was = (await door.get(card))["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
        moved = await door.put(card, nic_body(vnet, subnet=ref(vnet.child("subnets", "spare"))))
        assert moved.status == 200
        new = moved.json["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
        assert new.startswith("10.0.1.")
        await door.is_idle()
        other = await door.put(net(rg, "networkInterfaces", "third"),
                               nic_body(vnet, privateIPAllocationMethod="Static", privateIPAddress=was))  # fmt: skip
        assert other.status == 201, other.raw
        await door.is_idle()
        # Its former subnet may now change as it likes.
        assert (await door.ask("DELETE", str(net(rg, "networkInterfaces", "third")))).status == 202
        await door.is_idle()
        assert (await door.put(*_changed_vnet(("default", "10.0.0.0/29"), ("spare", "10.0.1.0/24"))(rg))).status == 200

    at_the_door(small_cloud(), main)


@pytest.mark.parametrize("first", ["network", "card"])
def test_a_subnet_does_not_move_under_a_card_that_is_made(first: str) -> None:
    async def main(door: Door) -> None:
        rg = door.cloud.group()
        vnet, card = net(rg, "virtualNetworks", "fresh"), net(rg, "networkInterfaces", "new")
        await door.put(vnet, vnet_body())
        await door.is_idle()
        requests = [door.put(vnet, vnet_body(subnet="10.0.9.0/24")), door.put(card, nic_body(vnet))]
        answers = await asyncio.gather(*(requests if first == "network" else reversed(requests)))
        assert all(a.status in (200, 201, 400, 409) for a in answers)
        prefix = (await door.get(vnet))["properties"]["subnets"][0]["properties"]["addressPrefix"]
        made = door.store.get(card.key)
        address = made.allocated["addresses"]["ipconfig1"] if made else prefix.replace("0/24", "4")
        assert address.startswith(prefix.removesuffix("0/24")), [a.raw for a in answers]

    at_the_door(small_cloud(), main)
