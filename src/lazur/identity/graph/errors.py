"""Graph's refusals, in its own codes and words. Must never say anything about an object of another directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lazur.kernel.errors import LazurError


def bad(message: str, target: str | None = None) -> LazurError:
    """400: the request asks for something that cannot be."""
    return LazurError("Request_BadRequest", message, target=target)


def unsupported_query(message: str) -> LazurError:
    """400: a query option that is malformed or not supported."""
    return LazurError("Request_UnsupportedQuery", message)


def not_found(name: str) -> LazurError:
    """404, the same whether `name` never was, is of another kind or lies in another directory."""
    message = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return LazurError("Request_ResourceNotFound", message, status=404)


def denied() -> LazurError:
    """403."""
    return LazurError("Authorization_RequestDenied", "Insufficient privileges to complete the operation.", status=403)


def taken(message: str) -> LazurError:
    """409: a name that only one object may bear."""
    return LazurError("Request_MultipleObjectsWithSameKeyValue", message, status=409)


def not_here(what: str) -> LazurError:
    """501: something Graph has in Azure and this directory has not."""
    return LazurError("NotSupported", f"This directory does not support {what}.", status=501)


def no_segment(segment: str) -> LazurError:
    """400: a path this Graph does not have."""
    return LazurError("BadRequest", f"Resource not found for the segment '{segment}'.")


def all_bad(faults: Sequence[LazurError]) -> LazurError:
    """One error of many: Graph's clients show the message of the first, the details name all."""
    if len(faults) == 1:
        return faults[0]
    return LazurError(faults[0].code, faults[0].message, target=faults[0].target, details=faults)


def body(error: LazurError, now: datetime, request_id: str, client_request_id: str) -> dict[str, Any]:
    """The JSON body of an error response."""
    said: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details:
        said["details"] = [{"code": d.code, "message": d.message, "target": d.target or ""} for d in error.details]
    said["innerError"] = {
        "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": client_request_id,
    }
    return {"error": said}
