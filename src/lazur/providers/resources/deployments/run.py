"""One turn of a deployment: its documents, its concrete template, and how far each of its resources is.

Everything here is read from the deployment's record and written back into its status, so a run goes on wherever it was
interrupted. Must never be kept between turns; only the expansion, a pure function of the record, is.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from lazur.control.context import Context
from lazur.kernel.clock import rfc3339
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import CANCELED, FAILED, SUCCEEDED, TERMINAL, Record, Reference
from lazur.model.registry import Registry
from lazur.model.rights import Caller
from lazur.providers.resources.deployments.aside import is_large, worked_out
from lazur.providers.resources.deployments.expansion import Surroundings, expansion_of, offered_by
from lazur.providers.resources.deployments.hiding import hidden, longest_first, secure_texts
from lazur.providers.resources.template import MAX_RUN_STEPS, Budget, Expansion, Node

R = TypeVar("R")

ACCEPTED, RUNNING = "Accepted", "Running"
CREATE, READ, DELETE = "Create", "Read", "Delete"
PATIENCE = timedelta(minutes=10)
"""How long something else may hold a resource up before the deployment gives it up."""
PAUSE = 2.0
"""Seconds until a resource that something else held up is tried again."""
_PASSING = frozenset({"AnotherOperationInProgress", "Conflict", "ReferencedResourceNotProvisioned", "ServiceUnavailable"})
_KEPT = 16
_expansions: WeakKeyDictionary[Registry, OrderedDict[tuple[str, str], Expansion]] = WeakKeyDictionary()
"""What each control plane of this process expanded last."""


@dataclass
class Step:
    """How far one resource is: one line of the deployment's operations."""

    id: str
    place: int
    """Its place among the operations."""
    verb: str = CREATE
    state: str = RUNNING
    started: str = ""
    ended: str = ""
    generation: int = 0
    """What was submitted; 0 while nothing was."""
    uid: str = ""
    created: bool = False
    held: str = ""
    """Since when something else keeps it from being submitted; `error` then says what."""
    error: dict[str, Any] | None = None
    code: int = 0
    """HTTP status of the refusal."""

    def document(self) -> dict[str, Any]:
        """What is stored: only what differs from the beginning."""
        return {k: v for k, v in vars(self).items() if v or k == "place"}

    def cause(self, error: dict[str, Any]) -> LazurError:
        """The error as one of a deployment's: it names the resource, and the resource's own error stands inside."""
        own = LazurError.from_body(error)
        if (own.target or "").lower() == self.id.lower():
            return own
        return LazurError(own.code, own.message, target=self.id, details=[own], info=own.info, status=own.status)

    @property
    def ongoing(self) -> bool:
        """Submitted, and not ended."""
        return self.state == RUNNING and not self.held


@dataclass
class Run:
    """One turn of one deployment."""

    context: Context
    record: Record
    expansion: Expansion
    steps: dict[str, Step] = field(default_factory=dict)
    """By lower-case id."""
    chose: bool = False
    """Whether this turn settled what mode Complete deletes."""
    also: list[str] = field(default_factory=list)
    """Ids beside the steps' that must wake the deployment when they change."""
    learned: set[str] = field(default_factory=set)
    """Texts that actions such as `listKeys` answered: they are nobody's to see."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One resource's expressions are evaluated at a time: they share the values of variables."""

    async def worked_out(self, work: Callable[[], R]) -> R:
        """What `work`, which evaluates expressions of the template, comes to."""
        async with self.turn:
            return await worked_out(self.expansion.scope.context.budget, lambda home: work())

    @classmethod
    async def of(cls, context: Context, record: Record) -> Run:
        """The run as its record tells it."""
        run = cls(context, record, await _expansion(context, record))
        if record.status.get("run") == record.intent["run"]:
            run.steps = {k: Step(**v) for k, v in record.status.get("steps", {}).items()}
        return run

    @cached_property
    def asker(self) -> Caller:
        """Who asked for the deployment, as recorded."""
        return Caller.from_document(self.record.changed_by)

    @property
    def caller(self) -> Caller:
        """In whose name everything is done: whoever asked, with the groups and rights of this moment; raises when gone."""
        return self.context.front.present(self.asker)

    def id(self, text: str) -> ArmId:
        """The resource that a template's id names, in the directory of whoever deploys."""
        return self.context.registry.canonical(ArmId.parse(text, self.asker.tenant))

    def get(self, text: str) -> Record | None:
        """The stored document that holds it."""
        return self.context.get(self.id(text))

    @cached_property
    def began(self) -> datetime:
        """When the run was asked for."""
        return datetime.fromisoformat(self.record.allocated["started"])

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The resources of the template; what is deployed need not be read as well."""
        made = {n.id.lower() for n in self.expansion.nodes if not n.existing}
        return tuple(n for n in self.expansion.nodes if not n.existing or n.id.lower() not in made)

    @property
    def canceled(self) -> bool:
        """Whether somebody wants the run to end; looked up afresh, since a turn can take a while."""
        now = self.context.store.get(self.record.key)
        return now is not None and now.intent.get("canceled") == self.record.intent["run"]

    def step(self, id: str, verb: str) -> Step:
        """The step of `id`, begun now when there is none."""
        now = rfc3339(self.context.clock.now())
        place = self._places.get(id.lower(), len(self._places) + len(self.steps))
        return self.steps.setdefault(id.lower(), Step(id, place, verb, started=now))

    @cached_property
    def _keyed(self) -> list[tuple[str, Node]]:
        return [(n.id.lower(), n) for n in self.nodes]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {n.id.lower(): i for i, n in enumerate(self.nodes)}

    def finish(self, step: Step, error: LazurError | None = None, state: str = "") -> None:
        """`step` has ended, well or with `error`."""
        step.state = state or (FAILED if error else SUCCEEDED)
        step.ended, step.held = rfc3339(self.context.clock.now()), ""
        step.error, step.code = None, 0
        if error is not None:
            body = error.body()
            step.error, step.code = self.hiding({**body, "target": body.get("target", step.id)}), error.status

    def refused(self, step: Step, error: LazurError) -> None:
        """`step` cannot be submitted: it waits when that will pass, for as long as patience lasts."""
        now = self.context.clock.now()
        since = datetime.fromisoformat(step.held) if step.held else now
        if not passing(error) or now - since >= PATIENCE:
            self.finish(step, error)
            return
        step.held = since.isoformat()
        step.error, step.code = self.hiding(error.body()), error.status

    def look(self) -> None:
        """Bring the progress of everything submitted up to date."""
        for step in self.steps.values():
            if step.ongoing:
                self.seen(step, self.get(step.id))

    def seen(self, step: Step, record: Record | None) -> None:
        """What `record`, the resource of a step as it is now, says of its progress."""
        if record is None or record.uid != step.uid:
            gone = LazurError("ResourceNotFound", f"'{step.id}' was deleted while it was being deployed.", target=step.id)
            self.finish(step, None if step.verb == DELETE else gone)
            return
        if record.observed < step.generation or record.state not in TERMINAL:
            return
        if record.state == SUCCEEDED:
            self.finish(step)
            return
        error = LazurError("ProvisioningFailed", f"'{step.id}' is {record.state}.", status=409)
        if record.error:
            error = LazurError.from_body(dict(record.error))
            error.status = 409
        self.finish(step, error, record.state)

    def startable(self, tried: set[str]) -> list[Node]:
        """Nodes to submit now: dependencies met, not submitted, not `tried` in this turn."""
        done = {k for k, s in self.steps.items() if s.state == SUCCEEDED}
        passed = {k for k, s in self.steps.items() if not s.held} | tried
        return [
            node for key, node in self._keyed if key not in passed and all(d.lower() in done for d in node.depends_on)
        ]

    def references(self) -> list[Reference]:
        """What must wake the deployment when it changes."""
        ids = [*(n.id for n in self.nodes), *(s.id for s in self.steps.values() if s.verb == DELETE), *self.also]
        return references(self.context, self.record, ids, self.asker.tenant)

    def failures(self) -> list[LazurError]:
        """Why the run cannot end well, every cause."""
        return [s.cause(s.error) for s in self.steps.values() if s.error and s.state in (FAILED, CANCELED)]

    @cached_property
    def _inherited(self) -> tuple[str, ...]:
        return tuple(nested_part(self.context, self.record).get("secrets", ()))

    def secrets(self) -> list[str]:
        """Every text that must not be shown: values of secure parameters, those of the deployments around included."""
        return longest_first([*self._inherited, *self.learned, *secure_texts(self.expansion.scope)])

    def hiding(self, value: Any) -> Any:
        """`value` without the values of secure parameters."""
        return hidden(value, self.secrets())


def passing(error: LazurError) -> bool:
    """Whether a refusal may be gone when the same is tried again."""
    if error.retryable or error.code in _PASSING:
        return True
    return error.code == "MultipleErrorsOccurred" and all(passing(d) for d in error.details)


# -- the template made concrete ---------------------------------------------------------------------------------------


async def _expansion(context: Context, record: Record) -> Expansion:
    """The same for every turn of a run: everything that could change is fixed in the record when the run begins."""
    known = _expansions.setdefault(context.registry, OrderedDict())
    key = (record.uid, record.allocated["values"])
    found = known.get(key)
    if found is None:
        values = json.loads(context.unseal(record.allocated["values"], f"{record.key}#values"))
        around = Surroundings(**record.allocated["around"])
        now = datetime.fromisoformat(record.allocated["started"])
        found = await expand_record(context, record, values, around, now)
    remember(context, record, record.allocated["values"], found)
    return found


def remember(context: Context, record: Record, values: str, found: Expansion) -> None:
    """Keep an expansion for the turns to come: `values` are the sealed ones it was made with."""
    known = _expansions.setdefault(context.registry, OrderedDict())
    known[(record.uid, values)] = found
    known.move_to_end((record.uid, values))
    if len(known) > _KEPT:
        known.popitem(last=False)


async def expand_record(
    context: Context, record: Record, parameters: Mapping[str, Any], around: Surroundings, now: datetime
) -> Expansion:
    """The template of a record with these parameter values."""
    template = nested_part(context, record).get("template") or record.properties.get("template")
    inputs = unsealed(context, record, "externalInputs")
    properties = {**record.properties, "template": template, "externalInputs": inputs}
    budget, offered = Budget(MAX_RUN_STEPS), offered_by(context.registry, context.stamp)
    return await worked_out(
        budget, lambda home: expansion_of(record.id, properties, parameters, around, context.ids, now, budget, offered),
        large=is_large(template),
    )


def given_parameters(context: Context, record: Record) -> dict[str, Any]:
    """The parameter values of the request."""
    return unsealed(context, record, "parameters") or {}


def unsealed(context: Context, record: Record, path: str) -> Any:
    """A write-only value of the request; None when it was not given."""
    sealed = record.secrets.get(path)
    return _opened(context, sealed, f"{record.key}#{path}") if sealed else None


def nested_part(context: Context, record: Record) -> dict[str, Any]:
    """What a parent deployment said: see `resource.Nested`. Refused when somebody else made it up."""
    nested = record.properties.get("nested")
    return _opened(context, nested["sealed"], nested_seal(record.key)) if nested else {}


def nested_seal(key: str) -> str:
    """What the sealed part of a nested deployment is bound to."""
    return f"{key}#nested"


def _opened(context: Context, sealed: str, bound: str) -> Any:
    return json.loads(context.unseal(sealed, bound))


def references(context: Context, record: Record, ids: Iterable[str], tenant: str) -> list[Reference]:
    """References by which `ids` wake the deployment; they hold up no deletion."""
    keys = [context.registry.canonical(ArmId.parse(id, tenant)).key for id in ids]
    return [Reference(record.key, f"resources[{i}]", key, blocking=False) for i, key in enumerate(keys)]
