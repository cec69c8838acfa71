"""From the network customers asked for to rows of the overlay's database: a pure function.

It serves enforcement, explanation and tests alike. Must never do I/O, read a clock or depend on the order of its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lazur.drivers.network.rows import Rows
from lazur.kernel.errors import LazurError
from lazur.providers.network.compiler.draft import Draft
from lazur.providers.network.compiler.lb import arp_proxies, compile_lb, compile_parked, exposed_nics, vnet_of
from lazur.providers.network.compiler.nat import compile_nat
from lazur.providers.network.compiler.nic import compile_names, compile_nic
from lazur.providers.network.compiler.nsg import compile_security
from lazur.providers.network.compiler.state import KINDS, LoadBalancer, Name, NetworkState, Nic, read_state
from lazur.providers.network.compiler.vnet import compile_transit, compile_vnet

__all__ = ["KINDS", "Compiled", "NetworkState", "compile_network", "read_state"]


@dataclass(frozen=True)
class Compiled:
    """Rows for everything that could be compiled, and what could not, by desire.

    A fault that is retryable waits for another document; the others will not go away by themselves.
    """

    rows: Rows
    faults: Mapping[Name, LazurError]


def compile_network(state: NetworkState, chassis: Sequence[str] = ()) -> Compiled:
    """The rows that make `state` real on the hosts named in `chassis`."""
    draft = Draft()
    faults = dict(state.faults)
    nics = _placed(state, faults)
    lbs = _balancers(draft, state, faults)
    if state.vnets:
        compile_transit(draft)
    by_vnet: dict[str, list[Nic]] = {uid: [] for uid in state.vnets}
    for nic in nics:
        by_vnet[nic.primary.vnet].append(nic)
    proxies = arp_proxies(lbs)
    for uid, vnet in state.vnets.items():
        balancers = [lb for lb in lbs.values() if vnet_of(lb) == uid]
        leaving = compile_nat(draft, uid, by_vnet[uid], balancers)
        compile_parked(draft, uid, balancers)
        compile_vnet(draft, vnet, chassis, leaving, proxies)
        subnets = {subnet.uid: subnet for subnet in vnet.subnets}
        for nic in by_vnet[uid]:
            compile_nic(draft, subnets[nic.primary.subnet], nic)
        compile_names(draft, vnet, by_vnet[uid])
    exposed = {n.uid for n in nics if any(c.public_address for c in n.configurations)}
    exposed |= {uid for lb in lbs.values() for uid in exposed_nics(lb)}
    unusable = compile_security(draft, state.vnets, state.nsgs, nics, frozenset(exposed))
    faults |= {("nsg", uid): fault for uid, fault in unusable.items()}
    return Compiled(draft.rows(), faults)


def _placed(state: NetworkState, faults: dict[Name, LazurError]) -> list[Nic]:
    """The cards whose subnet is there and whose port and addresses no other card has; faults of the others are noted."""
    placed: list[Nic] = []
    taken: dict[tuple[str, str], str] = {}
    for uid, nic in state.nics.items():
        vnet = state.vnets.get(nic.primary.vnet)
        if vnet is None or nic.primary.subnet not in {s.uid for s in vnet.subnets}:
            faults["nic", uid] = LazurError(
                "NetworkReferenceMissing",
                f"The subnet of network interface {nic.name} is not known yet.",
                target=uid,
                retryable=True,
            )
            continue
        claims = {("port", nic.port), *((vnet.uid, str(c.address)) for c in nic.configurations)}
        rival = next((taken[claim] for claim in sorted(claims) if claim in taken), None)
        if rival is not None:
            faults["nic", uid] = LazurError(
                "NetworkDocumentInvalid",
                f"Network interface {nic.name} wants an address or port that {rival} has.",
                target=uid,
            )
            continue
        taken |= dict.fromkeys(claims, nic.name)
        placed.append(nic)
    return placed


def _balancers(draft: Draft, state: NetworkState, faults: dict[Name, LazurError]) -> dict[str, LoadBalancer]:
    """Compile load balancers; answers those that could be, faults of the others are noted."""
    good: dict[str, LoadBalancer] = {}
    frontends: set[str] = set()
    for uid, lb in state.lbs.items():
        try:
            if frontends & lb.frontends.keys():
                raise LazurError("NetworkDocumentInvalid", f"Load balancer {lb.name}: frontend uid in use.", target=uid)
            compile_lb(draft, state.vnets, lb)
        except LazurError as fault:
            faults["lb", uid] = fault
            continue
        frontends |= lb.frontends.keys()
        good[uid] = lb
    return good
