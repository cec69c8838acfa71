"""Security groups as rows: port groups, address sets and ACLs in three tiers.

Tier 0 is the level a packet meets first (subnet on the way in, card on the way out), tier 1 the other one. There an
allowing rule passes the packet on and a denying one drops it. Tier 2 lets through, statefully, what nobody dropped. Each
ACL matches the port it guards and no other (`outport` on the way in, `inport` on the way out), which is all that OVN can
keep under VXLAN. Must never fail open: a card whose group is missing or unreadable is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, collapse_addresses, ip_network

from lazur.drivers.network.rows import Ref
from lazur.kernel.errors import LazurError
from lazur.providers.network.compiler.draft import Draft, group
from lazur.providers.network.compiler.state import Nic, Nsg, Rule, Vnet
from lazur.providers.network.compiler.vnet import METADATA, PLATFORM

_IN, _OUT = "to-lport", "from-lport"
_FIRST, _SECOND, _LAST = 0, 1, 2
_SERVICES = f"{{{PLATFORM}, {METADATA}}}"
_PROTOCOLS = {"tcp": "tcp", "udp": "udp", "icmp": "icmp4", "esp": "ip.proto == 50", "ah": "ip.proto == 51"}


def check_nsg(nsg: Nsg) -> LazurError | None:
    """Why a security group cannot be enforced; such a group guards as if it were missing."""
    try:
        for rule in nsg.rules:
            _match(rule, "x", "y", "z")
            _priority(rule)
    except ValueError as error:
        return LazurError("NetworkDocumentInvalid", f"Security group {nsg.name}: {error}.", target=nsg.uid)
    return None


def compile_security(
    draft: Draft, vnet: Vnet, nsgs: Mapping[str, Nsg], nics: Sequence[Nic], exposed: frozenset[str]
) -> None:
    """ACLs for the cards of a VNet. `exposed`: uids of cards that can be reached through a public address."""
    inside = group("as", "vnet", vnet.uid)
    internet = group("as", "internet", vnet.uid)
    # Azure counts the host's own address as part of the tag VirtualNetwork.
    own = [*vnet.prefixes, IPv4Network(f"{PLATFORM}/32")]
    draft.put("Address_Set", inside, name=inside, addresses=frozenset(map(str, own)))
    rest = _complement((*own, IPv4Network(f"{METADATA}/32")))
    draft.put("Address_Set", internet, name=internet, addresses=frozenset(map(str, rest)))
    subnet_nsg = {subnet.uid: subnet.nsg for subnet in vnet.subnets}
    every = _Guard(draft, group("pg", "vnet", vnet.uid))
    closed = _Guard(draft, group("pg", "closed", vnet.uid))
    cut = _Guard(draft, group("pg", "cut", vnet.uid))
    guards: dict[tuple[str, bool], _Guard] = {}
    for nic in nics:
        every.add(nic)
        levels = [(subnet_nsg[nic.primary.subnet], True), (nic.nsg, False)]
        wanted = [(uid, at_subnet) for uid, at_subnet in levels if uid is not None]
        for uid, at_subnet in wanted:
            if uid not in nsgs:
                cut.add(nic)
                continue
            key = uid, at_subnet
            if key not in guards:
                guards[key] = _Guard(draft, group("pg", "subnet" if at_subnet else "nic", uid, vnet.uid))
            guards[key].add(nic)
        if nic.uid in exposed and not wanted:
            closed.add(nic)
        if nic.ip_forwarding:
            _forwarder(draft, nic)
    for (uid, at_subnet), guard in guards.items():
        _rules(guard, nsgs[uid], at_subnet, inside, internet)
    _base(every)
    # A Standard public address is closed until a security group opens it.
    closed.acl("closed-in", _IN, _LAST, 200, f"{closed.there} && ip4.src == ${internet}", "drop")
    cut.acl("cut-in", _IN, _LAST, 300, f"{cut.there} && ip", "drop")
    cut.acl("cut-out", _OUT, _LAST, 300, f"{cut.here} && ip", "drop")


class _Guard:
    """A port group and its ACLs. Rows are made with the first port, so that nothing unused is kept."""

    def __init__(self, draft: Draft, name: str) -> None:
        self._draft = draft
        self._row = Ref("Port_Group", name)
        self.there = f"outport == @{name}"
        self.here = f"inport == @{name}"

    def add(self, nic: Nic) -> None:
        """Guard this card too."""
        if not self._draft.has(self._row):
            self._draft.put("Port_Group", self._row.key, name=self._row.key)
        self._draft.link(self._row, "ports", Ref("Logical_Switch_Port", nic.port))

    def acl(self, name: str, direction: str, tier: int, priority: int, match: str, action: str) -> None:
        """One ACL, if there is any port to guard."""
        if not self._draft.has(self._row):
            return
        acl = self._draft.put(
            "ACL",
            f"{self._row.key}/{name}",
            name=name[:63],
            direction=direction,
            tier=tier,
            priority=priority,
            match=match,
            action=action,
        )
        self._draft.link(self._row, "acls", acl)


def _base(every: _Guard) -> None:
    """What holds for each card whatever its security groups say."""
    services = f"{every.here} && ip4 && (ip4.dst == {_SERVICES} || (udp.src == 68 && udp.dst == 67))"
    every.acl("platform-out", _OUT, _FIRST, 32700, services, "allow-related")
    every.acl("rest-in", _IN, _LAST, 100, f"{every.there} && ip", "allow-related")
    every.acl("rest-out", _OUT, _LAST, 100, f"{every.here} && ip", "allow-related")


def _forwarder(draft: Draft, nic: Nic) -> None:
    """A card that forwards has no port security; it may still not speak to or as the platform under a foreign address."""
    guard = _Guard(draft, group("pg", "forwarder", nic.uid))
    guard.add(nic)
    own = ", ".join(sorted(str(c.address) for c in nic.configurations))
    own_call = f"{guard.here} && ip4.src == {{{own}}} && ip4.dst == {_SERVICES}"
    guard.acl("own", _OUT, _FIRST, 32760, own_call, "allow-related")
    guard.acl("foreign", _OUT, _FIRST, 32750, f"{guard.here} && ip4.dst == {_SERVICES}", "drop")
    guard.acl("posing", _OUT, _FIRST, 32750, f"{guard.here} && ip4.src == {_SERVICES}", "drop")


def _rules(guard: _Guard, nsg: Nsg, at_subnet: bool, inside: str, internet: str) -> None:
    for rule in nsg.rules:
        match = _match(rule, guard.there if rule.inbound else guard.here, inside, internet)
        if match is None:
            continue
        guard.acl(
            f"{'in' if rule.inbound else 'out'}-{rule.name}",
            _IN if rule.inbound else _OUT,
            _FIRST if rule.inbound == at_subnet else _SECOND,
            _priority(rule),
            match,
            "pass" if rule.allow else "drop",
        )


def _priority(rule: Rule) -> int:
    """OVN's priority (higher first) for Azure's (lower first). Fixed per rule: inserting one moves no other."""
    if 100 <= rule.priority <= 4096:
        return 32000 - rule.priority
    if 65000 <= rule.priority <= 65500:
        return 1000 + 65500 - rule.priority
    raise ValueError(f"rule {rule.name!r} has priority {rule.priority}")


def _match(rule: Rule, port: str, inside: str, internet: str) -> str | None:
    """What the rule matches at `port`, None when no IPv4 packet can. Raises ValueError for words Azure does not have."""
    sources = _prefixes("ip4.src", rule.source_prefixes, inside, internet)
    destinations = _prefixes("ip4.dst", rule.destination_prefixes, inside, internet)
    if sources is None or destinations is None:
        return None
    terms = [port, "ip4", *sources, *destinations]
    source, destination = _ranges(rule.source_ports), _ranges(rule.destination_ports)
    if rule.protocol == "*":
        if source or destination:
            ways = (" && ".join([p, *_ports(p, source, destination)]) for p in ("tcp", "udp"))
            terms.append("(" + " || ".join(f"({way})" for way in ways) + ")")
        return " && ".join(terms)
    if rule.protocol not in _PROTOCOLS:
        raise ValueError(f"rule {rule.name!r} has protocol {rule.protocol!r}")
    terms.append(_PROTOCOLS[rule.protocol])
    if rule.protocol in ("tcp", "udp"):
        terms += _ports(rule.protocol, source, destination)
    return " && ".join(terms)


def _prefixes(field: str, prefixes: Sequence[str], inside: str, internet: str) -> list[str] | None:
    """At most one term that `field` is in `prefixes`: no term when any address is, None when they are all of IPv6."""
    values: set[str] = set()
    for prefix in prefixes:
        match prefix.lower():
            case "*" | "any" | "0.0.0.0/0":
                return []
            case "virtualnetwork":
                values.add(f"${inside}")
            case "internet":
                values.add(f"${internet}")
            case "azureloadbalancer":
                values.add(str(PLATFORM))
            case _:
                network = ip_network(prefix, strict=False)
                values.update([str(network)] if network.version == 4 else [])
    if not prefixes:
        raise ValueError("a rule has no address prefixes")
    if not values:
        return None
    return [f"{field} == {{{', '.join(sorted(values))}}}"]


def _ranges(ports: Iterable[str]) -> list[tuple[int, int]]:
    """Sorted port ranges; empty when any port is meant."""
    ranges: set[tuple[int, int]] = set()
    for port in ports:
        if port == "*":
            return []
        low, _, high = port.partition("-")
        first, last = int(low), int(high or low)
        if not 0 <= first <= last <= 65535:
            raise ValueError(f"{port!r} is not a port range")
        if (first, last) == (0, 65535):
            return []
        ranges.add((first, last))
    if not ranges:
        raise ValueError("a rule has no ports")
    return sorted(ranges)


def _ports(protocol: str, source: Sequence[tuple[int, int]], destination: Sequence[tuple[int, int]]) -> list[str]:
    terms = []
    for field, ranges in ((f"{protocol}.src", source), (f"{protocol}.dst", destination)):
        if not ranges:
            continue
        ways = [f"{field} == {a}" if a == b else f"({field} >= {a} && {field} <= {b})" for a, b in ranges]
        terms.append(ways[0] if len(ways) == 1 else f"({' || '.join(ways)})")
    return terms


@lru_cache(maxsize=256)
def _complement(taken: tuple[IPv4Network, ...]) -> list[IPv4Network]:
    """All of IPv4 without `taken`, as few prefixes as possible. A negated match would multiply into thousands of flows."""
    rest = [IPv4Network("0.0.0.0/0")]
    for prefix in collapse_addresses(taken):
        rest = [part for net in rest for part in (net.address_exclude(prefix) if prefix.subnet_of(net) else [net])]
    return sorted(rest)
