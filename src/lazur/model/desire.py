"""Desires: what a controller wants of one domain of the outside world, and what that domain's executor answers.

A *domain* is `host/h01`, `network/main` or `storage/main`; exactly one executor serves it with credentials for nothing
else. A desire is a document with a *generation*: an executor ledgers it before acting and refuses an older one, so that
late or repeated delivery can never undo newer work. Executors and controllers meet only in these documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class State(StrEnum):
    """What an executor says of one desire at one generation."""

    PENDING = "Pending"
    """Work goes on; nothing failed for good."""
    READY = "Ready"
    """The wanted state was reached and seen."""
    FAILED = "Failed"
    """The wanted state cannot be reached; `error` says why, with evidence."""
    GONE = "Gone"
    """Answer to a removed desire: nothing of it is left."""


@dataclass(frozen=True)
class Desire:
    """One wanted thing in one domain.

    `kind` and `key` name it within the domain; `generation` grows with every change of `payload` or `removed`.
    `removed` asks for the thing to be taken away; the document itself goes when the executor answers `GONE`.
    """

    domain: str
    kind: str
    key: str
    generation: int
    payload: Mapping[str, Any]
    removed: bool = False


@dataclass(frozen=True)
class Report:
    """An executor's answer to a desire: the generation it looked at, the state, an ARM error body and facts."""

    kind: str
    key: str
    generation: int
    state: State
    error: Mapping[str, Any] | None = None
    observed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Desires that changed after the reader's cursor. `full` means: this is all there is, forget what is not in it."""

    cursor: int
    desires: Sequence[Desire]
    full: bool = False


class DesireSource(Protocol):
    """How an executor reaches its own domain's desires; over mTLS on a rack, in process in simulated mode.

    All methods raise `Unavailable` when the control plane cannot be reached; the executor then keeps what it has.
    """

    async def changes(self, since: int, wait: float) -> Batch:
        """Desires changed after cursor `since` (0: everything, `full`), waiting up to `wait` seconds for the first."""
        ...

    async def report(self, reports: Sequence[Report]) -> None:
        """Make these answers durable. A report on an older generation than the document's is ignored."""
        ...

    async def artifact(self, name: str, content: bytes) -> None:
        """Keep a file (serial log, screenshot) under `name`, replacing an earlier one."""
        ...
