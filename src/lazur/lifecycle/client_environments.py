"""Azure's own clients, unmodified, each in an environment of its own, for the tests that drive a cloud with them.

Must never share libraries with this package: a client gets what its own lock pins.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lazur.lifecycle.cache import Cache, digest
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.tool import Report, run_tool

# What Debian's own package of az starts, made independent of where the environment lies.
_STARTER = """#!/bin/sh
AZ_INSTALLER=PIP exec "$(dirname -- "$0")/python" -Im azure.cli "$@"
"""

CLIENTS: Mapping[str, str] = {
    "az": "the Azure CLI of today (about 730 MB)",
    "az-lts": "the long-term-support Azure CLI (about 1.3 GB)",
    "sdk": "Azure's SDKs for Python (about 150 MB)",
}
"""Kind -> what it is; each is locked in `requirements-<kind>.lock`."""


def ensure_client(kind: str, cache: Path, report: Report = lambda _: None) -> Path:
    """The folder of programs (`python`, and `az` where there is one) of a client, installed if the cache has it not."""
    lock = ROOT / f"requirements-{kind}.lock"

    def build(environment: Path) -> None:
        report(f"{kind}: installing {CLIENTS[kind]}, once, a few minutes")
        # What the launcher set for this package would send the client's bytecode elsewhere.
        clean = {"PYTHONPATH": None, "PYTHONPYCACHEPREFIX": None, "PIP_USER": None, "PIP_TARGET": None}
        run_tool([sys.executable, "-m", "venv", str(environment)], environment=clean)
        install = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input"]
        install += ["--disable-pip-version-check", "--require-hashes", "--no-deps", f"--requirement={lock}"]
        run_tool(install, environment=clean)
        starter = environment / "bin/az"
        if starter.exists():
            starter.write_text(_STARTER)
            starter.chmod(0o755)

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Cache(cache).entry(kind, digest(version, _STARTER, lock.read_bytes()), build) / "bin"
