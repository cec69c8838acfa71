"""Which private addresses reach the Internet and under which public address, and the NAT rows that make it so.

A card's own public address comes first; then an outbound rule of a load balancer; then the first public frontend of a
balancing rule that does not decline. Nothing else leaves: there is no default outbound access. All NAT is centralised on
the VNet's gateway host, because a distributed address does not work beside a balanced one on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from lazur.providers.network.compiler.draft import Draft, router
from lazur.providers.network.compiler.state import LoadBalancer, Nic, Target


def compile_nat(draft: Draft, vnet: str, nics: Iterable[Nic], lbs: Iterable[LoadBalancer]) -> frozenset[IPv4Address]:
    """The NAT rows of one VNet's router.

    Answers the private addresses whose packets may leave the VNet: those with a translation, and those that answer
    clients of a public frontend.
    """
    own = {c.address: c.public_address for n in nics for c in n.configurations if c.public_address}
    for private, public in own.items():
        _put(draft, vnet, "dnat_and_snat", private, public)
    shared: dict[IPv4Address, IPv4Address] = {}
    answering: set[IPv4Address] = set()
    for lb in sorted(lbs, key=lambda x: x.uid):
        for private, public in _outbound(lb).items():
            shared.setdefault(private, public)
        answering |= {t.address for t in _behind_public(lb)}
    for private, public in shared.items():
        if private not in own:
            _put(draft, vnet, "snat", private, public)
    return frozenset(own.keys() | shared.keys() | answering)


def _put(draft: Draft, vnet: str, kind: str, private: IPv4Address, public: IPv4Address) -> None:
    row = draft.put("NAT", f"nat-{vnet}-{private}", type=kind, external_ip=str(public), logical_ip=str(private))
    draft.link(router(vnet), "nat", row)


def _outbound(lb: LoadBalancer) -> Mapping[IPv4Address, IPv4Address]:
    """Private to public address for members of `lb`."""
    out: dict[IPv4Address, IPv4Address] = {}
    ways: list[tuple[tuple[str, ...], tuple[str, ...]]] = [(tuple(rule.frontends), (rule.pool,)) for rule in lb.outbound_rules]
    ways += [((rule.frontend,), tuple(rule.pools)) for rule in lb.rules if rule.outbound]
    for frontends, pools in ways:
        public = next((lb.frontends[f].address for f in frontends if lb.frontends[f].public), None)
        if public is None:
            continue
        for pool in pools:
            for target in lb.pools[pool]:
                out.setdefault(target.address, public)
    return out


def _behind_public(lb: LoadBalancer) -> Iterable[Target]:
    for rule in lb.rules:
        if lb.frontends[rule.frontend].public:
            for pool in rule.pools:
                yield from lb.pools[pool]
    for nat in lb.nat_rules:
        if nat.target and lb.frontends[nat.frontend].public:
            yield nat.target
