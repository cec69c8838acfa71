"""What a controller is given: committed documents, the stamp, time and ids. The only door controllers have.

Must never give a controller a driver, an executor or a way to write other than its plan (and, for deployments, requests
through the front door as their recorded caller).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lazur.control.presence import Presence
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids
from lazur.model.armid import ArmId
from lazur.model.documents import DesireRecord, Record
from lazur.model.registry import Registry
from lazur.model.rights import LOCKS, Caller
from lazur.model.stamp import Stamp
from lazur.store.interface import Store

LOST_DOMAINS = "lost-domains"
"""The platform document that names the domains whose executor was declared lost."""


class FrontDoor(Protocol):
    """The request pipeline, for controllers that submit requests as a recorded caller."""

    def present(self, caller: Caller) -> Caller:
        """A recorded caller as its directory knows it now; raises `AuthorizationFailed` for one that is gone."""
        ...

    async def submit(self, caller: Caller, id: ArmId, body: Any, api_version: str) -> Record:
        """Create or update; returns the committed document. Raises `LazurError`."""
        ...

    async def remove(self, caller: Caller, id: ArmId) -> Record | None:
        """Delete; returns the document that goes, None when nothing was there. Raises `LazurError`."""
        ...

    def show(self, caller: Caller, id: ArmId) -> dict[str, Any]:
        """The resource as a GET would show it. Raises `ResourceNotFound`."""
        ...

    async def ask(self, caller: Caller, id: ArmId, action: str, body: Any) -> Any:
        """The answer of a reading action such as `listKeys`."""
        ...


@dataclass(frozen=True)
class Context:
    """Everything a reconciliation may use."""

    store: Store
    registry: Registry
    stamp: Stamp
    clock: Clock
    ids: Ids
    front: FrontDoor
    seal: Callable[[bytes, str], str]
    """Plain bytes and their context -> sealed text."""
    unseal: Callable[[str, str], bytes]
    presence: Presence

    def get(self, id: ArmId | str) -> Record | None:
        """The stored document that holds `id` (a child's parent)."""
        parsed = ArmId.from_path(id) if isinstance(id, str) else id
        return self.store.get(self.registry.document_of(parsed).key)

    def desires(self, record: Record) -> Sequence[DesireRecord]:
        """What `record` wants of the outside world, with the executors' answers. What it wanted of a lost domain is not
        there any more, as far as anybody is concerned but that domain's executor, should it come back."""
        found = self.store.desires(record.key)
        gone = self._lost() if found else {}
        return [d for d in found if d.wanted.domain not in gone]

    def lost(self, domain: str) -> bool:
        """Whether an operator declared the executor of `domain`, with all it ran, lost."""
        return domain in self._lost()

    def _lost(self) -> Mapping[str, Any]:
        return self.store.document(LOST_DOMAINS).content or {}

    def stays(self, key: str, owner: str) -> bool:
        """Whether the resource `key` must not go with `owner`: somebody else needs it, or it is locked."""
        if any(r.blocking and r.source not in (owner, key) for r in self.store.referrers(key)):
            return True
        locked = [lock.id.scope.key for lock in self.store.list(type=LOCKS)]
        return any(f"{key}/".startswith(f"{scope}/") or scope.startswith(f"{key}/") for scope in locked)

    def sources(self, record: Record, type: str) -> Mapping[str, Record]:
        """Resources of `type` that refer to `record` or to a child of it, by key."""
        found: dict[str, Record] = {}
        named = f"/{type.lower()}/"
        for reference in self.store.referrers(record.key):
            if reference.source in found or named not in reference.source:
                continue
            source = self.store.get(reference.source)
            if source is not None and source.type == type.lower():
                found[source.key] = source
        return found
