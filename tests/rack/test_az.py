"""The unmodified az and the SDKs against the real rack: with machines and packets behind them, by its names and certificates.

What asks for neither is tried on a simulated cloud alone (tests/clients).
"""

from __future__ import annotations

import os
import subprocess
import sys

from lazur.lifecycle.project import ROOT
from tests.rack.flows import Cloud

_FILES = ("test_az.py", "test_sdk.py", "test_sign_in.py")


def test_clients_against_the_rack(cloud: Cloud) -> None:
    # A process of its own: those tests choose their cloud, and its place, by the environment.
    environment = {**os.environ, "LAZUR_RACK": "1", "LAZUR_STATE": str(cloud.rack.paths.state)}
    argv = [sys.executable, "-m", "pytest", "-q", "-k", "rack", "-p", "no:cacheprovider"]
    argv += [f"tests/clients/{name}" for name in _FILES]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout[-4000:])
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-8000:] + done.stderr[-2000:]
