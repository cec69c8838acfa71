"""Azure's SDKs for Python of today, unmodified, against a whole cloud: every way to sign in, every library of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clients.az import Az
from tests.clients.clouds import Cloud
from tests.clients.results import Results
from tests.clients.test_az import TEMPLATE

AS_A_RACK = True
PROGRAM, SIGN_IN, PERSON = (Path(__file__).with_name(name) for name in ("sdk_program.py", "sdk_sign_in.py", "person.py"))
# The comment az may keep is not JSON.
STRICT = "\n".join(line for line in TEMPLATE.splitlines() if not line.lstrip().startswith("//"))


def told(command: Sequence[object], environment: Mapping[str, str], text: str = "") -> Any:
    """What the program says."""
    found = {**os.environ, **environment}
    run = subprocess.run([*map(str, command)], env=found, input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("style", ["AAD-like", "ADFS-like"])
def test_every_way_to_sign_in(
    style: str, sdk_python: Path, az_program: Path, az: Az, cloud: Cloud, results: Results, tmp_path: Path
) -> None:
    environment = {
        # The mark at the end: the program must wait at its port meanwhile.
        **cloud.environment, "LAZUR_PERSON": str(PERSON), "BROWSER": f"{sys.executable} {PERSON} %s &", "HOME": str(tmp_path),
        # Where az is signed in already, for the credential that asks it.
        "PATH": f"{az_program.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    if cloud.issuer:
        file = tmp_path / "token"
        file.write_text(cloud.issuer.token("sdk"))
        environment |= {"LAZUR_ISSUER": cloud.issuer.url, "LAZUR_TOKEN_FILE": str(file)}
    said = told([sdk_python, "-I", SIGN_IN, style], environment)
    expected = 19 - (4 if cloud.issuer is None else 0)
    expected += {"ADFS-like": 0, "AAD-like": -2 if cloud.ported else 1}[style]
    assert len(said["ways"]) == expected
    for way, subscriptions in said["ways"].items():
        assert cloud.environment["LAZUR_SUBSCRIPTION"] in subscriptions, way
        results.flow(way, said["client"])


def test_every_library_works(sdk_python: Path, cloud: Cloud) -> None:
    said = told([sdk_python, "-I", PROGRAM], cloud.environment, json.dumps(json.loads(STRICT, strict=False)))
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
