"""Declaration of hosts. Adding a server to the cloud is a PUT of this type; the site file is the first batch of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lazur.model.fields import Caseless, Model, Mut
from lazur.model.resource import Action, Answers, Rendering, Resource


class HostSpec(Model):
    """What a host offers."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "health", "healthSince", "waitingFor"})
    cores: Annotated[int, Field(ge=1, le=4096)]
    """Physical cores guests may use."""
    memory_mib: Annotated[int, Field(alias="memoryMiB", ge=128)]
    """Memory guests may use, in MiB."""
    fault_domain: Annotated[int, Field(ge=0, le=1000)] = 0
    """What fails together: usually the rack."""
    rack: str = "r1"
    driver: Annotated[Literal["qemu", "simulated"], Caseless(), Mut.CREATE_ONLY] = "qemu"
    """How machines run on it; a simulated host says so wherever it shows."""
    state: Annotated[Literal["Available", "Draining"], Caseless()] = "Available"
    """A draining host gets no new machines."""


class Host(Resource[HostSpec]):
    """A server that runs virtual machines."""

    type = "Microsoft.Fabric.Admin/hosts"
    api_versions = ("2026-11-01",)
    answers = Answers(create=201, update=200, delete=202, asynchronous=False)
    actions = (
        Action("declareLost", "Say that a silent host is switched off: its machines may be started elsewhere or deleted."),
    )
    name_pattern = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
    example: ClassVar = {"location": "local", "properties": {"cores": 4, "memoryMiB": 8192}}

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """The host with every default spelled out, and whether its agent answers."""
        full = HostSpec.model_validate(shown.record.properties)
        return {**full.model_dump(by_alias=True, mode="json"), "health": "Online", **shown.record.status}
