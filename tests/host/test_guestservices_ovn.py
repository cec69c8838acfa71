"""The guest services behind the compiled overlay: what a guest reaches through its own router, on two real OVN hosts."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dns.message
import dns.rcode
import pytest

from tests.guestservices.cloud import ledger_write, probes, vm
from tests.host.ovn_lab import ROOT, Lab, eventually, why_not, within
from tests.host.test_ovn_packets import Overlay
from tests.network import desires as d

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

RED, BLUE = "11111111-aaaa-4000-8000-00000000000a", "22222222-bbbb-4000-8000-00000000000b"
RED_SUBNET, BLUE_SUBNET = "33333333-cccc-4000-8000-00000000000a", "33333333-cccc-4000-8000-00000000000b"
WIRE, METADATA = "168.63.129.16", "169.254.169.254"
# Guest, host, virtual network, subnet, address: two of them have the same one on the same host.
GUESTS = (
    ("ann", "h1", RED, RED_SUBNET, "10.0.0.4"),
    ("bob", "h1", BLUE, BLUE_SUBNET, "10.0.0.4"),
    ("cy", "h2", RED, RED_SUBNET, "10.0.0.5"),
)

_RUN = """
import asyncio, json, ssl, sys
from pathlib import Path
from lazur.guestservices import GuestServicesSettings, HttpTokens, run
from lazur.kernel.clock import SystemClock
root, prefix, vsctl, db = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
asyncio.run(run(GuestServicesSettings(ledger=root / "ledger", runtime=root / "run", certificates=root / "certificates",
    ovs_vsctl=tuple(vsctl), ovs_db=db, prefix=prefix, poll_seconds=0.1), SystemClock(),
    HttpTokens("https://127.0.0.1:9", ssl.create_default_context())))
"""


class Services:
    """The guest-service process of one host of the lab, with the root it works in."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.prefix = f"{host[1]}{os.getpid() % 1000:03}-"
        self.root = lab.work / host / "guestservices"
        self.root.mkdir()
        libraries = f"{lab.image}/usr/lib/x86_64-linux-gnu"
        vsctl = [f"{lab.image}/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{lab.image}/usr/bin/ovs-vsctl"]
        database = f"unix:{lab.work}/{host}/db.sock"
        # Not `ip netns exec`: the namespaces made by the process would be mounted where only it sees them.
        enter = ["nsenter", f"--net=/run/netns/{lab.namespace(host)}", sys.executable, "-c", _RUN]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*enter, str(self.root), self.prefix, json.dumps(vsctl), database], env=environment, stderr=log
            )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        print((self.root / "log").read_text())
        for path in Path("/run/netns").glob(f"{self.prefix}*"):
            subprocess.run(["ip", "netns", "delete", path.name], check=False)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Lab, dict[str, Services]]]:
    lab = Lab("lzs", ["h1", "h2"])
    services: dict[str, Services] = {}
    try:
        assert eventually(lambda: len(lab.sb("--bare", "--columns=name", "list", "chassis").split()) == 2)
        overlay = Overlay(lab)
        try:
            _build(lab, overlay)
        finally:
            overlay.close()
        for host in lab.hosts:
            services[host] = Services(lab, host)
            for name, place, vnet, _, address in GUESTS:
                if place == host:
                    ledger_write(services[host].root / "ledger", "vm", name, vm(name, vnet, address))
        yield lab, services
    finally:
        for service in services.values():
            service.close()
        lab.close()


def _build(lab: Lab, overlay: Overlay) -> None:
    cards = {name: d.nic(name, vnet, subnet, address) for name, _, vnet, subnet, address in GUESTS}
    wanted = [
        d.vnet(RED, 27, [d.subnet(RED_SUBNET, "10.0.0.0/24", "web")]),
        d.vnet(BLUE, 28, [d.subnet(BLUE_SUBNET, "10.0.0.0/24")]),
        d.nsg("web"),
        *cards.values(),
    ]
    assert {report["state"] for report in overlay.want(wanted)} == {"Ready"}
    for name, host, _, _, address in GUESTS:
        payload = cards[name].payload
        lab.guest(name, host, payload["port"], payload["mac"], f"{address}/24", "10.0.0.1")
        lab.serve(name, 8080)


def get(lab: Lab, node: str, address: str, path: str, port: int = 80, body: bytes | None = None) -> tuple[int, bytes] | None:
    """An answer to a guest, None when there is none."""

    def ask() -> tuple[int, bytes] | None:
        connection = http.client.HTTPConnection(address, port, timeout=3)
        try:
            connection.request("GET" if body is None else "PUT", path, body, {"Metadata": "true"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return None
        finally:
            connection.close()

    return within(lab.namespace(node), ask)


def container(lab: Lab, node: str) -> str | None:
    answer = get(lab, node, WIRE, "/machine/?comp=goalstate")
    return ElementTree.fromstring(answer[1]).findtext("Container/ContainerId") if answer and answer[0] == 200 else None


def test_each_guest_is_itself(served: tuple[Lab, dict[str, Services]]) -> None:
    lab, _ = served
    containers = {eventually(partial(container, lab, name)) for name, *_ in GUESTS}
    assert len(containers) == len(GUESTS) and None not in containers
    for name, *_ in GUESTS:
        path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
        assert get(lab, name, METADATA, path) == (200, f"vm-{name}".encode())


def test_much_data_passes_the_switch(served: tuple[Lab, dict[str, Services]]) -> None:
    lab, _ = served
    assert eventually(lambda: container(lab, "ann"))
    assert get(lab, "ann", WIRE, "/vmAgentLog", 32526, os.urandom(300_000)) == (200, b"")


def test_dns_of_the_switch_and_of_the_daemon_agree(served: tuple[Lab, dict[str, Services]]) -> None:
    lab, _ = served
    assert eventually(lambda: container(lab, "ann"))

    def ask(name: str, kind: str) -> Any:
        query = dns.message.make_query(name, kind)
        answer = eventually(lambda: lab.ask_datagram("ann", WIRE, 53, query.to_wire()))
        assert answer, (name, kind)
        return dns.message.from_wire(answer)

    zone = f"{RED}.internal.lazur.internal."
    assert [r.to_text() for rrset in ask(f"cy.{zone}", "A").answer for r in rrset] == ["10.0.0.5"]
    empty = ask(f"cy.{zone}", "AAAA")
    assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, []), "a name of another host was denied"
    assert ask(f"nobody.{zone}", "A").rcode() == dns.rcode.NXDOMAIN
    assert ask("example.com.", "A").rcode() == dns.rcode.REFUSED


def test_probes_reach_the_hosts_own_guests_through_the_security_group(served: tuple[Lab, dict[str, Services]]) -> None:
    _, services = served
    for name, host, vnet, _, address in GUESTS:
        ledger_write(services[host].root / "ledger", "probes", f"lb-{name}", probes("lb", vnet, address, 8080, None))

    for name, host, *_ in GUESTS:
        assert eventually(partial(up, services[host], f"lb-{name}")), name


def up(services: Services, lb: str) -> bool:
    """Whether some member of a balancer answers its probe."""
    try:
        found = json.loads((services.root / "run" / "probes.json").read_text())
    except OSError:
        return False
    return bool(found.get(lb, {}).get("up"))


def test_a_guest_that_answers_500_is_down_although_its_port_is_open(served: tuple[Lab, dict[str, Services]]) -> None:
    lab, services = served
    name, host, vnet, _, address = GUESTS[0]
    status = [200]

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    page = within(lab.namespace(name), lambda: http.server.ThreadingHTTPServer(("0.0.0.0", 8081), Page))
    serving = threading.Thread(target=page.serve_forever, daemon=True)
    serving.start()
    try:
        wish = probes("pages", vnet, address, 8081, "/", intervalSeconds=1)
        ledger_write(services[host].root / "ledger", "probes", "pages", wish)
        for answer in (200, 500, 200):
            status[0] = answer
            assert eventually(lambda: up(services[host], "pages") is (status[0] == 200)), answer
            assert lab.ask(name, address, 8080), "the port answers all the while"
    finally:
        page.shutdown()
        page.server_close()
        serving.join()


def test_the_source_of_a_probe_is_the_platforms_address(served: tuple[Lab, dict[str, Services]]) -> None:
    lab, services = served
    assert eventually(lambda: container(lab, "ann"))
    namespaces = [path.name for path in Path("/run/netns").glob(f"{services['h1'].prefix}*")]
    assert len(namespaces) == 2

    def connect() -> str:
        with socket.create_connection(("10.0.0.4", 8080), timeout=3, source_address=(WIRE, 0)) as connection:
            return connection.makefile().readline().strip()

    assert {within(name, connect) for name in namespaces} == {f"ann {WIRE}", f"bob {WIRE}"}
