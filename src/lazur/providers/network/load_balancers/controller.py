"""Load balancer -> one desire of the network domain and one probe desire per host that has members.

What the hosts' probers report comes back as `down` members of the network desire; with the control plane dead the last
state holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lazur.control.context import Context
from lazur.control.plan import Gone, Plan, Waiting, outcome_of
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import DesireRecord, Record, Wanted
from lazur.providers.network.common import subnet_uid


class Member(NamedTuple):
    """An address in a pool or behind a NAT rule, with the machine it belongs to and that machine's host."""

    nic: str
    address: str
    vnet: str
    vm: str | None
    host: str | None

    @property
    def target(self) -> dict[str, Any]:
        """The member as desires name it."""
        return {"nic": self.nic, "address": self.address, "vnet": self.vnet}


Members = Mapping[str, Sequence[Member]]
"""By the key of the pool or NAT rule they joined."""


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the balancer with its present members, and every member probed by its own host."""
    members = _members(context, record)
    stored = context.desires(record)
    probes = _probe_desires(record, members)
    balancer = Wanted("network/main", "lb", record.uid, _payload(context, record, members, _down(record, members, stored)))
    outcome = outcome_of([d for d in stored if d.wanted.domain == "network/main"], [balancer])
    return Plan(outcome, desires=[balancer, *probes])


async def dismantle(context: Context, record: Record) -> Plan:
    """Take it out of the network; probes only read, and a host that does not answer keeps them from nobody."""
    left = [d for d in context.desires(record) if d.wanted.domain == "network/main"]
    return Plan(Waiting("removing") if left else Gone(), desires=())


def _uid(record: Record, kind: str, name: str) -> str:
    return derived(record.uid, kind, name.lower())


def _members(context: Context, record: Record) -> Members:
    found: dict[str, list[Member]] = {}
    for reference in context.store.referrers(record.key):
        nic = context.store.get(reference.source)
        if nic is None or nic.deleting or "card" not in nic.status:
            continue
        name = reference.path.partition("[")[2].partition("]")[0]
        status, there = nic.status, not nic.status.get("going", False)
        member = Member(
            nic.uid, nic.allocated["addresses"][name], status["card"]["vnet"], status.get("vm"),
            status.get("host") if there else None,
        )  # fmt: skip
        found.setdefault(reference.target, []).append(member)
    return found


def _probed(record: Record, members: Members) -> Iterator[tuple[str, Member]]:
    """Names of probes and the members they look at, for every rule that has one."""
    for rule in record.properties.get("loadBalancingRules", []):
        if rule["properties"].get("probe"):
            name = ArmId.parse(rule["properties"]["probe"]["id"]).name.lower()
            for pool in _pools_of(rule["properties"]):
                yield from ((name, member) for member in members.get(pool.lower(), ()))


def _down(record: Record, members: Members, stored: Sequence[DesireRecord]) -> list[str]:
    """Members out of rotation: everything probed that no host says is up."""
    up = {name for d in stored if d.wanted.kind == "probes" and not d.removed for name in d.observed.get("up", [])}
    return sorted({f"{_uid(record, 'probe', name)}/{member.nic}" for name, member in _probed(record, members)} - up)


def _pools_of(said: Mapping[str, Any]) -> list[str]:
    single = [said["backendAddressPool"]["id"]] if said.get("backendAddressPool") else []
    return list(dict.fromkeys([*single, *(p["id"] for p in said.get("backendAddressPools", []))]))


def _probe_desires(record: Record, members: Members) -> list[Wanted]:
    declared = {p["name"].lower(): p for p in record.properties.get("probes", [])}
    by_host: dict[str, dict[str, dict[str, Any]]] = {}
    for name, member in _probed(record, members):
        if member.host is not None:
            entry = by_host.setdefault(member.host, {}).setdefault(name, _probe(record, declared[name]))
            target = {**member.target, "vm": member.vm}
            if target not in entry["targets"]:
                entry["targets"].append(target)
    return [
        Wanted(f"host/{host}", "probes", record.uid, {"lb": record.uid, "probes": [found[n] for n in sorted(found)]})
        for host, found in sorted(by_host.items())
    ]


def _probe(record: Record, probe: Mapping[str, Any]) -> dict[str, Any]:
    said = probe["properties"]
    threshold = said.get("probeThreshold") or said.get("numberOfProbes") or 2
    return {
        "uid": _uid(record, "probe", probe["name"]),
        "protocol": said["protocol"],
        "port": said["port"],
        "path": said.get("requestPath"),
        "intervalSeconds": said.get("intervalInSeconds", 15),
        "threshold": threshold,
        "targets": [],
    }


def _payload(context: Context, record: Record, members: Members, down: list[str]) -> dict[str, Any]:
    said = record.properties
    return {
        "id": record.key,
        "uid": record.uid,
        "name": record.id.name,
        "frontends": [_frontend(context, record, f) for f in said.get("frontendIPConfigurations", [])],
        "pools": [_pool(record, members, p) for p in said.get("backendAddressPools", [])],
        "rules": [_rule(record, r) for r in said.get("loadBalancingRules", [])],
        "natRules": [_nat_rule(record, members, r) for r in said.get("inboundNatRules", [])],
        "outboundRules": [_outbound(record, r) for r in said.get("outboundRules", [])],
        "down": down,
    }


def _frontend(context: Context, record: Record, frontend: Mapping[str, Any]) -> dict[str, Any]:
    said = frontend["properties"]
    out = {"uid": _uid(record, "frontend", frontend["name"]), "name": frontend["name"], "vnet": None, "subnet": None}
    if said.get("publicIPAddress"):
        public = context.get(said["publicIPAddress"]["id"])
        return {**out, "kind": "public", "address": public.allocated.get("address") if public else None}
    subnet = ArmId.parse(said["subnet"]["id"])
    vnet = context.get(subnet)
    return {
        **out,
        "kind": "internal",
        "address": record.allocated["addresses"].get(frontend["name"]),
        "vnet": vnet.uid if vnet else None,
        "subnet": subnet_uid(vnet, subnet.name) if vnet else None,
    }


def _pool(record: Record, members: Members, pool: Mapping[str, Any]) -> dict[str, Any]:
    joined = members.get(record.id.child("backendAddressPools", pool["name"]).key, ())
    rows = [m.target for m in sorted(joined, key=lambda m: m.address)]
    return {"uid": _uid(record, "pool", pool["name"]), "name": pool["name"], "members": rows}


def _names(record: Record, kind: str, ids: list[str]) -> list[str]:
    return [_uid(record, kind, ArmId.parse(i).name) for i in ids]


def _rule(record: Record, rule: Mapping[str, Any]) -> dict[str, Any]:
    said = rule["properties"]
    return {
        "name": rule["name"],
        "frontend": _names(record, "frontend", [said["frontendIPConfiguration"]["id"]])[0],
        "protocol": said["protocol"],
        "frontendPort": said["frontendPort"],
        "backendPort": said.get("backendPort", said["frontendPort"]),
        "pools": _names(record, "pool", _pools_of(said)),
        "probe": _names(record, "probe", [said["probe"]["id"]])[0] if said.get("probe") else None,
        "distribution": said.get("loadDistribution", "Default"),
        "disableOutboundSnat": said.get("disableOutboundSnat", False),
        "idleTimeoutInMinutes": said.get("idleTimeoutInMinutes", 4),
        "floatingIp": said.get("enableFloatingIP", False),
    }


def _nat_rule(record: Record, members: Members, rule: Mapping[str, Any]) -> dict[str, Any]:
    said = rule["properties"]
    joined = members.get(record.id.child("inboundNatRules", rule["name"]).key, ())
    return {
        "name": rule["name"],
        "frontend": _names(record, "frontend", [said["frontendIPConfiguration"]["id"]])[0],
        "protocol": said.get("protocol", "Tcp"),
        "frontendPort": said["frontendPort"],
        "backendPort": said["backendPort"],
        "target": joined[0].target if joined else None,
    }


def _outbound(record: Record, rule: Mapping[str, Any]) -> dict[str, Any]:
    said = rule["properties"]
    return {
        "name": rule["name"],
        "frontends": _names(record, "frontend", [f["id"] for f in said["frontendIPConfigurations"]]),
        "pool": _names(record, "pool", [said["backendAddressPool"]["id"]])[0],
        "protocol": said["protocol"],
    }
