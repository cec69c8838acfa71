"""What every network driver must do. Each check starts from an empty overlay; a `Bench` says how to disturb the driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from lazur.drivers.network.diff import apply_ops, diff
from lazur.drivers.network.interface import NetworkDriver
from lazur.drivers.network.rows import Columns, Ref, Rows
from lazur.kernel.errors import LazurError, Unavailable
from lazur.providers.network.compiler import compile_network
from tests.network import desires as d


class Bench(Protocol):
    """A driver and the means to disturb what is behind it."""

    @property
    def driver(self) -> NetworkDriver:
        """What is examined."""
        ...

    async def plant(self) -> None:
        """Behind the driver's back, add the switch `theirs`."""
        ...

    async def spoil(self) -> None:
        """Behind the driver's back, overwrite the addresses of the port `p1` and delete the switch `sw2`."""
        ...

    async def join(self) -> None:
        """Let the host `h09` take part, as it does by itself."""
        ...

    async def cut(self) -> None:
        """Make the database unreachable."""
        ...

    async def mend(self) -> None:
        """Make it reachable again, with what it held."""
        ...


def small(**ports: str) -> dict[Ref, Columns]:
    """A switch with ports and their addresses."""
    members = {Ref("Logical_Switch_Port", name): address for name, address in ports.items()}
    rows: dict[Ref, Columns] = {row: {"name": row.key, "addresses": frozenset({address})} for row, address in members.items()}
    rows[Ref("Logical_Switch", "sw1")] = {"name": "sw1", "ports": frozenset(members)}
    return rows


def whole() -> Rows:
    """A compiled network with every table in it."""
    cards = [d.nic(f"c{n}", "v1", "s1", f"10.0.0.{n + 4}", nsg="g") for n in range(3)]
    wanted = [
        d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24", "g")]),
        d.nsg("g", d.rule("web", 100, protocol="Tcp", ports=["80"])),
        *cards,
        d.lb("lb", [d.public("f", "203.0.113.10")], {"p": cards}, rules=[d.balance("web", "f", 80, 80, "p")]),
    ]
    return compile_network(wanted, ("h01", "h02")).rows


async def takes_what_is_wanted_and_gives_it_back(bench: Bench) -> None:
    rows = whole()
    applied = await bench.driver.apply(rows)
    assert applied.changes == len(rows)
    assert await bench.driver.actual() == rows


async def writes_nothing_when_nothing_differs(bench: Bench) -> None:
    await bench.driver.apply(whole())
    assert (await bench.driver.apply(whole())).changes == 0


async def writes_only_the_difference(bench: Bench) -> None:
    await bench.driver.apply(small(p1="00:00:00:00:00:01", p2="00:00:00:00:00:02"))
    after = small(p1="00:00:00:00:00:09", p3="00:00:00:00:00:03")
    before = await bench.driver.actual()
    applied = await bench.driver.apply(after)
    assert applied.changes == len(diff(after, before)) == 4
    assert await bench.driver.actual() == after == apply_ops(before, diff(after, before))


async def takes_everything_away(bench: Bench) -> None:
    await bench.driver.apply(whole())
    await bench.driver.apply({})
    assert await bench.driver.actual() == {}


async def empties_columns(bench: Bench) -> None:
    row = Ref("Logical_Switch", "sw1")
    await bench.driver.apply({row: {"name": "sw1", "other_config": {"a": "b"}}})
    await bench.driver.apply({row: {"name": "sw1"}})
    assert await bench.driver.actual() == {row: {"name": "sw1"}}


async def refuses_a_name_taken_twice_and_changes_nothing(bench: Bench) -> None:
    before = small(p1="00:00:00:00:00:01")
    await bench.driver.apply(before)
    twins = small(p1="00:00:00:00:00:01", p2="00:00:00:00:00:02")
    twins[Ref("Logical_Switch_Port", "p2")] = {"name": "p1"}
    try:
        await bench.driver.apply(twins)
    except LazurError as error:
        assert not error.retryable
    else:
        raise AssertionError("two ports of one name were taken")
    assert await bench.driver.actual() == before


async def repairs_what_somebody_spoiled(bench: Bench) -> None:
    wanted: Rows = {**small(p1="00:00:00:00:00:01"), Ref("Logical_Switch", "sw2"): {"name": "sw2"}}
    await bench.driver.apply(wanted)
    await bench.spoil()
    assert await bench.driver.actual() != wanted
    assert (await bench.driver.apply(wanted)).changes == 2
    assert await bench.driver.actual() == wanted


async def leaves_others_alone_and_names_them(bench: Bench) -> None:
    assert await bench.driver.strangers() == frozenset()
    await bench.plant()
    await bench.driver.apply(whole())
    await bench.driver.apply({})
    assert await bench.driver.actual() == {}
    assert await bench.driver.strangers() == {"Logical_Switch theirs"}


async def says_when_it_is_cut_off_and_goes_on_afterwards(bench: Bench) -> None:
    await bench.driver.apply(whole())
    await bench.cut()
    try:
        try:
            await bench.driver.apply({**whole(), Ref("Logical_Switch", "more"): {"name": "more"}})
        except Unavailable:
            pass
        else:
            raise AssertionError("it wrote to a database that is not there")
    finally:
        await bench.mend()
    assert (await bench.driver.apply(whole())).changes in (0, 1), "a change may have been written before the cut"
    assert await bench.driver.actual() == whole()


async def knows_hosts_and_ports(bench: Bench) -> None:
    assert isinstance(await bench.driver.chassis(), frozenset)
    assert isinstance(await bench.driver.port_bindings(), Mapping)


async def forgets_hosts_that_are_gone(bench: Bench) -> None:
    await bench.join()
    assert "h09" in await bench.driver.chassis()
    await bench.driver.dismiss({"h09", "h10"})
    assert "h09" not in await bench.driver.chassis()
    await bench.driver.dismiss({"h09"})
    await bench.join()
    assert "h09" in await bench.driver.chassis(), "it may come back"
    await bench.driver.dismiss({"h09"})


CHECKS: tuple[Callable[[Bench], Awaitable[None]], ...] = (
    takes_what_is_wanted_and_gives_it_back,
    writes_nothing_when_nothing_differs,
    writes_only_the_difference,
    takes_everything_away,
    empties_columns,
    refuses_a_name_taken_twice_and_changes_nothing,
    repairs_what_somebody_spoiled,
    leaves_others_alone_and_names_them,
    says_when_it_is_cut_off_and_goes_on_afterwards,
    knows_hosts_and_ports,
    forgets_hosts_that_are_gone,
)
