"""Declaration of template deployments at resource-group scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from lazur.kernel.clock import rfc3339
from lazur.model.documents import Record
from lazur.model.fields import Caseless, Model, WriteOnly
from lazur.model.resource import Action, Answers, Rendering, Resource, View
from lazur.providers.resources.template import Locator, read_body


class Placed(dict[str, Any]):
    """A template that still knows the text of the request it came in, for the line and column of its faults."""

    def __init__(self, template: Mapping[str, Any], locate: Locator) -> None:
        super().__init__(template)
        self.locate = locate


def read_deployment(raw: bytes) -> dict[str, Any]:
    """The request body, its template remembering where everything stands."""
    body = read_body(raw)
    for name, properties in body.items():
        if name.lower() == "properties" and isinstance(properties, dict):
            for key, template in properties.items():
                if key.lower() == "template" and isinstance(template, dict):
                    properties[key] = Placed(template, Locator(raw, f"{name}.{key}"))
    return body


def _object(value: Any) -> Any:
    # Not declared as a dictionary: that would be copied, and its places forgotten.
    if value is not None and not isinstance(value, dict):
        raise ValueError("it must be an object")
    return value


class DeploymentSpec(Model):
    """What to deploy. Parameter values may be secrets, so all of them are kept sealed."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "correlationId", "timestamp", "duration", "outputs", "providers", "dependencies",
         "outputResources", "validatedResources", "error", "templateHash"}
    )  # fmt: skip
    mode: Annotated[Literal["Incremental", "Complete"], Caseless()] = "Incremental"
    template: Annotated[Any, AfterValidator(_object)] = None
    template_link: dict[str, Any] | None = None
    parameters: Annotated[dict[str, Any] | None, WriteOnly] = None
    parameters_link: dict[str, Any] | None = None


def operations(record: Record) -> list[dict[str, Any]]:
    """What became of each resource of the template, newest last, as `operations` lists it."""
    found: list[dict[str, Any]] = record.status.get("operations", [])
    return [{"id": f"{record.id}/operations/{o['operationId']}", **o} for o in found]


class Deployment(Resource[DeploymentSpec]):
    """A template being made true: resources in dependency order, as the caller who asked for it."""

    type = "Microsoft.Resources/deployments"
    api_versions = ("2025-04-01", "2024-11-01", "2022-09-01", "2021-04-01", "2020-10-01", "2019-10-01")
    tracked = False
    answers = Answers(create=201, update=200, delete=202)
    envelope = frozenset({"tags"})
    runs = True
    creating = "Accepted"
    name_pattern = r"^[\w().-]{1,64}$"
    reads_body = staticmethod(read_deployment)
    actions = (
        Action("validate", "Say whether a template would be accepted, without deploying it.", detached=True),
        Action("exportTemplate", "The template of the deployment.", reads=True),
    )
    views = (View("operations", "What became of each resource of the template.", operations),)
    keeps_secrets = False
    example: ClassVar = {
        "properties": {
            "mode": "Incremental",
            "template": {
                "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                "contentVersion": "1.0.0.0",
                "resources": [],
            },
        }
    }

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """The outcome; the template itself is not repeated."""
        record, properties = shown.record, shown.properties
        properties.pop("template", None)
        seen = record.status
        properties |= {
            "parameters": seen.get("parameters", {}),
            "correlationId": record.uid,
            "timestamp": seen.get("ended") or rfc3339(record.changed),
            "duration": seen.get("duration", "PT0S"),
            "providers": seen.get("providers", []),
            "dependencies": seen.get("dependencies", []),
            "outputResources": seen.get("outputResources", []),
        }
        if "outputs" in seen:
            properties["outputs"] = seen["outputs"]
        if record.error is not None:
            properties["error"] = record.error
        return properties
