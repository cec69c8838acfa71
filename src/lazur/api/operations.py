"""Long-running operations on the wire: where to poll, and what polling answers.

Must never tell of an operation to whoever may not read it: what is not theirs is answered like what is not there.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from lazur.api.message import Request, Response
from lazur.api.pipeline import Pipeline
from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Operation
from lazur.model.stamp import Stamp

POLLED = {"operations": "operations", "operationresults": "operationResults"}
"""The last type segment of a polling URL, and how rights spell it."""


def async_headers(stamp: Stamp, api_version: str, operation: Operation | None, verb: str) -> dict[str, str]:
    """Where to poll. A PUT gets the operation alone, DELETE and POST the result's location as well."""
    if operation is None:
        return {}
    namespace = ArmId.from_path(operation.key).namespace or "Microsoft.Resources"
    above = f"/subscriptions/{operation.subscription}" if operation.subscription else ""
    base = f"{above}/providers/{namespace}/locations/{stamp.region}"
    status = stamp.url(f"{base}/operations/{operation.id}?api-version={api_version}")
    headers = {"Azure-AsyncOperation": status, "Retry-After": "1"}
    if verb != "PUT":
        headers["Location"] = stamp.url(f"{base}/operationResults/{operation.id}?api-version={api_version}")
    return headers


def poll(pipeline: Pipeline, request: Request, scope: ArmId, namespace: str, what: str, id: str) -> Response:
    """How an operation goes, for whoever holds the right at `scope` or over the resource it works on."""
    action = f"{namespace}/locations/{POLLED[what]}/read"
    operation = pipeline.store.operation(id)
    if operation is not None and not _below(operation, scope):
        operation = None
    if operation is None or not pipeline.authority.may(request.caller, action, ArmId.from_path(operation.key)):
        pipeline.authority.authorise(request.caller, action, scope)
        raise LazurError("OperationNotFound", f"The operation '{id}' was not found.", status=404)
    if what == "operations":
        return Response(200, operation_body(operation), {} if operation.ended else {"Retry-After": "1"})
    if operation.ended is None:
        location = pipeline.stamp.url(f"{quote(request.path)}?api-version={request.api_version}")
        return Response(202, None, {"Location": location, "Retry-After": "1"})
    if operation.error is not None:
        raise LazurError.from_body(dict(operation.error))
    record = pipeline.store.get(operation.key)
    if operation.verb == "PUT" and record is not None:
        return Response(200, pipeline.presenter.show(record))
    return Response(204)


def _below(operation: Operation, scope: ArmId) -> bool:
    if scope.subscription:
        return operation.subscription.lower() == scope.subscription.lower()
    return not operation.subscription and operation.tenant == scope.tenant


def operation_body(operation: Operation) -> dict[str, Any]:
    """The body an `Azure-AsyncOperation` URL answers with."""
    out: dict[str, Any] = {"name": operation.id, "status": operation.status, "startTime": operation.started.isoformat()}
    if operation.ended:
        out["endTime"] = operation.ended.isoformat()
    if operation.error is not None:
        out["error"] = operation.error
    return out
