"""Says of a request, before it is admitted, whether its template can be expanded. Must never keep a value it was told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import SeededIds
from lazur.model.armid import ArmId
from lazur.model.registry import Registry, check_api_version
from lazur.providers.resources.deployments.aside import is_large, worked_out
from lazur.providers.resources.deployments.expansion import expansion_of, offered_by, surroundings_of
from lazur.providers.resources.deployments.linking import member
from lazur.providers.resources.deployments.resource import DeploymentSpec, Placed
from lazur.providers.resources.template import Budget, Expansion, Node, check_location

INVALID = "The template deployment is not valid according to the validation procedure. See inner errors for details."


async def judged(id: ArmId, body: Any, front: Pipeline) -> Any:
    """The request, its template with what is wrong with it; as it is when there is none, or none that admission reads."""
    key, properties = member(body, "properties")
    if not isinstance(properties, dict):
        return body
    try:
        spec = DeploymentSpec.model_validate(properties)
    except ValidationError:
        return body
    if spec.template is None or spec.nested is not None:
        return body
    template = spec.template if isinstance(spec.template, Placed) else Placed(spec.template)
    try:
        await _form(id, spec, template, member(body, "location")[1], front)
    except LazurError as error:
        template.fault = error
    return {**body, key: {**properties, member(properties, "template")[0]: template}}


async def _form(id: ArmId, spec: DeploymentSpec, template: Placed, location: Any, front: Pipeline) -> None:
    """Only the form matters here: values that are drawn at random are drawn when the run begins."""
    scope, stamp = id.scope, front.stamp
    if location is not None and not isinstance(location, str):
        return
    group = front.store.get(scope.key) if scope.reach == "group" else None
    around = surroundings_of(scope, stamp, group=group, location=location)
    check_location(id.name, around.kind, location)
    if location is not None and location.replace(" ", "").lower() != stamp.region.lower():
        message = f"The location '{location}' is not available for deployments. The available region is '{stamp.region}'."
        raise LazurError("LocationNotAvailableForDeployment", message, target="location")
    properties = {"mode": spec.mode, "template": template, "externalInputs": spec.external_inputs}
    now, budget, given = front.clock.now(), Budget(), spec.parameters or {}
    offered = offered_by(front.registry, stamp)
    found = await worked_out(
        budget, lambda home: expansion_of(id, properties, given, around, SeededIds(0), now, budget, offered),
        large=is_large(template),
    )
    lacking = [*_lacking(found, id, front)]
    if lacking:
        raise LazurError("InvalidTemplateDeployment", INVALID, details=lacking)


def _lacking(found: Expansion, id: ArmId, front: Pipeline) -> Iterator[LazurError]:
    """Resources of types that this cloud does not have: of a template that cannot be made whole nothing is made."""
    told: dict[tuple[str, str, str], LazurError | None] = {}
    for node in found.nodes:
        if node.existing or "[" in node.id:
            continue
        # Of the hundreds that a loop makes one says it for all.
        kind = (node.type, node.api_version, node.scope_id)
        if kind not in told:
            told[kind] = unheard_of(node, id.tenant, front.registry)
        error = told[kind]
        if error is not None:
            yield LazurError(error.code, error.message, target=node.id)


def unheard_of(node: Node, tenant: str, registry: Registry) -> LazurError | None:
    """What is wrong with the type or the api-version of a resource, as far as they are known."""
    if node.existing or "[" in node.id:
        return None
    try:
        registry.holder_of(registry.canonical(ArmId.parse(node.id, tenant)))
        if node.api_version:
            check_api_version(node.api_version)
    except LazurError as error:
        return error
    return None
