"""Declaration of resource groups."""

from __future__ import annotations

from typing import ClassVar

from lazur.model.fields import Model
from lazur.model.resource import Answers, Resource


class ResourceGroupSpec(Model):
    """A resource group has no properties of its own."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})


class ResourceGroup(Resource[ResourceGroupSpec]):
    """A container that is created, listed, secured and deleted together with the resources in it."""

    type = "Microsoft.Resources/resourceGroups"
    api_versions = ("2024-11-01", "2022-12-01", "2021-04-01", "2020-06-01", "2019-10-01")
    scopes = ("subscription",)
    answers = Answers(create=201, update=200, delete=202, asynchronous=False)
    envelope = frozenset({"managedBy"})
    missing = ("ResourceGroupNotFound", "Resource group '{name}' could not be found.")
    name_pattern = r"^[\w().-]{0,89}[\w()-]$"
    example: ClassVar = {"location": "local"}
