"""Network cards as rows: switch ports with their addresses, port security and DHCP, and the VNet's internal names.

Must never leave a port without a check of its source addresses unless the card forwards for others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazur.providers.network.compiler.draft import Draft, switch
from lazur.providers.network.compiler.state import Nic, Subnet, Vnet
from lazur.providers.network.compiler.vnet import dhcp_options


def compile_nic(draft: Draft, subnet: Subnet, nic: Nic) -> None:
    """The switch port of one card."""
    addresses = " ".join([nic.mac, str(nic.primary.address), *_others(nic)])
    prefix = next((p for p in subnet.prefixes if nic.primary.address in p), None)
    port = draft.put(
        "Logical_Switch_Port",
        nic.port,
        name=nic.port,
        addresses=frozenset({addresses}),
        # A forwarder may send from any address, but only from its own MAC.
        port_security=frozenset({nic.mac if nic.ip_forwarding else addresses}),
        options={"hostname": f'"{nic.dns_name}"'} if nic.dns_name else None,
        dhcpv4_options=dhcp_options(subnet.uid, prefix) if prefix else None,
    )
    draft.link(switch(subnet.uid), "ports", port)


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


def _records(vnet: Vnet, nics: Sequence[Nic]) -> Mapping[str, str]:
    addresses: dict[str, set[str]] = {}
    for nic in nics:
        if nic.dns_name is None:
            continue
        short = nic.dns_name.lower()
        full = f"{short}.{vnet.domain_name}".lower()
        addresses.setdefault(short, set()).add(str(nic.primary.address))
        addresses.setdefault(full, set()).add(str(nic.primary.address))
        addresses.setdefault(nic.primary.address.reverse_pointer, set()).add(full)
    return {name: " ".join(sorted(values)) for name, values in addresses.items()}


def _others(nic: Nic) -> list[str]:
    return sorted(str(c.address) for c in nic.configurations if c is not nic.primary)
