"""Admission of management groups: a tree of at most six levels below the root, without circles. Pure."""

from __future__ import annotations

from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.resource import Decision, Facts
from lazur.providers.management.management_groups.resource import ManagementGroupSpec

_DEEPEST = 6
_TARGET = "properties.details.parent.id"


def admit(spec: ManagementGroupSpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Refuse a circle, a tree too deep, and another place for the root."""
    parent = spec.details.parent if spec.details else None
    if parent is None or parent.id is None:
        return Decision()
    over = [key for key in facts.over(ArmId.parse(parent.id, facts.id.tenant)) if "/managementgroups/" in key]
    if facts.id.name.lower() == facts.id.tenant:
        return Decision([_fault("The root management group has no parent.")])
    if facts.id.key in over:
        return Decision([_fault(f"'{parent.id}' lies below '{facts.id.name}' itself.")])
    if len(over) > _DEEPEST:
        return Decision([_fault(f"Management groups may be {_DEEPEST} levels deep below the root.")])
    return Decision()


def _fault(message: str) -> LazurError:
    return LazurError("InvalidParent", message, target=_TARGET)
