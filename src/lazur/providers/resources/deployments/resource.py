"""Declaration of template deployments at resource-group scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from lazur.kernel.errors import LazurError
from lazur.model.fields import Caseless, Model, WriteOnly
from lazur.model.resource import Action, Answers, Rendering, Resource, View
from lazur.providers.resources.deployments.shown import operations, properties
from lazur.providers.resources.template import Locate, Locator, nowhere, read_body


class Placed(dict[str, Any]):
    """A template that still knows the text of the request it came in, for the line and column of its faults, and the fault
    that was found in it."""

    def __init__(self, template: Mapping[str, Any], locate: Locate = nowhere) -> None:
        super().__init__(template)
        self.locate = locate
        self.size = locate.size if isinstance(locate, Locator) else 0
        """Bytes of the text it came in."""
        self.fault: LazurError | None = None


def read_deployment(raw: bytes) -> dict[str, Any]:
    """The request body, its template remembering where everything stands."""
    body = read_body(raw)
    for name, inner in body.items():
        if name.lower() == "properties" and isinstance(inner, dict):
            for key, template in inner.items():
                if key.lower() == "template" and isinstance(template, dict):
                    inner[key] = Placed(template, Locator(raw, f"{name}.{key}"))
    return body


def _object(value: Any) -> Any:
    # Not declared as a dictionary: that would be copied, and its places forgotten.
    if value is not None and not isinstance(value, dict):
        raise ValueError("it must be an object")
    return value


class OnError(Model):
    """What to do when the deployment fails: deploy an earlier one again."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})
    type: Annotated[Literal["LastSuccessful", "SpecificDeployment"], Caseless()]
    deployment_name: str | None = None


class Nested(Model):
    """What a parent deployment says of the one it makes; `sealed` can be made by the cloud alone."""

    parent: str
    """The parent and its run, so that a parent that was interrupted knows what it made."""
    sealed: str
    """The `template` with the parent's values in it, and the `secrets` among them. The template beside it is without."""


class TemplateLink(Model):
    """Where a template was fetched from."""

    uri: str | None = None
    id: str | None = None
    relative_path: str | None = None
    content_version: str | None = None
    query_string: Annotated[str | None, WriteOnly] = None


class DeploymentSpec(Model):
    """What to deploy. Parameter values may be secrets, so all of them are kept sealed."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "correlationId", "timestamp", "duration", "outputs", "providers", "dependencies",
         "outputResources", "validatedResources", "error", "templateHash"}
    )  # fmt: skip
    mode: Annotated[Literal["Incremental", "Complete"], Caseless()] = "Incremental"
    template: Annotated[Any, AfterValidator(_object)] = None
    template_link: TemplateLink | None = None
    parameters: Annotated[dict[str, Any] | None, WriteOnly] = None
    parameters_link: dict[str, Any] | None = None
    external_inputs: Annotated[dict[str, Any] | None, WriteOnly] = None
    on_error_deployment: OnError | None = None
    nested: Nested | None = None
    """Said by a parent deployment only."""


class Deployment(Resource[DeploymentSpec]):
    """A template being made true: resources in dependency order, as the caller who asked for it."""

    type = "Microsoft.Resources/deployments"
    api_versions = ("2025-04-01", "2024-11-01", "2022-09-01", "2021-04-01", "2020-10-01", "2019-10-01")
    tracked = False
    answers = Answers(create=201, update=200, delete=202)
    scopes = ("tenant", "managementGroup", "subscription", "group")
    patched = False
    envelope = frozenset({"tags", "location"})
    runs = True
    creating = "Accepted"
    missing = ("DeploymentNotFound", "Deployment '{name}' could not be found.")
    name_pattern = r"^[\w().-]{1,64}$"
    reads_body = staticmethod(read_deployment)
    actions = (
        Action("validate", "Say whether a template would be accepted, without deploying it.", detached=True),
        Action("whatIf", "Say what a deployment would change, without deploying it.", detached=True),
        Action("exportTemplate", "The template of the deployment.", reads=True),
        Action("listOutputsWithSecureValues", "The outputs that are secrets, by name.", reads=True),
        Action("cancel", "Begin no further resource; what runs is finished.", reads=True),
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
        kept = {k: v for k, v in shown.properties.items() if k not in ("template", "nested")}
        return {**kept, **properties(shown.record)}
