"""The network conformance suite on the simulated driver and on OVN's databases."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator

import pytest

from lazur.drivers.network.rows import Ref
from lazur.drivers.network.simulated import SimulatedNetwork
from lazur.identity.pki import Authority
from lazur.kernel.clock import SystemClock
from tests.drivers.network_conformance import CHECKS, Bench
from tests.host.ovn_lab import Lab, eventually, why_not


class SimulatedBench:
    """The simulated driver and its own switches."""

    def __init__(self) -> None:
        self.driver = SimulatedNetwork({"h01"})

    async def plant(self) -> None:
        self.driver.foreign.add("Logical_Switch theirs")

    async def spoil(self) -> None:
        port, switch = Ref("Logical_Switch_Port", "p1"), Ref("Logical_Switch", "sw2")
        self.driver.spoil(port, {"name": "p1", "addresses": frozenset({"00:00:00:00:00:66"})})
        self.driver.spoil(switch, None)

    async def join(self) -> None:
        self.driver.hosts.add("h09")

    async def cut(self) -> None:
        self.driver.reachable = False

    async def mend(self) -> None:
        self.driver.reachable = True


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_simulated(check: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        await check(SimulatedBench())

    asyncio.run(run())


@pytest.fixture(scope="module", params=["unix", "ssl"])
def ovn_failures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str | None]]:
    """Each check's failure, None where it passed, from one run in the host image."""
    databases = ["unix:/mnt/central/nb.sock", "unix:/mnt/central/sb.sock"]
    identity: list[str] = []
    options: list[str] = []
    pki = tmp_path_factory.mktemp("pki")
    if request.param == "ssl":
        databases = ["ssl:127.0.0.1:6641", "ssl:127.0.0.1:6642"]
        identity = [f"/mnt/pki/ovn.{end}" for end in ("key", "pem")] + ["/mnt/pki/ca.pem"]
        words = zip(("private-key", "certificate", "ca-cert"), identity, strict=True)
        options = [f"--{word}={path}" for word, path in words] + ["--remote=pssl:PORT:127.0.0.1"]
        Authority.open(pki, clock=SystemClock()).issue(pki, "ovn", ips=["127.0.0.1"], client=True)
    lab = Lab("lzd", central=options, files={"pki": pki})
    try:
        command = lab.command("central", "python3", "-m", "tests.drivers.network_conformance_ovn", *databases, *identity)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin and process.stdout
            failures = {}
            for line in process.stdout:
                event = json.loads(line)
                if "check" in event:
                    failures[event["check"]] = event["failure"]
                    continue
                disturb(lab, event["please"])
                print("done", file=process.stdin, flush=True)
        yield failures
    finally:
        lab.close()


def disturb(lab: Lab, what: str) -> None:
    match what:
        case "plant":
            lab.nb("ls-add", "theirs")
        case "spoil":
            lab.nb("lsp-set-addresses", "p1", "00:00:00:00:00:66", "--", "ls-del", "sw2")
        case "join":
            lab.sb("chassis-add", "h09", "geneve", "192.0.2.9")
        case "cut":
            lab.stop("central", "nb")
        case "mend":
            socket = lab.work / "central" / "nb.sock"
            socket.unlink(missing_ok=True)
            lab.start_database("nb")
            assert eventually(socket.exists)


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
@pytest.mark.parametrize("name", [check.__name__ for check in CHECKS])
def test_ovn(ovn_failures: dict[str, str | None], name: str) -> None:
    assert name in ovn_failures, "the run in the host image ended early"
    assert ovn_failures[name] is None, ovn_failures[name]
