"""What a controller answers: a plan computed purely from documents, carried out by the loop in one commit.

Because status, allocations, desires and operations of a plan are one transaction, a crash leaves either all of them or none;
nothing in the outside world happens before they are durable. Must never hold behaviour of a type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import DesireRecord, Document, Reference, Wanted


@dataclass(frozen=True)
class Ready:
    """The resource is as wanted at its present generation; to be looked at again `after` seconds although nothing changes."""

    after: float | None = None


@dataclass(frozen=True)
class Waiting:
    """Something else must happen first; the feed wakes the key, `after` seconds do so at the latest."""

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class Failed:
    """The wanted state cannot be reached; ends the operation with this error."""

    error: LazurError


@dataclass(frozen=True)
class Gone:
    """Nothing of a deleted resource is left; the record goes with this plan."""


@dataclass(frozen=True)
class Canceled:
    """Somebody asked for the end before the wanted state was reached; ends the operation as canceled."""

    error: LazurError


Outcome = Ready | Waiting | Failed | Canceled | Gone


@dataclass(frozen=True)
class Plan:
    """The whole answer of one reconciliation. None means: keep what is stored."""

    outcome: Outcome
    desires: Sequence[Wanted] | None = None
    status: Mapping[str, Any] | None = None
    allocated: Mapping[str, Any] | None = None
    references: Sequence[Reference] | None = None
    delete: Sequence[str] = ()
    """Keys of other resources to be marked as deleting together with this plan."""
    guard: Document | None = None
    """A platform document to bump; a concurrent plan with the same guard is refused and made again."""
    wake: Sequence[str] = ()
    """Keys of other resources to be looked at after this plan; a hint, as every signal is."""
    abandoned: str | None = None
    """A domain that nobody serves any more: its desires are dropped without an answer."""


def outcome_of(stored: Iterable[DesireRecord], wanted: Sequence[Wanted]) -> Outcome:
    """Ready when every wanted desire was reached exactly as wanted; Failed with all causes; else Waiting."""
    found = {(d.wanted.domain, d.wanted.kind, d.wanted.key): d for d in stored}
    failures: list[LazurError] = []
    pending: list[str] = []
    for want in wanted:
        seen = found.pop((want.domain, want.kind, want.key), None)
        if seen is not None and seen.wanted == want and not seen.removed and seen.failed and seen.error:
            failures.append(LazurError.from_body(dict(seen.error)))
        elif seen is None or seen.wanted != want or seen.removed or not seen.ready:
            pending.append(f"{want.kind} on {want.domain}")
    if failures:
        return Failed(failures[0] if len(failures) == 1 else LazurError("ProvisioningFailed", "See details.", details=failures))
    pending += [f"removal of {d.wanted.kind} on {d.wanted.domain}" for d in found.values()]
    return Waiting("waiting for " + ", ".join(sorted(pending))) if pending else Ready()
