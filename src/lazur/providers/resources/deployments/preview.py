"""`validate` and `whatIf`: what a deployment would do, without doing it.

Everything is asked of the documents as they are, in the name and with the rights of whoever asks. Must never write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError, all_at_once
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.model.rights import Caller
from lazur.providers.resources.deployments.aside import Home, is_large, worked_out
from lazur.providers.resources.deployments.expansion import Surroundings, expansion_of, offered_by, surroundings_of
from lazur.providers.resources.deployments.hiding import hidden, longest_first, secure_texts
from lazur.providers.resources.deployments.judging import INVALID, unheard_of
from lazur.providers.resources.deployments.linking import Links, resolved
from lazur.providers.resources.template import (
    Budget,
    Context,
    Expansion,
    Lookup,
    NestedDeployment,
    Step,
    Steps,
    Unanswerable,
    check_location,
    parameters_echo,
    steps,
)
from lazur.providers.resources.whatif import Shapes, failed, what_if

_CHECK = 50
"""Steps of looking something up, or of reading one body as its type."""


async def preview(action: str, caller: Caller, id: ArmId, body: Any, front: Pipeline) -> dict[str, Any]:
    """The answer of `validate` or `whatIf`."""
    links = Links(front)
    request = await resolved(id, body, front)
    while True:
        asked = _Asked(caller, id, request, front, links)
        try:
            work = asked.difference if action == "whatIf" else asked.validity
            answer = await worked_out(asked.budget, work, large=is_large(asked.properties.get("template")))
        except LazurError:
            if not await links.fetched():
                raise
        else:
            # A link shows itself only when the template around it was worked out, and may depend on its parameters.
            if not await links.fetched():
                return answer


class _Asked:
    """One preview. It is also the world its nested templates are told of."""

    def __init__(self, caller: Caller, id: ArmId, body: Any, front: Pipeline, links: Links) -> None:
        self.caller = caller
        self.id = id
        self.front = front
        self.links = links
        self.budget = Budget()
        self.home: Home = lambda ask: ask()
        self.lookup: Lookup = self
        self.group = front.has_container(id)
        if not isinstance(body, dict) or not isinstance(body.get("properties"), dict):
            raise LazurError("InvalidRequestContent", "The request content must be an object with 'properties'.")
        self.properties = {k: v for k, v in body["properties"].items() if v is not None}
        self.mode = str(self.properties.get("mode", "Incremental")).capitalize()
        self.location = body.get("location")
        links.top(id, self.properties)

    # -- the answers --------------------------------------------------------------------------------------------------

    def validity(self, home: Home) -> dict[str, Any]:
        """The template's own faults, and those of every resource body that can be known beforehand."""
        self.home = home
        expansion = self._expansion()
        found = steps(expansion, self)
        faults = [*found.faults, *(f for step in found.resources for f in self._told(step))]
        if faults:
            error = LazurError("InvalidTemplateDeployment", INVALID, details=faults)
            raise LazurError.from_body(hidden(error.body(), _secrets(expansion, found)))
        return {
            "id": str(self.id),
            "name": self.id.name,
            "type": self.id.type,
            "properties": {
                "mode": self.mode,
                "provisioningState": "Succeeded",
                "correlationId": self.front.ids.uuid(),
                "timestamp": self.front.clock.now().isoformat(),
                "duration": "PT0S",
                "parameters": json.loads(json.dumps(parameters_echo(expansion.template, expansion.scope))),
                "validatedResources": [{"id": step.node.id} for step in found.resources],
            },
        }

    def difference(self, home: Home) -> dict[str, Any]:
        """What would change, property by property; a template that is wrong answers 200 with the error, as Azure has it."""
        self.home = home
        try:
            expansion = self._expansion()
            found = steps(expansion, self)
        except LazurError as error:
            return failed([error])
        refused = [f for step in found.resources for f in self._denied(step)]
        if refused:
            raise refused[0]
        faults = [f for step in found.resources for f in self._told(step)]
        if faults:
            wrong: dict[str, Any] = hidden(failed([*found.faults, *faults]), _secrets(expansion, found))
            return wrong
        settings = self.properties.get("whatIfSettings")
        form = settings.get("resultFormat") if isinstance(settings, dict) else None
        told: dict[str, Any] = what_if(
            found, self._current, Shapes(self.front.registry), others=self._others(found), complete=self.mode == "Complete",
            full=str(form).lower() != "resourceidonly",
            foresee=self._foreseen,
        )  # fmt: skip
        secrets = _secrets(expansion, found)
        return {**told, **{k: hidden(told[k], secrets) for k in ("properties", "error") if k in told}}

    def _expansion(self) -> Expansion:
        around = surroundings_of(
            self.id.scope, self.front.stamp, self.caller, group=self.group,
            subscription=self.home(lambda: self._named(self.id)), location=self.location,
        )  # fmt: skip
        check_location(self.id.name, around.kind, self.location)
        given = self.properties.get("parameters") or {}
        wanted = {**self.properties, "mode": self.mode}
        offered = offered_by(self.front.registry, self.front.stamp)
        now = self.front.clock.now()
        return expansion_of(self.id, wanted, given, around, self.front.ids, now, self.budget, offered)

    # -- what is there ------------------------------------------------------------------------------------------------

    def _told(self, step: Step) -> list[LazurError]:
        """What is wrong with one resource as one fault that names it, as the deployment itself would tell it."""
        faults = self._faults(step)
        if not faults:
            return []
        whole = all_at_once(faults)
        inside = faults if whole.target or len(faults) > 1 else whole.details
        return [LazurError(whole.code, whole.message, target=step.node.id, details=inside, status=whole.status)]

    def _faults(self, step: Step) -> list[LazurError]:
        if step.unknown:
            return []
        self.budget.charge(_CHECK)
        wrong = unheard_of(step.node, self.caller.tenant, self.front.registry)
        if wrong is not None:
            return [wrong]
        try:
            id = self._id(step.node.id)
            return [] if _open(step.body) else self.home(lambda: self.front.check(self.caller, id, step.body))
        except LazurError as error:
            return [error]

    def _foreseen(self, id: str, body: Any) -> Any:
        self.budget.charge(_CHECK)
        return self.home(lambda: self.front.foresee(self.caller, self._id(id), body))

    def _denied(self, step: Step) -> list[LazurError]:
        """The refusal of a caller who could not deploy it, and so shall not learn what is there."""
        if step.unknown:
            return []
        return [f for f in self._faults(step) if f.status == 403]

    def _id(self, text: str) -> ArmId:
        return self.front.registry.canonical(ArmId.parse(text, self.caller.tenant))

    def _named(self, id: ArmId) -> str:
        rows = self.front.store.document("subscriptions").content or ()
        return next((row["name"] for row in rows if row["id"] == (id.subscription or "").lower()), "")

    def _current(self, text: str) -> Mapping[str, Any] | None:
        """The customer's own document of a resource, an embedded child's out of its parent's."""
        self.budget.charge(_CHECK)
        return self.home(lambda: self._stored(text))

    def _stored(self, text: str) -> Mapping[str, Any] | None:
        id, registry = self._id(text), self.front.registry
        try:
            record = self.front.existing(self.caller, id)
        except LazurError as error:
            if error.status == 404:
                return None
            raise
        embedded = registry.embedded(id)
        if embedded is None:
            return record.body
        items = record.properties.get(embedded[1].list, [])
        return next((i for i in items if i["name"].lower() == id.name.lower()), None)

    def _others(self, found: Steps) -> list[tuple[str, Mapping[str, Any]]]:
        return self.home(lambda: self._beside(found))

    def _beside(self, found: Steps) -> list[tuple[str, Mapping[str, Any]]]:
        if self.group is None:
            return []
        registry = self.front.registry
        named = {self._id(step.node.id).key for step in found.resources if not step.unknown}
        rows: list[Record] = [
            r
            for r in self.front.store.list(prefix=self.group.key + "/")
            if registry.type_of(r.id).tracked and r.key not in named and len(r.id.names) == 1
        ]
        return [(str(r.id), {**r.body, "apiVersion": r.api_version}) for r in rows if self._readable(r)]

    def _readable(self, record: Record) -> bool:
        return self.front.authority.may(self.caller, f"{record.id.type}/read", record.id)

    # -- the world of nested templates --------------------------------------------------------------------------------

    def context(self, nested: NestedDeployment, around: Context) -> Context:
        """The context of a nested deployment; its group need not exist yet."""
        scope = ArmId.parse(nested.scope_id or "/", self.caller.tenant)
        group = self.home(lambda: self.front.store.get(scope.key)) if scope.reach == "group" else None
        place = surroundings_of(
            scope, self.front.stamp, self.caller, group=group, subscription=self.home(lambda: self._named(scope)),
            location=nested.location, nesting=around.nesting + 1,
        )  # fmt: skip
        return _context(nested.name, place, around)

    def linked(self, nested: NestedDeployment, around: Context) -> Mapping[str, Any] | None:
        """The template a nested deployment links to, as far as it was fetched."""
        return self.links.template(nested, around)

    # -- what templates ask of what exists already, as far as the caller may read it ----------------------------------

    def reference(self, id: str, api_version: str | None, full: bool) -> dict[str, Any]:
        """The resource or its properties."""
        self.budget.charge(_CHECK)
        try:
            shown = self.home(lambda: self.front.show(self.caller, ArmId.parse(id, self.caller.tenant)))
        except LazurError:
            raise Unanswerable(id) from None
        inner: dict[str, Any] = shown if full else shown["properties"]
        return inner

    def list(self, action: str, id: str, api_version: str | None, body: Any) -> dict[str, Any]:
        """Secrets are not asked for before a deployment runs."""
        raise Unanswerable(id)


def _secrets(expansion: Expansion, found: Steps) -> list[str]:
    scopes = {id(scope): scope for scope in (expansion.scope, *(step.scope for step in found.resources))}
    return longest_first(text for scope in scopes.values() for text in secure_texts(scope))


def _context(name: str, place: Surroundings, around: Context) -> Context:
    return Context(
        deployment_name=name, scope=place.scope, utcnow=around.utcnow, ids=around.ids, tenant=place.tenant,
        environment=place.environment, deployer=place.deployer, location=place.location, nesting=place.nesting,
        budget=around.budget, providers=around.providers,
    )  # fmt: skip


def _open(value: Any) -> bool:
    """Whether a body still holds expressions that only the deployment itself can evaluate."""
    if isinstance(value, str):
        return value.startswith("[") and not value.startswith("[[")
    if isinstance(value, Mapping):
        return any(map(_open, value.values()))
    return isinstance(value, list) and any(map(_open, value))
