"""Where a machine runs: room, spread, draining hosts, and an explanation that is true and helps."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazur.kernel.errors import LazurError
from lazur.providers.compute.sizes import Size, sizes
from lazur.providers.compute.virtual_machines.placement import Capacity, Host, Placed
from lazur.providers.compute.virtual_machines.placement import choose as best

SMALL = Size("Small", "f", 1, 1024, 1, 1)
BIG = Size("Big", "f", 4, 16384, 1, 1)


def counted(hosts: list[Host], placed: dict[str, Placed]) -> Capacity:
    """The hosts, with machines that came one after another."""
    capacity = Capacity()
    for host in hosts:
        capacity.host(host.name, host)
    for name, one in placed.items():
        capacity.machine(name, one)
    return capacity


def choose(size: Size, hosts: list[Host], placed: list[Placed], together: str | None, domains: int) -> Host:
    """The choice over these."""
    capacity = counted(hosts, {str(n): p for n, p in enumerate(placed)})
    return best(size, capacity.rooms(), capacity.members(together), domains)


def _host(name: str, domain: int = 0, cores: int = 8, memory: int = 8192, available: bool = True) -> Host:
    return Host(name, domain, cores, memory, "" if available else "it is draining and takes no new machines")


def _refusal(size: Size, hosts: list[Host], placed: list[Placed]) -> LazurError:
    with pytest.raises(LazurError) as caught:
        choose(size, hosts, placed, None, 1)
    assert (caught.value.code, caught.value.status) == ("AllocationFailed", 409)
    return caught.value


def test_the_host_with_most_memory_left_is_taken() -> None:
    hosts = [_host("h1"), _host("h2"), _host("h3", memory=4096)]
    assert choose(SMALL, hosts, [], None, 1).name == "h1", "by name when all else is equal"
    assert choose(SMALL, hosts, [Placed("h1", 1, 1024)], None, 1).name == "h2"
    assert choose(SMALL, hosts, [Placed("h1", 8, 1024), Placed("h2", 8, 1024)], None, 1).name == "h3", "cores are full"


def test_a_set_spreads_over_fault_domains() -> None:
    hosts = [_host("h1", 0, memory=65536), _host("h2", 1), _host("h3", 2)]
    placed: list[Placed] = []
    for _ in range(6):
        chosen = choose(SMALL, hosts, placed, "set", 3)
        placed.append(Placed(chosen.name, 1, 1024, "set"))
    assert Counter(p.host for p in placed) == {"h1": 2, "h2": 2, "h3": 2}
    assert choose(SMALL, hosts, placed, "other", 3).name == "h1", "another set starts anew"


def test_a_set_has_no_more_domains_than_it_says() -> None:
    hosts = [_host("h1", 0), _host("h2", 1, memory=4096), _host("h3", 2, memory=65536)]
    first = [Placed("h1", 1, 1024, "set")]
    assert choose(SMALL, hosts, first, "set", 2).name == "h2", "h3 is in the first of two domains, as h1 is"
    assert choose(SMALL, hosts, first, "set", 3).name == "h3"


def test_a_set_prefers_room_to_spread() -> None:
    hosts = [_host("h1", 0), _host("h2", 1, memory=512)]
    assert choose(SMALL, hosts, [Placed("h1", 1, 1024, "set")], "set", 2).name == "h1"


def test_a_draining_host_takes_nothing() -> None:
    hosts = [_host("h1", available=False, memory=65536), _host("h2")]
    assert choose(SMALL, hosts, [], None, 1).name == "h2"
    error = _refusal(SMALL, hosts[:1], [])
    assert "draining" in error.details[0].message and "a host available again" in error.message
    assert "or add one" in _refusal(SMALL, [], []).message


def test_the_refusal_names_what_binds_on_every_host() -> None:
    hosts = [_host("h1", memory=8192), _host("h2", cores=2, memory=32768), _host("h3", cores=2), _host("h4", available=False)]
    error = _refusal(BIG, hosts, [Placed("h1", 1, 2048)])
    said = {d.target: d.message for d in error.details}
    assert said == {
        "h1": "h1: memory: 16384 MiB needed, 6144 of 8192 MiB free.",
        "h2": "h2: cores: 4 needed, 2 of 2 free.",
        "h3": "h3: memory: 16384 MiB needed, 8192 of 8192 MiB free; cores: 4 needed, 2 of 2 free.",
        "h4": "h4: it is draining and takes no new machines; memory: 16384 MiB needed, 8192 of 8192 MiB free.",
    }
    assert error.target == "properties.hardwareProfile.vmSize"
    assert "free 2 cores on h2" in error.message, "h2 is the nearest to having room"
    info = error.info[0].info
    assert info["hosts"][0] == {"host": "h1", "freeCores": 7, "freeMemoryMiB": 6144}
    assert info["smallestChange"] in error.message


SIZES = st.sampled_from(sorted(sizes().values(), key=lambda s: s.name))
HOSTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 16), st.integers(0, 65536), st.sampled_from(["", "it does not answer"])),
    min_size=0,
    max_size=4,
).map(lambda rows: [Host(f"h{i}", *row) for i, row in enumerate(rows)])


@given(HOSTS, st.lists(st.tuples(SIZES, st.sampled_from([None, "one", "two"])), max_size=25), st.integers(1, 3))
def test_no_host_is_ever_overfilled(hosts: list[Host], wanted: list[tuple[Size, str | None]], domains: int) -> None:
    placed: list[Placed] = []
    for size, together in wanted:
        try:
            chosen = choose(size, hosts, placed, together, domains)
        except LazurError as error:
            assert error.code == "AllocationFailed" and [d.target for d in error.details] == [h.name for h in hosts]
            continue
        placed.append(Placed(chosen.name, size.cores, size.memory_mib, together))
    for host in hosts:
        here = [p for p in placed if p.host == host.name]
        assert sum(p.cores for p in here) <= host.cores and sum(p.memory_mib for p in here) <= host.memory_mib
        assert not host.refuses or not here


@given(HOSTS, SIZES)
def test_the_change_that_is_recommended_helps(hosts: list[Host], size: Size) -> None:
    try:
        choose(size, hosts, [], None, 1)
        return
    except LazurError as error:
        message = error.message
    change = re.search(r"free (?:(\d+) MiB)?(?: and )?(?:(\d+) cores)? on (\w+)", message)
    if change is None:
        assert all(h.refuses for h in hosts)
        return
    memory, cores, name = int(change[1] or 0), int(change[2] or 0), change[3]
    more = [Host(h.name, 0, h.cores + cores, h.memory_mib + memory, h.refuses) if h.name == name else h for h in hosts]
    assert choose(size, more, [], None, 1).name == name
    smaller = re.search(r"smaller size: (\S+)", message)
    if smaller is not None:
        lesser = sizes()[smaller[1].lower()]
        choose(lesser, hosts, [], None, 1)
        assert lesser.cores <= size.cores and lesser.memory_mib <= size.memory_mib


MOVES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["h1", "h2", None]), st.sampled_from([None, "s", "t"])))


@given(MOVES)
def test_what_is_counted_as_machines_come_and_go_is_what_is_there(moves: list[tuple[str, str | None, str | None]]) -> None:
    there = dict[str, Placed]()
    hosts = [_host("h1"), _host("h2", domain=1)]
    capacity = counted(hosts[:1], {})
    for machine, host, together in moves:
        there.pop(machine, None)
        if host is not None:
            there[machine] = Placed(host, 2, 512, together)
        capacity.machine(machine, there.get(machine))
    capacity.host("h2", hosts[1])
    for besides in ("", "a"):
        fresh = counted(hosts, {n: p for n, p in there.items() if n != besides})
        assert list(capacity.rooms(besides)) == list(fresh.rooms())
        held = {h: n for h, n in capacity.members("s", besides).items() if n}
        assert held == {h: n for h, n in fresh.members("s").items() if n}
