"""The one error tree.

A `LazurError` is transport-neutral: `code`, `message`, `target`, `details` and `info` are what a customer may see, in the
shape Azure Resource Manager gives errors; `internal` is for the log only. It must never carry a secret.

    LazurError
      Conflict      somebody else changed the document first: read again and retry
      Unavailable   a part of the cloud cannot be reached just now: retry later
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evidence:
    """One piece of proof beside an error: a log tail, a configuration, a measurement (ARM `additionalInfo`)."""

    type: str
    info: Any

    def body(self) -> dict[str, Any]:
        """The ARM form `{"type", "info"}`."""
        return {"type": self.type, "info": self.info}


class LazurError(Exception):
    """A failure a customer may read.

    `code` is Azure's code where Azure has one; `target` the path of the offending field or the id of the offending
    resource; `details` the causes, all of them; `info` the evidence; `status` the HTTP status when this error ends a
    request; `retryable` says whether the same request may succeed later without any change, `retry_after` in how many
    seconds.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: Iterable[LazurError] = (),
        info: Iterable[Evidence] = (),
        status: int = 400,
        retryable: bool = False,
        retry_after: int = 1,
        internal: str = "",
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.target = target
        self.details: Sequence[LazurError] = tuple(details)
        self.info: Sequence[Evidence] = tuple(info)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.internal = internal

    def body(self) -> dict[str, Any]:
        """The object under `"error"` of an ARM error response."""
        out: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            out["target"] = self.target
        if self.details:
            out["details"] = [d.body() for d in self.details]
        if self.info:
            out["additionalInfo"] = [i.body() for i in self.info]
        return out

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> LazurError:
        """Rebuild an error stored as its ARM body."""
        return cls(
            body["code"],
            body["message"],
            target=body.get("target"),
            details=[cls.from_body(d) for d in body.get("details", ())],
            info=[Evidence(i["type"], i["info"]) for i in body.get("additionalInfo", ())],
        )


class Conflict(LazurError):
    """The document changed since it was read; nothing was written."""

    def __init__(self, message: str, *, target: str | None = None) -> None:
        super().__init__("Conflict", message, target=target, status=409, retryable=True)


class Unavailable(LazurError):
    """A part of the cloud cannot be reached just now; nothing is known to have changed."""

    def __init__(self, message: str, *, target: str | None = None, internal: str = "") -> None:
        super().__init__("ServiceUnavailable", message, target=target, status=503, retryable=True, internal=internal)


def all_at_once(faults: Sequence[LazurError], message: str = "The request is invalid: see details.") -> LazurError:
    """One error for one or many faults of a request: the fault itself, or `MultipleErrorsOccurred` with all as details."""
    if len(faults) == 1:
        return faults[0]
    return LazurError("MultipleErrorsOccurred", message, details=faults, status=max(f.status for f in faults))
