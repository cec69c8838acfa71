"""Declaration of availability sets."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from lazur.model.fields import Model, Mut
from lazur.model.resource import Answers, Rendering, Resource

API_VERSIONS = ("2026-04-01", "2025-04-01", "2024-11-01", "2024-07-01", "2022-11-01", "2020-06-01", "2019-07-01")


class AvailabilitySetSpec(Model):
    """How far apart the machines of the set are kept."""

    read_only: ClassVar[frozenset[str]] = frozenset({"statuses", "virtualMachines", "provisioningState"})
    platform_fault_domain_count: Annotated[int, Field(ge=1, le=3), Mut.CREATE_ONLY] = 2
    platform_update_domain_count: Annotated[int, Field(ge=1, le=20), Mut.CREATE_ONLY] = 5


class AvailabilitySet(Resource[AvailabilitySetSpec]):
    """Machines that must not all fail together: they are spread over fault domains."""

    type = "Microsoft.Compute/availabilitySets"
    api_versions = API_VERSIONS
    answers = Answers(create=200, update=200, delete=200, asynchronous=False)
    example: ClassVar = {"location": "local", "sku": {"name": "Aligned"}, "properties": {"platformFaultDomainCount": 2}}

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """With its machines."""
        return {
            "platformFaultDomainCount": 2,
            "platformUpdateDomainCount": 5,
            **shown.properties,
            "virtualMachines": [{"id": m} for m in shown.users("virtualMachines")],
        }
