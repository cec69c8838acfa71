"""The documents the store keeps: resources, operations, references, claims. Plain data that can spell and count, no more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lazur.model.armid import ArmId

SUCCEEDED, FAILED, CANCELED = "Succeeded", "Failed", "Canceled"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELED})


@dataclass(frozen=True)
class Record:
    """One resource as stored.

    `body`      the customer's document, canonical spelling, without secrets        written by: api
    `secrets`   sealed write-only values by wire path                               written by: api
    `intent`    what actions asked for (power state, restart count, …)              written by: api
    `allocated` what the cloud chose and must keep (addresses, ids, placement)      written by: api at creation, control
    `status`    what was seen                                                       written by: control
    `error`     ARM error of the last failure, while the resource is Failed         written by: control
    `generation` grows when body, secrets, intent or `deleting` change; `observed` is the last one fully reached.
    `version`   grows with every write; the basis of compare-and-swap.
    """

    id: ArmId
    uid: str
    generation: int
    version: int
    body: Mapping[str, Any]
    state: str
    etag: str
    api_version: str
    created: datetime
    changed: datetime
    created_by: Mapping[str, Any] = field(default_factory=dict)
    changed_by: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    intent: Mapping[str, Any] = field(default_factory=dict)
    allocated: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    observed: int = 0
    error: Mapping[str, Any] | None = None
    deleting: bool = False

    @property
    def key(self) -> str:
        """The lower-case id."""
        return self.id.key

    @property
    def type(self) -> str:
        """The lower-case full type."""
        return self.id.type.lower()

    @property
    def properties(self) -> Mapping[str, Any]:
        """The customer's `properties`."""
        found: Mapping[str, Any] = self.body.get("properties", {})
        return found

    @classmethod
    def made(
        cls, id: ArmId, uid: str, body: Mapping[str, Any], state: str, api_version: str, now: datetime, by: Mapping[str, Any],
        **fields: Any,
    ) -> Record:  # fmt: skip
        """A new resource, as `by` asked for it."""
        return cls(id, uid, 1, 1, body, state, etag_of(id.key + uid, 1), api_version, now, now, by, by, **fields)

    def next(self, **changes: Any) -> Record:
        """The next generation: what is wanted of it changed."""
        generation = self.generation + 1
        etag = etag_of(self.key + self.uid, generation)
        return self.with_(generation=generation, version=self.version + 1, etag=etag, **changes)

    def going(self, **changes: Any) -> Record:
        """As a wish to be deleted: the record itself goes last."""
        return self.next(deleting=True, state="Deleting", **changes)

    def with_(self, **changes: Any) -> Record:
        """A copy with some fields replaced."""
        # What `dataclasses.replace` does, at a fifth of its price: every request makes several copies.
        copy = object.__new__(Record)
        vars(copy).update(vars(self))
        vars(copy).update(changes)
        return copy


def etag_of(key: str, generation: int) -> str:
    """A tag that changes with every accepted change of a document."""
    digest = hashlib.sha256(f"{key}\x1f{generation}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


@dataclass(frozen=True)
class Operation:
    """One long-running request and how it ended; kept so that a client can poll it after any crash."""

    id: str
    key: str
    """Key of the resource it works on."""
    verb: str
    """`PUT`, `PATCH`, `DELETE`, or the action's name."""
    generation: int
    """It is done once the resource has converged at this generation or a later one."""
    subscription: str
    tenant: str
    started: datetime
    status: str = "InProgress"
    ended: datetime | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Reference:
    """`source` names `target` at `path`. A `blocking` one forbids deleting the target."""

    source: str
    path: str
    target: str
    blocking: bool = True


@dataclass(frozen=True)
class Claim:
    """`owner` alone holds `value` of `pool`: an address of a subnet, the right to attach a NIC."""

    pool: str
    value: str
    owner: str


@dataclass(frozen=True)
class Wanted:
    """A desire as a controller writes it; generation and delivery are the store's business.

    `secrets` maps a payload path to a sealed value, opened only on the executor's own wire.
    """

    domain: str
    kind: str
    key: str
    payload: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DesireRecord:
    """A desire as stored: what is wanted, by which resource, and the executor's last answer."""

    wanted: Wanted
    owner: str
    generation: int
    removed: bool = False
    reported: int = 0
    state: str = "Pending"
    error: Mapping[str, Any] | None = None
    observed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """The executor reached exactly this generation."""
        return self.reported == self.generation and self.state == "Ready"

    @property
    def failed(self) -> bool:
        """The executor gave up on exactly this generation."""
        return self.reported == self.generation and self.state == "Failed"


@dataclass(frozen=True)
class Event:
    """One line of the activity log: who asked for what, and what came of it. Never changed once written."""

    id: str
    time: datetime
    correlation: str
    """Joins everything one request led to."""
    subscription: str
    """Lower case; empty above subscriptions."""
    group: str
    """The resource group's name; empty outside groups."""
    key: str
    """Key of the resource."""
    type: str
    """The resource's type as Azure spells it."""
    action: str
    """The right it took: `Microsoft.Compute/virtualMachines/write`."""
    caller: str
    """The name people know the caller by."""
    object_id: str
    claims: Mapping[str, str] = field(default_factory=dict)
    """What of the token is shown."""
    status: str = SUCCEEDED
    """`Accepted`, `Started`, `Succeeded` or `Failed`."""
    sub_status: str = ""
    """The HTTP status in words: `Created`."""
    level: str = "Informational"
    method: str = ""
    path: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One line of the change feed. `what` is `resource`, `reference`, `desire`, `report`, `operation` or `document`; `key`
    is the resource concerned, or the platform document's name."""

    sequence: int
    what: str
    key: str
    domain: str = ""


@dataclass(frozen=True)
class Document:
    """A small platform document that is no resource (an object of a directory, the signing keys); content None removes it."""

    name: str
    version: int
    content: Any


@dataclass(frozen=True)
class Change:
    """Everything one request or one reconciliation changes: all of it is committed, or nothing.

    `records` are written if the stored version is `record.version - 1` (0 creates). `removed` lists (key, version).
    `references` and `claims` replace those of the sources / owners listed in `rewire` (claims None: kept). `desires`
    is the complete wanted set of `desires_of`; what is stored beyond it is marked removed. `unchanged` lists (key, version) of
    resources the change was decided from without writing them, `requires` resources that must exist and not be deleting,
    `unreferenced` ones that nothing may refer to with a blocking reference, `settled` pools with the claims they must still
    hold; all are checked in the transaction.
    """

    records: Sequence[Record] = ()
    removed: Sequence[tuple[str, int]] = ()
    operations: Sequence[Operation] = ()
    rewire: Mapping[str, tuple[Sequence[Reference], Sequence[Claim] | None]] = field(default_factory=dict)
    desires_of: str | None = None
    desires: Sequence[Wanted] = ()
    documents: Sequence[Document] = ()
    events: Sequence[Event] = ()
    unchanged: Sequence[tuple[str, int]] = ()
    requires: Sequence[str] = ()
    unreferenced: Sequence[str] = ()
    settled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    """Former key -> key: what the one wants of the outside world, the other wants from now on."""
    abandoned: str | None = None
    """A domain that nobody serves any more: all its desires are dropped."""
