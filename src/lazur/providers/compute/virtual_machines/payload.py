"""What a host is told of a machine: the content of its desire. Reads documents, decides nothing."""

from __future__ import annotations

from typing import Any

from lazur.control.context import Context
from lazur.model.documents import Record
from lazur.model.identity import identities_of
from lazur.providers.compute.sizes import sizes

_SECRETS = {"osProfile.adminPassword": "adminPassword", "osProfile.customData": "customData"}
_READY_SECONDS = 600


def machine_payload(context: Context, record: Record) -> tuple[dict[str, Any], dict[str, str]]:
    """The payload and its sealed parts (sealed text and context, joined for the desire endpoint)."""
    properties, size = record.properties, sizes()[record.properties["hardwareProfile"]["vmSize"].lower()]
    profile = properties.get("osProfile", {})
    cards = [_card(context, c, i) for i, c in enumerate(properties["networkProfile"]["networkInterfaces"])]
    payload: dict[str, Any] = {
        "id": record.key,
        "uid": record.uid,
        "vmId": record.uid,
        "name": record.id.name,
        "computerName": profile.get("computerName", record.id.name),
        "power": "running" if record.intent.get("power", "running") == "running" else "stopped",
        "starts": record.intent.get("starts", 0),
        "restart": record.intent.get("restart", 0),
        "hardStop": record.intent.get("hardStop", False),
        "cores": size.cores,
        "memoryMiB": size.memory_mib,
        "disks": _disks(context, record),
        "nics": cards,
        "provisioning": _provisioning(record) if profile else None,
        "image": {"agent": _has_agent(context, record)},
        "readyDeadlineSeconds": _READY_SECONDS,
        "imds": _metadata(context, record),
    }
    known = [who for _, who in identities_of(record)]
    if known:
        # Whom the guest may be; the tokens themselves are fetched by the host when the guest asks.
        payload["identity"] = {"tenantId": known[0]["tenantId"], "clientIds": sorted(who["clientId"] for who in known)}
    secrets = {
        name: f"{record.secrets[path]}\x1f{record.key}#{path}" for path, name in _SECRETS.items() if path in record.secrets
    }
    if secrets:
        payload["secrets"] = {}
    return payload, secrets


def _disks(context: Context, record: Record) -> list[dict[str, Any]]:
    profile = record.properties["storageProfile"]
    rows = []
    for entry in (profile["osDisk"], *profile.get("dataDisks", [])):
        disk = context.get(entry["managedDisk"]["id"])
        if disk is not None:
            rows.append(
                {
                    "uid": disk.uid,
                    "role": "data" if "lun" in entry else "os",
                    "lun": entry.get("lun"),
                    "path": f"{disk.uid}.qcow2",
                    "sizeBytes": disk.allocated["sizeBytes"],
                    "caching": entry.get("caching", "None"),
                }
            )
    return rows


def _card(context: Context, entry: dict[str, Any], index: int) -> dict[str, Any]:
    nic = context.get(entry["id"])
    assert nic is not None, "the controller waits for interfaces first"
    primary = bool(entry.get("properties", {}).get("primary", index == 0))
    return {**nic.status["card"], "primary": primary}


def _provisioning(record: Record) -> dict[str, Any]:
    profile = record.properties["osProfile"]
    linux = profile.get("linuxConfiguration", {})
    user = profile["adminUsername"]
    keys = linux.get("ssh", {}).get("publicKeys", [])
    return {
        "hostName": profile.get("computerName", record.id.name),
        "userName": user,
        "disablePasswordAuthentication": linux.get("disablePasswordAuthentication", False),
        "sshKeys": [{"path": k.get("path", f"/home/{user}/.ssh/authorized_keys"), "value": k["keyData"]} for k in keys],
        "hasCustomData": "osProfile.customData" in record.secrets,
    }


def _has_agent(context: Context, record: Record) -> bool:
    """Whether the image's catalogue entry declares a guest agent; an attached disk declares nothing."""
    found = record.properties["storageProfile"].get("imageReference")
    if found is None:
        return False
    wanted = [str(found.get(k, "")).lower() for k in ("publisher", "offer", "sku")]
    return any(i.agent for i in context.stamp.images if [i.publisher.lower(), i.offer.lower(), i.sku.lower()] == wanted)


def _metadata(context: Context, record: Record) -> dict[str, Any]:
    """The compute part of the instance metadata document."""
    properties = record.properties
    profile, image = properties.get("osProfile", {}), properties["storageProfile"].get("imageReference", {})
    linux = profile.get("linuxConfiguration", {})
    keys = linux.get("ssh", {}).get("publicKeys", [])
    return {
        "azEnvironment": "Lazur",
        "location": context.stamp.region,
        "name": record.id.name,
        "vmId": record.uid,
        "vmSize": properties["hardwareProfile"]["vmSize"],
        "resourceId": str(record.id),
        "resourceGroupName": record.id.group,
        "subscriptionId": record.id.subscription,
        "publisher": image.get("publisher", ""),
        "offer": image.get("offer", ""),
        "sku": image.get("sku", ""),
        "version": image.get("exactVersion", image.get("version", "")),
        "osType": properties["storageProfile"]["osDisk"].get("osType", "Linux"),
        "platformFaultDomain": str(record.allocated.get("faultDomain", 0)),
        "tags": ";".join(f"{k}:{v}" for k, v in record.body.get("tags", {}).items()),
        "tagsList": [{"name": k, "value": v} for k, v in record.body.get("tags", {}).items()],
        "userData": properties.get("userData", ""),
        "publicKeys": [{"keyData": k["keyData"], "path": k.get("path", "")} for k in keys],
        "osProfile": {
            "adminUsername": profile.get("adminUsername", ""),
            "computerName": profile.get("computerName", record.id.name),
            "disablePasswordAuthentication": str(linux.get("disablePasswordAuthentication", False)).lower(),
        },
    }
