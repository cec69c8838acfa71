"""Load balancer -> one desire of the network domain and one probe desire per host that has members.

What the hosts' probers report comes back as `down` members of the network desire; with the control plane dead the last
state holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazur.control.context import Context
from lazur.control.plan import Plan, outcome_of
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import DesireRecord, Record, Wanted
from lazur.providers.network.common import subnet_uid


@dataclass(frozen=True)
class Member:
    """An interface in a pool or behind a NAT rule, with the machine it belongs to."""

    nic: Record
    address: str
    vnet: str
    machine: Record | None


async def reconcile(context: Context, record: Record) -> Plan:
    """Want the balancer with its present members, and every member probed by its own host."""
    members = _members(context, record)
    probes = _probe_desires(context, record, members)
    stored = context.desires(record)
    payload = _payload(context, record, members, _down(record, members, stored))
    balancer = Wanted("network/main", "lb", record.uid, payload)
    outcome = outcome_of([d for d in stored if d.wanted.domain == "network/main"], [balancer])
    return Plan(outcome, desires=[balancer, *probes])


def _uid(record: Record, kind: str, name: str) -> str:
    return derived(record.uid, kind, name.lower())


def _members(context: Context, record: Record) -> Mapping[str, list[Member]]:
    """Members by the key of the pool or NAT rule they joined."""
    found: dict[str, list[Member]] = {}
    for reference in context.store.referrers(record.key):
        nic = context.store.get(reference.source)
        if nic is None or "ipConfigurations" not in nic.properties or nic.deleting:
            continue
        name = reference.path.partition("[")[2].partition("]")[0]
        configuration = next(c for c in nic.properties["ipConfigurations"] if c["name"] == name)
        vnet = context.get(ArmId.parse(configuration["properties"]["subnet"]["id"]))
        machines = context.sources(nic, "Microsoft.Compute/virtualMachines")
        member = Member(nic, nic.allocated["addresses"][name], vnet.uid if vnet else "", next(iter(machines.values()), None))
        found.setdefault(reference.target, []).append(member)
    return found


def _pool_members(record: Record, members: Mapping[str, list[Member]], id: str) -> list[Member]:
    return members.get(id.lower(), [])


def _down(record: Record, members: Mapping[str, list[Member]], stored: Any) -> list[str]:
    """Members out of rotation: everything probed that no host says is up."""
    up: set[str] = set()
    for desire in stored:
        if desire.wanted.kind == "probes" and not desire.removed:
            up |= set(_reported(desire))
    probed = {
        f"{_uid(record, 'probe', ArmId.parse(rule['properties']['probe']['id']).name)}/{member.nic.uid}"
        for rule in record.properties.get("loadBalancingRules", [])
        if rule["properties"].get("probe")
        for pool in _pools_of(rule["properties"])
        for member in _pool_members(record, members, pool)
    }
    return sorted(probed - up)


def _reported(desire: DesireRecord) -> list[str]:
    found: list[str] = desire.observed.get("up", [])
    return found


def _pools_of(said: Mapping[str, Any]) -> list[str]:
    single = [said["backendAddressPool"]["id"]] if said.get("backendAddressPool") else []
    return list(dict.fromkeys([*single, *(p["id"] for p in said.get("backendAddressPools", []))]))


def _probe_desires(context: Context, record: Record, members: Mapping[str, list[Member]]) -> list[Wanted]:
    by_host: dict[str, dict[str, dict[str, Any]]] = {}
    for rule in record.properties.get("loadBalancingRules", []):
        said = rule["properties"]
        if not said.get("probe"):
            continue
        name = ArmId.parse(said["probe"]["id"]).name.lower()
        probe = next(p for p in record.properties["probes"] if p["name"].lower() == name)
        for pool in _pools_of(said):
            for member in _pool_members(record, members, pool):
                host = member.machine.allocated.get("host") if member.machine else None
                if host is None or member.machine is None or member.machine.deleting:
                    continue
                entry = by_host.setdefault(host, {}).setdefault(name, _probe(record, probe))
                target = {
                    "nic": member.nic.uid, "vm": member.machine.uid, "vnet": member.vnet, "address": member.address,
                }  # fmt: skip
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


def _payload(context: Context, record: Record, members: Mapping[str, list[Member]], down: list[str]) -> dict[str, Any]:
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


def _pool(record: Record, members: Mapping[str, list[Member]], pool: Mapping[str, Any]) -> dict[str, Any]:
    joined = members.get(record.id.child("backendAddressPools", pool["name"]).key, [])
    rows = [{"nic": m.nic.uid, "address": m.address, "vnet": m.vnet} for m in joined]
    return {
        "uid": _uid(record, "pool", pool["name"]),
        "name": pool["name"],
        "members": sorted(rows, key=lambda r: r["address"]),
    }


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


def _nat_rule(record: Record, members: Mapping[str, list[Member]], rule: Mapping[str, Any]) -> dict[str, Any]:
    said = rule["properties"]
    joined = members.get(record.id.child("inboundNatRules", rule["name"]).key, [])
    target = {"nic": joined[0].nic.uid, "address": joined[0].address, "vnet": joined[0].vnet} if joined else None
    return {
        "name": rule["name"],
        "frontend": _names(record, "frontend", [said["frontendIPConfiguration"]["id"]])[0],
        "protocol": said.get("protocol", "Tcp"),
        "frontendPort": said["frontendPort"],
        "backendPort": said["backendPort"],
        "target": target,
    }


def _outbound(record: Record, rule: Mapping[str, Any]) -> dict[str, Any]:
    said = rule["properties"]
    return {
        "name": rule["name"],
        "frontends": _names(record, "frontend", [f["id"] for f in said["frontendIPConfigurations"]]),
        "pool": _names(record, "pool", [said["backendAddressPool"]["id"]])[0],
        "protocol": said["protocol"],
    }
