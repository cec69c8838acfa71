"""What az, the SDKs, Terraform and curl need to talk to this cloud: a private az configuration and environment variables.

Everything comes from the credentials file the control plane wrote; the cloud need not be running. Must never touch a
configuration of the user's own: az gets a folder that belongs to this one stamp.
"""

from __future__ import annotations

import configparser
import io
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazur.identity.endpoints import Endpoints
from lazur.identity.files import write_atomic
from lazur.identity.metadata import endpoints_body
from lazur.identity.pki import Authority
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError

_METADATA_VERSION = "2022-09-01"
_SETTINGS = {
    # az would ask the public cloud whether it knows our sign-in endpoint, and refuse to go on when it does not.
    "core": {"instance_discovery": "false", "collect_telemetry": "false", "survey_message": "false"},
    "auto-upgrade": {"enable": "no"},
}


@dataclass(frozen=True)
class ClientEnvironment:
    """Environment variables by name, and the az command that signs in with them."""

    variables: Mapping[str, str]
    login: str

    def exports(self) -> str:
        """Shell text for `eval`; the sign-in command is a comment."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return "\n".join([*lines, f"# {self.login}"])


def client_environment(credentials: Path, pki: Path, folder: Path, clock: Clock) -> ClientEnvironment:
    """The environment for the stamp whose `credentials` file and certificate authority (`pki`) are given.

    Writes below `folder`: az's configuration, one folder per tenant, and a bundle of the system's roots and ours. Raises
    `NoCredentials` when there is no cloud yet, or none this user may read.
    """
    known = _read(credentials)
    endpoints = Endpoints(**known["endpoints"])
    authority = Authority.open(pki, clock=clock)
    config = folder / f"az-{known['tenant_id'][:8]}"
    config.mkdir(parents=True, exist_ok=True, mode=0o700)
    bundle = authority.bundle(folder)
    _register(config, endpoints)
    variables = _variables(known, endpoints) | {
        "AZURE_CONFIG_DIR": str(config),
        "REQUESTS_CA_BUNDLE": str(bundle),
        "SSL_CERT_FILE": str(bundle),
        "CURL_CA_BUNDLE": str(bundle),
        "NODE_EXTRA_CA_CERTS": str(authority.ca),
    }
    login = 'az login --service-principal -u "$LAZUR_CLIENT_ID" -p "$LAZUR_CLIENT_SECRET" --tenant "$LAZUR_TENANT"'
    return ClientEnvironment(dict(sorted(variables.items())), login)


def _read(credentials: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(credentials.read_text())
    except FileNotFoundError:
        message = f"There is no cloud here yet: {credentials} does not exist. Run './lazur up' first."
        raise LazurError("NoCredentials", message) from None
    except PermissionError:
        message = f"Only root may read the credentials of this cloud ({credentials}); run this command as root."
        raise LazurError("NoCredentials", message) from None
    return found


def _variables(known: Mapping[str, Any], endpoints: Endpoints) -> dict[str, str]:
    # An ADFS-like authority takes the place of a tenant in what the SDKs are told.
    sdk_tenant = "adfs" if endpoints.use_adfs else known["tenant_id"]
    origin = endpoints.adfs_origin if endpoints.use_adfs else endpoints.login
    return {
        "LAZUR_ENDPOINT": endpoints.management,
        "LAZUR_CLIENT_ID": known["client_id"],
        "LAZUR_CLIENT_SECRET": known["client_secret"],
        "LAZUR_TENANT": known["tenant_id"],
        "LAZUR_SUBSCRIPTION": known["subscription_id"],
        "LAZUR_REGION": known["region"],
        "LAZUR_USER": known["admin_upn"],
        "LAZUR_PASSWORD": known["admin_password"],
        "AZURE_AUTHORITY_HOST": origin,
        "AZURE_TENANT_ID": sdk_tenant,
        "AZURE_CLIENT_ID": known["client_id"],
        "AZURE_CLIENT_SECRET": known["client_secret"],
        "AZURE_SUBSCRIPTION_ID": known["subscription_id"],
        "ARM_METADATA_HOSTNAME": endpoints.management.partition("://")[2],
        "ARM_ENVIRONMENT": endpoints.name,
        "ARM_CLIENT_ID": known["client_id"],
        "ARM_CLIENT_SECRET": known["client_secret"],
        "ARM_TENANT_ID": sdk_tenant,
        "ARM_SUBSCRIPTION_ID": known["subscription_id"],
        "ARM_RESOURCE_PROVIDER_REGISTRATIONS": "none",
    }


def _register(config: Path, endpoints: Endpoints) -> None:
    """Register and select the cloud in az's two files; whatever else the user set there stays."""
    _merge(config / "clouds.config", {endpoints.name: {"profile": "latest", **_cloud(endpoints)}})
    _merge(config / "config", {**_SETTINGS, "cloud": {"name": endpoints.name}})


def _cloud(endpoints: Endpoints) -> dict[str, str]:
    """The cloud as `az cloud register` would have written it, from the document it reads."""
    said = endpoints_body(endpoints, _METADATA_VERSION)
    audience = said["authentication"]["audiences"][0]
    return {
        "endpoint_active_directory": said["authentication"]["loginEndpoint"],
        "endpoint_active_directory_graph_resource_id": said["graphAudience"],
        "endpoint_active_directory_resource_id": audience,
        "endpoint_gallery": said["gallery"],
        "endpoint_management": audience,
        "endpoint_microsoft_graph_resource_id": said["microsoftGraphResourceId"],
        "endpoint_portal": said["portal"],
        # Without the slash at its end, which az would double.
        "endpoint_resource_manager": endpoints.management,
        "endpoint_vm_image_alias_doc": said["vmImageAliasDoc"],
        "suffix_keyvault_dns": f".{said['suffixes']['keyVaultDns']}",
        "suffix_storage_endpoint": said["suffixes"]["storage"],
    }


def _merge(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    parser = configparser.RawConfigParser()
    if path.exists():
        parser.read(path)
    for section, values in sections.items():
        if not parser.has_section(section):
            parser.add_section(section)
        for name, value in values.items():
            parser.set(section, name, value)
    text = io.StringIO()
    parser.write(text)
    write_atomic(path, text.getvalue().encode(), 0o600)
