"""The unmodified Azure CLI in an environment of its own, for the tests that drive a rack with it.

Must never share libraries with this package: az gets what az pins.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lazur.lifecycle.cache import Cache, digest
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.tool import Report, run_tool

# What Debian's own package of az starts, made independent of where the environment lies.
_STARTER = """#!/bin/sh
AZ_INSTALLER=PIP exec "$(dirname -- "$0")/python" -Im azure.cli "$@"
"""


def ensure_az(cache: Path, report: Report = lambda _: None) -> Path:
    """The `az` program of the version requirements-az.lock names, installed if the cache has it not (about 730 MB)."""
    lock = ROOT / "requirements-az.lock"

    def build(environment: Path) -> None:
        report("az: installing the locked Azure CLI (once, about two minutes)")
        # What the launcher set for this package would send az's bytecode elsewhere.
        clean = {"PYTHONPATH": None, "PYTHONPYCACHEPREFIX": None, "PIP_USER": None, "PIP_TARGET": None}
        run_tool([sys.executable, "-m", "venv", str(environment)], environment=clean)
        install = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input"]
        install += ["--disable-pip-version-check", "--require-hashes", "--no-deps", f"--requirement={lock}"]
        run_tool(install, environment=clean)
        starter = environment / "bin/az"
        starter.write_text(_STARTER)
        starter.chmod(0o755)

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Cache(cache).entry("az", digest(version, _STARTER, lock.read_bytes()), build) / "bin/az"
