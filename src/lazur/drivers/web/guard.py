"""Which addresses a server that a customer names may have. Pure.

The control plane stands where customers do not: beside hosts, databases and metadata services. So a name must lead to the
public internet, to the stamp's own public addresses, or to a range the operator named; and never to this machine, its links
or a metadata service, whatever anybody named.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from lazur.drivers.web.interface import refused

_NEVER = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
        "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128",
    )
)  # fmt: skip
"""This machine, its links, everybody at once, and the addresses where clouds keep their metadata."""
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")


class Guard:
    """The addresses that may be asked; `public` and `allowed` are prefixes, `infrastructure` what `public` must not open."""

    def __init__(
        self, public: Iterable[str] = (), infrastructure: Iterable[str] = (), allowed: Iterable[str] = ()
    ) -> None:
        self._public = tuple(ip_network(prefix) for prefix in public)
        self._infrastructure = tuple(ip_network(prefix) for prefix in infrastructure)
        self._allowed = tuple(ip_network(prefix) for prefix in allowed)

    def permits(self, address: str) -> bool:
        """Whether a server may have this address."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.scope_id is not None:
            return False
        return all(self._permits(one) for one in _meanings(found))

    def _permits(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in _NEVER):
            return False
        if any(address in network for network in self._allowed):
            return True
        if any(address in network for network in self._infrastructure):
            return False
        if any(address in network for network in self._public):
            return True
        return address.is_global and not address.is_multicast and not address.is_reserved

    def check(self, url: str, addresses: Iterable[str]) -> str:
        """The address to connect to; all that a name has must be permitted, or none is."""
        listed = list(addresses)
        if not listed:
            raise refused(url, "The name of the server is not known.")
        if not all(self.permits(address) for address in listed):
            raise refused(url, "Templates may not be loaded from the network this server is in.")
        return listed[0]


def _meanings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """An address, and every IPv4 address that is written inside it: a packet may end up there."""
    if isinstance(address, IPv4Address):
        return [address]
    inside: list[IPv4Address | IPv6Address] = []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        inside.append(address.sixtofour)
    if address.teredo is not None:
        inside += address.teredo
    if any(address in network for network in (*_NAT64, _COMPATIBLE)):
        inside.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *inside]
