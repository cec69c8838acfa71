"""The network compiler: pure, deterministic, closed by default, and one bad document stops no other."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazur.drivers.network.diff import apply_ops, diff
from lazur.drivers.network.rows import Ref, Rows, canonical
from lazur.model.desire import Desire
from lazur.providers.network.compiler import Compiled, Compiler, compile_network
from tests.network import desires as d

HOSTS = ("h01", "h02", "h03")


def compiled(desires: Sequence[Desire]) -> Compiled:
    return compile_network(desires, HOSTS)


def of(rows: Rows, table: str) -> dict[str, Mapping[str, Any]]:
    return {row.key: columns for row, columns in rows.items() if row.table == table}


def world() -> list[Desire]:
    """A network in which everything occurs."""
    cards = [d.nic(f"c{n}", "v1", "s1", f"10.0.0.{n + 4}") for n in range(3)]
    alone = d.nic("alone", "v1", "s2", "10.0.1.4", public="203.0.113.9", nsg="web")
    twin = d.nic("twin", "v2", "t1", "10.0.0.4")
    return [
        d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24", "web"), d.subnet("s2", "10.0.1.0/24")]),
        d.vnet("v2", 18, [d.subnet("t1", "10.0.0.0/24")], dnsServers=["10.0.0.53"]),
        d.nsg("web", d.rule("http", 100, protocol="Tcp", ports=["80", "8000-8010"], source=["Internet", "10.9.0.0/16"])),
        *cards,
        alone,
        twin,
        d.lb(
            "lb1",
            [d.public("f1", "203.0.113.10"), d.internal("f2", "10.0.0.100", "v1", "s1")],
            {"p1": cards},
            rules=[
                d.balance("web", "f1", 80, 8080, "p1", probe="probe1"),
                d.balance("dns", "f1", 53, 53, "p1", "Udp", distribution="SourceIP"),
                d.balance("all", "f2", 0, 0, "p1", "All"),
            ],
            natRules=[d.forward("ssh", "f1", 2201, 22, cards[0])],
            down=["probe1/c1"],
        ),
    ]


def test_everything_compiles() -> None:
    result = compiled(world())
    assert result.faults == {}
    for columns in result.rows.values():
        for value in columns.values():
            for target in value if isinstance(value, frozenset) else [value]:
                assert not isinstance(target, Ref) or target in result.rows
    assert all(columns == canonical(row.table, columns) for row, columns in result.rows.items())


@given(st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_order_does_not_matter(chance: random.Random) -> None:
    shuffled = world()
    chance.shuffle(shuffled)
    assert compiled(shuffled) == compiled(world())


@given(st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_what_a_compiler_remembers_changes_no_result(chance: random.Random) -> None:
    compiler, everything = Compiler(), world()
    for _ in range(6):
        some = [x if chance.random() < 0.9 else changed(x, chance) for x in everything if chance.random() < 0.9]
        hosts = HOSTS[: chance.randint(1, 3)]
        found, fresh = compiler.compile(some, hosts), compile_network(some, hosts)
        assert found.rows == fresh.rows
        assert {name: f.body() for name, f in found.faults.items()} == {name: f.body() for name, f in fresh.faults.items()}


def changed(wanted: Desire, chance: random.Random) -> Desire:
    """A desire with something else in it, possibly something that cannot be compiled."""
    key = chance.choice(sorted(wanted.payload))
    payload = {**wanted.payload, key: chance.choice([None, "x", [], wanted.payload[key]])}
    return dataclasses.replace(wanted, payload=payload, generation=wanted.generation + 1)


def test_what_did_not_change_is_not_compiled_again() -> None:
    compiler, before = Compiler(), world()
    rows = compiler.compile(before, HOSTS).rows
    after = compiler.compile([*before, d.nic("new", "v2", "t1", "10.0.0.9")], HOSTS).rows
    untouched = [row for row in rows if row in after and rows[row] is not after[row] and rows[row] == after[row]]
    assert not any("v1" in row.key or "c1" in row.key for row in untouched)
    assert Ref("Logical_Switch_Port", "nic-new") in after


def test_a_vnet_alone_has_router_switches_dhcp_and_services() -> None:
    rows = compiled([d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")])]).rows
    assert set(of(rows, "Logical_Switch")) == {"ls-s1", "ls-gs-v1", "ls-transit"}
    ports = of(rows, "Logical_Router_Port")
    assert ports["lrp-s1"]["networks"] == frozenset({"10.0.0.1/24"})
    assert ports["lrp-ext-v1"]["networks"] == frozenset({"10.239.4.17/22"})
    assert len({columns["mac"] for columns in ports.values()}) == 3
    options = of(rows, "DHCP_Options")["dhcp-s1-10.0.0.0/24"]["options"]
    assert isinstance(options, dict)
    assert options["dns_server"] == "{168.63.129.16}"
    assert "0.0.0.0/0,10.0.0.1" in options["classless_static_route"]
    assert of(rows, "Logical_Switch_Port")["gs-v1"]["type"] == "localport"
    assert {c["chassis_name"] for c in of(rows, "HA_Chassis").values()} == set(HOSTS)


def test_names_of_public_addresses_are_answered_in_every_network() -> None:
    name = d.desire("name", {"uid": "n1", "id": "/n", "name": "Shop.local.cloudapp.lazur.internal", "address": "203.0.113.9"})
    rows = compiled([*world(), name]).rows
    assert of(rows, "DNS")["dns-public"]["records"] == {"shop.local.cloudapp.lazur.internal": "203.0.113.9"}
    switches = of(rows, "Logical_Switch")
    asked = {key for key, columns in switches.items() if Ref("DNS", "dns-public") in columns.get("dns_records", ())}
    assert asked == {"ls-s1", "ls-s2", "ls-t1"}, "a network with name servers of its own too"
    assert "dns-public" not in of(compiled(world()).rows, "DNS")
    assert compiled([name]).rows == {}


def test_gateways_are_spread_and_stay_when_a_host_joins() -> None:
    vnets = [d.vnet(f"v{n}", 20 + n, []) for n in range(60)]

    def first(hosts: Sequence[str]) -> dict[str, object]:
        chosen = of(compile_network(vnets, hosts).rows, "HA_Chassis")
        return {key.rsplit("-", 1)[0]: c["chassis_name"] for key, c in chosen.items() if c["priority"] == 5}

    before, after = first(HOSTS), first([*HOSTS, "h04"])
    assert all(list(before.values()).count(host) > 5 for host in HOSTS)
    assert all(after[vnet] in (before[vnet], "h04") for vnet in before)


@pytest.mark.parametrize(("hosts", "candidates"), [(1, 1), (2, 1), (3, 3), (9, 5)])
def test_two_hosts_hold_no_election_that_neither_can_win(hosts: int, candidates: int) -> None:
    vnets = [d.vnet(f"v{n}", 20 + n, []) for n in range(20)]
    chosen = of(compile_network(vnets, [f"h{n:02}" for n in range(hosts)]).rows, "HA_Chassis")
    assert len(chosen) == 20 * candidates
    leaders = {c["chassis_name"] for c in chosen.values() if c["priority"] == 5}
    assert len(leaders) > 1 or hosts == 1, "the networks are spread all the same"


def test_members_that_are_down_get_nothing_new() -> None:
    balancers = of(compiled(world()).rows, "Load_Balancer")
    assert balancers["lb-f1-tcp"]["vips"] == {
        "203.0.113.10:80": "10.0.0.4:8080,10.0.0.6:8080",
        "203.0.113.10:2201": "10.0.0.4:22",
    }
    assert balancers["lb-f1-udp-source"]["selection_fields"] == frozenset({"ip_src", "ip_dst"})
    assert balancers["lb-f2-all"]["vips"] == {"10.0.0.100": "10.0.0.4,10.0.0.5,10.0.0.6"}


def test_public_frontends_are_on_router_and_switches_internal_ones_on_switches() -> None:
    rows = compiled(world()).rows
    public, internal = Ref("Load_Balancer", "lb-f1-tcp"), Ref("Load_Balancer", "lb-f2-all")
    router = of(rows, "Logical_Router")["lr-v1"]["load_balancer"]
    assert isinstance(router, frozenset)
    assert public in router and internal not in router
    for name in ("ls-s1", "ls-s2"):
        assert {public, internal} <= set(of(rows, "Logical_Switch")[name]["load_balancer"])


def test_outbound_addresses() -> None:
    rows = compiled(world()).rows
    nat = {c["logical_ip"]: (c["type"], c["external_ip"]) for c in of(rows, "NAT").values()}
    assert nat == {
        "10.0.1.4": ("dnat_and_snat", "203.0.113.9"),
        **{f"10.0.0.{n}": ("snat", "203.0.113.10") for n in (4, 5, 6)},
    }
    assert of(rows, "Address_Set")["as_out_v2"].get("addresses") is None


def test_outbound_can_be_declined_and_ruled() -> None:
    card = d.nic("c", "v1", "s1", "10.0.0.4")
    base = [d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")]), card]
    fronts = [d.public("f1", "203.0.113.10"), d.public("f2", "203.0.113.11")]
    web = d.balance("web", "f1", 80, 80, "p", disableOutboundSnat=True)
    declined = d.lb("lb", fronts, {"p": [card]}, rules=[web])
    assert of(compiled([*base, declined]).rows, "NAT") == {}
    outbound = {"name": "out", "frontends": ["f2"], "pool": "p", "protocol": "All"}
    ruled = d.lb("lb", fronts, {"p": [card]}, rules=[web], outboundRules=[outbound])
    assert [c["external_ip"] for c in of(compiled([*base, ruled]).rows, "NAT").values()] == ["203.0.113.11"]


def test_every_acl_matches_one_side_only() -> None:
    for acl in of(compiled(world()).rows, "ACL").values():
        sides = {"to-lport": ("outport ==", "inport"), "from-lport": ("inport ==", "outport")}
        present, absent = sides[str(acl["direction"])]
        assert present in str(acl["match"]) and absent not in str(acl["match"])


def test_tiers_follow_the_way_of_a_packet() -> None:
    acls = of(compiled(world()).rows, "ACL")
    tiers = {key: acl.get("tier", 0) for key, acl in acls.items()}
    assert tiers["pg_subnet_web_v1/in-http"] == tiers["pg_nic_web_v1/out-AllowVnetOutBound"] == 0
    assert tiers["pg_nic_web_v1/in-http"] == tiers["pg_subnet_web_v1/out-AllowVnetOutBound"] == 1
    http = str(acls["pg_subnet_web_v1/in-http"]["match"])
    assert "ip4.src == {$as_internet_v1, 10.9.0.0/16}" in http
    assert "(tcp.dst == 80 || (tcp.dst >= 8000 && tcp.dst <= 8010))" in http


def test_priorities_keep_azure_order_and_do_not_move() -> None:
    def priorities(*rules: dict[str, object]) -> dict[str, int]:
        cards = [d.nic("c", "v1", "s1", "10.0.0.4", nsg="n")]
        rows = compiled([d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")]), d.nsg("n", *rules), *cards]).rows
        return {key.split("/in-")[1]: c["priority"] for key, c in of(rows, "ACL").items() if "/in-" in key}

    few = priorities(d.rule("a", 100), d.rule("z", 4096))
    many = priorities(*(d.rule(f"r{n}", n) for n in range(101, 1100)), d.rule("a", 100), d.rule("z", 4096))
    assert {name: many[name] for name in few} == few
    order = ["a", "r101", "r1099", "z", "AllowVnetInBound", "AllowAzureLoadBalancerInBound", "DenyAllInBound"]
    assert [many[name] for name in order] == sorted((many[name] for name in order), reverse=True)
    assert len(set(many.values())) == len(many)


def test_internet_is_what_is_neither_inside_nor_platform() -> None:
    from ipaddress import IPv4Address, IPv4Network

    addresses = of(compiled(world()).rows, "Address_Set")["as_internet_v1"]["addresses"]
    assert isinstance(addresses, frozenset)
    networks = [IPv4Network(str(a)) for a in addresses]

    def internet(address: str) -> bool:
        return any(IPv4Address(address) in net for net in networks)

    assert not any(map(internet, ("10.0.0.0", "10.0.255.255", "168.63.129.16", "169.254.169.254")))
    assert all(map(internet, ("9.255.255.255", "10.1.0.0", "168.63.129.15", "168.63.129.17", "0.0.0.0", "255.255.255.255")))


def test_ipv6_prefixes_open_nothing() -> None:
    six, both = d.rule("six", 100, source=["fd00::/8"]), d.rule("both", 101, source=["fd00::/8", "10.9.0.0/16"])
    cards = [d.nic("c", "v1", "s1", "10.0.0.4", nsg="n")]
    result = compiled([d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")]), d.nsg("n", six, both), *cards])
    acls = of(result.rows, "ACL")
    assert not result.faults and "pg_nic_n_v1/in-six" not in acls
    assert "ip4.src == {10.9.0.0/16}" in str(acls["pg_nic_n_v1/in-both"]["match"])


def test_exposed_without_a_group_is_closed() -> None:
    base = [d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")]), d.nsg("n")]
    bare = d.nic("c", "v1", "s1", "10.0.0.4", public="203.0.113.9")
    assert "pg_closed_v1" in of(compiled([*base, bare]).rows, "Port_Group")
    assert "pg_closed_v1" not in of(compiled([*base, d.nic("c", "v1", "s1", "10.0.0.4")]).rows, "Port_Group")
    guarded = d.nic("c", "v1", "s1", "10.0.0.4", public="203.0.113.9", nsg="n")
    assert "pg_closed_v1" not in of(compiled([*base, guarded]).rows, "Port_Group")


def test_a_missing_or_unreadable_group_cuts_off() -> None:
    base = [d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")]), d.nic("c", "v1", "s1", "10.0.0.4", nsg="n")]
    for extra in ([], [d.nsg("n", d.rule("bad", 100, ports=["70000"]))], [d.nsg("n", d.rule("bad", 100, protocol="Gre"))]):
        result = compiled([*base, *extra])
        assert of(result.rows, "Port_Group")["pg_cut_v1"]["ports"] == frozenset({Ref("Logical_Switch_Port", "nic-c")})
        assert set(result.faults) == {("nsg", "n")} if extra else not result.faults


def test_one_bad_document_stops_no_other() -> None:
    good = world()
    bad = [
        d.desire("nic", {"uid": "bad1", "id": "/x"}),
        d.nic("bad2", "v1", "nowhere", "10.0.0.9"),
        d.nic("bad3", "v1", "s1", "10.0.0.4"),
        d.desire("vnet", {**d.vnet("bad4", 19, []).payload, "addressPrefixes": ["fd00::/64"]}),
        d.lb("bad5", [d.public("f9", "203.0.113.99")], {}, rules=[d.balance("r", "f9", 1, 1, "nopool")]),
        d.desire("cat", {"uid": "bad6"}),
    ]
    result = compiled([*good, *bad])
    assert {key for _, key in result.faults} == {"bad1", "bad2", "bad4", "bad5", "bad6", "c0"}
    assert result.faults["nic", "bad2"].retryable
    rest = {row: c for row, c in result.rows.items() if "bad3" not in row.key}
    assert len(rest) > len(compiled(good).rows) - 10


def test_removed_desires_leave_nothing() -> None:
    gone = [dataclasses.replace(x, removed=True) for x in world()]
    assert compiled(gone).rows == {}


def test_forwarding_cards_may_not_pose_as_the_platform() -> None:
    card = d.nic("nva", "v1", "s1", "10.0.0.4", ipForwarding=True)
    rows = compiled([d.vnet("v1", 17, [d.subnet("s1", "10.0.0.0/24")]), card]).rows
    assert of(rows, "Logical_Switch_Port")["nic-nva"]["port_security"] == frozenset({"00:0d:3a:00:00:04"})
    acls = of(rows, "ACL")
    assert acls["pg_forwarder_nva/posing"]["action"] == "drop"
    assert acls["pg_forwarder_nva/foreign"]["action"] == "drop"


def test_names_are_forward_and_reverse_and_left_to_own_servers() -> None:
    names = of(compiled(world()).rows, "DNS")
    assert set(names) == {"dns-v1"}
    records = names["dns-v1"]["records"]
    assert isinstance(records, dict)
    assert records["c0.v1.internal.lazur.internal"] == records["c0"] == "10.0.0.4"
    assert records["4.0.0.10.in-addr.arpa"] == "c0.v1.internal.lazur.internal"


@given(st.sets(st.integers(0, 10)), st.sets(st.integers(0, 10)))
@settings(max_examples=60)
def test_diff_leads_from_any_state_to_any_other(before: set[int], after: set[int]) -> None:
    everything = world()
    old = compiled([x for n, x in enumerate(everything) if n in before]).rows
    new = compiled([x for n, x in enumerate(everything) if n in after]).rows
    assert diff(new, new) == []
    assert apply_ops(old, diff(new, old)) == new


def test_one_more_card_is_a_small_change() -> None:
    before = compiled(world()).rows
    ops = diff(compiled([*world(), d.nic("more", "v1", "s1", "10.0.0.44")]).rows, before)
    assert len(ops) <= 6
