"""VM sizes as data, and the read-only lists clients build their choices from: sizes, skus, usages, images.

Must never know where a machine runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lazur.api.message import Request
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.stamp import Image, Stamp


@dataclass(frozen=True)
class Size:
    """What a machine of this size has, exactly."""

    name: str
    family: str
    cores: int
    memory_mib: int
    max_data_disks: int
    max_nics: int


@cache
def sizes() -> Mapping[str, Size]:
    """All sizes by lower-case name. Figures as Azure publishes them."""
    rows = json.loads((Path(__file__).parent / "sizes.json").read_text())
    found = [Size(r["name"], r["family"], r["cores"], r["memoryMiB"], r["maxDataDisks"], r["maxNics"]) for r in rows]
    return {s.name.lower(): s for s in found}


def alike(name: str) -> list[str]:
    """Names of the sizes whose series begins with the same letter, of all when there are none."""
    series = name.lower()[: name.find("_") + 2]
    return [s.name for key, s in sizes().items() if key.startswith(series)] or [s.name for s in sizes().values()]


def list_sizes(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`locations/{l}/vmSizes`."""
    return {"value": [size_row(s) for s in sizes().values()]}


def size_row(size: Size) -> dict[str, Any]:
    """One size as `vmSizes` lists it."""
    return {
        "name": size.name,
        "numberOfCores": size.cores,
        "memoryInMB": size.memory_mib,
        "maxDataDiskCount": size.max_data_disks,
        "osDiskSizeInMB": 1047552,
        "resourceDiskSizeInMB": 0,
    }


def list_skus(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`skus`: what can be created here, without zones, as this cloud has one."""
    stamp = pipeline.stamp
    where = {"location": stamp.region, "zones": [], "zoneDetails": []}
    machines = [
        {
            "resourceType": "virtualMachines",
            "name": s.name,
            "tier": "Standard",
            "size": s.name.removeprefix("Standard_"),
            "family": s.family,
            "locations": [stamp.region],
            "locationInfo": [where],
            "restrictions": [],
            "capabilities": [
                {"name": n, "value": v}
                for n, v in (
                    ("vCPUs", str(s.cores)), ("vCPUsAvailable", str(s.cores)), ("MemoryGB", f"{s.memory_mib / 1024:g}"),
                    ("MaxDataDiskCount", str(s.max_data_disks)), ("MaxNetworkInterfaces", str(s.max_nics)),
                    ("HyperVGenerations", "V1"), ("CpuArchitectureType", "x64"), ("PremiumIO", "True"),
                    ("AcceleratedNetworkingEnabled", "False"), ("TrustedLaunchDisabled", "True"),
                )
            ],
        }
        for s in sizes().values()
    ]  # fmt: skip
    others = [
        {"resourceType": kind, "name": name, "tier": "Standard", "locations": [stamp.region], "locationInfo": [where],
         "restrictions": [], "capabilities": []}
        for kind, name in (("availabilitySets", "Aligned"), ("disks", "Standard_LRS"), ("disks", "Premium_LRS"))
    ]  # fmt: skip
    return {"value": [*machines, *others]}


def list_usages(pipeline: Pipeline, request: Request) -> dict[str, Any]:
    """`locations/{l}/usages`: no quota is set on this stamp."""
    return {"value": []}


def list_publishers(pipeline: Pipeline, request: Request) -> list[dict[str, Any]]:
    """Bare array of publishers, as Compute answers."""
    return _rows(pipeline.stamp, request.scope, "", sorted({i.publisher for i in pipeline.stamp.images}))


def list_offers(pipeline: Pipeline, request: Request, publisher: str) -> list[dict[str, Any]]:
    """Bare array of a publisher's offers."""
    found = {i.offer for i in pipeline.stamp.images if i.publisher.lower() == publisher.lower()}
    return _rows(pipeline.stamp, request.scope, f"/{publisher}/artifacttypes/vmimage/offers", sorted(found))


def list_image_skus(pipeline: Pipeline, request: Request, publisher: str, offer: str) -> list[dict[str, Any]]:
    """Bare array of an offer's skus."""
    found = {i.sku for i in _images(pipeline.stamp, publisher, offer)}
    return _rows(pipeline.stamp, request.scope, f"/{publisher}/artifacttypes/vmimage/offers/{offer}/skus", sorted(found))


def list_versions(
    pipeline: Pipeline, request: Request, publisher: str, offer: str, sku: str
) -> list[dict[str, Any]]:
    """Bare array of versions; `$orderby=name desc` and `$top` as az asks, `$expand=properties` in full."""
    stamp, query = pipeline.stamp, request.query
    found = sorted((i for i in _images(stamp, publisher, offer) if i.sku.lower() == sku.lower()), key=_version_key)
    if "desc" in query.get("$orderby", "").lower():
        found.reverse()
    top = query.get("$top", "")
    shown = [version_body(stamp, request.scope, i) for i in found[: int(top) if top.isdigit() else None]]
    if query.get("$expand", "").lower() != "properties":
        shown = [{k: v for k, v in s.items() if k != "properties"} for s in shown]
    return shown


def get_version(
    pipeline: Pipeline, request: Request, publisher: str, offer: str, sku: str, version: str
) -> dict[str, Any]:
    """One image version; `latest` is resolved."""
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
    return version_body(pipeline.stamp, request.scope, find_image(pipeline.stamp, reference))


def version_body(stamp: Stamp, scope: ArmId, image: Image) -> dict[str, Any]:
    """An image version as Compute shows it."""
    tail = f"/{image.publisher}/artifacttypes/vmimage/offers/{image.offer}/skus/{image.sku}/versions"
    row = _rows(stamp, scope, tail, [image.version])[0]
    row["properties"] = {
        "architecture": image.architecture,
        "hyperVGeneration": image.generation,
        "osDiskImage": {"operatingSystem": image.os_type, "sizeInGb": _gib(image.size_bytes), "sizeInBytes": image.size_bytes},
        "dataDiskImages": [],
        "features": [],
        "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False},
        "replicaType": "Unmanaged",
    }
    return row


def find_image(stamp: Stamp, reference: Mapping[str, Any], target: str = "imageReference") -> Image:
    """The catalogue's image for the `imageReference` at `target`; the refusal lists what there is."""
    known = ", ".join(f"{i.publisher}:{i.offer}:{i.sku}:{i.version}" for i in stamp.images) or "none"
    other = next((k for k in reference if k.lower().endswith("id") and reference[k]), None)
    if other is not None:
        message = f"'{other}' names an image of one's own or of a gallery; this cloud has platform images only: {known}."
        raise LazurError("OperationNotAllowed", message, target=f"{target}.{other}")
    wanted = [str(reference.get(k, "")).lower() for k in ("publisher", "offer", "sku", "version")]
    found = [i for i in stamp.images if [i.publisher.lower(), i.offer.lower(), i.sku.lower()] == wanted[:3]]
    if wanted[3] == "latest" and found:
        return max(found, key=_version_key)
    for image in found:
        if image.version == wanted[3]:
            return image
    named = ":".join(str(reference.get(k, "")) for k in ("publisher", "offer", "sku", "version"))
    message = f"The platform image '{named}' is not available. Images of this cloud: {known}."
    raise LazurError("PlatformImageNotFound", message, target=target, status=404)


def _images(stamp: Stamp, publisher: str, offer: str) -> list[Image]:
    return [i for i in stamp.images if (i.publisher.lower(), i.offer.lower()) == (publisher.lower(), offer.lower())]


def _version_key(image: Image) -> tuple[int, ...]:
    return tuple(int(p) if p.isdigit() else 0 for p in image.version.split("."))


def _gib(size: int) -> int:
    return -(-size // 2**30)


def _rows(stamp: Stamp, scope: ArmId, tail: str, names: list[str]) -> list[dict[str, Any]]:
    base = f"{scope}/Providers/Microsoft.Compute/Locations/{stamp.region}/Publishers{tail}"
    return [{"id": f"{base}/{n}", "name": n, "location": stamp.region} for n in names]
