"""What a template may know: the deployment it belongs to, its parameters and variables, and the questions it may ask.

`Context` is what the caller knows before anything is deployed, `Scope` one template bound to it, `Lookup` the live
resources, asked while deploying. Must never reach for anything that was not handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from lazur.kernel.ids import Ids
from lazur.providers.resources.template.values import Budget, to_json

if TYPE_CHECKING:
    from lazur.providers.resources.template.schema import Template

RESOURCE_GROUP = "resourceGroup"
SUBSCRIPTION = "subscription"
MANAGEMENT_GROUP = "managementGroup"
TENANT = "tenant"

Providers = Callable[[str, str | None], dict[str, Any]]
"""From a namespace and a type (or None) to what `providers()` returns: apiVersions, locations, zoneMappings."""


def _no_providers(namespace: str, kind: str | None) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class DeploymentScope:
    """Where a deployment runs. `kind` is one of the four constants; the dictionaries are what the functions return.

    `subscription` has `id`, `subscriptionId`, `tenantId`, `displayName`; `resource_group` `id`, `name`, `location`, `tags`,
    `properties`; `management_group` `id`, `name`.
    """

    kind: str
    subscription: Mapping[str, Any] | None = None
    resource_group: Mapping[str, Any] | None = None
    management_group: Mapping[str, Any] | None = None

    @property
    def subscription_id(self) -> str:
        """The GUID of the subscription, empty where there is none."""
        return str((self.subscription or {}).get("subscriptionId", ""))

    @property
    def group_name(self) -> str:
        """The name of the resource group, empty where there is none."""
        return str((self.resource_group or {}).get("name", ""))

    @property
    def id(self) -> str:
        """The id resources of this scope begin with; empty for the tenant."""
        if self.kind == RESOURCE_GROUP:
            return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.group_name}"
        if self.kind == SUBSCRIPTION:
            return f"/subscriptions/{self.subscription_id}"
        if self.kind == MANAGEMENT_GROUP:
            name = (self.management_group or {}).get("name", "")
            return f"/providers/Microsoft.Management/managementGroups/{name}"
        return ""


@dataclass(frozen=True)
class Context:
    """A deployment as its caller knows it before anything is deployed."""

    deployment_name: str
    scope: DeploymentScope
    utcnow: datetime
    """The one time of the whole deployment, in UTC."""
    ids: Ids
    tenant: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What `environment()` returns: the endpoints of this cloud."""
    deployer: Mapping[str, Any] = field(default_factory=dict)
    location: str | None = None
    """Of the deployment itself, at the scopes above a resource group."""
    external_inputs: Mapping[str, Any] = field(default_factory=dict)
    """`{"name": {"value": …}}` for `externalInputs()` in parameter expressions."""
    mode: str = "Incremental"
    nesting: int = 0
    """How many deployments there are around this one."""
    budget: Budget = field(default_factory=Budget, compare=False, repr=False)
    """What working it out may cost, all of it together."""
    providers: Providers = _no_providers
    secret: Callable[[Mapping[str, Any]], str] | None = None
    """Answers a parameter's key vault `reference`; None refuses such parameters."""

    @property
    def deployment_id(self) -> str:
        """The id of the deployment resource."""
        return f"{self.scope.id}/providers/Microsoft.Resources/deployments/{self.deployment_name}"


class Resources(Protocol):
    """The resources of the template itself, so that a bare name can be told."""

    def locate(self, name: str) -> tuple[str, str] | None:
        """Id and api-version of the resource that a symbolic name, a bare name or an id means, or None."""
        ...

    def members(self, symbol: str) -> list[tuple[str, str]] | None:
        """Ids and api-versions of the copies of a resource, in order, or None when `symbol` is no copied resource."""
        ...

    def about(self, symbol: str) -> dict[str, Any] | None:
        """What `resourceInfo()` says of a symbolic name: id, name, type, apiVersion."""
        ...


class Lookup(Protocol):
    """The live cloud, as the deploying principal may see it."""

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        """The `properties` of a resource, or the whole resource when `full`."""
        ...

    def list(self, action: str, id: str, api_version: str | None, body: Any) -> dict[str, Any]:
        """The answer of a POST such as `listKeys` on a resource."""
        ...


@dataclass
class Scope:
    """One template with its context, parameter values and variables (evaluated when first used)."""

    context: Context
    template: Template
    parameters: dict[str, Any] = field(default_factory=dict)
    """By lower-case name, after defaults."""
    variables: dict[str, Any] = field(default_factory=dict)
    """By lower-case name, those evaluated so far."""
    resources: Resources | None = None
    pending: list[str] = field(default_factory=list)
    """What is being evaluated just now, outermost first: a name that comes twice is a cycle."""

    def hiding(self, text: str) -> str:
        """A message without the values of secure parameters."""
        for key, declared in self.template.parameters.items():
            if declared.secure and key in self.parameters:
                for secret in _strings(self.parameters[key]):
                    if len(secret) > 2:
                        text = text.replace(secret, "*****")
        return text


def _strings(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


@dataclass(frozen=True)
class Question:
    """Something a `Lookup` was asked: a reference (`action` None) or a list action."""

    id: str
    api_version: str | None
    full: bool = False
    action: str | None = None
    body: str = ""
    """The JSON of a list action's body, so that a question can be a key."""


class LookupNeeded(Exception):
    """Evaluation met a question that `Facts` cannot answer yet: answer it and evaluate again."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.id)
        self.question = question


class Unanswerable(Exception):
    """Raised by a `Lookup` whose question only the deployment itself will answer; a preview keeps such an expression."""


class Facts:
    """A `Lookup` of answers given so far, for callers that must await an answer."""

    def __init__(self) -> None:
        self._answers: dict[Question, dict[str, Any] | None] = {}

    def deny(self, question: Question) -> None:
        """Remember that a question has no answer yet."""
        self._answers[question] = None

    def put(self, question: Question, answer: dict[str, Any]) -> None:
        """Remember the answer to a question."""
        self._answers[question] = answer

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        return self._answer(Question(id, api_version, full))

    def list(self, action: str, id: str, api_version: str | None, body: Any) -> dict[str, Any]:
        text = "" if body is None else to_json(body)
        return self._answer(Question(id, api_version, action=action, body=text))

    def _answer(self, question: Question) -> dict[str, Any]:
        if question not in self._answers:
            raise LookupNeeded(question)
        answer = self._answers[question]
        if answer is None:
            raise Unanswerable(question.id)
        return answer
