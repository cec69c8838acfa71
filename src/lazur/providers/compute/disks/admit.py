"""Admission of disks: the size and the source are settled once. Pure."""

from __future__ import annotations

import re
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Record
from lazur.model.resource import Decision, Facts
from lazur.providers.compute.disks.resource import DiskSpec
from lazur.providers.compute.sizes import find_image

_GIB = 2**30
_IMAGE_ID = re.compile(r"/publishers/([^/]+)/artifacttypes/vmimage/offers/([^/]+)/skus/([^/]+)/versions/([^/]+)$", re.I)


def admit(spec: DiskSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Turn size and source into numbers and file names the storage domain understands."""
    asked = spec.disk_size_gb * _GIB if spec.disk_size_gb else 0
    if facts.old is not None:
        allocated = dict(facts.old.allocated)
        # What a GET shows is whole GiB: sent back it asks for nothing.
        shown = -(-allocated["sizeBytes"] // _GIB) * _GIB
        if asked <= shown:
            return Decision(allocated=allocated)
        return Decision(_grows(facts.old), allocated={**allocated, "sizeBytes": asked})
    try:
        source, least = _source(spec, facts)
    except LazurError as error:
        return Decision([error])
    if asked and asked < least:
        message = f"The disk must be at least as large as its source: {-(-least // _GIB)} GiB."
        return Decision([LazurError("InvalidParameter", message, target="properties.diskSizeGB")])
    return Decision(allocated={"sizeBytes": asked or least, "source": source})


def _grows(disk: Record) -> list[LazurError]:
    """A data disk grows under its running guest; a disk that one booted from does so only while that is deallocated."""
    held = disk.status
    if held.get("role") != "os" or held.get("idle"):
        return []
    message = (
        f"Cannot resize disk '{disk.id.name}' while it is attached to running VM '{held['machine']}'. Resizing a disk of an "
        "Azure Virtual Machine requires the virtual machine to be deallocated. Please stop your VM and retry the operation."
    )
    return [LazurError("OperationNotAllowed", message, target="properties.diskSizeGB", status=409)]


def _source(spec: DiskSpec, facts: Facts) -> tuple[dict[str, Any], int]:
    data = spec.creation_data
    if data.create_option == "Empty":
        return {"kind": "empty"}, 0
    if data.create_option == "Copy":
        origin = facts.related[(data.source_resource_id or "").lower()]
        return {"kind": "copy", "path": f"{origin.uid}.qcow2"}, int(origin.allocated["sizeBytes"])
    match = _IMAGE_ID.search((data.image_reference.id if data.image_reference else None) or "")
    if match is None:
        path = "properties.creationData.imageReference.id"
        raise LazurError("InvalidParameter", f"'{path}' does not name a platform image version.", target=path)
    image = find_image(facts.stamp, dict(zip(("publisher", "offer", "sku", "version"), match.groups(), strict=True)))
    return {"kind": "image", "file": image.file}, image.size_bytes
