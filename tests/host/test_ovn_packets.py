"""What the compiler's rows do to real packets: three hosts, an edge and a client outside, in network namespaces."""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from lazur.model.desire import Desire
from tests.host.ovn_lab import Lab, eventually, why_not, within
from tests.network import desires as d

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

V1, V2 = "11111111-aaaa-4000-8000-000000000001", "22222222-bbbb-4000-8000-000000000002"
S1, S2, T1 = (f"33333333-cccc-4000-8000-00000000000{n}" for n in (1, 2, 3))
VIP, OTHER_VIP, OWN = "203.0.113.10", "203.0.113.11", "203.0.113.20"
CLIENT = "198.51.100.9"
CARDS = {
    "a": d.nic("a", V1, S1, "10.0.0.4"),
    "b": d.nic("b", V1, S1, "10.0.0.5"),
    "c": d.nic("c", V1, S2, "10.0.1.4"),
    "p": d.nic("p", V1, S2, "10.0.1.5", public=OWN),
    "twin": d.nic("twin", V2, T1, "10.0.0.4"),
    "peer": d.nic("peer", V2, T1, "10.0.0.6"),
}
PLACES = {"a": "h1", "b": "h2", "c": "h3", "p": "h1", "twin": "h1", "peer": "h2"}
OPEN = d.rule("http", 100, protocol="Tcp", ports=["80", "22"], source=["*"])


def network(
    *extra: Desire, web: Sequence[dict[str, Any]] = (OPEN,), guard: bool = True, down: Sequence[str] = ()
) -> list[Desire]:
    """The network of these tests; `web`: rules of the group on subnet S1, which `guard` says is there."""
    cards = dict(CARDS) | {x.key: x for x in extra if x.kind == "nic"}
    fronts = [d.public("f1", VIP), d.internal("f2", "10.0.0.100", V1, S1)]
    balancer = d.lb(
        "lb",
        fronts,
        {"pool": [cards["a"], cards["b"]]},
        rules=[
            d.balance("web", "f1", 80, 80, "pool", probe="probe"),
            d.balance("udp", "f1", 53, 5353, "pool", "Udp"),
            d.balance("inner", "f2", 8080, 80, "pool"),
        ],
        natRules=[d.forward("ssh-a", "f1", 2201, 22, cards["a"]), d.forward("ssh-b", "f1", 2202, 22, cards["b"])],
        down=list(down),
    )
    return [
        d.vnet(V1, 17, [d.subnet(S1, "10.0.0.0/24", "web" if guard else None), d.subnet(S2, "10.0.1.0/24")]),
        d.vnet(V2, 18, [d.subnet(T1, "10.0.0.0/24")]),
        d.nsg("web", *web),
        *cards.values(),
        *(x for x in extra if x.kind != "nic"),
        balancer,
    ]


class Overlay:
    """The lab with its executor running in the image's own Python."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        databases = ["unix:/mnt/central/nb.sock", "unix:/mnt/central/sb.sock"]
        command = lab.command("central", "python3", "/srv/tests/host/network_executor.py", *databases)
        self._executor = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def want(self, desires: Sequence[Desire]) -> list[dict[str, Any]]:
        """Reports once every host has what `desires` ask for."""
        assert self._executor.stdin and self._executor.stdout
        print(json.dumps([vars(x) for x in desires]), file=self._executor.stdin, flush=True)
        reports: list[dict[str, Any]] = json.loads(self._executor.stdout.readline())
        return reports

    def close(self) -> None:
        self._executor.kill()
        self._executor.communicate()


@pytest.fixture(scope="module", params=["geneve", "vxlan"])
def overlay(request: pytest.FixtureRequest) -> Iterator[Overlay]:
    lab = Lab("lzp", ["h1", "h2", "h3"], request.param)
    try:
        assert eventually(lambda: len(lab.sb("--bare", "--columns=name", "list", "chassis").split()) == 3)
        overlay = Overlay(lab)
        try:
            reports = overlay.want(network())
            assert {r["state"] for r in reports} == {"Ready"} and not any(r["observed"] for r in reports), reports
            for name, card in CARDS.items():
                configuration = card.payload["ipConfigurations"][0]
                prefix = configuration["address"].rsplit(".", 1)[0]
                address = f"{configuration['address']}/24"
                lab.guest(name, PLACES[name], card.payload["port"], card.payload["mac"], address, f"{prefix}.1")
                for port in (22, 80, 8443):
                    lab.serve(name, port)
                lab.serve(name, 5353, socket.SOCK_DGRAM)
            lab.serve("out", 80)
            overlay.want(network())
            yield overlay
        finally:
            overlay.close()
    finally:
        lab.close()


@pytest.fixture
def lab(overlay: Overlay) -> Lab:
    """The lab with the plain network on it."""
    overlay.want(network())
    return overlay.lab


def answers(lab: Lab, node: str, address: str, port: int, times: int = 12, seconds: float = 4.0) -> set[str | None]:
    """What `times` connections were answered, each within a time that a busy machine's lost first packet fits into."""
    return {lab.ask(node, address, port, seconds) for _ in range(times)}


def shut(lab: Lab, node: str, address: str, port: int) -> bool:
    """Whether new connections get no answer. A switch may use a decision it has cached for another moment."""
    return bool(eventually(lambda: answers(lab, node, address, port, 3, 1.0) == {None}))


def test_equal_prefixes_do_not_see_each_other(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("peer", "10.0.0.4", 80)) == "twin 10.0.0.6"
    assert eventually(lambda: lab.ask("b", "10.0.0.4", 80)) == "a 10.0.0.5"
    assert lab.ask("twin", "10.0.0.5", 80) is None
    assert lab.ask("c", "10.0.0.6", 80) is None


def test_routes_between_subnets_of_a_vnet(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("c", "10.0.0.5", 8443)) == "b 10.0.1.4"


def test_public_frontend_reaches_all_members_with_the_clients_address(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("out", VIP, 80))
    assert answers(lab, "out", VIP, 80, 30) == {f"a {CLIENT}", f"b {CLIENT}"}
    assert lab.ask_datagram("out", VIP, 53) in (f"a {CLIENT}".encode(), f"b {CLIENT}".encode(), None)


def test_nat_rules_lead_to_one_card_each(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("out", VIP, 2201)) == f"a {CLIENT}"
    assert lab.ask("out", VIP, 2202) == f"b {CLIENT}"


def test_security_group_opens_and_closes(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network(web=()))
    assert shut(lab, "out", VIP, 80)
    assert lab.ask("b", "10.0.0.4", 80) == "a 10.0.0.5", "inside the VNet the default rules allow"
    denial = d.rule("no", 101, access="Deny", source=["10.0.1.0/24"], ports=["80"], protocol="Tcp")
    overlay.want(network(web=[OPEN, denial]))
    assert eventually(lambda: lab.ask("out", VIP, 80)) in (f"a {CLIENT}", f"b {CLIENT}")
    assert lab.ask("c", "10.0.0.4", 80) == "a 10.0.1.4", "the smaller number wins"
    overlay.want(network(web=[{**denial, "priority": 100}, {**OPEN, "priority": 101}]))
    assert shut(lab, "c", "10.0.0.4", 80)
    assert lab.ask("out", VIP, 80) in (f"a {CLIENT}", f"b {CLIENT}")
    assert lab.ask("c", "10.0.0.4", 8443) == "a 10.0.1.4"


def test_plural_prefixes_and_ports_stop_what_they_name_and_nothing_else(overlay: Overlay) -> None:
    lab = overlay.lab
    sources, ports = ["10.0.1.0/29", "10.9.0.0/16"], ["22", "8000-9000"]
    denial = d.rule("no", 100, access="Deny", protocol="Tcp", source=sources, ports=ports)
    targets = d.rule("nor", 101, access="Deny", protocol="Tcp", source=sources, destination=["10.0.0.5", "10.0.0.77"])
    overlay.want(network(web=[denial, targets, {**OPEN, "priority": 102}]))
    assert shut(lab, "c", "10.0.0.4", 8443) and shut(lab, "c", "10.0.0.4", 22)
    assert eventually(lambda: lab.ask("c", "10.0.0.4", 80)) == "a 10.0.1.4", "a port between the named ones"
    assert shut(lab, "c", "10.0.0.5", 80)
    assert lab.ask("b", "10.0.0.4", 8443) == "a 10.0.0.5", "a source outside the named ones"
    assert lab.ask("out", VIP, 2201) == f"a {CLIENT}"


def test_service_tags_mean_whom_they_say(overlay: Overlay) -> None:
    lab = overlay.lab
    services(lab, "h1")
    internet = d.rule("internet", 100, protocol="Tcp", ports=["80"], source=["Internet"])
    overlay.want(network(web=[internet]))
    assert eventually(lambda: lab.ask("out", VIP, 80)) in (f"a {CLIENT}", f"b {CLIENT}")
    overlay.want(network(web=[{**internet, "access": "Deny"}]))
    assert shut(lab, "out", VIP, 80)
    assert lab.ask("c", "10.0.0.4", 80) == "a 10.0.1.4"
    overlay.want(network(web=[d.rule("own", 100, access="Deny", source=["VirtualNetwork"]), {**OPEN, "priority": 101}]))
    assert shut(lab, "c", "10.0.0.4", 80)
    assert eventually(lambda: lab.ask("out", VIP, 80)) in (f"a {CLIENT}", f"b {CLIENT}")
    overlay.want(network(web=[d.rule("probes", 100, access="Deny", source=["AzureLoadBalancer"]), {**OPEN, "priority": 101}]))
    assert shut(lab, "gs-h1", "10.0.0.4", 80)
    assert lab.ask("c", "10.0.0.4", 80) == "a 10.0.1.4"


def test_outbound_rules_hold_and_replies_pass(overlay: Overlay) -> None:
    lab = overlay.lab
    deny = d.rule("none", 200, direction="Outbound", access="Deny", destination=["Internet"])
    overlay.want(network(web=[OPEN, deny]))
    assert shut(lab, "a", CLIENT, 80)
    assert eventually(lambda: lab.ask("out", VIP, 80)) in (f"a {CLIENT}", f"b {CLIENT}")


def test_both_levels_must_allow(overlay: Overlay) -> None:
    lab = overlay.lab
    card = d.nic("a", V1, S1, "10.0.0.4", nsg="own")
    overlay.want(network(card, d.nsg("own", d.rule("only-ssh", 100, protocol="Tcp", ports=["22"]))))
    assert eventually(lambda: lab.ask("out", VIP, 2201)) == f"a {CLIENT}"
    assert eventually(lambda: answers(lab, "out", VIP, 80) == {f"b {CLIENT}", None})


def test_standard_addresses_are_closed_without_a_group(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network(guard=False))
    assert shut(lab, "out", VIP, 80)
    assert shut(lab, "out", OWN, 80)
    assert lab.ask("b", "10.0.0.4", 80) == "a 10.0.0.5"
    assert eventually(lambda: lab.ask("p", CLIENT, 80)) == f"out {OWN}", "replies come in"


def test_inside_clients_and_members_reach_the_frontends(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("c", VIP, 80))
    assert answers(lab, "c", VIP, 80) == {"a 10.0.1.4", "b 10.0.1.4"}
    own = answers(lab, "a", VIP, 80)
    assert {str(x).split()[0] for x in own} == {"a", "b"}, own
    assert answers(lab, "c", "10.0.0.100", 8080) == {"a 10.0.1.4", "b 10.0.1.4"}
    inner = answers(lab, "a", "10.0.0.100", 8080)
    assert {str(x).split()[0] for x in inner} == {"a", "b"}, inner


def test_outbound_translation(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("a", CLIENT, 80)) == f"out {VIP}"
    assert lab.ask("b", CLIENT, 80) == f"out {VIP}"
    assert lab.ask("p", CLIENT, 80) == f"out {OWN}"
    assert lab.ask("c", CLIENT, 80) is None, "without a public address nothing leaves"
    assert lab.ask("out", VIP, 80) in (f"a {CLIENT}", f"b {CLIENT}"), "the frontend still balances"


def test_guests_do_not_reach_the_transit_network(lab: Lab) -> None:
    edge = within(lab.namespace("edge"), lambda: socket.create_server(("10.239.4.1", 9999)))
    with edge:
        edge.settimeout(3)
        assert lab.ask("p", "10.239.4.1", 9999) is None
        with within(lab.namespace("out"), lambda: socket.create_connection(("10.239.4.1", 9999), timeout=3)):
            connection, peer = edge.accept()
            connection.close()
        assert peer[0] == CLIENT, "the same door is open to others"


def test_own_public_address(overlay: Overlay) -> None:
    lab = overlay.lab
    opened = d.nic("p", V1, S2, "10.0.1.5", public=OWN, nsg="web")
    overlay.want(network(opened))
    assert eventually(lambda: lab.ask("out", OWN, 80)) == f"p {CLIENT}"
    assert shut(lab, "out", OWN, 8443)


def test_members_out_of_rotation(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network())
    assert eventually(lambda: lab.ask("out", VIP, 80))
    held = within(lab.namespace("out"), lambda: socket.create_connection((VIP, 80), timeout=5))
    with held, held.makefile("rw") as stream:
        name = stream.readline().split()[0]
        other = {"a": "b", "b": "a"}[name]
        overlay.want(network(down=[f"probe/{name}"]))
        assert eventually(lambda: answers(lab, "out", VIP, 80) == {f"{other} {CLIENT}"})
        stream.write("still there?\n")
        stream.flush()
        assert stream.readline().split()[0] == name, "an established connection stays"
        overlay.want(network(down=["probe/a", "probe/b"]))
        assert shut(lab, "out", VIP, 80)
        stream.write("still there?\n")
        stream.flush()
        assert stream.readline().split()[0] == name, "an established connection stays"
    overlay.want(network())
    assert eventually(lambda: lab.ask("out", VIP, 80))


def services(lab: Lab, host: str) -> None:
    """Something that answers at the services' address of V1 on `host`."""
    name = f"gs-{host}"
    if not (lab.work / name).exists():
        lab.guest(name, host, f"gs-{V1}", "12:34:56:78:9a:bc", "168.63.129.16/24", "168.63.129.1")
        lab.ip("-n", lab.namespace(name), "addr", "add", "169.254.169.254/30", "dev", "eth0")
        lab.serve(name, 80)


def test_services_address_answers_on_each_host_whatever_the_group_says(overlay: Overlay) -> None:
    lab = overlay.lab
    everything = d.rule("all", 100, direction="Outbound", access="Deny")
    overlay.want(network(web=[everything]))
    for host in ("h1", "h2"):
        services(lab, host)
    assert eventually(lambda: lab.ask("a", "168.63.129.16", 80)) == "gs-h1 10.0.0.4"
    assert eventually(lambda: lab.ask("b", "169.254.169.254", 80)) == "gs-h2 10.0.0.5"
    assert eventually(lambda: lab.ask("gs-h1", "10.0.0.4", 80)) == "a 168.63.129.16", "probes pass the default rules"


def test_spoofed_sources_are_dropped(lab: Lab) -> None:
    assert eventually(lambda: lab.ask("c", "10.0.0.5", 80)) == "b 10.0.1.4"
    lab.ip("-n", lab.namespace("c"), "addr", "add", "10.0.1.77/24", "dev", "eth0")

    def ask() -> bool:
        with socket.socket() as channel:
            channel.settimeout(1)
            channel.bind(("10.0.1.77", 0))
            try:
                channel.connect(("10.0.0.5", 80))
            except OSError:
                return False
            return True

    assert within(lab.namespace("c"), ask) is False


def test_dhcp_tells_everything(lab: Lab) -> None:
    offered = within(lab.namespace("a"), lambda: discover(CARDS["a"].payload["mac"]))
    assert offered["address"] == "10.0.0.4"
    assert offered[54] == socket.inet_aton("168.63.129.16")
    assert offered[3] == socket.inet_aton("10.0.0.1")
    assert offered[6] == socket.inet_aton("168.63.129.16")
    assert offered[51] == b"\xff\xff\xff\xff"
    assert offered[26] == struct.pack("!H", 1500)
    assert offered[12] == b"a"
    assert offered[15] == f"{V1}.internal.lazur.internal".encode()
    gateway = socket.inet_aton("10.0.0.1")
    platform = b"\x20" + socket.inet_aton("168.63.129.16") + gateway
    metadata = b"\x20" + socket.inet_aton("169.254.169.254") + gateway
    assert offered[121] == platform + metadata + b"\x00" + gateway


def looked_up(lab: Lab, node: str, name: str) -> bytes | None:
    """The answer to a question for the addresses of `name`."""
    query = b"\x12\x34\x01\x00\x00\x01" + bytes(6)
    query += b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    return lab.ask_datagram(node, "168.63.129.16", 53, query + b"\x00\x01\x00\x01")


def test_internal_names(lab: Lab) -> None:
    answer = looked_up(lab, "a", f"b.{V1}.internal.lazur.internal")
    assert answer is not None and answer.endswith(socket.inet_aton("10.0.0.5"))


def test_names_of_public_addresses_in_every_network(overlay: Overlay) -> None:
    name = "shop.local.cloudapp.lazur.internal"
    overlay.want(network(d.desire("name", {"uid": "shop", "id": "/shop", "name": name, "address": VIP})))
    for node in ("a", "twin"):
        answer = eventually(partial(looked_up, overlay.lab, node, name))
        assert answer is not None and answer.endswith(socket.inet_aton(VIP)), node
    overlay.want(network(d.desire("name", {"uid": "shop", "id": "/shop", "name": name, "address": OWN})))
    assert eventually(lambda: (looked_up(overlay.lab, "a", name) or b"").endswith(socket.inet_aton(OWN)))


def test_every_form_of_rule_is_understood(overlay: Overlay) -> None:
    """A match that a host cannot parse is only a line in its log, and a rule that does not hold."""
    ports, prefixes = ["80", "443", "1000-2000"], ["10.1.0.0/16", "VirtualNetwork", "Internet", "AzureLoadBalancer", "1.2.3.4"]
    forms: list[dict[str, Any]] = [
        {"protocol": protocol, "source": source, "destination": prefixes, "ports": port, "source_ports": port}
        for protocol in ("Tcp", "Udp", "Icmp", "Esp", "Ah", "*")
        for source in (["*"], prefixes, ["Internet"])
        for port in (["*"], ["22"], ports)
    ]
    directions = ("Inbound", "Outbound")
    rules = [d.rule(f"r{n}", 100 + n, **form, direction=directions[n % 2]) for n, form in enumerate(forms)]
    forwarder = d.nic("nva", V1, S1, "10.0.0.9", ipForwarding=True)
    overlay.want(network(forwarder, web=rules))
    for host in overlay.lab.hosts:
        assert "error parsing" not in (overlay.lab.work / host / "controller.out").read_text()


def test_a_host_that_is_late_is_named_and_not_waited_for_twice(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network())
    lab.stop("h3", "controller")
    for rules in ([OPEN, d.rule("x", 300)], [OPEN, d.rule("x", 301)]):
        reports = overlay.want(network(web=rules))
        assert all(r["state"] == "Ready" and r["observed"] == {"behind": ["h3"]} for r in reports)
    assert eventually(lambda: lab.ask("out", VIP, 80)), "what is installed goes on working"
    lab.start_controller("h3")
    assert eventually(lambda: not any(r["observed"] for r in overlay.want(network())))


def test_packets_flow_without_the_central_databases(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network())
    assert eventually(lambda: lab.ask("out", VIP, 80))
    for name in ("northd", "nb", "sb"):
        lab.stop("central", name)
    assert None not in answers(lab, "out", VIP, 80, 20)
    assert lab.ask("c", VIP, 80) is not None
    assert within(lab.namespace("a"), lambda: discover(CARDS["a"].payload["mac"]))["address"] == "10.0.0.4"
    assert overlay.want(network(web=()))[0]["error"]["code"] == "ServiceUnavailable"
    for which in ("nb", "sb"):
        (lab.work / "central" / f"{which}.sock").unlink()
        lab.start_database(which)
        assert eventually((lab.work / "central" / f"{which}.sock").exists)
    lab.start_northd()
    assert eventually(lambda: {r["state"] for r in overlay.want(network())} == {"Ready"}, 60)
    assert eventually(lambda: lab.ask("out", VIP, 80))


def test_another_host_takes_over_a_gateway(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network())
    port = lab.sb("--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port=cr-lrp-ext-{V1}").strip()
    gateway = lab.sb("--bare", "--columns=name", "list", "Chassis", port).strip()
    survivors = {f"{name} {CLIENT}" for name in ("a", "b") if PLACES[name] != gateway}
    lab.stop(gateway, "vswitchd")
    assert eventually(lambda: lab.ask("out", VIP, 80) in survivors, 30)
    lab.revive_switch(gateway)
    assert eventually(lambda: answers(lab, "out", VIP, 80) == {f"a {CLIENT}", f"b {CLIENT}"}, 60)


def test_a_spoiled_row_is_repaired_and_removal_leaves_nothing(overlay: Overlay) -> None:
    lab = overlay.lab
    overlay.want(network())
    lab.nb("lsp-set-addresses", "nic-a", "00:00:00:00:00:99 10.0.0.99")
    lab.nb("lr-nat-del", f"lr-{V1}")
    overlay.want(network())
    assert "10.0.0.4" in lab.nb("lsp-get-addresses", "nic-a")
    assert VIP in lab.nb("lr-nat-list", f"lr-{V1}")
    lab.nb("ls-add", "somebody-elses")
    gone = overlay.want([dataclasses.replace(x, removed=True, generation=2) for x in network()])
    assert {r["state"] for r in gone} == {"Gone"}
    assert lab.nb("--bare", "--columns=name", "list", "Logical_Switch").split() == ["somebody-elses"]
    for table in ("Logical_Router", "Load_Balancer", "Port_Group", "Address_Set", "DHCP_Options", "DNS", "ACL", "NAT"):
        assert lab.nb("--bare", "--columns=_uuid", "list", table) == ""


def discover(mac: str) -> dict[Any, Any]:
    """The offer to a DHCPDISCOVER from the card's own MAC: address and options by number."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    message = b"\x01\x01\x06\x00" + b"\x00\x00\x00\x07" + bytes(20) + hardware + bytes(10 + 192)
    message += b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x08\x01\x03\x06\x0c\x0f\x1a\x33\x79" + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    words = sum(struct.unpack("!10H", head))
    checksum = 0xFFFF - ((words & 0xFFFF) + (words >> 16))
    head = head[:10] + struct.pack("!H", checksum) + head[12:]
    frame = b"\xff" * 6 + hardware + b"\x08\x00" + head + udp
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as channel:
        channel.bind(("eth0", 0x0800))
        channel.settimeout(3)
        for _ in range(5):
            channel.send(frame)
            while True:
                try:
                    packet = channel.recv(4096)
                except TimeoutError:
                    break
                if packet[23] == 17 and packet[34:38] == b"\x00\x43\x00\x44":
                    return options_of(packet[42:])
    raise AssertionError("no DHCP offer")


def options_of(message: bytes) -> dict[Any, Any]:
    """Address and options of a BOOTP message."""
    out: dict[Any, Any] = {"address": socket.inet_ntoa(message[16:20])}
    rest = message[240:]
    while rest and rest[0] != 255:
        out[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return out
