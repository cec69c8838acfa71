"""What identity keeps in the stamp's store: small documents of its own, and one document for each object of a directory.

Must never know what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from lazur.model.documents import Change, Document
from lazur.store.interface import Store


class KeptDocument(Protocol):
    """Where one document is kept."""

    async def load(self) -> dict[str, Any]:
        """The document, or an empty one when nothing was saved yet."""
        ...

    async def save(self, document: dict[str, Any]) -> None:
        """Keep `document` durably in place of the old one."""
        ...


class KeptObjects(Protocol):
    """Where many documents are kept, by name."""

    async def load(self) -> dict[str, Any]:
        """All of them."""
        ...

    async def save(self, changes: Mapping[str, Any], beside: Change | None = None) -> None:
        """Keep `changes` durably, all or none, in one transaction with `beside`; None removes."""
        ...


class StoredDocument:
    """`KeptDocument` as the platform document `name`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name

    async def load(self) -> dict[str, Any]:
        return dict(self._store.document(self._name).content or {})

    async def save(self, document: dict[str, Any]) -> None:
        version = self._store.document(self._name).version + 1
        await self._store.commit(Change(documents=[Document(self._name, version, document)]))


class StoredObjects:
    """`KeptObjects` as the platform documents whose name begins with `prefix`."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._versions: dict[str, int] = {}

    async def load(self) -> dict[str, Any]:
        rows = self._store.documents(self._prefix)
        self._versions = {row.name: row.version for row in rows}
        return {row.name: row.content for row in rows}

    async def save(self, changes: Mapping[str, Any], beside: Change | None = None) -> None:
        # What never was need not be removed; the store would take it for a lost race.
        known = {name: content for name, content in changes.items() if content is not None or name in self._versions}
        rows = [Document(name, self._versions.get(name, 0) + 1, content) for name, content in known.items()]
        change = beside or Change()
        await self._store.commit(replace(change, documents=[*change.documents, *rows]))
        for row in rows:
            if row.content is None:
                del self._versions[row.name]
            else:
                self._versions[row.name] = row.version
