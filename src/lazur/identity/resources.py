"""Identities of resources in the directory: service principals that come and go with the resources they belong to.

A store whose commits take the principals along: resource and principal are one transaction, so that neither is ever there
without the other. Must never give a principal a credential, or touch one that belongs to no resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from lazur.identity.directory import Directories, Edit, LiveDirectory, Remove, Write
from lazur.identity.objects import FederatedCredential, ServicePrincipal
from lazur.kernel.ids import derived
from lazur.model.documents import Change, Record
from lazur.model.identity import identity_of
from lazur.store.interface import Store

_CREDENTIALS = "federatedIdentityCredentials"


def with_identities(store: Store, directory: LiveDirectory) -> Store:
    """`store`, whose commits keep the directory in step with the resources they write."""
    return cast(Store, _Identified(store, directory))


class _Identified:
    def __init__(self, store: Store, directory: LiveDirectory) -> None:
        self._store = store
        self._directory = directory
        self._held = dict(_belonging(directory.current))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: Change) -> None:
        touched = [r.key for r in change.records if r.key in self._held or identity_of(r) is not None]
        touched += [key for key, _ in change.removed if key in self._held]
        wanted = {r.key: r for r in change.records if identity_of(r) is not None}
        # Whoever changes the directory waits for the others; what a machine reports of itself changes nothing there.
        if not touched or not self._edits(self._directory.current, touched, wanted):
            await self._store.commit(change)
            return
        await self._directory.change(lambda now: self._edits(now, touched, wanted), beside=change)
        for key in touched:
            self._held.pop(key, None)
        self._held |= {key: _id(record) for key, record in wanted.items()}

    def _edits(self, now: Directories, touched: Sequence[str], wanted: dict[str, Record]) -> list[Edit]:
        edits: list[Edit] = []
        for record in wanted.values():
            tenant, object_id = _id(record)
            known = now.by_id[tenant].object(object_id)
            made = _principal(record, known if isinstance(known, ServicePrincipal) else None)
            edits += [Write(made)] if made != known else []
        # What is moved is removed under one key and written under another.
        kept = {_id(record) for record in wanted.values()}
        for tenant, object_id in {self._held[key] for key in touched if key in self._held} - kept:
            gone = now.by_id[tenant].object(object_id)
            edits += [Remove(gone)] if gone is not None else []
        return edits


def _id(record: Record) -> tuple[str, str]:
    own = identity_of(record)
    assert own is not None
    return own["tenantId"], own["principalId"]


def _principal(record: Record, known: ServicePrincipal | None) -> ServicePrincipal:
    """Who the resource is; what the directory keeps of it beside stays as it is."""
    own = identity_of(record)
    assert own is not None
    if known is None:
        made = int(record.created.timestamp())
        known = ServicePrincipal(
            own["principalId"], own["clientId"], own["tenantId"], record.id.name, type="ManagedIdentity", created=made
        )
    names = [f"isExplicit={own['explicit']}", str(record.id)]
    federated = tuple(_federated(record, item) for item in record.properties.get(_CREDENTIALS, ()))
    properties = {**known.properties, "alternativeNames": names}
    return replace(known, display_name=record.id.name, federated=federated, properties=properties)


def _federated(record: Record, item: dict[str, Any]) -> FederatedCredential:
    said = item["properties"]
    id = derived(record.uid, item["name"].lower())
    return FederatedCredential(id, item["name"], said["issuer"], said["subject"], tuple(said["audiences"]))


def _belonging(directories: Directories) -> Iterable[tuple[str, tuple[str, str]]]:
    """Key of a resource -> tenant and object id of the principal it has."""
    for directory in directories.by_id.values():
        for thing in directory.objects.values():
            if isinstance(thing, ServicePrincipal) and thing.type == "ManagedIdentity":
                names = thing.properties.get("alternativeNames") or ()
                yield from ((name.lower(), (thing.tenant_id, thing.object_id)) for name in names if name.startswith("/"))
