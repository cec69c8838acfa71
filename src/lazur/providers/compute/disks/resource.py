"""Declaration of managed disks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.model.fields import Caseless, IdText, Model, Mut, Ref
from lazur.model.resource import Answers, Rendering, Resource

API_VERSIONS = ("2025-01-02", "2024-03-02", "2023-04-02", "2020-06-01", "2019-07-01")


class ImageDiskReference(Model):
    """The image a disk is made from, as `/Subscriptions/…/Versions/x`."""

    id: str | None = None


class CreationData(Model):
    """Where the first content comes from."""

    create_option: Annotated[Literal["Empty", "FromImage", "Copy"], Caseless()]
    image_reference: ImageDiskReference | None = None
    source_resource_id: Annotated[IdText | None, Ref("Microsoft.Compute/disks")] = None


class Encryption(Model):
    """How the disk is kept secret at rest."""

    type: Annotated[Literal["EncryptionAtRestWithPlatformKey"], Caseless()] = "EncryptionAtRestWithPlatformKey"


class DiskSpec(Model):
    """What the customer asks for."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "diskState", "timeCreated", "uniqueId", "diskSizeBytes", "managedBy", "diskIOPSReadWrite",
         "diskMBpsReadWrite", "tier", "LastOwnershipUpdateTime"}
    )  # fmt: skip
    creation_data: Annotated[CreationData, Mut.CREATE_ONLY]
    disk_size_gb: Annotated[int | None, Field(alias="diskSizeGB", ge=1, le=32767), Mut.GROW_ONLY] = None
    """Provisioned size; may grow, never shrink. Taken from the source when absent."""
    os_type: Annotated[Literal["Linux", "Windows"], Caseless(), Mut.CREATE_ONLY] | None = None
    hyper_v_generation: Annotated[str | None, Field(alias="hyperVGeneration")] = None
    encryption: Encryption = Encryption()
    network_access_policy: str = "AllowAll"
    public_network_access: str = "Enabled"


def sources_are_named(spec: DiskSpec) -> Iterator[LazurError]:
    """An empty disk says how large it is; a copy says of what."""
    option = spec.creation_data.create_option
    if option == "Empty" and spec.disk_size_gb is None:
        message = "Required parameter 'diskSizeGB' is missing (null): an empty disk has no size of its own."
        yield LazurError("InvalidParameter", message, target="properties.diskSizeGB")
    if option == "Copy" and spec.creation_data.source_resource_id is None:
        path = "properties.creationData.sourceResourceId"
        yield LazurError("InvalidParameter", f"Required parameter '{path}' is missing (null).", target=path)
    if option == "FromImage" and (spec.creation_data.image_reference is None or not spec.creation_data.image_reference.id):
        path = "properties.creationData.imageReference.id"
        yield LazurError("InvalidParameter", f"Required parameter '{path}' is missing (null).", target=path)


class Disk(Resource[DiskSpec]):
    """A managed block device; it outlives the machine it is attached to."""

    type = "Microsoft.Compute/disks"
    api_versions = API_VERSIONS
    answers = Answers(create=202, update=202, delete=202)
    rules = (sources_are_named,)
    example: ClassVar = {
        "location": "local",
        "sku": {"name": "Standard_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4},
    }

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With its size and whether a machine holds it."""
        record = shown.record
        size = record.allocated.get("sizeBytes", 0)
        attached = bool(shown.users("virtualMachines"))
        state = ("Reserved" if record.status.get("idle") else "Attached") if attached else "Unattached"
        return {
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            **shown.properties,
            "diskSizeGB": -(-size // 2**30),
            "diskSizeBytes": size,
            "uniqueId": record.uid,
            "diskState": state,
            "timeCreated": rfc3339(record.created),
        }

    @classmethod
    def outer(cls, shown: Rendering) -> dict[str, Any]:
        """`managedBy` stands beside `properties`."""
        machine = next(iter(shown.users("virtualMachines")), None)
        sku = dict(shown.record.body.get("sku") or {"name": "Standard_LRS"})
        sku.setdefault("tier", "Premium" if "Premium" in sku.get("name", "") else "Standard")
        return {"sku": sku, **({"managedBy": machine} if machine else {})}
