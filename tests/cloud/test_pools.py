"""Requests that choose from pools: what one costs does not grow with what others hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Claim
from tests.cloud.cloud import Cloud
from tests.cloud.test_life import NETWORK, nic_body, vnet_body

STANDARD = {"name": "Standard"}


def _public(label: str) -> dict[str, Any]:
    properties = {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": label}}
    return {"location": "local", "sku": STANDARD, "properties": properties}


def _balancer(subnet: str) -> dict[str, Any]:
    frontend = {"name": "fe", "properties": {"subnet": {"id": subnet}}}
    return {"location": "local", "sku": STANDARD, "properties": {"frontendIPConfigurations": [frontend]}}


def test_no_request_reads_a_whole_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pool: str) -> Mapping[str, str]:
        raise AssertionError(f"read all of {pool}")

    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        vnet = group.resource(f"{NETWORK}/virtualNetworks", "net")
        await cloud.put(vnet, vnet_body())
        for number in range(3):
            await cloud.put(group.resource(f"{NETWORK}/networkInterfaces", f"nic{number}"), nic_body(vnet))
        monkeypatch.setattr(cloud.world.store, "claims", refuse)
        subnet = str(vnet.child("subnets", "default"))
        again = vnet_body()
        again["tags"] = {"a": "b"}
        await cloud.put(vnet, again)
        await cloud.put(group.resource(f"{NETWORK}/virtualNetworks", "other"), vnet_body())
        await cloud.put(group.resource(f"{NETWORK}/networkInterfaces", "nic4"), nic_body(vnet))
        static = {"privateIPAddress": "10.0.0.99", "privateIPAllocationMethod": "Static"}
        await cloud.put(group.resource(f"{NETWORK}/networkInterfaces", "nic2"), nic_body(vnet, **static))
        await cloud.put(group.resource(f"{NETWORK}/publicIPAddresses", "pip"), _public("web"))
        await cloud.put(group.resource(f"{NETWORK}/loadBalancers", "lb"), _balancer(subnet))
        with pytest.raises(LazurError) as caught:
            await cloud.put(group.resource(f"{NETWORK}/publicIPAddresses", "pip2"), _public("web"))
        assert caught.value.code == "DnsRecordInUse"
        await cloud.delete(group.resource(f"{NETWORK}/networkInterfaces", "nic0"))
        await cloud.put(group.resource(f"{NETWORK}/networkInterfaces", "nic5"), nic_body(vnet))
        store = cloud.world.store
        pool = _pool(cloud, vnet)
        held = {a: store.holder(pool, a) for a in ("10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "10.0.0.99")}
        names = {a: key.rpartition("/")[2] if key else None for a, key in held.items()}
        assert names == {
            "10.0.0.4": "nic5", "10.0.0.5": "nic1", "10.0.0.6": "lb", "10.0.0.7": "nic4", "10.0.0.8": None, "10.0.0.99": "nic2"
        }  # fmt: skip
        await cloud.stop()

    run_virtual(main)


def _pool(cloud: Cloud, vnet: ArmId) -> str:
    record = cloud.world.store.get(vnet.key)
    assert record is not None
    return f"subnet/{record.uid}/default"


def test_a_full_subnet_says_so() -> None:
    async def main(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        vnet = group.resource(f"{NETWORK}/virtualNetworks", "net")
        await cloud.put(vnet, vnet_body(subnet="10.0.0.0/29"))
        pool, others = _pool(cloud, vnet), "/others"
        claims = [Claim(pool, f"10.0.0.{n}", others) for n in (4, 6)]
        await cloud.world.store.commit(Change(rewire={others: ((), claims)}))
        await cloud.put(group.resource(f"{NETWORK}/networkInterfaces", "last"), nic_body(vnet))
        assert set(cloud.world.store.claims(pool)) == {"10.0.0.4", "10.0.0.5", "10.0.0.6"}
        with pytest.raises(LazurError) as caught:
            await cloud.put(group.resource(f"{NETWORK}/networkInterfaces", "late"), nic_body(vnet))
        assert caught.value.code == "SubnetIsFull"
        await cloud.stop()

    run_virtual(main)
