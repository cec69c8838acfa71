"""Managed identities: which resources have one, and who they are in the directory.

A resource that has an identity of its own keeps it in `allocated[IDENTITY]`; the directory's service principal is made of
that, and goes with it, in the transaction that writes or removes the resource. Must never hold a credential: there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazur.model.documents import Record
from lazur.model.resource import Facts

IDENTITY = "identity"
"""Where `allocated` says who the resource is: `tenantId`, `principalId`, `clientId`, and whether it is nothing but an identity
(`explicit`)."""


def new_identity(facts: Facts, *, explicit: bool) -> dict[str, Any]:
    """Somebody new in the directory of the resource."""
    return {"tenantId": facts.tenant, "principalId": facts.fresh(), "clientId": facts.fresh(), "explicit": explicit}


def identity_of(record: Record) -> Mapping[str, Any] | None:
    """Who the resource itself is in the directory, if it is anybody."""
    found: Mapping[str, Any] | None = record.allocated.get(IDENTITY)
    return found


def shown_ids(record: Record) -> dict[str, str]:
    """The ids of the resource's own identity as clients see them."""
    own = identity_of(record) or {}
    return {name: own[name] for name in ("tenantId", "principalId", "clientId") if name in own}
