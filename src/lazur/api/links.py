"""References between documents: what a body names must be there, be of the right type, and be the caller's to join.

Must never tell a caller without the right to join whether anything is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lazur.api.authority import Authority
from lazur.api.decode import Decoded
from lazur.api.present import Presenter
from lazur.kernel.errors import Conflict, LazurError
from lazur.model.armid import ArmId
from lazur.model.documents import Claim, Record, Reference
from lazur.model.fields import Pointer
from lazur.model.registry import AnyResource, Registry
from lazur.model.rights import Caller, right
from lazur.store.interface import Store


class Links:
    """Checks of the references a change makes or breaks."""

    def __init__(self, registry: Registry, store: Store, authority: Authority, presenter: Presenter) -> None:
        self._registry = registry
        self._store = store
        self._authority = authority
        self._presenter = presenter

    def related(self, caller: Caller, id: ArmId, decoded: Decoded) -> tuple[dict[str, Record], list[LazurError]]:
        """The documents behind all references, and a fault for each reference that leads nowhere."""
        related: dict[str, Record] = {}
        faults: list[LazurError] = []
        group = self._store.get(id.container.key) if id.group and id.namespace else None
        base = self._store.get(self._registry.document_of(id.base).key) if id.base is not None else None
        related |= {r.key: r for r in (group, base) if r is not None}
        standing = {(r.path, r.target): r.blocking for r in self._store.references(id.key)} if decoded.pointers else {}
        for pointer in decoded.pointers:
            target = self._registry.canonical(pointer.target.of(caller.tenant))
            if pointer.ref.soft:
                continue
            if target.type.lower() != pointer.ref.type.lower():
                message = f"'{target}' at '{pointer.path}' is a {target.type}; a {pointer.ref.type} is needed."
                faults.append(LazurError("LinkedInvalidPropertyId", message, target=pointer.path))
                continue
            if id.contains(target):
                if not _child_in(self._registry, target, decoded.body["properties"]):
                    faults.append(_dangling(id, pointer))
                continue
            # What stands already was joined by whoever wrote it: a new subnet needs no right over its neighbours' groups.
            kept = (pointer.named, target.key) in standing
            if kept and not standing[pointer.named, target.key]:
                # Released by the controller (what a disk was copied from): it may be gone.
                continue
            if not kept and not self._authority.may(caller, right(target.type, pointer.ref.takes), target):
                message = f"The client '{caller.name}' has permission to write '{id}' but not to join the linked '{target}'."
                faults.append(LazurError("LinkedAuthorizationFailed", message, target=pointer.path, status=403))
                continue
            record = self._store.get(self._registry.document_of(target).key)
            if record is None or not _child_in(self._registry, target, record.properties):
                faults.append(_dangling(id, pointer))
            elif record.deleting:
                message = f"'{target}' referenced by '{id.name}' at '{pointer.path}' is being deleted."
                faults.append(LazurError("ReferencedResourceNotProvisioned", message, target=pointer.path, status=409))
            else:
                related[record.key] = record
        return related, faults

    def released(self, id: ArmId) -> set[tuple[str, str]]:
        """Path and target of the references that `id` still names and needs no more."""
        return {(r.path, r.target) for r in self._store.references(id.key) if not r.blocking}

    def dropped(self, declared: AnyResource, old: Record, decoded: Decoded) -> Sequence[LazurError]:
        faults = []
        for gone, spot in gone_children(declared, old, decoded.body):
            users = [r for r in self._store.referrers(gone.key) if r.blocking and r.source != old.key]
            if users:
                faults.append(in_use(gone, self.names(users), spot))
        return faults

    def explain(self, conflict: Conflict, id: ArmId, found: Sequence[Pointer]) -> None:
        """Turn a lost race for an exclusive reference into the error the customer can act on."""
        for pointer in found:
            if not pointer.ref.exclusive:
                continue
            holder = self._store.holder("exclusive", f"{pointer.ref.type}|{pointer.target.key}".lower())
            if holder is not None and holder != id.key:
                message = f"'{pointer.target}' is already in use by '{holder}'; it can serve one resource at a time."
                raise LazurError("ResourceInUse", message, target=pointer.path, status=409) from conflict

    def names(self, users: Sequence[Reference]) -> list[str]:
        spelled = self._presenter.spelled(users)
        return sorted({spelled.get(u.source, u.source) for u in users})


def in_use(id: ArmId, names: Sequence[str], target: str | None = None) -> LazurError:
    """Azure's refusal to delete what others need, naming them all."""
    details = [LazurError("InUseBy", f"'{n}' refers to it.", target=n) for n in names]
    message = f"'{id}' is in use by {', '.join(names[:5])}{' and others' if len(names) > 5 else ''} and cannot be deleted."
    kind = id.types[-1] if id.types else "resource"
    for plural, ending in (("sses", "ss"), ("ies", "y"), ("s", "")):
        if kind.endswith(plural):
            kind = kind.removesuffix(plural) + ending
            break
    code = f"InUse{kind[0].upper()}{kind[1:]}CannotBeDeleted"
    return LazurError(code, message, target=target or str(id), details=details, status=400)


def gone_children(declared: AnyResource, old: Record | None, body: Mapping[str, Any]) -> list[tuple[ArmId, str]]:
    """The embedded children of `old` that `body` has no more, each with the path of the list it was in."""
    out = []
    for child in declared.embedded if old is not None else ():
        assert old is not None
        # A new one may lack its name, which is a fault of its own.
        kept = {str(i.get("name", "")).lower() for i in body["properties"].get(child.list, [])}
        lost = [i["name"] for i in old.properties.get(child.list, []) if i["name"].lower() not in kept]
        out += [(old.id.child(child.type, name), f"properties.{child.list}") for name in lost]
    return out


def _dangling(id: ArmId, pointer: Pointer) -> LazurError:
    message = (
        f"Resource {pointer.target} referenced by resource {id} was not found. Please make sure that the referenced "
        "resource exists, and that both resources are in the same region."
    )
    return LazurError("InvalidResourceReference", message, target=pointer.path)


def _child_in(registry: Registry, target: ArmId, properties: Mapping[str, Any]) -> bool:
    embedded = registry.embedded(target)
    if embedded is None:
        return True
    names = (item["name"].lower() for item in properties.get(embedded[1].list, []))
    return target.name.lower() in names


def exclusive(id: ArmId, found: Sequence[Pointer]) -> list[Claim]:
    held = {f"{p.ref.type}|{p.target.key}".lower() for p in found if p.ref.exclusive}
    return [Claim("exclusive", value, id.key) for value in sorted(held)]
