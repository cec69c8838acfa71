"""Load balancers and inbound NAT rules as rows.

One row per frontend, protocol and way of hashing. A public frontend is put on the VNet's router, for clients outside, and
on each of its switches, for clients inside and for members that call their own frontend; an internal one only on the
switches, with the subnet's router answering ARP for it. The client's address is kept. Members that their probe found down
keep their connections and get no new ones; when all are down, new connections are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lazur.drivers.network.rows import Ref
from lazur.kernel.errors import LazurError
from lazur.providers.network.compiler.draft import Draft, router, switch
from lazur.providers.network.compiler.state import BalancingRule, Frontend, LoadBalancer, Target, Vnet

_BY_SOURCE = frozenset({"ip_src", "ip_dst"})
# From the documentation range: no packet has it.
_NOWHERE = "192.0.2.1"


@dataclass
class _Listener:
    """The row in the making of one frontend, protocol and hashing."""

    frontend: Frontend
    protocol: str
    by_source: bool
    vips: dict[str, str] = field(default_factory=dict)

    def add(self, rule: str, port: int, backends: str) -> None:
        """Listen on `port`. Raises ValueError when another rule does so already."""
        vip = str(self.frontend.address) if self.protocol == "all" else f"{self.frontend.address}:{port}"
        if vip in self.vips:
            raise ValueError(f"rule {rule!r} listens where another rule does: {vip}")
        self.vips[vip] = backends


def vnet_of(lb: LoadBalancer) -> str | None:
    """The VNet a load balancer serves, None while it has no members. Raises ValueError when there are several."""
    vnets = {t.vnet for pool in lb.pools.values() for t in pool}
    vnets |= {r.target.vnet for r in lb.nat_rules if r.target}
    vnets |= {f.vnet for f in lb.frontends.values() if f.vnet}
    if len(vnets) > 1:
        raise ValueError(f"load balancer {lb.name!r} has members in more than one virtual network")
    return next(iter(vnets), None)


def exposed_nics(lb: LoadBalancer) -> frozenset[str]:
    """Uids of the cards that public frontends of `lb` lead to."""
    public = {uid for uid, f in lb.frontends.items() if f.public}
    members = {t.nic for r in lb.rules if r.frontend in public for pool in r.pools for t in lb.pools[pool]}
    return frozenset(members | {r.target.nic for r in lb.nat_rules if r.frontend in public and r.target})


def check_lb(lb: LoadBalancer) -> LazurError | None:
    """Why a load balancer cannot be compiled whatever else there is."""
    try:
        vnet_of(lb)
        _listeners(lb)
    except ValueError as error:
        return LazurError("NetworkDocumentInvalid", f"Load balancer: {error}.", target=lb.uid)
    return None


def compile_lb(draft: Draft, vnet: Vnet, lb: LoadBalancer) -> None:
    """Rows of one load balancer that serves `vnet`."""
    for listener in _listeners(lb):
        _row(draft, vnet, listener)


def arp_proxies(lbs: Iterable[LoadBalancer]) -> dict[str, set[str]]:
    """Addresses of internal frontends, by the subnet whose router has to answer for them."""
    out: dict[str, set[str]] = {}
    for lb in lbs:
        for frontend in lb.frontends.values():
            if not frontend.public and frontend.subnet:
                out.setdefault(frontend.subnet, set()).add(str(frontend.address))
    return out


def compile_parked(draft: Draft, vnet: str, lbs: Iterable[LoadBalancer]) -> None:
    """A frontend nobody can reach, on the VNet's router, for members that are down.

    OVN translates the answers of exactly the members it finds listed. Without this row the connections that a member
    already has through a public frontend would end the moment its probe fails, which they do not on Azure.
    """
    parked: dict[str, set[str]] = {}
    for lb in lbs:
        for rule in lb.rules:
            if rule.protocol == "tcp" and lb.frontends[rule.frontend].public:
                down = {t.address for pool in rule.pools for t in lb.pools[pool]} - {t.address for t in _up(lb, rule)}
                for address in down:
                    parked.setdefault(f"{_NOWHERE}:{rule.backend_port}", set()).add(f"{address}:{rule.backend_port}")
    if parked:
        key = f"lb-parked-{vnet}"
        row = draft.put(
            "Load_Balancer",
            key,
            name=key,
            protocol="tcp",
            vips={vip: ",".join(sorted(backends)) for vip, backends in parked.items()},
            options={"neighbor_responder": "none"},
        )
        draft.link(router(vnet), "load_balancer", row)


def _listeners(lb: LoadBalancer) -> list[_Listener]:
    listeners: dict[tuple[str, str, bool], _Listener] = {}

    def listener(frontend: str, protocol: str, by_source: bool) -> _Listener:
        key = frontend, protocol, by_source
        return listeners.setdefault(key, _Listener(lb.frontends[frontend], protocol, by_source))

    for rule in lb.rules:
        up = _up(lb, rule)
        port = "" if rule.protocol == "all" else f":{rule.backend_port}"
        backends = ",".join(sorted({f"{t.address}{port}" for t in up}))
        listener(rule.frontend, rule.protocol, rule.distribution.lower() != "default").add(
            rule.name, rule.frontend_port, backends
        )
    for nat in lb.nat_rules:
        # Unlike a balancing rule, a NAT rule for all protocols has ports: those of TCP and UDP.
        for protocol in ("tcp", "udp") if nat.protocol == "all" else (nat.protocol,):
            if nat.target:
                backend = f"{nat.target.address}:{nat.backend_port}"
                listener(nat.frontend, protocol, False).add(nat.name, nat.frontend_port, backend)
    return [listeners[key] for key in sorted(listeners)]


def _up(lb: LoadBalancer, rule: BalancingRule) -> list[Target]:
    members = [t for pool in rule.pools for t in lb.pools[pool]]
    return [t for t in members if rule.probe is None or f"{rule.probe}/{t.nic}" not in lb.down]


def _row(draft: Draft, vnet: Vnet, listener: _Listener) -> None:
    frontend = listener.frontend
    key = "-".join(["lb", frontend.uid, listener.protocol, *(["source"] if listener.by_source else [])])
    options = {}
    if frontend.public:
        # The address is outside the gateway port's own network, where OVN would not answer ARP by itself.
        options["neighbor_responder"] = "all"
    if listener.protocol == "udp":
        # A stream of datagrams follows the members in rotation; a TCP connection stays where it is.
        options["ct_flush"] = "true"
    row = draft.put(
        "Load_Balancer",
        key,
        name=key,
        protocol=listener.protocol if listener.protocol != "all" else None,
        vips=listener.vips,
        selection_fields=_BY_SOURCE if listener.by_source else None,
        options=options,
    )
    places: list[Ref] = [switch(s.uid) for s in vnet.subnets]
    if frontend.public:
        places.append(router(vnet.uid))
    for place in places:
        draft.link(place, "load_balancer", row)
