"""The auditor: compares what is wanted with what is there, for every resource and every object on every host.

Gathering looks, comparing is pure. A finding names the object and what is wrong with it. Must never repair anything: that
is the executors' work, and an auditor that repairs hides their mistakes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lazur.kernel.ids import short
from lazur.lifecycle.rack import Rack, layout

FINAL = ("Succeeded", "Failed", "Canceled")


@dataclass(frozen=True)
class Finding:
    """One difference: where, what kind of object, which one, and what is wrong."""

    where: str
    kind: str
    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind} {self.name}: {self.problem}"


@dataclass(frozen=True)
class Facts:
    """Everything that was seen; hosts by name."""

    control: Mapping[str, Any]
    network: Mapping[str, Any]
    storage: Mapping[str, Any]
    hosts: Mapping[str, Mapping[str, Any]]


def gather(rack: Rack) -> Facts:
    """Look into every container; raises when one cannot be looked into."""

    def ask(container: str, what: str) -> Any:
        argv = ["/usr/bin/python3", "-P", "-m", "lazur.lifecycle.inspect", what]
        return json.loads(rack.container(container).run(argv).stdout)

    hosts = [n for n in rack.names if layout.kind_of(n) == "host"]
    # Most of each look is the start of a process.
    with ThreadPoolExecutor() as pool:
        central = [pool.submit(ask, layout.CONTROL, what) for what in ("network", "storage")]
        control = ask(layout.CONTROL, "control")
        # One that was declared lost cannot be looked into, and holds nothing that anybody counts on.
        seen = {h: pool.submit(ask, h, "host") for h in hosts if h not in control["lost"]}
        network, storage = (future.result() for future in central)
        return Facts(control, network, storage, {h: future.result() for h, future in seen.items()})


def audit(facts: Facts) -> list[Finding]:
    """Every difference between wanted and actual, in a fixed order."""
    lost = {f"host/{name}" for name in facts.control["lost"]}
    # What a lost host was to take away waits for its return, whoever asked for it.
    desires = [d for d in facts.control["desires"] if d["domain"] not in lost or not d["removed"]]
    found = [
        *_documents({**facts.control, "desires": desires}),
        *_overlay(facts.network, facts.hosts.keys(), desires),
        *_disks(facts.storage, [d for d in desires if d["domain"] == "storage/main"]),
    ]
    for name, seen in sorted(facts.hosts.items()):
        wanted = [d for d in desires if d["domain"] == f"host/{name}"]
        found += _machines(name, seen, wanted)
    return found


def _documents(control: Mapping[str, Any]) -> Iterator[Finding]:
    """Resources that never came to rest, desires nobody owns or answered, claims and references of nobody."""
    known = {r["id"].lower() for r in control["resources"]}
    for resource in control["resources"]:
        if resource["deleting"]:
            yield Finding("control", "resource", resource["id"], "is still being deleted")
        elif resource["state"] not in FINAL or resource["observed"] < resource["generation"]:
            yield Finding("control", "resource", resource["id"], f"is not settled: {resource['state']}")
    for desire in control["desires"]:
        name = f"{desire['domain']} {desire['kind']} {desire['key']}"
        if desire["owner"] not in known:
            yield Finding("control", "desire", name, f"its owner {desire['owner']} is gone")
        elif desire["removed"]:
            yield Finding("control", "desire", name, "is removed but not gone")
        elif desire["reported"] != desire["generation"]:
            yield Finding("control", "desire", name, "was not answered at its present generation")
        elif desire["state"] == "Pending":
            yield Finding("control", "desire", name, "is still pending")
    for owner, what in control["orphans"]:
        yield Finding("control", "claim", what, f"its owner {owner} is gone")


def _overlay(network: Mapping[str, Any], hosts: Collection[str], desires: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Rows that differ, hosts that do not take part, ports of running machines that are up nowhere or elsewhere."""
    for line in network["drift"]:
        problem, _, row = line.partition(": ")
        yield Finding("network", "row", row, f"is {problem}")
    for host in sorted(set(hosts) - set(network["chassis"])):
        yield Finding("network", "chassis", host, "takes no part in the overlay")
    wanted = {d["payload"]["name"] for d in desires if d["kind"] == "host" and not d["removed"]}
    for host in sorted(set(network["chassis"]) - wanted):
        yield Finding("network", "chassis", host, "belongs to no host")
    for desire in desires:
        payload = desire["payload"]
        if desire["kind"] != "vm" or desire["removed"] or payload["power"] != "running":
            continue
        home = desire["domain"].partition("/")[2]
        for port in [nic["port"] for nic in payload["nics"]]:
            found = network["bindings"].get(port)
            if found != home:
                yield Finding("network", "port", port, f"should be up on {home} and is {'on ' + found if found else 'down'}")


def _disks(storage: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    paths = {d["payload"]["path"] for d in wanted if not d["removed"]}
    there = set(storage["disks"])
    for path in sorted(paths - there):
        yield Finding("storage", "disk", path, "is missing")
    for path in sorted(there - paths):
        yield Finding("storage", "disk", path, "belongs to no disk resource")


def _machines(host: str, seen: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Processes, taps and namespaces of one host."""
    payloads = {d["payload"]["uid"]: d["payload"] for d in wanted if d["kind"] == "vm" and not d["removed"]}
    machines: Mapping[str, Mapping[str, Any]] = seen["machines"]
    for uid, payload in sorted(payloads.items()):
        phase = machines.get(uid, {}).get("phase", "absent")
        running = machines.get(uid, {}).get("pid") is not None
        if payload["power"] == "running" and not running:
            yield Finding(host, "machine", payload["name"], f"should run and is {phase}")
        if payload["power"] == "stopped" and running:
            yield Finding(host, "machine", payload["name"], "should be stopped and runs")
    for uid in sorted(machines.keys() - payloads.keys()):
        yield Finding(host, "machine", uid, "belongs to no machine resource")
    pids = {m["pid"] for m in machines.values()}
    for pid in seen["processes"]:
        if pid not in pids:
            yield Finding(host, "process", str(pid), "is a machine process nobody knows")
    yield from _ports(host, seen, payloads)


def _ports(host: str, seen: Mapping[str, Any], payloads: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    running = [p for p in payloads.values() if p["power"] == "running"]
    ports = {nic["port"] for p in payloads.values() for nic in p["nics"]}
    needed = {nic["port"] for p in running for nic in p["nics"]}
    there = set(seen["taps"].values())
    for port in sorted(needed - there):
        yield Finding(host, "tap", port, "is missing")
    for tap, port in sorted(seen["taps"].items()):
        if port not in ports:
            yield Finding(host, "tap", tap, "belongs to no network interface")
    vnets = {f"gs-{short(nic['vnet'])}": nic["vnet"] for p in payloads.values() for nic in p["nics"]}
    for name in sorted(set(seen.get("ports", ())) - vnets.keys()):
        yield Finding(host, "port", name, "is on the integration bridge and belongs to nothing")
    for name in sorted(set(seen["namespaces"]) - vnets.keys()):
        yield Finding(host, "namespace", name, "belongs to no virtual network with machines here")
    for name in sorted(vnets.keys() - set(seen["namespaces"])):
        yield Finding(host, "namespace", name, "is missing")
