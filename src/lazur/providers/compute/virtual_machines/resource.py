"""Declaration of virtual machines."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.model.documents import Record
from lazur.model.fields import Caseless, IdText, Model, Mut, Ref, SubResource, WriteOnly
from lazur.model.resource import Action, Rendering, Resource, View
from lazur.providers.compute.sizes import alike, size_row, sizes

API_VERSIONS = ("2026-04-01", "2025-11-01", "2024-11-01", "2024-07-01", "2022-11-01", "2020-06-01", "2019-07-01", "2017-03-30")
DISK = Ref("Microsoft.Compute/disks", exclusive=True)
Caching = Annotated[Literal["None", "ReadOnly", "ReadWrite"], Caseless()]
DeleteOption = Annotated[Literal["Delete", "Detach"], Caseless()]
CreateOption = Annotated[Literal["FromImage", "Empty", "Attach"], Caseless()]

POWER = {"running": "VM running", "stopped": "VM stopped", "deallocated": "VM deallocated", "starting": "VM starting",
         "stopping": "VM stopping", "deallocating": "VM deallocating"}  # fmt: skip


DiskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$")]


class HardwareProfile(Model):
    """How large the machine is."""

    vm_size: str


class ImageReference(Model):
    """The image the OS disk is made from."""

    read_only: ClassVar[frozenset[str]] = frozenset({"exactVersion"})
    publisher: Annotated[str | None, Mut.CREATE_ONLY] = None
    offer: Annotated[str | None, Mut.CREATE_ONLY] = None
    sku: Annotated[str | None, Mut.CREATE_ONLY] = None
    version: str | None = None


class ManagedDisk(Model):
    """The disk resource behind an entry of the storage profile."""

    id: Annotated[IdText | None, DISK] = None
    storage_account_type: str | None = None


class OSDisk(Model):
    """The disk the machine boots from."""

    name: DiskName | None = None
    os_type: Annotated[Literal["Linux", "Windows"], Caseless()] | None = None
    create_option: Annotated[CreateOption, Mut.CREATE_ONLY] = "FromImage"
    caching: Caching = "None"
    managed_disk: ManagedDisk = ManagedDisk()
    disk_size_gb: Annotated[int | None, Field(alias="diskSizeGB", ge=1, le=4095)] = None
    delete_option: DeleteOption = "Detach"


class DataDisk(Model):
    """A further disk; `lun` is where the guest finds it."""

    read_only: ClassVar[frozenset[str]] = frozenset({"diskIOPSReadWrite", "diskMBpsReadWrite"})
    lun: Annotated[int, Field(ge=0, le=63)]
    name: DiskName | None = None
    create_option: CreateOption
    caching: Caching = "None"
    managed_disk: ManagedDisk = ManagedDisk()
    disk_size_gb: Annotated[int | None, Field(alias="diskSizeGB", ge=1, le=32767)] = None
    delete_option: DeleteOption = "Detach"
    to_be_detached: bool = False


class StorageProfile(Model):
    """All disks."""

    image_reference: ImageReference | None = None
    os_disk: OSDisk = OSDisk()
    """Made of the image when nothing is said of it."""
    data_disks: list[DataDisk] = []


class SshPublicKey(Model):
    """A key that may sign in."""

    path: str | None = None
    key_data: str


class SshConfiguration(Model):
    """Keys that may sign in."""

    public_keys: list[SshPublicKey] = []


class LinuxConfiguration(Model):
    """How a Linux guest is provisioned."""

    disable_password_authentication: bool = False
    ssh: SshConfiguration = SshConfiguration()


class OSProfile(Model):
    """Who may sign in to the guest and what it is called."""

    read_only: ClassVar[frozenset[str]] = frozenset({"requireGuestProvisionSignal"})
    computer_name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"), Mut.CREATE_ONLY] = (
        None
    )
    admin_username: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,31}$"), Mut.CREATE_ONLY]
    admin_password: Annotated[str | None, Field(min_length=6, max_length=72), WriteOnly] = None
    custom_data: Annotated[str | None, Field(max_length=87380), WriteOnly] = None
    """Base64; at most 64 KiB decoded."""
    linux_configuration: LinuxConfiguration = LinuxConfiguration()


class NicProperties(Model):
    """How an interface belongs to the machine."""

    primary: bool | None = None
    delete_option: DeleteOption = "Detach"


class NicReference(Model):
    """An interface of the machine."""

    id: Annotated[IdText, Ref("Microsoft.Network/networkInterfaces", exclusive=True)]
    properties: NicProperties = NicProperties()


class NetworkProfile(Model):
    """The machine's interfaces, the first one being primary unless another says so."""

    network_interfaces: Annotated[list[NicReference], Field(min_length=1)]


class BootDiagnostics(Model):
    """Whether serial log and screenshot are kept; here they always are."""

    enabled: bool = True


class DiagnosticsProfile(Model):
    """Diagnostics of the machine."""

    boot_diagnostics: BootDiagnostics = BootDiagnostics()


class SecurityProfile(Model):
    """Firmware security; only the standard type is offered yet."""

    security_type: str | None = None


class VirtualMachineSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "vmId", "instanceView", "timeCreated"})
    hardware_profile: HardwareProfile
    storage_profile: StorageProfile
    os_profile: OSProfile | None = None
    network_profile: NetworkProfile
    availability_set: Annotated[SubResource | None, Ref("Microsoft.Compute/availabilitySets"), Mut.CREATE_ONLY] = None
    diagnostics_profile: DiagnosticsProfile = DiagnosticsProfile()
    security_profile: SecurityProfile = SecurityProfile()
    user_data: Annotated[str | None, Field(max_length=87380)] = None


def machine_is_whole(spec: VirtualMachineSpec) -> Iterator[LazurError]:
    """Size known, disks and interfaces within the size's limits, luns distinct, a way to sign in."""
    size = sizes().get(spec.hardware_profile.vm_size.lower())
    if size is None:
        message = (
            f"The value {spec.hardware_profile.vm_size} provided for the VM size is not valid. Valid sizes of its kind are: "
            f"{', '.join(alike(spec.hardware_profile.vm_size))}; `locations/{{location}}/vmSizes` lists all."
        )
        yield LazurError("InvalidParameter", message, target="properties.hardwareProfile.vmSize")
    disks, cards = spec.storage_profile.data_disks, spec.network_profile.network_interfaces
    luns = [d.lun for d in disks]
    if len(set(luns)) < len(luns):
        message = "A logical unit number is used by more than one data disk."
        yield LazurError("InvalidParameter", message, target="properties.storageProfile.dataDisks")
    if size is not None and len(disks) > size.max_data_disks:
        message = f"{size.name} takes at most {size.max_data_disks} data disks; {len(disks)} were asked for."
        yield LazurError("OperationNotAllowed", message, target="properties.storageProfile.dataDisks", status=409)
    if size is not None and len(cards) > size.max_nics:
        message = f"{size.name} takes at most {size.max_nics} network interfaces; {len(cards)} were asked for."
        yield LazurError("NetworkInterfaceCountExceeded", message, target="properties.networkProfile", status=409)
    if (spec.security_profile.security_type or "Standard").lower() != "standard":
        message = "Trusted launch and confidential machines are not offered yet; use securityType 'Standard'."
        yield LazurError("BadRequest", message, target="properties.securityProfile.securityType")
    yield from _disks_have_sources(spec)


def _disks_have_sources(spec: VirtualMachineSpec) -> Iterator[LazurError]:
    disk = spec.storage_profile.os_disk
    # az takes the image away when it sends back an existing machine, whose disk is named by then.
    if disk.create_option == "FromImage" and spec.storage_profile.image_reference is None and disk.managed_disk.id is None:
        path = "properties.storageProfile.imageReference"
        yield LazurError("InvalidParameter", f"Required parameter '{path}' is missing (null).", target=path)
    if disk.create_option == "Attach" and disk.managed_disk.id is None:
        path = "properties.storageProfile.osDisk.managedDisk.id"
        yield LazurError("InvalidParameter", f"Required parameter '{path}' is missing (null).", target=path)
    for index, data in enumerate(spec.storage_profile.data_disks):
        path = ""
        if data.create_option == "Attach" and data.managed_disk.id is None:
            path = f"properties.storageProfile.dataDisks[{index}].managedDisk.id"
        if data.create_option != "Attach" and data.managed_disk.id is None and data.disk_size_gb is None:
            path = f"properties.storageProfile.dataDisks[{index}].diskSizeGB"
        if path:
            yield LazurError("InvalidParameter", f"Required parameter '{path}' is missing (null).", target=path)


def instance_view(record: Record) -> dict[str, Any]:
    """What the machine is doing now."""
    seen = record.status
    power = seen.get("power", "starting")
    state = record.state.lower()
    statuses = [
        {"code": f"ProvisioningState/{state}", "level": "Error" if state == "failed" else "Info",
         "displayStatus": f"Provisioning {state}", "time": rfc3339(record.changed)},
        {"code": f"PowerState/{power}", "level": "Info", "displayStatus": POWER.get(power, power)},
    ]  # fmt: skip
    if "waitingFor" in seen:
        statuses[0]["message"] = f"Waiting: {seen['waitingFor']}."
    guest = seen.get("guest", "Unknown")
    said = seen.get("guestMessage") or ("Guest agent is running" if guest == "Ready" else "No report from the guest yet")
    view: dict[str, Any] = {
        "computerName": record.properties.get("osProfile", {}).get("computerName", record.id.name),
        "vmAgent": {"vmAgentVersion": "Unknown", "statuses": [
            {"code": f"ProvisioningState/{'succeeded' if guest == 'Ready' else 'updating'}", "level": "Info",
             "displayStatus": guest, "message": said}]},
        "disks": [{"name": d, "statuses": [statuses[0]]} for d in seen.get("diskNames", [])],
        "hyperVGeneration": "V1",
        "statuses": statuses,
    }  # fmt: skip
    for name in ("simulated", "accelerator", "faultDomain"):
        if name in seen:
            view["platformFaultDomain" if name == "faultDomain" else name] = seen[name]
    return view


def resize_options(record: Record) -> list[dict[str, Any]]:
    """Sizes the machine may be changed to: all of them, as capacity is decided when it starts."""
    return [size_row(s) for s in sizes().values()]


class VirtualMachine(Resource[VirtualMachineSpec]):
    """A computer: its size, its disks and its network interfaces."""

    type = "Microsoft.Compute/virtualMachines"
    api_versions = API_VERSIONS
    creating = "Creating"
    has_identity = True
    name_pattern = r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?$"
    rules = (machine_is_whole,)
    views = (
        View("instanceView", "What the machine is doing now.", instance_view),
        View("vmSizes", "Sizes the machine may be changed to.", resize_options),
    )
    actions = (
        Action("start", "Start a stopped or deallocated machine."),
        Action("powerOff", "Shut down; the machine keeps its place. `skipShutdown=true` pulls the plug."),
        Action("restart", "Restart the guest."),
        Action("deallocate", "Shut down and give up the place; disks stay."),
        Action("retrieveBootDiagnosticsData", "Signed URLs of the serial log and a screenshot.", reads=True),
    )
    example: ClassVar = {
        "location": "local",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1ls"},
            "storageProfile": {
                "imageReference": {"publisher": "Lazur", "offer": "TinyLinux", "sku": "1", "version": "latest"},
                "osDisk": {"createOption": "FromImage"},
            },
            "osProfile": {"computerName": "vm1", "adminUsername": "azureuser", "adminPassword": "Lazur-12345"},
            "networkProfile": {"networkInterfaces": [{"id": "@Microsoft.Network/networkInterfaces"}]},
            "availabilitySet": {"id": "@Microsoft.Compute/availabilitySets"},
        },
    }

    @classmethod
    def portable(cls, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[str]]:
        """Without the ids of the disks that were made for the machine: another machine gets others."""
        out = copy.deepcopy(dict(body))
        profile = out["properties"]["storageProfile"]
        along = []
        for disk in (profile["osDisk"], *profile.get("dataDisks", [])):
            if disk.get("createOption") != "Attach" and "id" in disk.get("managedDisk", {}):
                along.append(disk["managedDisk"].pop("id"))
        return out, along

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With the machine's id and, when asked for, its instance view."""
        properties = shown.properties
        properties["vmId"] = shown.record.uid
        properties["timeCreated"] = rfc3339(shown.record.created)
        properties["storageProfile"].setdefault("dataDisks", [])
        if "osProfile" in properties:
            properties["osProfile"].setdefault("secrets", [])
            properties["osProfile"].setdefault("allowExtensionOperations", True)
        if "instanceview" in shown.expand.lower():
            properties["instanceView"] = instance_view(shown.record)
        return properties
