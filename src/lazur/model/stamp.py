"""Facts of this stamp that API and controllers share: names, address pools, images. Derived from the site file once.

Must never hold a secret, and must never say which of laptop, simulation or rack this is, but for `simulated`, which shows
wherever a simulated host could be taken for a real one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    """One marketplace image version of the catalogue."""

    publisher: str
    offer: str
    sku: str
    version: str
    file: str
    """Name of the backing file in the image store."""
    size_bytes: int
    """Virtual size of the OS disk."""
    os_type: str = "Linux"
    generation: str = "V1"
    architecture: str = "x64"
    agent: bool = True
    """Reports Ready to the wire server."""
    alias: str = ""
    min_memory_mib: int = 128


@dataclass(frozen=True)
class Stamp:
    """One cloud: a region under a domain."""

    region: str
    domain: str
    tenant: str
    subscription: str
    management: str
    """Base URL of the ARM endpoint, without a trailing slash."""
    login: str
    """Base URL of the sign-in endpoint."""
    public_prefixes: tuple[str, ...] = ()
    transit_prefix: str = ""
    transit_next_hop: str = ""
    guest_mtu: int = 1500
    images: tuple[Image, ...] = ()
    simulated: bool = False
    overcommit_cpu: float = 4.0
    """Virtual cores placed per core of a host."""
    overcommit_memory: float = 1.0
    """Guest memory placed per byte of a host; above 1 only where the profile says so."""
    internal_prefixes: tuple[str, ...] = ()
    """Networks of the stamp's own parts; what a customer names must not lead into them."""
    template_servers: tuple[str, ...] = ()
    """Further networks that linked templates may be fetched from."""
    throttled: bool = False
    """Requests are held to Azure's rates."""

    def internal_zone(self, vnet: str) -> str:
        """The DNS zone of the virtual network with that uid, as its guests see it."""
        return f"{vnet[:8]}{vnet[9:13]}.internal.{self.domain}"

    def url(self, path: str) -> str:
        """An absolute URL on the ARM endpoint."""
        return f"{self.management}{path}"
