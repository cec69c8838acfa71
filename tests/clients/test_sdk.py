"""Azure's SDKs for Python of today, unmodified, against a whole cloud: every library of ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.clients.clouds import Cloud
from tests.clients.test_az import TEMPLATE

PROGRAM = Path(__file__).with_name("sdk_program.py")
# The comment az may keep is not JSON.
STRICT = "\n".join(line for line in TEMPLATE.splitlines() if not line.lstrip().startswith("//"))


def told(command: Sequence[object], environment: Mapping[str, str], text: str = "") -> Any:
    """What the program says."""
    found = {**os.environ, **environment}
    run = subprocess.run([*map(str, command)], env=found, input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout)


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
