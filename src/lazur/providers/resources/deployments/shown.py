"""What a deployment shows of itself beside its template: operations, providers, dependencies. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lazur.kernel.clock import rfc3339
from lazur.kernel.ids import derived
from lazur.model.armid import ArmId
from lazur.model.documents import Record

_WORDS = {200: "OK", 201: "Created", 400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
          429: "TooManyRequests", 503: "ServiceUnavailable"}  # fmt: skip


def operations(record: Record) -> list[dict[str, Any]]:
    """What became of each resource of the template, in the template's order; what mode Complete takes away after that."""
    status = record.status
    steps: Sequence[Mapping[str, Any]] = sorted(status.get("steps", {}).values(), key=lambda s: s["place"])
    found = [_operation(record, step) for step in steps]
    if "outputs" in status:
        found.append(_outputs_operation(record))
    return [{"id": f"{record.id}/operations/{o['operationId']}", **o} for o in found]


def _operation(record: Record, step: Mapping[str, Any]) -> dict[str, Any]:
    id, verb, state = ArmId.parse(step["id"]), step.get("verb", "Create"), step.get("state", "Running")
    done = 201 if step.get("created") else 200
    ended = step.get("ended", "")
    properties: dict[str, Any] = {
        "provisioningOperation": verb,
        "provisioningState": state,
        "timestamp": ended or step["started"],
        "duration": duration(_moment(step["started"]), _moment(ended or step["started"])),
        "trackingId": derived(record.uid, step["id"].lower(), "tracking"),
        "statusCode": _WORDS.get(step.get("code") or done, "BadRequest"),
        "targetResource": {"id": step["id"], "resourceType": id.type, "resourceName": "/".join(id.names) or id.name},
    }
    if step.get("error"):
        properties["statusMessage"] = {"status": "Pending" if step.get("held") else state, "error": step["error"]}
    return {"operationId": operation_id(record.uid, step["id"], verb), "properties": properties}


def _outputs_operation(record: Record) -> dict[str, Any]:
    """Azure's last line of every deployment that came to its outputs."""
    ended = record.status["ended"]
    return {
        "operationId": operation_id(record.uid, record.key, "outputs"),
        "properties": {
            "provisioningOperation": "EvaluateDeploymentOutput",
            "provisioningState": "Succeeded",
            "timestamp": ended,
            "duration": duration(_moment(ended), _moment(ended)),
            "trackingId": derived(record.uid, record.key, "tracking"),
            "statusCode": "OK",
        },
    }


def operation_id(uid: str, id: str, verb: str) -> str:
    """Always the same for the same resource of the same deployment."""
    return derived(uid, id.lower(), verb).replace("-", "").upper()[:16]


def providers(types: Sequence[str], location: str) -> list[dict[str, Any]]:
    """The namespaces and types a template uses."""
    found: dict[str, set[str]] = {}
    for type in types:
        namespace, _, kind = type.partition("/")
        found.setdefault(namespace, set()).add(kind)
    return [
        {"namespace": n, "resourceTypes": [{"resourceType": k, "locations": [location]} for k in sorted(found[n])]}
        for n in sorted(found)
    ]


def secure_outputs(key: str) -> str:
    """What the sealed values of secure outputs are bound to."""
    return f"{key}#secureOutputs"


def minified(template: Any) -> str:
    """A template as it was given, without the spaces."""
    return json.dumps(template, separators=(",", ":"), ensure_ascii=False)


def template_hash(template: Any) -> str:
    """A number that is the same for the same template, however it is laid out. It is not Azure's."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def duration(start: datetime, end: datetime) -> str:
    """The time between two moments as ISO 8601 has it."""
    return f"PT{max(0.0, (end - start).total_seconds()):.7f}S"


def _moment(text: str) -> datetime:
    # ARM writes seven digits of a second; Python 3.11 reads them, cutting the last.
    return datetime.fromisoformat(text)


def properties(record: Record) -> dict[str, Any]:
    """The outcome, as `properties` of the deployment show it."""
    seen = record.status
    out: dict[str, Any] = {
        "parameters": seen.get("parameters", {}),
        "correlationId": record.changed_by.get("correlation") or record.uid,
        "timestamp": seen.get("ended") or rfc3339(record.changed),
        "duration": seen.get("duration", "PT0S"),
        "providers": seen.get("providers", []),
        "dependencies": seen.get("dependencies", []),
        "outputResources": seen.get("outputResources", []),
    }
    if "templateHash" in record.allocated:
        out["templateHash"] = record.allocated["templateHash"]
    if "outputs" in seen:
        out["outputs"] = seen["outputs"]
    if "onError" in seen:
        out["onErrorDeployment"] = {k: v for k, v in seen["onError"].items() if k != "generation"}
    if record.error is not None:
        out["error"] = record.error
    return out
