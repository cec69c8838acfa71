"""The handler of the network domain, on the simulated overlay."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from lazur.drivers.network.rows import Ref
from lazur.drivers.network.simulated import SimulatedNetwork
from lazur.kernel.errors import Unavailable
from lazur.model.desire import Desire, State
from lazur.providers.network.host import NetworkHandler
from tests.network import desires as d


def states(driver: SimulatedNetwork, *desires: Desire) -> dict[str, State]:
    async def run() -> dict[str, State]:
        return {report.key: report.state for report in await NetworkHandler(driver).reconcile(desires)}

    return asyncio.run(run())


VNET = d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")])
CARD = d.nic("c", "v1", "s1", "10.0.0.4")


def test_each_desire_gets_its_own_answer() -> None:
    broken = d.desire("nic", {"uid": "broken", "id": "/x"})
    early = d.nic("early", "v9", "s9", "10.0.0.4")
    found = states(SimulatedNetwork({"h01"}), VNET, CARD, broken, early)
    assert found == {"v1": State.READY, "c": State.READY, "broken": State.FAILED, "early": State.PENDING}


def test_reports_carry_generation_and_cause() -> None:
    broken = d.desire("nic", {"uid": "broken", "id": "/subscriptions/x"}, generation=7)
    (report,) = asyncio.run(NetworkHandler(SimulatedNetwork()).reconcile([broken]))
    assert report.generation == 7
    assert report.error is not None and report.error["target"] == "/subscriptions/x"
    assert "'mac' is missing" in report.error["message"]


def test_removed_desires_are_gone_with_their_rows() -> None:
    driver = SimulatedNetwork({"h01"})
    states(driver, VNET, CARD)
    assert states(driver, VNET, dataclasses.replace(CARD, removed=True))["c"] is State.GONE
    assert Ref("Logical_Switch_Port", "nic-c") not in asyncio.run(driver.actual())
    states(driver, dataclasses.replace(VNET, removed=True))
    assert asyncio.run(driver.actual()) == {}


def test_a_list_that_came_up_empty_deletes_nothing() -> None:
    driver = SimulatedNetwork({"h01"})
    states(driver, VNET, CARD)
    before = asyncio.run(driver.actual())
    assert states(driver) == {}
    assert asyncio.run(driver.actual()) == before


def test_an_unreachable_overlay_is_said_and_nothing_reported() -> None:
    driver = SimulatedNetwork({"h01"})
    driver.reachable = False
    with pytest.raises(Unavailable):
        states(driver, VNET)


def test_gateways_follow_the_hosts() -> None:
    driver = SimulatedNetwork({"h01"})
    states(driver, VNET)
    driver.hosts |= {"h02", "h03"}
    states(driver, VNET)
    assert _candidates(driver) == {"h01", "h02", "h03"}


def test_no_gateway_is_on_a_host_that_is_none_any_more() -> None:
    driver = SimulatedNetwork({"h01", "h02", "h03"})
    driver.alive.clear()
    first, second = (d.desire("host", {"uid": n, "name": n}) for n in ("h01", "h02"))
    states(driver, VNET, first, second)
    assert _candidates(driver) <= {"h01", "h02"}
    for gone, left in ((first, second), (second, first)):
        driver.hosts |= {"h01", "h02"}
        found = states(driver, VNET, left, dataclasses.replace(gone, removed=True))
        assert found[gone.key] is State.GONE and _candidates(driver) == {left.key}
        assert gone.key not in driver.hosts and left.key in driver.hosts


def _candidates(driver: SimulatedNetwork) -> set[object]:
    rows = asyncio.run(driver.actual())
    return {columns["chassis_name"] for row, columns in rows.items() if row.table == "HA_Chassis"}


def test_drift_is_named() -> None:
    driver = SimulatedNetwork({"h01"})
    states(driver, VNET, CARD)
    handler = NetworkHandler(driver)
    assert asyncio.run(handler.drift([VNET, CARD])) == []
    driver.spoil(Ref("Logical_Switch", "ls-leak"), {"name": "ls-leak"})
    driver.spoil(Ref("Logical_Switch_Port", "nic-c"), {"name": "nic-c"})
    driver.spoil(Ref("DNS", "dns-v1"), None)
    driver.foreign.add("Logical_Switch theirs")
    assert asyncio.run(handler.drift([VNET, CARD])) == [
        "missing: DNS dns-v1",
        "changed: Logical_Switch_Port nic-c",
        "unwanted: Logical_Switch ls-leak",
        "unknown: Logical_Switch theirs",
    ]
