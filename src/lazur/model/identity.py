"""Managed identities: which resources have one, what a request may say of it, and who they are in the directory.

A resource that is somebody itself keeps that in `allocated[IDENTITY]`; the directory's service principal is made of it, and
goes with it, in the transaction that writes or removes the resource. Whom else it may be stands in `allocated[ASSIGNED]`. Must
never hold a credential: there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Record
from lazur.model.fields import Caseless, IdText, Model, Pointer, Ref
from lazur.model.resource import Facts

IDENTITY = "identity"
"""Where `allocated` says who the resource is: `tenantId`, `principalId`, `clientId`, and whether it is nothing but an identity
(`explicit`)."""
ASSIGNED = "assignedIdentities"
"""Where `allocated` says whom else the resource may be: id of a user-assigned identity -> the same of that one."""

_REF = Ref("Microsoft.ManagedIdentity/userAssignedIdentities", takes="assign/action")
_SYSTEM, _USER = "SystemAssigned", "UserAssigned"
_MAP = "userAssignedIdentities"


def _spaced(value: Any) -> Any:
    """Lists are written with and without a blank behind the comma."""
    return ", ".join(part.strip() for part in value.split(",")) if isinstance(value, str) else value


class ManagedIdentity(Model):
    """Who a resource is to be: somebody itself, somebody that has a document of its own, or both."""

    read_only: ClassVar[frozenset[str]] = frozenset({"principalId", "tenantId"})
    type: Annotated[
        Literal["None", "SystemAssigned", "UserAssigned", "SystemAssigned, UserAssigned"],
        Caseless(),
        BeforeValidator(_spaced),
    ]
    user_assigned_identities: dict[IdText, dict[str, Any] | None] = {}
    """By id; a null takes one away."""

    @property
    def assigned(self) -> list[str]:
        """The ids of the user-assigned ones, each once."""
        named = {ArmId.parse(id).key: id for id, said in self.user_assigned_identities.items() if said is not None}
        return list(named.values())

    def faults(self) -> Iterator[LazurError]:
        """What of it contradicts itself."""
        path = f"identity.{_MAP}"
        if _USER in self.type and not self.assigned:
            message = f"Identity type '{self.type}' needs at least one identity in '{path}'."
            yield LazurError("InvalidParameter", message, target=path)
        if _USER not in self.type and self.assigned:
            message = f"Identity type '{self.type}' does not go with the identities in '{path}'; add '{_USER}' to it."
            yield LazurError("InvalidParameter", message, target=path)

    def document(self) -> dict[str, Any]:
        """The form that is kept; empty for nobody."""
        if self.type == "None":
            return {}
        return {"type": self.type, **({_MAP: {id: {} for id in self.assigned}} if self.assigned else {})}


def asked_identity(body: Mapping[str, Any]) -> ManagedIdentity | None:
    """What a stored document says of the resource's identity."""
    return ManagedIdentity.model_validate(body["identity"]) if body.get("identity") else None


def identity_pointers(asked: ManagedIdentity | None) -> list[Pointer]:
    """The references to user-assigned identities; it takes the right to assign them to name them."""
    path, ids = f"identity.{_MAP}", asked.assigned if asked else ()
    return [Pointer(f"{path}[{id}]", f"{path}[{ArmId.parse(id).key}]", ArmId.parse(id), _REF) for id in ids]


def keeping_identity(body: Any, old: Record | None) -> Any:
    """A request with the identity the resource has, when it says nothing of it: taking one away is asked for in words."""
    silent = isinstance(body, dict) and not any(k.lower() == "identity" and v is not None for k, v in body.items())
    return {**body, "identity": old.body["identity"]} if silent and old and "identity" in old.body else body


def merging_identity(patch: Any, whole: dict[str, Any]) -> dict[str, Any]:
    """A merged document, in which a patch to a type without user-assigned identities takes those away."""
    said: Any = next((v for k, v in patch.items() if k.lower() == "identity"), {}) if isinstance(patch, dict) else {}
    if said is None:
        return {**whole, "identity": {"type": "None"}}
    fields = {str(k).lower(): v for k, v in said.items()} if isinstance(said, dict) else {}
    kind, named = str(fields.get("type") or _USER), fields.get(_MAP.lower()) or {}
    if _USER.lower() in kind.lower() or (isinstance(named, dict) and any(v is not None for v in named.values())):
        return whole
    name, merged = next((k, v) for k, v in whole.items() if k.lower() == "identity")
    return {**whole, name: {k: v for k, v in merged.items() if k.lower() != _MAP.lower()}}


def new_identity(facts: Facts, *, explicit: bool) -> dict[str, Any]:
    """Somebody new in the directory of the resource."""
    return {"tenantId": facts.tenant, "principalId": facts.fresh(), "clientId": facts.fresh(), "explicit": explicit}


def with_identity(body: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """`allocated` of a resource, with who it is and may be as `body` asks."""
    held = dict(facts.old.allocated) if facts.old else {}
    asked, own = asked_identity(body), held.pop(IDENTITY, None)
    held.pop(ASSIGNED, None)
    if asked is not None and _SYSTEM in asked.type:
        held[IDENTITY] = own or new_identity(facts, explicit=False)
    if asked is not None and asked.assigned:
        found = {id: facts.related.get(ArmId.parse(id).key) for id in asked.assigned}
        held[ASSIGNED] = {id: dict(record.allocated[IDENTITY]) for id, record in found.items() if record is not None}
    return held


def identity_of(record: Record) -> Mapping[str, Any] | None:
    """Who the resource itself is in the directory, if it is anybody."""
    found: Mapping[str, Any] | None = record.allocated.get(IDENTITY)
    return found


def identities_of(record: Record) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everybody the resource may be, itself first: the id of the resource that is that one, and who it is."""
    own = identity_of(record)
    if own is not None:
        yield str(record.id), own
    yield from record.allocated.get(ASSIGNED, {}).items()


def shown_ids(found: Mapping[str, Any] | None, *names: str) -> dict[str, str]:
    """Of an identity, the ids `names` as clients see them."""
    return {name: found[name] for name in names} if found else {}


def shown_identity(record: Record) -> dict[str, Any]:
    """The `identity` of a resource as clients see it."""
    asked = asked_identity(record.body)
    if asked is None:
        return {}
    assigned = record.allocated.get(ASSIGNED, {})
    named = {id: shown_ids(who, "principalId", "clientId") for id, who in assigned.items()}
    own = shown_ids(identity_of(record), "principalId", "tenantId")
    return {"identity": {"type": asked.type, **own, **({_MAP: named} if named else {})}}
