"""Network cards as rows: switch ports with their addresses, port security and DHCP, and the VNet's internal names.

Must never leave a port without a check of its source addresses unless the card forwards for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lazur.drivers.network.rows import Columns, Ref, Rows
from lazur.providers.network.compiler.draft import Draft, made, switch
from lazur.providers.network.compiler.state import Nic, PublicName, Subnet, Vnet
from lazur.providers.network.compiler.vnet import dhcp_options

PUBLIC_NAMES = Ref("DNS", "dns-public")


class Port(NamedTuple):
    """The switch port of one card, and the switch."""

    row: Ref
    columns: Columns
    switch: Ref


def compile_port(card: tuple[Subnet, Nic]) -> Port:
    """The switch port of one card in its subnet."""
    subnet, nic = card
    primary = nic.primary
    addresses = " ".join([nic.mac, primary.text, *sorted(c.text for c in nic.configurations if c is not primary)])
    prefix = next((p for p in subnet.prefixes if primary.address in p), None)
    columns = made(
        "Logical_Switch_Port",
        name=nic.port,
        addresses=frozenset({addresses}),
        # A forwarder may send from any address, but only from its own MAC.
        port_security=frozenset({nic.mac if nic.ip_forwarding else addresses}),
        options={"hostname": f'"{nic.dns_name}"'} if nic.dns_name else None,
        dhcpv4_options=dhcp_options(subnet.uid, prefix) if prefix else None,
    )
    return Port(Ref("Logical_Switch_Port", nic.port), columns, switch(subnet.uid))


def compile_names(draft: Draft, vnet: Vnet, nics: Sequence[Nic]) -> None:
    """The internal names of a VNet's cards. A VNet with DNS servers of its own is left to them, as on Azure."""
    if vnet.dns_servers:
        return
    records = _records(vnet, nics)
    if not records:
        return
    names = draft.put("DNS", f"dns-{vnet.uid}", records=records)
    for subnet in vnet.subnets:
        draft.link(switch(subnet.uid), "dns_records", names)


def compile_public_names(names: Iterable[PublicName]) -> Rows:
    """The names of public addresses, the same for every network; no row without one."""
    records = {name.name: str(name.address) for name in names}
    return {PUBLIC_NAMES: made("DNS", records=records)} if records else {}


def link_public_names(draft: Draft, vnet: Vnet) -> None:
    """Have the switches of a VNet answer for public names too, whatever name servers it has: they are the same everywhere."""
    for subnet in vnet.subnets:
        draft.link(switch(subnet.uid), "dns_records", PUBLIC_NAMES)


def _records(vnet: Vnet, nics: Sequence[Nic]) -> Mapping[str, str]:
    records: dict[str, str] = {}

    def add(name: str, value: str) -> None:
        known = records.get(name)
        records[name] = value if known is None else " ".join(sorted({*known.split(), value}))

    for nic in nics:
        if nic.dns_name is None:
            continue
        short, address = nic.dns_name.lower(), nic.primary.text
        full = f"{short}.{vnet.domain_name}".lower()
        add(short, address)
        add(full, address)
        add(".".join([*reversed(address.split(".")), "in-addr.arpa"]), full)
    return records
