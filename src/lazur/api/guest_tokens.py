"""Tokens for guests: a host asks in the name of one of its machines, and gets one of that machine's own identities.

The host proves itself as executors do; which machine asks it knows by the network the question came from. Must never answer
for a machine that is not wanted on the host that asks, nor for an identity that is not the machine's at this moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lazur.model.armid import ArmId
from lazur.model.identity import identities_of
from lazur.store.interface import Store

Answer = tuple[int, dict[str, Any]]
Issue = Callable[[Mapping[str, Any], str, str], Answer]
"""Who, of which resource, for which service -> status and body of the answer."""

SELECTORS = {"client_id": "clientId", "object_id": "principalId", "msi_res_id": "", "mi_res_id": ""}
"""How a guest says which of its identities it means; the last two by the id of the resource."""


class GuestTokens:
    """Tokens of the machines of one stamp."""

    def __init__(self, store: Store, issue: Issue) -> None:
        self._store = store
        self._issue = issue

    def token(self, domain: str, machine: str, query: Mapping[str, str]) -> Answer:
        """The answer to a question that came out of `machine` (a uid) on the host of `domain`."""
        owner = self._store.wanted(domain, machine)
        record = self._store.get(owner) if owner else None
        known = list(identities_of(record)) if record is not None and record.uid == machine else []
        named = {name: query[name] for name in SELECTORS if query.get(name)}
        if len(named) > 1:
            return _refused(f"At most one of {', '.join(SELECTORS)} may be given")
        for name, value in named.items():
            known = [(id, who) for id, who in known if _is_meant(id, who, name, value)]
        if not named and known and record is not None and known[0][0] != str(record.id) and len(known) > 1:
            message = (
                "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the "
                "token request"
            )
            return _refused(message)
        if not known:
            return _refused("Identity not found")
        arm_id, who = known[0]
        return self._issue(who, arm_id, query.get("resource", ""))


def _is_meant(id: str, who: Mapping[str, Any], name: str, value: str) -> bool:
    if SELECTORS[name]:
        return bool(who[SELECTORS[name]] == value.lower())
    return ArmId.from_path(id).key == value.rstrip("/").lower()


def _refused(message: str) -> Answer:
    return 400, {"error": "invalid_request", "error_description": message}
