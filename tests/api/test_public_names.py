"""A public address with a name: shown, unique in the region, resolvable in every network, and gone with the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lazur.drivers.network.rows import Ref
from lazur.kernel.clock import VirtualClock
from lazur.kernel.errors import LazurError
from lazur.kernel.simulation import run_virtual
from lazur.lifecycle.inspect import public_names
from lazur.model.documents import Change
from lazur.store.sqlite import SqliteStore
from tests.api.front import Door, at_the_door
from tests.cloud.cloud import Cloud, new_world

NAMES = Ref("DNS", "dns-public")


def _address(label: str) -> dict[str, Any]:
    settings = {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": label}}
    return {"location": "local", "sku": {"name": "Standard"}, "properties": settings}


def test_a_public_name_from_its_label_to_its_end(tmp_path: Path) -> None:
    async def story(clock: VirtualClock) -> None:
        cloud = await Cloud(clock).start()
        group = await cloud.with_group()
        net, shop, rival = (
            group.resource("Microsoft.Network/virtualNetworks", "net"),
            group.resource("Microsoft.Network/publicIPAddresses", "shop"),
            group.resource("Microsoft.Network/publicIPAddresses", "rival"),
        )
        subnet = {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}
        space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [subnet]}
        await cloud.put(net, {"location": "local", "properties": space})
        await cloud.put(shop, _address("shop"))
        shown = cloud.show(shop)["properties"]
        name = "shop.local.cloudapp.lazur.internal"
        assert shown["dnsSettings"] == {"domainNameLabel": "shop", "fqdn": name}
        rows = await cloud.world.network.actual()
        assert rows[NAMES]["records"] == {name: shown["ipAddress"]}
        with pytest.raises(LazurError) as refused:
            await cloud.put(rival, _address("shop"))
        assert (refused.value.code, refused.value.status) == ("DnsRecordInUse", 409)
        store = SqliteStore(tmp_path / "control.db")
        await store.commit(Change(records=[r.with_(version=1) for r in cloud.world.store.list()]))
        store.close()
        assert public_names(tmp_path / "control.db") == {name: shown["ipAddress"]}
        await cloud.put(shop, _address("market"))
        assert cloud.show(shop)["properties"]["dnsSettings"]["fqdn"] == "market.local.cloudapp.lazur.internal"
        await cloud.put(rival, _address("shop"))
        for id in (shop, rival):
            await cloud.delete(id)
        assert NAMES not in await cloud.world.network.actual()

    run_virtual(story)


def test_without_a_store_there_are_no_names(tmp_path: Path) -> None:
    assert public_names(tmp_path / "control.db") == {}


def test_a_label_is_available_until_somebody_has_it() -> None:
    async def main(door: Door) -> None:
        path = f"/subscriptions/{door.cloud.subscription.subscription}/providers/Microsoft.Network/locations/local"

        async def available() -> Any:
            answer = await door.ask("GET", f"{path}/CheckDnsNameAvailability", query="domainNameLabel=shop")
            assert answer.status == 200, answer.raw
            return answer.json["available"]

        group = await door.cloud.with_group()
        assert await available() is True
        await door.cloud.put(group.resource("Microsoft.Network/publicIPAddresses", "shop"), _address("shop"))
        assert await available() is False

    at_the_door(new_world(), main)
