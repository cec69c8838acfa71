"""A web of given names and pages, for clouds that run in a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from lazur.drivers.web.interface import Answer


@dataclass
class SimulatedTransport:
    """Names with their addresses, and pages by address and URL."""

    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pages: Mapping[str, Answer] = field(default_factory=dict)
    """By URL; a server at another address than its name's does not have them."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Every request that was sent: URL and address."""

    async def resolve(self, host: str) -> Sequence[str]:
        """The addresses of a name, or a literal address itself."""
        bare = host.strip("[]")
        if bare in self.names:
            return self.names[bare]
        try:
            return [str(ip_address(bare))]
        except ValueError:
            raise OSError(f"{host} is not known") from None

    async def get(self, url: str, address: str) -> Answer:
        """The page, or a refusal to connect."""
        self.asked.append((url, address))
        if url not in self.pages:
            raise OSError("nobody listens")
        return self.pages[url]
