"""Two tenants of one stamp for `fair`: a subscription for each, with resources, principals and their tokens.

Made inside the server, as nobody could by requests that are throttled. Must never be part of what is measured.
"""

from __future__ import annotations

from typing import Any

from lazur.identity.directory import Write
from lazur.identity.objects import ServicePrincipal
from lazur.identity.tokens import Issuer, Subject
from lazur.lifecycle.control_plane import SYSTEM, ControlPlane
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Document
from lazur.model.rights import OWNER
from lazur.providers.authorization.role_assignments.resource import RoleAssignment
from lazur.providers.authorization.role_definitions.resource import RoleDefinition

PRINCIPALS = {"a": 1, "b": 50}
SETS = 50
_VERSION = "2024-11-01"


async def tenants(plane: ControlPlane) -> dict[str, Any]:
    """Name -> `group` (the path of a resource group with a number of availability sets) and `tokens`."""
    return {name: await _tenant(plane, name, count) for name, count in PRINCIPALS.items()}


async def _tenant(plane: ControlPlane, name: str, count: int) -> dict[str, Any]:
    kept, tenant = plane.store.document("subscriptions"), plane.stamp.tenant
    subscription = ArmId(plane.ids.uuid())
    row = {"id": subscription.subscription, "name": name, "tenant": tenant}
    await plane.store.commit(Change(documents=[Document(kept.name, kept.version + 1, [*kept.content, row])]))
    found = [
        ServicePrincipal(plane.ids.uuid(), plane.ids.uuid(), tenant, f"{name}{n}", type="ManagedIdentity") for n in range(count)
    ]
    await plane.identity.directory.change(lambda _: [Write(one) for one in found])
    role = str(subscription.resource(RoleDefinition.type, OWNER.id))
    for one in found:
        body = {"properties": {"roleDefinitionId": role, "principalId": one.object_id, "principalType": "ServicePrincipal"}}
        id = subscription.resource(RoleAssignment.type, plane.ids.uuid())
        await plane.pipeline.put(SYSTEM, id, body, RoleAssignment.api_versions[0])
    group = ArmId(subscription.subscription, "bench")
    await plane.pipeline.put(SYSTEM, group, {"location": "local"}, _VERSION)
    for n in range(SETS):
        id = group.resource("Microsoft.Compute/availabilitySets", f"set{n}")
        await plane.pipeline.put(SYSTEM, id, AVAILABILITY_SET, _VERSION)
    issuer, audience = Issuer(plane.endpoints, plane.app.keys, plane.clock, plane.ids), plane.endpoints.arm_audiences[0]
    tokens = [issuer.access(Subject.of_managed_identity(one, ""), audience) for one in found]
    return {"group": str(group), "tokens": tokens}


AVAILABILITY_SET = {
    "location": "local", "sku": {"name": "Aligned"},
    "properties": {"platformFaultDomainCount": 2, "platformUpdateDomainCount": 5},
}  # fmt: skip
