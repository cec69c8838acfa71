"""Declaration of management groups."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from lazur.kernel.clock import rfc3339
from lazur.model.fields import IdText, Model, Ref
from lazur.model.resource import Answers, Rendering, Resource


class ParentGroup(Model):
    """The group it is in; az says null for the root."""

    read_only: ClassVar[frozenset[str]] = frozenset({"name", "displayName"})
    id: Annotated[IdText, Ref("Microsoft.Management/managementGroups", takes="write")] | None = None


class GroupDetails(Model):
    """Where it stands."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"version", "updatedTime", "updatedBy", "path", "managementGroupAncestors", "managementGroupAncestorsChain"}
    )
    parent: ParentGroup | None = None


class ManagementGroupSpec(Model):
    """A name, and what is over it."""

    read_only: ClassVar[frozenset[str]] = frozenset({"tenantId", "children", "provisioningState"})
    display_name: Annotated[str, Field(max_length=256)] | None = None
    details: GroupDetails | None = None


class ManagementGroup(Resource[ManagementGroupSpec]):
    """A node over subscriptions: what is assigned or locked there holds for all of them."""

    type = "Microsoft.Management/managementGroups"
    api_versions = ("2023-04-01", "2021-04-01", "2020-05-01", "2020-02-01", "2018-03-01-preview")
    tracked = False
    scopes = ("tenant",)
    answers = Answers(create=200, update=200, delete=204, asynchronous=False)
    envelope = frozenset()
    # Azure's PATCH has a body of its own, and a route here.
    patched = False
    name_pattern = r"^[A-Za-z0-9_(][A-Za-z0-9_().-]{0,88}[A-Za-z0-9_()-]?$"
    example: ClassVar = {"properties": {"displayName": "Production"}}

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With its directory and its place."""
        record, properties = shown.record, shown.properties
        said = properties.get("details", {}).get("parent") or {}
        parent = {"id": said["id"]} if said.get("id") else None
        root = record.id.name.lower() == record.id.tenant
        if parent is None and not root:
            parent = {"id": str(record.id.parent.resource(cls.type, record.id.tenant))}
        if parent is not None:
            parent = {**parent, "name": parent["id"].rpartition("/")[2]}
        details = {
            "updatedTime": rfc3339(record.changed),
            "updatedBy": record.changed_by.get("object_id", ""),
            **({"parent": parent} if parent else {}),
        }
        return {"displayName": record.id.name, **properties, "tenantId": record.id.tenant, "details": details}
