"""The provisioning CD: ovf-env.xml, through which a guest's first boot learns its name, user, keys and custom data.

It may hold a password, so it lies on the run-time file system, mode 0600, and only while its machine runs.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

import pycdlib

from lazur.providers.compute.hosting.wish import Provisioning

_OVF = "http://schemas.dmtf.org/ovf/environment/1"
_AZURE = "http://schemas.microsoft.com/windowsazure"


def ovf_environment(told: Provisioning) -> bytes:
    """The document cloud-init and the Azure agent read; equal input gives equal bytes."""
    root = ElementTree.Element(f"{{{_OVF}}}Environment")
    section = _child(root, "ProvisioningSection")
    _child(section, "Version", "1.0")
    linux = _child(section, "LinuxProvisioningConfigurationSet")
    _child(linux, "ConfigurationSetType", "LinuxProvisioningConfiguration")
    _child(linux, "HostName", told.host_name)
    _child(linux, "UserName", told.user_name)
    if told.password is not None:
        _child(linux, "UserPassword", told.password)
    _child(linux, "DisableSshPasswordAuthentication", "false" if told.password_login else "true")
    if told.ssh_keys:
        keys = _child(_child(linux, "SSH"), "PublicKeys")
        for path, value in told.ssh_keys:
            key = _child(keys, "PublicKey")
            _child(key, "Path", path)
            _child(key, "Value", value)
    if told.custom_data is not None:
        _child(linux, "CustomData", told.custom_data)
    platform = _child(root, "PlatformSettingsSection")
    _child(platform, "Version", "1.0")
    settings = _child(platform, "PlatformSettings")
    _child(settings, "ProvisionGuestAgent", "true")
    ElementTree.indent(root, " ")
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _child(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{_AZURE}}}{name}")
    element.text = text
    return element


def iso_image(ovf: bytes) -> bytes:
    """A CD (ISO 9660 with Joliet, and UDF) with `ovf` as ovf-env.xml."""
    disc: Any = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, udf="2.60", vol_ident="OVF ENV")
    disc.add_fp(io.BytesIO(ovf), len(ovf), "/OVF_ENV.XML;1", joliet_path="/ovf-env.xml", udf_path="/ovf-env.xml")
    out = io.BytesIO()
    disc.write_fp(out)
    disc.close()
    return out.getvalue()


class Discs(Protocol):
    """The provisioning CDs of a host, by machine uid. All methods are idempotent."""

    def put(self, uid: str, told: Provisioning) -> str:
        """Have the machine's CD; returns its absolute path."""
        ...

    def drop(self, uid: str) -> None:
        """Have none."""
        ...

    def list(self) -> Sequence[str]:
        """Uids of the machines that have one."""
        ...


class FileDiscs:
    """CDs as `<folder>/<uid>.iso`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, uid: str, told: Provisioning) -> str:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{uid}.iso"
        temporary = self._folder / f".{uid}.new"
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(iso_image(ovf_environment(told)))
        temporary.rename(path)
        return str(path)

    def drop(self, uid: str) -> None:
        (self._folder / f"{uid}.iso").unlink(missing_ok=True)

    def list(self) -> Sequence[str]:
        return sorted(path.stem for path in self._folder.glob("*.iso"))


class MemoryDiscs:
    """CDs of a simulated host: only their documents."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}

    def put(self, uid: str, told: Provisioning) -> str:
        self.documents[uid] = ovf_environment(told)
        return f"/simulated/{uid}.iso"

    def drop(self, uid: str) -> None:
        self.documents.pop(uid, None)

    def list(self) -> Sequence[str]:
        return sorted(self.documents)
