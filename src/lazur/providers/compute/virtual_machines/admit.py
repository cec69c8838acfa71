"""Admission of virtual machines: implicit disks are made, names are written back, actions become intents. Pure."""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Mapping
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.model.identity import with_identity
from lazur.model.resource import Act, Decision, Facts, NewResource, Tools
from lazur.model.stamp import Image, Stamp
from lazur.providers.compute.sizes import find_image
from lazur.providers.compute.virtual_machines.resource import VirtualMachineSpec

_GIB = 2**30
_DISKS = "Microsoft.Compute/disks"
_INTENT = {"power": "running", "starts": 0, "restart": 0, "hardStop": False}


def admit(spec: VirtualMachineSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Complete the document as Azure does and make the disks it implies."""
    faults = [*_not_offered(body), *(_sign_in(spec) if facts.old is None else [])]
    whole = copy.deepcopy(body)
    profile = whole["properties"]["storageProfile"]
    profile["osDisk"] = _asked_os_disk(profile)
    children: list[NewResource] = []
    try:
        if facts.old is None:
            _os_disk(spec, profile, facts, children)
        else:
            _keep_os_disk(profile, facts.old)
    except LazurError as error:
        faults.append(error)
    profile["dataDisks"] = [d for d in profile.get("dataDisks", []) if not d.get("toBeDetached")]
    held = {d["lun"]: d for d in facts.old.properties["storageProfile"].get("dataDisks", [])} if facts.old else {}
    for disk in profile["dataDisks"]:
        _keep_data_disk(disk, held.get(disk["lun"]))
        _data_disk(disk, facts, children)
    if facts.old is not None:
        # Provisioning happened once: what a later request says or leaves out of it changes nothing.
        whole["properties"].pop("osProfile", None)
        if "osProfile" in facts.old.properties:
            whole["properties"]["osProfile"] = facts.old.properties["osProfile"]
        faults += [*_needs_deallocation(whole["properties"], facts.old), *_grown_here(body, facts)]
    elif "osProfile" in whole["properties"]:
        whole["properties"]["osProfile"].setdefault("computerName", facts.id.name)
    intent = dict(facts.old.intent) if facts.old else dict(_INTENT)
    return Decision(faults, with_identity(whole, facts), (), children, intent, whole)


def _needs_deallocation(properties: Mapping[str, Any], old: Record) -> list[LazurError]:
    """A running machine keeps its network cards, and its disks the places where the guest found them."""
    if old.status.get("power") == "deallocated" and old.intent.get("power") == "deallocated":
        return []
    faults = []
    cards, before = ([c["id"].lower() for c in p["networkProfile"]["networkInterfaces"]] for p in (properties, old.properties))
    if cards != before:
        message = f"Network interfaces of VM '{old.id.name}' can change only while it is deallocated."
        path = "properties.networkProfile.networkInterfaces"
        faults.append(LazurError("OperationNotAllowed", message, target=path, status=409))
    luns, known = (
        {_disk_id(d): d["lun"] for d in p["storageProfile"].get("dataDisks", [])} for p in (properties, old.properties)
    )
    moved = [i for i, lun in luns.items() if known.get(i, lun) != lun]
    if moved:
        message = (
            f"The lun of an attached disk of VM '{old.id.name}' can change only while it is deallocated: {', '.join(moved)}."
        )
        faults.append(LazurError("OperationNotAllowed", message, target="properties.storageProfile.dataDisks", status=409))
    return faults


def _grown_here(body: Mapping[str, Any], facts: Facts) -> list[LazurError]:
    """An existing disk grows by its own document; a wish for it in the machine's would be lost."""
    profile, faults = body["properties"]["storageProfile"], []
    entries = {"osDisk": _asked_os_disk(profile), **{f"dataDisks[{i}]": d for i, d in enumerate(profile.get("dataDisks", []))}}
    for path, entry in entries.items():
        disk = facts.related.get(_disk_id(entry))
        if disk is not None and (entry.get("diskSizeGB") or 0) > -(-disk.allocated["sizeBytes"] // _GIB):
            message = f"Disk '{disk.id.name}' exists already; grow it by an update of its own diskSizeGB."
            target = f"properties.storageProfile.{path}.diskSizeGB"
            faults.append(LazurError("OperationNotAllowed", message, target=target, status=409))
    return faults


def _disk_id(entry: Mapping[str, Any]) -> str:
    return str(entry.get("managedDisk", {}).get("id", "")).lower()


def lacking(body: Mapping[str, Any], stamp: Stamp) -> list[LazurError]:
    """What a new machine asks for and this cloud does not have, whatever else there is."""
    faults, profile = _not_offered(body), body["properties"]["storageProfile"]
    if _asked_os_disk(profile)["createOption"] != "Attach" and "imageReference" in profile:
        try:
            _image(profile, stamp)
        except LazurError as error:
            faults.append(error)
    return faults


def _asked_os_disk(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What a document says of the OS disk, or leaves unsaid: that it is made of the image."""
    return {"createOption": "FromImage", **profile.get("osDisk", {})}


def _image(profile: Mapping[str, Any], stamp: Stamp) -> Image:
    return find_image(stamp, profile["imageReference"], "properties.storageProfile.imageReference")


def _not_offered(body: Mapping[str, Any]) -> list[LazurError]:
    """What would be accepted without effect is refused instead."""
    faults = []
    if body.get("zones"):
        message = "This cloud has no availability zones; leave 'zones' out and use an availability set."
        faults.append(LazurError("AvailabilityZonesNotSupported", message, target="zones"))
    return faults


def _sign_in(spec: VirtualMachineSpec) -> list[LazurError]:
    profile, faults = spec.os_profile, []
    if profile is None:
        return []
    linux = profile.linux_configuration
    if linux.disable_password_authentication and not linux.ssh.public_keys:
        message = "Authentication using SSH keys is selected but no public key was given."
        faults.append(LazurError("InvalidParameter", message, target="properties.osProfile.linuxConfiguration.ssh.publicKeys"))
    if not linux.disable_password_authentication and not profile.admin_password and not linux.ssh.public_keys:
        message = "Authentication must be enabled for the VM: give adminPassword or an SSH public key."
        faults.append(LazurError("InvalidParameter", message, target="properties.osProfile.adminPassword"))
    try:
        base64.b64decode(profile.custom_data or "", validate=True)
    except binascii.Error:
        message = "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters."
        faults.append(LazurError("InvalidParameter", message, target="properties.osProfile.customData"))
    return faults


def _os_disk(spec: VirtualMachineSpec, profile: dict[str, Any], facts: Facts, children: list[NewResource]) -> None:
    disk = profile["osDisk"]
    if disk["createOption"] == "Attach":
        disk.setdefault("name", ArmId.parse(disk["managedDisk"]["id"]).name)
        return
    if "imageReference" not in profile:
        path = "properties.storageProfile.imageReference"
        raise LazurError("InvalidParameter", f"Required parameter '{path}' is missing (null).", target=path)
    image = _image(profile, facts.stamp)
    profile["imageReference"]["exactVersion"] = image.version
    size = max(image.size_bytes, (spec.storage_profile.os_disk.disk_size_gb or 0) * _GIB)
    disk["osType"] = image.os_type
    name = disk.get("name") or f"{facts.id.name}_OsDisk_1_{derived(facts.uid, 'os').replace('-', '')}"
    disk["diskSizeGB"] = -(-size // _GIB)
    source = {"createOption": "FromImage", "imageReference": {"id": _image_id(facts, image)}}
    properties = {"osType": image.os_type, "hyperVGeneration": image.generation, "creationData": source}
    _make(disk, name, size, {"kind": "image", "file": image.file}, properties, facts, children)


def _image_id(facts: Facts, image: Any) -> str:
    return (
        f"/Subscriptions/{facts.id.subscription}/Providers/Microsoft.Compute/Locations/{facts.stamp.region}/Publishers/"
        f"{image.publisher}/ArtifactTypes/VMImage/Offers/{image.offer}/Skus/{image.sku}/Versions/{image.version}"
    )


def _keep_os_disk(profile: dict[str, Any], old: Record) -> None:
    before = old.properties["storageProfile"]
    asked = profile["osDisk"].get("managedDisk", {}).get("id")
    held = before["osDisk"]["managedDisk"]["id"]
    if asked is not None and asked.lower() != held.lower():
        path = "properties.storageProfile.osDisk.managedDisk.id"
        raise LazurError("PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.", target=path)
    profile["osDisk"] = {**before["osDisk"], **{k: v for k, v in profile["osDisk"].items() if k in ("caching", "deleteOption")}}
    if "imageReference" in before:
        profile["imageReference"] = before["imageReference"]


def _keep_data_disk(disk: dict[str, Any], held: Mapping[str, Any] | None) -> None:
    """A template that is deployed again asks for an empty disk where the one it made before already is."""
    same = held is not None and disk["createOption"] != "Attach" and disk.get("name", held.get("name")) == held.get("name")
    if same and held is not None and not disk.get("managedDisk", {}).get("id"):
        disk["name"] = held["name"]
        disk["managedDisk"] = {**disk.get("managedDisk", {}), **held["managedDisk"]}


def _data_disk(disk: dict[str, Any], facts: Facts, children: list[NewResource]) -> None:
    if disk.get("managedDisk", {}).get("id"):
        disk.setdefault("name", ArmId.parse(disk["managedDisk"]["id"]).name)
        return
    name = disk.get("name") or f"{facts.id.name}_disk{disk['lun'] + 2}_{facts.fresh().replace('-', '')}"
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": disk["diskSizeGB"]}
    _make(disk, name, disk["diskSizeGB"] * _GIB, {"kind": "empty"}, properties, facts, children)


def _make(
    entry: dict[str, Any], name: str, size: int, source: dict[str, Any], properties: dict[str, Any], facts: Facts,
    children: list[NewResource],
) -> None:  # fmt: skip
    """A disk resource beside the machine, created in the same transaction."""
    id = facts.id.scope.resource(_DISKS, name)
    entry["name"] = name
    kind = entry.get("managedDisk", {}).get("storageAccountType") or "Standard_LRS"
    entry["managedDisk"] = {"id": str(id), "storageAccountType": kind}
    body = {"location": facts.stamp.region, "sku": {"name": kind}, "properties": properties}
    children.append(NewResource(id, body, {"sizeBytes": size, "source": source}))


def act(action: str, record: Record, body: Any, query: Mapping[str, str], tools: Tools) -> Act:
    """What an action asks of the machine from now on."""
    intent = {**_INTENT, **record.intent}
    if action == "retrieveBootDiagnosticsData":
        nonce = tools.ids.uuid()
        links = {
            "consoleScreenshotBlobUri": tools.sign(f"{record.uid}/screenshot.png"),
            "serialConsoleLogBlobUri": tools.sign(f"{record.uid}/serial.log"),
        }
        return Act({**intent, "capture": nonce}, links)
    hard = query.get("skipshutdown", "").lower() == "true"
    changes: dict[str, dict[str, Any]] = {
        # Counted, since a guest may have switched itself off: the wish is then the same, and has to be made anew.
        "start": {"power": "running", "hardStop": False, "starts": intent["starts"] + 1},
        "powerOff": {"power": "stopped", "hardStop": hard},
        "deallocate": {"power": "deallocated", "hardStop": False},
        "restart": {"restart": intent["restart"] + 1, "hardStop": False},
    }
    if action == "powerOff" and intent["power"] == "deallocated":
        # More than off already; a place would be taken for nothing.
        return Act(intent)
    if action == "restart" and intent["power"] != "running":
        message = f"Operation 'restart' is not allowed on VM '{record.id.name}' since the VM is not running; start it instead."
        raise LazurError("OperationNotAllowed", message, status=409)
    return Act({**intent, **changes[action]})
