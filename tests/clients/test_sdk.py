"""Azure's management SDKs for Python, unmodified, against a whole cloud."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.clients.az import Az
from tests.clients.clouds import Cloud
from tests.clients.test_az import TEMPLATE

PROGRAM = Path(__file__).with_name("sdk_program.py")


def test_the_sdks_deploy_a_template(az: Az, az_program: Path, cloud: Cloud) -> None:
    # The comment az may keep is not JSON.
    template = "\n".join(line for line in TEMPLATE.splitlines() if not line.lstrip().startswith("//"))
    template = json.dumps(json.loads(template, strict=False))
    command = [str(az_program.parent / "python"), "-I", str(PROGRAM)]
    environment = {**os.environ, **cloud.environment}
    run = subprocess.run(command, env=environment, input=template, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads(run.stdout)
    assert (said["group"], said["tags"], said["state"]) == ("sdk", {"a": "b"}, "Succeeded")
    assert said["outputs"]["address"]["value"] and said["operations"] == ["sdk-ip"]
    assert said["types"] == ["Microsoft.Network/publicIPAddresses"]
    assert said["disk"] == "Unattached" and said["sizes"] > 5 and said["machines"] == []
    assert (said["exists"], said["left"]) == (True, False)
    assert said["missing"] == "ResourceNotFound"
    assert said["refused"] == ["InvalidParameter", "properties.diskSizeGB"]
