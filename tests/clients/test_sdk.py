"""Azure's SDKs for Python of today, unmodified, against a whole cloud: every way to sign in, every library of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.clients.clouds import Cloud
from tests.clients.results import Results
from tests.clients.test_az import TEMPLATE

PROGRAM, PERSON = Path(__file__).with_name("sdk_program.py"), Path(__file__).with_name("person.py")
# The comment az may keep is not JSON.
STRICT = "\n".join(line for line in TEMPLATE.splitlines() if not line.lstrip().startswith("//"))


def told(python: Path, cloud: Cloud, what: str, text: str = "") -> Any:
    """What the program says."""
    # The mark at the end: the program must wait at its port meanwhile.
    browser = f"{sys.executable} {PERSON} %s &"
    environment = {**os.environ, **cloud.environment, "LAZUR_PERSON": str(PERSON), "BROWSER": browser}
    command = [str(python), "-I", str(PROGRAM), what]
    run = subprocess.run(command, env=environment, input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout)


def test_every_way_to_sign_in(sdk_python: Path, cloud: Cloud, results: Results) -> None:
    said = told(sdk_python, cloud, "sign-in")
    # MSAL cannot ask an AAD-like authority with a port about a user.
    assert len(said["ways"]) == (10 if cloud.world.real else 9)
    for way, subscriptions in said["ways"].items():
        assert cloud.environment["LAZUR_SUBSCRIPTION"] in subscriptions, way
        results.flow(way, said["client"])


def test_every_library_works(sdk_python: Path, cloud: Cloud) -> None:
    said = told(sdk_python, cloud, "work", json.dumps(json.loads(STRICT, strict=False)))
    deployment, network, compute = said["deployment"], said["network"], said["compute"]
    assert (deployment["group"], deployment["tags"]) == ("sdk", {"a": "b"})
    assert (deployment["valid"], deployment["state"]) == ("Succeeded", "Succeeded")
    assert deployment["outputs"]["address"]["value"] and deployment["operations"] == ["sdk-ip"]
    assert deployment["types"] == ["Microsoft.Network/publicIPAddresses"]
    assert {"Microsoft.Compute", "Microsoft.Network", "Microsoft.Resources"} <= set(deployment["providers"])
    assert (network["rules"], network["networks"], network["address"]) == (["ssh"], ["net"], "10.0.0.4")
    assert (compute["disk"], compute["grown"], compute["machines"]) == ("Unattached", 2, []) and compute["skus"] > 5
    assert compute["missing"] == "ResourceNotFound" and compute["refused"] == ["InvalidParameter", "properties.diskSizeGB"]
    assert (said["exists"], said["left"]) == (True, False)
