"""What ARM tells a client about the cloud before anybody signed in: `/metadata/endpoints` and the image alias document.

Must never do I/O. Three shapes exist, chosen by api-version: an object with old key names (2015-01-01: old az, Az
PowerShell, azurestack for Terraform), an array (2019-05-01: ARM_CLOUD_METADATA_URL), an object (2022-09-01: az, azurerm).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lazur.identity.endpoints import Endpoints

ALIASES_PATH = "/metadata/aliases.json"
_ARRAY_FROM = "2019-05-01"
_OBJECT_FROM = "2022-09-01"


@dataclass(frozen=True)
class ImageAlias:
    """A short image name az accepts; `os` is `Linux` or `Windows`, `architecture` `x64` or `Arm64`."""

    alias: str
    os: str
    publisher: str
    offer: str
    sku: str
    version: str = "latest"
    architecture: str = "x64"


def endpoints_body(endpoints: Endpoints, api_version: str) -> Any:
    """The body of `GET /metadata/endpoints` at a well-formed `api_version`; versions between two shapes get the older."""
    if api_version < _ARRAY_FROM:
        return {
            "galleryEndpoint": f"{endpoints.portal}/gallery",
            "graphEndpoint": endpoints.graph,
            "portalEndpoint": endpoints.portal,
            "authentication": {
                "loginEndpoint": _login(endpoints),
                "audiences": list(endpoints.arm_audiences),
            },
        }
    cloud = _cloud(endpoints)
    return [cloud] if api_version < _OBJECT_FROM else cloud


def alias_document(aliases: Iterable[ImageAlias]) -> dict[str, Any]:
    """The document behind `vmImageAliasDoc`, from which az turns `--image NAME` into a URN."""
    systems: dict[str, dict[str, Any]] = {"Linux": {}, "Windows": {}}
    for row in aliases:
        systems[row.os][row.alias] = {
            "publisher": row.publisher,
            "offer": row.offer,
            "sku": row.sku,
            "version": row.version,
            "architecture": row.architecture,
        }
    return {"outputs": {"aliases": {"value": systems}}}


def _login(endpoints: Endpoints) -> str:
    # az joins a tenant to an AAD-like authority itself; the ADFS-like one is recognised by how it ends.
    return endpoints.adfs if endpoints.use_adfs else f"{endpoints.login}/"


def _cloud(endpoints: Endpoints) -> dict[str, Any]:
    return {
        "name": endpoints.name,
        "portal": endpoints.portal,
        "resourceManager": f"{endpoints.management}/",
        "authentication": {
            "loginEndpoint": _login(endpoints),
            "audiences": list(endpoints.arm_audiences),
            # Terraform's azurerm takes a stamp for Azure Stack, and refuses it, unless these two say AAD and common.
            "identityProvider": "ADFS" if endpoints.use_adfs else "AAD",
            "tenant": "adfs" if endpoints.use_adfs else "common",
        },
        "graph": f"{endpoints.graph}/",
        "graphAudience": f"{endpoints.graph}/",
        "microsoftGraphResourceId": f"{endpoints.graph}/",
        "gallery": f"{endpoints.portal}/gallery",
        "vmImageAliasDoc": f"{endpoints.management}{ALIASES_PATH}",
        "suffixes": {"storage": endpoints.storage_suffix, "keyVaultDns": endpoints.vault_suffix},
    }
