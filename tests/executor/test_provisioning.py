"""The provisioning CD: what a guest's first boot reads, and who else may."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pycdlib

from lazur.providers.compute.hosting.provisioning import FileDiscs, iso_image, ovf_environment
from lazur.providers.compute.hosting.wish import Provisioning

AZURE = "{http://schemas.microsoft.com/windowsazure}"
TOLD = Provisioning(
    host_name="web0",
    user_name="azureuser",
    password_login=True,
    password='<&>"\' é',
    ssh_keys=[("/home/azureuser/.ssh/authorized_keys", "ssh-ed25519 AAAA me@here"), ("/k", "ssh-rsa BBBB")],
    custom_data="IyEvYmluL3No",
)


def texts(document: bytes, name: str) -> list[str | None]:
    return [element.text for element in ElementTree.fromstring(document).iter(AZURE + name)]


def test_the_document_says_what_was_asked_for() -> None:
    document = ovf_environment(TOLD)
    assert texts(document, "HostName") == ["web0"]
    assert texts(document, "UserName") == ["azureuser"]
    assert texts(document, "UserPassword") == [TOLD.password]
    assert texts(document, "DisableSshPasswordAuthentication") == ["false"]
    assert texts(document, "Value") == ["ssh-ed25519 AAAA me@here", "ssh-rsa BBBB"]
    assert texts(document, "CustomData") == ["IyEvYmluL3No"]
    assert document == ovf_environment(TOLD)


def test_what_was_not_given_is_not_there() -> None:
    document = ovf_environment(Provisioning("web0", "u", False, None, [], None))
    assert texts(document, "DisableSshPasswordAuthentication") == ["true"]
    for name in ("UserPassword", "SSH", "CustomData"):
        assert texts(document, name) == []


def test_the_disc_holds_the_document_under_its_long_name() -> None:
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(iso_image(b"<x/>")))
    for path in ({"joliet_path": "/ovf-env.xml"}, {"udf_path": "/ovf-env.xml"}):
        out = io.BytesIO()
        disc.get_file_from_iso_fp(out, **path)
        assert out.getvalue() == b"<x/>"
    disc.close()


def test_only_its_owner_may_read_it_and_it_goes_without_a_trace(tmp_path: Path) -> None:
    discs = FileDiscs(tmp_path / "cd")
    path = Path(discs.put("u1", TOLD))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert discs.list() == ["u1"]
    for _ in range(2):
        discs.drop("u1")
    assert not list((tmp_path / "cd").iterdir())
