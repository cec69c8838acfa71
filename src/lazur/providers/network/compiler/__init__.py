"""From the network customers asked for to rows of the overlay's database: a pure function.

It serves enforcement, explanation and tests alike. Must never do I/O, read a clock or depend on the order of its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lazur.drivers.network.rows import Columns, Ref, Rows
from lazur.kernel.errors import LazurError
from lazur.model.desire import Desire
from lazur.providers.network.compiler.draft import Draft
from lazur.providers.network.compiler.lb import arp_proxies, check_lb, compile_lb, compile_parked, exposed_nics, vnet_of
from lazur.providers.network.compiler.memory import Memory
from lazur.providers.network.compiler.nat import compile_nat
from lazur.providers.network.compiler.nic import (
    Port,
    compile_names,
    compile_port,
    compile_public_names,
    link_public_names,
)
from lazur.providers.network.compiler.nsg import check_nsg, compile_security
from lazur.providers.network.compiler.state import (
    KINDS,
    Host,
    LoadBalancer,
    Name,
    NetworkState,
    Nic,
    Nsg,
    PublicName,
    Vnet,
    read,
)
from lazur.providers.network.compiler.vnet import compile_transit, compile_vnet

__all__ = ["KINDS", "Compiled", "Compiler", "compile_network"]


@dataclass(frozen=True)
class Compiled:
    """Rows for everything that could be compiled, and what could not, by desire.

    A fault that is retryable waits for another document; the others will not go away by themselves.
    """

    rows: Rows
    faults: Mapping[Name, LazurError]


def compile_network(desires: Sequence[Desire], chassis: Sequence[str] = ()) -> Compiled:
    """The rows that make the `desires` real; `chassis` are the hosts that are in the overlay now, wanted or not."""
    return Compiler().compile(desires, chassis)


@dataclass(frozen=True)
class _Part:
    """Everything that the rows of one VNet depend on. A security group that cannot be used is missing."""

    vnet: Vnet
    nics: Sequence[Nic]
    ports: Sequence[Port]
    lbs: Sequence[LoadBalancer]
    nsgs: Mapping[str, Nsg]
    chassis: Sequence[str]
    public_names: bool


class Compiler:
    """`compile_network` for whoever asks again and again: what depends on nothing that changed is not compiled again."""

    def __init__(self) -> None:
        self._documents = Memory(read)
        self._balancers = Memory(check_lb)
        self._groups = Memory(check_nsg)
        self._ports = Memory(compile_port)
        self._parts = Memory(_compile)

    def compile(self, desires: Sequence[Desire], chassis: Sequence[str] = ()) -> Compiled:
        """See `compile_network`, which gives the same."""
        state = self._read(desires)
        chassis = _members(state, chassis)
        faults = dict(state.faults)
        nics = _placed(state, faults)
        lbs = self._usable_balancers(state, faults)
        nsgs = self._usable_groups(state, faults)
        rows: dict[Ref, Columns] = {}
        for uid, vnet in state.vnets.items():
            guards = {s.nsg for s in vnet.subnets} | {n.nsg for n in nics[uid]}
            used = {g: nsgs[g] for g in sorted(g for g in guards if g in nsgs)}
            part = _Part(vnet, nics[uid], self._plugged(vnet, nics[uid]), lbs[uid], used, chassis, bool(state.names))
            rows |= self._parts.of(uid, part)
        rows |= compile_transit(state.vnets)
        rows |= compile_public_names(state.names.values()) if state.vnets else {}
        for memory in (self._documents, self._balancers, self._groups, self._ports, self._parts):
            memory.forget()
        return Compiled(rows, faults)

    def _read(self, desires: Sequence[Desire]) -> NetworkState:
        """What the desires that are not removed ask for."""
        state = NetworkState()
        for desire in sorted((d for d in desires if not d.removed), key=lambda d: (d.kind, d.key)):
            match self._documents.of((desire.kind, desire.key), desire):
                case Host() as host:
                    state.hosts[desire.key] = host
                case Vnet() as vnet:
                    state.vnets[desire.key] = vnet
                case Nsg() as nsg:
                    state.nsgs[desire.key] = nsg
                case Nic() as nic:
                    state.nics[desire.key] = nic
                case LoadBalancer() as lb:
                    state.lbs[desire.key] = lb
                case PublicName() as name:
                    state.names[desire.key] = name
                case LazurError() as fault:
                    state.faults[desire.kind, desire.key] = fault
        return state

    def _plugged(self, vnet: Vnet, nics: Sequence[Nic]) -> list[Port]:
        """The switch ports of a VNet's cards."""
        subnets = {subnet.uid: subnet for subnet in vnet.subnets}
        return [self._ports.of(nic.uid, (subnets[nic.primary.subnet], nic)) for nic in nics]

    def _usable_balancers(self, state: NetworkState, faults: dict[Name, LazurError]) -> dict[str, list[LoadBalancer]]:
        """Load balancers by the VNet they serve; faults of those that cannot be compiled are noted."""
        by_vnet: dict[str, list[LoadBalancer]] = {uid: [] for uid in state.vnets}
        frontends: set[str] = set()
        for uid, lb in state.lbs.items():
            fault = self._balancers.of(uid, lb)
            vnet = None if fault else vnet_of(lb)
            if frontends & lb.frontends.keys():
                message = f"Load balancer {lb.name}: frontend uid in use."
                fault = LazurError("NetworkDocumentInvalid", message, target=uid)
            elif vnet is not None and vnet not in by_vnet:
                message = f"Virtual network {vnet} is not known yet."
                fault = LazurError("NetworkReferenceMissing", message, target=uid, retryable=True)
            if fault is not None:
                faults["lb", uid] = fault
                continue
            frontends |= lb.frontends.keys()
            if vnet is not None:
                by_vnet[vnet].append(lb)
        return by_vnet

    def _usable_groups(self, state: NetworkState, faults: dict[Name, LazurError]) -> dict[str, Nsg]:
        """Security groups all of whose rules can be enforced; faults of the others are noted."""
        usable: dict[str, Nsg] = {}
        for uid, nsg in state.nsgs.items():
            fault = self._groups.of(uid, nsg)
            if fault is not None:
                faults["nsg", uid] = fault
            else:
                usable[uid] = nsg
        return usable


def _members(state: NetworkState, chassis: Sequence[str]) -> Sequence[str]:
    """The hosts that may serve a gateway. A control plane from before hosts were wanted here names none: then all may."""
    wanted = {host.name for host in state.hosts.values()}
    return [name for name in chassis if not wanted or name in wanted]


def _compile(part: _Part) -> Rows:
    """The rows of one VNet."""
    draft = Draft()
    vnet, nics, lbs = part.vnet, part.nics, part.lbs
    leaving = compile_nat(draft, vnet.uid, nics, lbs)
    compile_parked(draft, vnet.uid, lbs)
    compile_vnet(draft, vnet, part.chassis, leaving, arp_proxies(lbs))
    for lb in lbs:
        compile_lb(draft, vnet, lb)
    for port in part.ports:
        draft.place(port.row, port.columns)
        draft.link(port.switch, "ports", port.row)
    compile_names(draft, vnet, nics)
    if part.public_names:
        link_public_names(draft, vnet)
    exposed = {n.uid for n in nics if any(c.public_address for c in n.configurations)}
    exposed |= {uid for lb in lbs for uid in exposed_nics(lb)}
    compile_security(draft, vnet, part.nsgs, nics, frozenset(exposed))
    return draft.rows()


def _placed(state: NetworkState, faults: dict[Name, LazurError]) -> dict[str, list[Nic]]:
    """By VNet, the cards whose subnet is there and whose port and addresses no other card has; faults of the others are
    noted."""
    placed: dict[str, list[Nic]] = {uid: [] for uid in state.vnets}
    subnets = {uid: {s.uid for s in vnet.subnets} for uid, vnet in state.vnets.items()}
    taken: dict[tuple[str, str], str] = {}
    for uid, nic in state.nics.items():
        vnet = nic.primary.vnet
        if nic.primary.subnet not in subnets.get(vnet, ()):
            faults["nic", uid] = LazurError(
                "NetworkReferenceMissing",
                f"The subnet of network interface {nic.name} is not known yet.",
                target=uid,
                retryable=True,
            )
            continue
        claims = [("port", nic.port), *((vnet, c.text) for c in nic.configurations)]
        rival = next((taken[claim] for claim in sorted(set(claims)) if claim in taken), None)
        if rival is not None:
            faults["nic", uid] = LazurError(
                "NetworkDocumentInvalid",
                f"Network interface {nic.name} wants an address or port that {rival} has.",
                target=uid,
            )
            continue
        taken |= dict.fromkeys(claims, nic.name)
        placed[vnet].append(nic)
    return placed
