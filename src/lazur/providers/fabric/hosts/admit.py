"""What an operator may say of a host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Record
from lazur.model.resource import Act, Decision, Facts, Tools
from lazur.providers.fabric.hosts.resource import HostSpec


def admit(spec: HostSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """A host is what its operator says it is."""
    return Decision()


def act(action: str, record: Record, body: Any, query: Mapping[str, str], tools: Tools) -> Act:
    """`declareLost`: refused while the host answers, unless it is forced."""
    forced = query.get("force", "").lower() == "true"
    if record.status.get("health", "Online") == "Online" and not forced:
        message = (
            f"Host '{record.id.name}' answered a moment ago. Its machines may run and write to their disks: switch it off "
            "first. It is shown as Unreachable soon after that and can be declared lost; '&force=true' does not wait for it."
        )
        raise LazurError("OperationNotAllowed", message, status=409)
    return Act({**record.intent, "lost": record.intent.get("lost", 0) + 1})
