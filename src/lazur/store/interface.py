"""What every store can do. `commit` is the only write; everything else reads committed state.

Must never offer a second way to write: resource, operation, references, claims, desires and feed entries of one request
are one transaction, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from lazur.model.desire import Report
from lazur.model.documents import Change, Claim, DesireRecord, Document, Entry, Event, Operation, Record, Reference


class Store(Protocol):
    """Documents of one stamp."""

    async def commit(self, change: Change) -> None:
        """Write all of `change` durably, or raise `Conflict` (stale version, claim held by another) and write nothing."""
        ...

    async def report(self, domain: str, reports: Sequence[Report]) -> None:
        """Attach executors' answers to the desires of `domain`; older generations are ignored, `Gone` removes."""
        ...

    async def trim(self, entries: int, operations: datetime, events: datetime) -> None:
        """Forget feed entries beyond the newest `entries`, operations that ended before `operations`, older events."""
        ...

    def get(self, key: str) -> Record | None:
        """The resource with that key."""
        ...

    def list(self, *, prefix: str = "", type: str = "", after: str = "", limit: int | None = None) -> Sequence[Record]:
        """Resources whose key starts with `prefix` (with its trailing slash) and of `type`, ordered by key: the first `limit`
        of those behind the key `after`."""
        ...

    def referrers(self, target: str) -> Sequence[Reference]:
        """References to `target` or to anything below it."""
        ...

    def referrers_among(self, targets: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
        """`referrers` of each of `targets` that has any, in one question."""
        ...

    def references(self, source: str) -> Sequence[Reference]:
        """References that `source` holds."""
        ...

    def references_among(self, sources: Sequence[str]) -> Mapping[str, Sequence[Reference]]:
        """`references` of each of `sources` that has any, in one question."""
        ...

    def claims(self, pool: str) -> dict[str, str]:
        """value -> owner of one pool: costs what the pool holds, where `holder` and `free` do not."""
        ...

    def held(self, owner: str) -> Sequence[Claim]:
        """Everything `owner` holds, of all pools."""
        ...

    def holder(self, pool: str, value: str) -> str | None:
        """Who holds `value` of `pool`."""
        ...

    def free(self, pool: str, first: str, last: str) -> str | None:
        """The lowest address from `first` to `last` that nobody holds in `pool`, whose values are all IP addresses."""
        ...

    def desires(self, owner: str) -> Sequence[DesireRecord]:
        """Everything `owner` wants, removed desires that are not gone yet included."""
        ...

    def wanted(self, domain: str, key: str) -> str | None:
        """The owner of a desire named `key`, of any kind, that stands in `domain` and is not removed."""
        ...

    def domain(self, domain: str, since: int) -> tuple[int, Sequence[DesireRecord]]:
        """The feed position now, and the desires of `domain` that changed after position `since`."""
        ...

    def operation(self, id: str) -> Operation | None:
        """A long-running operation."""
        ...

    def open_operations(self, key: str) -> Sequence[Operation]:
        """Operations on that resource which have not ended."""
        ...

    def events(
        self, subscription: str, since: datetime, until: datetime, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[Event]:
        """The activity log of `subscription` from `since` to `until`, both included, newest first; `after` is time and id of
        the last one already seen."""
        ...

    def edition(self, name: str) -> int:
        """A number that another one follows whenever a commit touches a resource of the lower-case type `name`, the
        platform document of that name, or what is wanted of the domain of that name. Costs nothing. Ask for it before
        reading what is kept under it."""
        ...

    def document(self, name: str) -> Document:
        """A platform document; version 0 with content None when it was never written, or removed since."""
        ...

    def documents(self, prefix: str) -> Sequence[Document]:
        """The platform documents whose name starts with `prefix`, ordered by name."""
        ...

    def feed(self, since: int, limit: int = 1000) -> Sequence[Entry]:
        """Feed entries after position `since`, in commit order and without gaps (decision 1)."""
        ...

    def position(self) -> int:
        """The newest feed position."""
        ...

    async def changed(self, since: int, name: str = "") -> None:
        """Return once the feed, or the edition of `name`, has moved past `since`. A hint only: readers also poll."""
        ...
