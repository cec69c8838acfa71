"""The names a stamp is reached by, and which audiences a token may be asked for.

Must never be edited per request: behind whatever address a request came in, the published names are these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import urlsplit

# Clients that were given nothing but our address still ask for the public cloud's audiences.
PUBLIC_ARM = ("https://management.azure.com", "https://management.core.windows.net")
ARM_APP = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
PUBLIC_GRAPH = ("https://graph.microsoft.com", "https://graph.windows.net")
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
PUBLIC_DATA = ("https://storage.azure.com", "https://vault.azure.net")


def normal(audience: str) -> str:
    """The one spelling of an audience: lower case, no trailing slash."""
    return audience.rstrip("/").lower()


@dataclass(frozen=True)
class Endpoints:
    """Base URLs (no trailing slash) and name suffixes of one stamp.

    `adfs` ends with `/adfs`. `use_adfs` says which of the two authorities the stamp advertises: the ADFS-like one when
    it listens on a port other than 443, which MSAL drops from AAD-like authorities.
    """

    name: str
    management: str
    admin_management: str
    login: str
    adfs: str
    graph: str
    portal: str
    storage_suffix: str
    vault_suffix: str
    use_adfs: bool = False

    @classmethod
    def for_region(cls, region: str, domain: str) -> Endpoints:
        """The names of a stamp that has addresses of its own: `<role>.<region>.<domain>` on 443."""
        zone = f"{region}.{domain}"
        return cls(
            name=f"Lazur-{region}",
            management=f"https://management.{zone}",
            admin_management=f"https://adminmanagement.{zone}",
            login=f"https://login.{zone}",
            adfs=f"https://adfs.{zone}/adfs",
            graph=f"https://graph.{zone}",
            portal=f"https://portal.{zone}",
            storage_suffix=f"core.{zone}",
            vault_suffix=f"vault.{zone}",
        )

    @classmethod
    def for_localhost(cls, port: int, region: str, domain: str) -> Endpoints:
        """The names of a simulated stamp: everything on `https://localhost:<port>`, told apart by path, but for the operator's
        endpoint, which has the next port. On 443 it is AAD-like, as a rack is."""
        origin = "https://localhost" if port == 443 else f"https://localhost:{port}"
        return cls(
            name=f"Lazur-{region}-simulated",
            management=origin,
            admin_management=f"https://localhost:{port + 1}",
            login=origin,
            adfs=f"{origin}/adfs",
            graph=f"{origin}/graph",
            portal=origin,
            storage_suffix=f"core.{region}.{domain}",
            vault_suffix=f"vault.{region}.{domain}",
            use_adfs=port != 443,
        )

    def authority(self, tenant_id: str) -> str:
        """Where members of a tenant sign in; the ADFS-like authority speaks for all tenants and names none."""
        return self.adfs if self.use_adfs else f"{self.login}/{tenant_id}"

    @property
    def adfs_origin(self) -> str:
        """`adfs` without its path."""
        return self.adfs.removesuffix("/adfs")

    @property
    def arm_audiences(self) -> tuple[str, ...]:
        """What an ARM token may be for; the first is the one advertised."""
        return (self.management,) if self.management == self.admin_management else (self.management, *PUBLIC_ARM)

    @cached_property
    def accepted_by_arm(self) -> frozenset[str]:
        """`arm_audiences` in their normal spelling, for the verifier."""
        return frozenset(map(normal, (*self.arm_audiences, ARM_APP)))

    @cached_property
    def accepted_by_admin(self) -> frozenset[str]:
        """What a token for the operator's endpoint may be for; nothing else has a second name for it."""
        return frozenset({normal(self.admin_management)})

    @cached_property
    def accepted_by_graph(self) -> frozenset[str]:
        """What a token for Microsoft Graph may be for, in normal spelling; its application id is one of its names."""
        return frozenset(map(normal, (self.graph, *PUBLIC_GRAPH, GRAPH_APP)))

    @cached_property
    def _served(self) -> frozenset[str]:
        data = (f"https://{self.vault_suffix}", *PUBLIC_DATA)
        return self.accepted_by_arm | self.accepted_by_graph | frozenset(map(normal, data))

    def serves(self, audience: str) -> bool:
        """Whether `audience`, in its normal spelling, is a service for tenants: ours, or its public alias."""
        if audience in self._served:
            return True
        parts = urlsplit(audience)
        suffixes = (f".{normal(self.storage_suffix)}", f".{normal(self.vault_suffix)}")
        return parts.scheme == "https" and parts.netloc.endswith(suffixes) and not (parts.path or parts.query)

    @cached_property
    def operators(self) -> Endpoints:
        """The same stamp as its operator's tools see it: the operator's endpoint is their ARM, and its only audience."""
        return replace(self, name=f"{self.name}-operator", management=self.admin_management)

    def issuer(self, tenant_id: str) -> str:
        """`iss` of access tokens; the tenant is its fourth segment, which is how clients resolve tenant names."""
        return f"{self.login}/{tenant_id}/"
