"""Which certificates each container is given. Must never put a key of one container, or the authority's, into another's
folder: that folder is all a container sees."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lazur.identity.files import PRIVATE, write_atomic
from lazur.identity.pki import Authority
from lazur.kernel.clock import Clock
from lazur.lifecycle.outside_identity import secret_name, secret_of
from lazur.lifecycle.rack import layout
from lazur.lifecycle.site import Site


@dataclass(frozen=True)
class Wanted:
    """One leaf: file name, common name (which the peer reads) and names or addresses it serves."""

    name: str
    common_name: str
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    client: bool = True


def wanted(site: Site, container: str) -> list[Wanted]:
    """The leaves of `container`; a client's common name is the domain it may act for, or its OVN chassis."""
    if container == layout.EDGE:
        return []
    control = str(site.control_address)
    if container == layout.CONTROL:
        data = [f"*.{service}.core.{site.zone}" for service in ("blob", "queue", "table", "file")]
        names = site.endpoint_addresses
        tenants = tuple(name for name, address in names.items() if address == site.api_address)
        operators = tuple(name for name, address in names.items() if address == site.admin_address)
        return [
            Wanted("api", "api", (*tenants, *data, f"*.vault.{site.zone}"), (str(site.api_address),), client=False),
            Wanted("admin", "admin", operators, (str(site.admin_address),), client=False),
            Wanted("desires", "desires", (f"desires.{site.zone}",), (control,), client=False),
            Wanted("ovn-central", "ovn-central", ips=(control,)),
            Wanted("executor-network", "network/main"),
            Wanted("executor-storage", "storage/main"),
        ]
    address = (str(site.host_address(container)),)
    return [
        Wanted(container, container, ips=address),
        Wanted(f"executor-{container}", f"host/{container}"),
        Wanted(f"guestservices-{container}", f"guestservices/{container}"),
    ]


def _provide_secrets(site: Site, folder: Path) -> None:
    """The secrets of outside identity providers, read from where the operator keeps them."""
    for provider in site.identity.federation:
        if provider.client_secret_file is not None:
            write_atomic(folder / secret_name(provider.key), secret_of(provider.client_secret_file).encode(), PRIVATE)


def provide(site: Site, paths: layout.Paths, clock: Clock) -> None:
    """Issue what is missing or about to expire; what is still good stays."""
    authority = Authority.open(paths.pki, clock=clock)
    for container in layout.containers(site):
        folder = paths.pki / container
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(authority.ca, folder / "ca.pem")
        for leaf in wanted(site, container):
            authority.issue(folder, leaf.name, dns=leaf.dns, ips=leaf.ips, common_name=leaf.common_name, client=leaf.client)
        if container == layout.CONTROL:
            _provide_secrets(site, folder)
