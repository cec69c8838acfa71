"""Outside identity providers of a site file reach the stamp, their secrets by another way than its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazur.identity.federation import Federation
from lazur.kernel.clock import SystemClock
from lazur.kernel.errors import LazurError
from lazur.lifecycle.outside_identity import of_container, of_site
from lazur.lifecycle.rack import layout
from lazur.lifecycle.rack.certificates import provide
from lazur.lifecycle.rack.roles import role_config
from lazur.lifecycle.role_config import RoleConfig
from lazur.lifecycle.site import Site
from tests.lifecycle.test_site import GOOD

IDENTITY = """\
identity:
  federation:
    - key: corp
      displayName: Corp Ltd
      issuer: https://idp.corp.example/main
      clientId: lazur
      clientSecretFile: {secret}
      groups: {{Cloud admins: 11111111-0000-4000-8000-000000000001}}
      create: false
"""
WANTED = Federation(
    "corp", "Corp Ltd", "https://idp.corp.example/main", "lazur", "canary",
    groups={"Cloud admins": "11111111-0000-4000-8000-000000000001"}, create=False,
)  # fmt: skip


def site(tmp_path: Path, secret: str = " canary\n") -> Site:
    file = tmp_path / "corp.secret"
    file.write_text(secret)
    return Site.parse(GOOD + IDENTITY.format(secret=file), "site.yaml")


def test_a_simulated_stamp_reads_the_operator_s_file(tmp_path: Path) -> None:
    assert of_site(site(tmp_path)) == [WANTED]
    with pytest.raises(LazurError, match="holds no client secret"):
        of_site(site(tmp_path, "\n"))
    asked = site(tmp_path)
    (tmp_path / "corp.secret").unlink()
    with pytest.raises(LazurError, match="cannot be read"):
        of_site(asked)


def test_the_control_container_is_given_it_and_no_other(tmp_path: Path) -> None:
    asked = site(tmp_path)
    paths = layout.Paths(tmp_path / "state")
    paths.pki.mkdir(parents=True)
    provide(asked, paths, SystemClock())
    told = tmp_path / "role.json"
    told.write_text(role_config(asked, layout.CONTROL).dumps())
    assert "canary" not in told.read_text()
    assert of_container(RoleConfig.load(told).federation, paths.pki / layout.CONTROL) == [WANTED]
    holding = [file for file in paths.pki.rglob("*") if file.is_file() and b"canary" in file.read_bytes()]
    assert [file.parent.name for file in holding] == [layout.CONTROL]
    assert holding[0].stat().st_mode & 0o777 == 0o600
    assert role_config(asked, "h01").federation == ()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("https://idp", "http://idp"), "issuer"),
        (("clientId: lazur", "clientid: lazur"), "clientid: unknown key"),
        (("key: corp", "key: Corp!"), "key"),
    ],
)
def test_faults_are_named(change: tuple[str, str], fault: str) -> None:
    with pytest.raises(LazurError) as caught:
        Site.parse((GOOD + IDENTITY.format(secret="/x")).replace(*change), "site.yaml")
    assert fault in str([error.message for error in caught.value.details or [caught.value]])


def test_keys_differ() -> None:
    entry = IDENTITY.format(secret="/x").split("federation:\n")[1]
    with pytest.raises(LazurError) as caught:
        Site.parse(GOOD + IDENTITY.format(secret="/x") + entry, "site.yaml")
    assert "given more than once: corp" in str([error.message for error in caught.value.details or [caught.value]])
