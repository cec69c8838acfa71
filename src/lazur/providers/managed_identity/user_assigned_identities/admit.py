"""Admission of user-assigned identities: who they are in the directory is settled once. Pure."""

from __future__ import annotations

from typing import Any

from lazur.model.identity import IDENTITY, new_identity
from lazur.model.resource import Decision, Facts
from lazur.providers.managed_identity.user_assigned_identities.resource import UserAssignedIdentitySpec


def admit(spec: UserAssignedIdentitySpec, body: dict[str, Any], facts: Facts) -> Decision:
    """Keep the identity, or make one."""
    return Decision(allocated=facts.old.allocated if facts.old else {IDENTITY: new_identity(facts, explicit=True)})
