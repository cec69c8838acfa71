"""The declaration of a resource type, from which routes, rights, checks, documentation and test suites derive.

A type is a class below `Resource`; its behaviour stands beside it in `admit.py` (pure checks) and `controller.py`, found by
name. Must never hold behaviour itself.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, get_args

from lazur.kernel.ids import Ids
from lazur.model.armid import ArmId
from lazur.model.documents import Claim, Record, Reference
from lazur.model.fields import Model
from lazur.model.stamp import Stamp

S = TypeVar("S", bound=Model)
ModelType = type[Model]


@dataclass(frozen=True)
class Embedded:
    """Children that live inside the parent document; the parent is the only truth and holds the etag.

    `list` is the wire name of the list in the parent's `properties`, `type` the last segment of the child's type,
    `spec` the model of a child's `properties`, `example` those of a further child that fits beside the type's example;
    `@…#2` in it names another example of a type. `stays`: a PUT of the parent that does not mention the list leaves the
    children as they are.
    """

    list: str
    type: str
    spec: ModelType
    example: Mapping[str, Any]
    stays: bool = False


@dataclass(frozen=True)
class Action:
    """A POST on a resource, such as `start`. `path` is the last URL segment; the right is `<type>/<path>/action`.

    A long one answers 202 and changes the resource's intent; a `reads` one answers 200 at once (and may still leave a
    wish behind in the intent, without a new generation).
    """

    name: str
    doc: str
    reads: bool = False
    detached: bool = False
    """The resource need not exist: `validate` of a deployment. Answered by `preview` in `admit.py`."""


@dataclass(frozen=True)
class View:
    """A read-only collection below a resource (a deployment's operations): `show` makes its
    items, or a whole body when it answers a mapping, from the record."""

    name: str
    doc: str
    show: Callable[[Record], Any]


@dataclass(frozen=True)
class Answers:
    """HTTP status per operation; az checks them one by one. `asynchronous` False: done when the request is committed."""

    create: int = 201
    update: int = 200
    delete: int = 202
    asynchronous: bool = True
    removed: bool = False
    """A DELETE answers with what was there."""


@dataclass(frozen=True)
class Rendering:
    """What a type may use to show itself: its record, resources it names, references to it, and the children's state."""

    record: Record
    properties: dict[str, Any]
    """A private copy of the customer's `properties`, to add to and return."""
    referrers: Sequence[Reference]
    """References to this resource or to a child of it."""
    expand: str = ""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """Key of each referrer -> its id in the spelling it was created with, which clients compare and keep."""

    def users(self, kind: str = "") -> list[str]:
        """Ids of the resources that refer to this one, only those of the type that ends with `kind`, each once."""
        keys = {r.source for r in self.referrers if not kind or f"/{kind.lower()}/" in r.source}
        return sorted(self.spelled.get(k, k) for k in keys)

    def children_of(self, referrers: Iterable[Reference], kind: str) -> list[str]:
        """Ids of the embedded children `kind` that `referrers` speak for: the name in brackets of each path."""
        pairs = {(self.spelled.get(r.source, r.source), r.path.partition("[")[2].partition("]")[0]) for r in referrers}
        return [f"{source}/{kind}/{name}" for source, name in sorted(pairs)]


class Resource(Generic[S]):
    """Base of all resource types. Class attributes are the declaration; the docstring is the type's documentation."""

    type: ClassVar[str]
    """Full type in Azure's spelling."""
    api_versions: ClassVar[tuple[str, ...]]
    """Published api-versions that are advertised, newest first; every well-formed one is accepted."""
    Spec: ClassVar[ModelType]
    tracked: ClassVar[bool] = True
    """Has location and tags."""
    scopes: ClassVar[tuple[str, ...]] = ("group",)
    """Where an instance may lie, as `ArmId.level` says it. A type that may lie on a `resource` is an extension: it goes with
    what it is put on. A type with several scopes is listed for exactly one; any other below a whole subscription."""
    answers: ClassVar[Answers] = Answers()
    actions: ClassVar[tuple[Action, ...]] = ()
    views: ClassVar[tuple[View, ...]] = ()
    embedded: ClassVar[tuple[Embedded, ...]] = ()
    envelope: ClassVar[frozenset[str]] = frozenset({"sku", "zones", "identity", "plan", "kind"})
    """Top-level properties accepted beside location, tags and properties."""
    has_identity: ClassVar[bool] = False
    """Can be somebody in the directory: `identity` of the envelope is read and shown as `lazur.model.identity` says."""
    reads_body: ClassVar[staticmethod[[bytes], Any]] = staticmethod(json.loads)
    """How a request body is read; deployments need a more tolerant reader than JSON."""
    missing: ClassVar[tuple[str, str]] = (
        "ResourceNotFound",
        "The Resource '{label}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )
    """Code and message of the 404 for an instance that does not exist; `name`, `group` and `label` are put in."""
    name_pattern: ClassVar[str] = r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?$"
    rules: ClassVar[tuple[Callable[[Any], typing.Iterable[Any]], ...]] = ()
    """Pure checks over one spec; each yields `LazurError` faults."""
    patched: ClassVar[bool] = True
    """Has a PATCH, which merges; what Azure lets be written as a whole only has none, as no embedded child has one."""
    runs: ClassVar[bool] = False
    """Every PUT begins a new run, even of the same body; of any other type the same PUT twice changes nothing."""
    creating: ClassVar[str] = "Updating"
    """provisioningState while a new instance is made."""
    keeps_secrets: ClassVar[bool] = True
    """A write-only value that a later PUT leaves out stays as it was."""
    example_name: ClassVar[str] = "x{n}"
    """A name that fits the pattern, with `{n}` for a digit."""
    example: ClassVar[Mapping[str, Any]]
    """A smallest valid request body; the suites that walk the registry start from it. `{name}` of other examples may be used
    in ids as `@Microsoft.Network/virtualNetworks`."""

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)
        base = next(b for b in vars(cls)["__orig_bases__"] if typing.get_origin(b) is Resource)
        cls.Spec = get_args(base)[0]
        if not cls.__doc__:
            raise TypeError(f"{cls.__name__}: a resource type without a docstring has no documentation")

    @classmethod
    def render(cls, shown: Rendering) -> dict[str, Any]:
        """The `properties` to show: the customer's own with what the cloud knows. The default adds nothing."""
        return shown.properties

    @classmethod
    def portable(cls, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[str]]:
        """The body that makes another one of its kind, and the ids of resources that its PUT makes along."""
        return body, ()

    @classmethod
    def attributes(cls, spec: S) -> Mapping[str, str]:
        """What the conditions of role assignments may ask of an instance that is written or deleted."""
        return {}

    @classmethod
    def outer(cls, shown: Rendering) -> dict[str, Any]:
        """What stands beside `properties` besides the envelope."""
        return {}


class Pools(Protocol):
    """Who holds what, as committed. What is asked costs the same however much a pool holds; `claims` alone reads all of it."""

    def holder(self, pool: str, value: str) -> str | None:
        """The key of the resource that holds `value` of `pool`."""
        ...

    def free(self, pool: str, first: str, last: str) -> str | None:
        """The lowest address from `first` to `last` that nobody holds in `pool`, a pool of IP addresses."""
        ...

    def claims(self, pool: str) -> Mapping[str, str]:
        """value -> owner key of the whole pool."""
        ...


@dataclass(frozen=True)
class Facts:
    """Everything an admission may look at. It is the committed state of one moment, so that the decision is pure."""

    id: ArmId
    uid: str
    old: Record | None
    related: Mapping[str, Record]
    """Resources named by references, by key (a child's reference brings its parent)."""
    pools: Pools
    stamp: Stamp
    fresh: Callable[[], str]
    """A fresh UUID."""
    over: Callable[[ArmId], Sequence[str]]
    """The keys of a scope and of everything above it, nearest first."""
    tenant: str
    """The directory this resource belongs to."""
    kind_of: Callable[[str], str]
    """What kind of principal an object id is in that directory; empty for none."""


@dataclass(frozen=True)
class NewResource:
    """A resource to be created in the same transaction (a VM's OS disk)."""

    id: ArmId
    body: Mapping[str, Any]
    allocated: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """An admission's answer: every fault, or what the cloud chose and what it takes hold of."""

    faults: Sequence[Any] = ()
    allocated: Mapping[str, Any] | None = None
    claims: Sequence[Claim] = ()
    children: Sequence[NewResource] = ()
    intent: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    """A body to store instead of the client's, where Azure writes chosen names back."""
    references: Sequence[Reference] = ()
    """What the resource refers to beside what its fields are marked with."""
    settled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Pools whose whole content this decision stands on; the commit is refused when one has changed meanwhile."""


@dataclass(frozen=True)
class Tools:
    """What an action may use beside the record."""

    ids: Ids
    sign: Callable[[str], str]
    """Path of an artifact -> a URL that works for a while without a token."""
    unseal: Callable[[str, str], bytes]
    """A sealed text and what it is bound to -> its bytes, for actions that list secrets."""


@dataclass(frozen=True)
class Act:
    """What an action came to: a new intent (None: nothing changes) and the body to answer."""

    intent: Mapping[str, Any] | None = None
    body: Any = None
