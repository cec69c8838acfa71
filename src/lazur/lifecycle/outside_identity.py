"""From the site file to the outside identity providers of a running stamp. Must never put a secret into a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lazur.identity.federation import Federation
from lazur.kernel.errors import LazurError
from lazur.lifecycle.site import Site


def secret_name(key: str) -> str:
    """The file that a container is given the secret of one provider in."""
    return f"federation-{key}.secret"


def secret_of(path: Path) -> str:
    """The secret the operator keeps in `path`."""
    try:
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LazurError("SecretUnreadable", f"The client secret of an identity provider cannot be read: {error}") from None
    if not secret:
        raise LazurError("SecretUnreadable", f"{path} holds no client secret.")
    return secret


def of_site(site: Site) -> list[Federation]:
    """The providers of `site`, with the secrets from where the operator keeps them."""
    return [
        Federation(**provider.settings(), client_secret=secret_of(file) if (file := provider.client_secret_file) else "")
        for provider in site.identity.federation
    ]


def of_container(settings: Iterable[Mapping[str, Any]], folder: Path) -> list[Federation]:
    """The providers a container was told of, with the secrets it was given in `folder`."""
    found = []
    for row in settings:
        file = folder / secret_name(row["key"])
        found.append(Federation(**row, client_secret=secret_of(file) if file.exists() else ""))
    return found
