"""A stored document as a client sees it: envelope, the type's own view of its properties, children with ids.

Must never show a secret, an allocation the type did not choose to show, or a document the caller was not authorised for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lazur.kernel.clock import rfc3339
from lazur.kernel.compact import compact
from lazur.model.documents import Record, Reference
from lazur.model.identity import shown_identity
from lazur.model.registry import Registry
from lazur.model.resource import Embedded, Rendering
from lazur.store.interface import Store

ENVELOPE = ("location", "tags", "sku", "zones", "identity", "plan", "kind")

# Characters of answers that are kept.
_KEPT = 16 * 1024 * 1024


class Presenter:
    """Shows records of one stamp."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._texts: dict[tuple[Any, ...], str] = {}
        self._kept = 0

    def text(self, record: Record, expand: str = "") -> str:
        """`show` as JSON."""
        return self._text(record, self._store.referrers(record.key), expand, False)

    def texts(self, records: Sequence[Record], expand: str = "", *, brief: bool = False) -> list[str]:
        """`show` of each as JSON; `brief` in the form of generic lists, without properties and with the times of the last
        change."""
        referrers = self._store.referrers_among([r.key for r in records])
        return [self._text(r, referrers.get(r.key, ()), expand, brief) for r in records]

    def _text(self, record: Record, referrers: Sequence[Reference], expand: str, brief: bool) -> str:
        """Kept under everything a type may use to show itself, so what is kept can never be stale."""
        spelled = self.spelled(referrers) if referrers else {}
        key = (record.key, record.uid, record.version, expand, brief, *referrers, *sorted(spelled.items()))
        text = self._texts.get(key)
        if text is None:
            shown = self._shown(record, expand, referrers, spelled)
            text = compact(_brief(record, shown) if brief else shown)
            self._kept += len(text)
            if self._kept > _KEPT:
                self._texts.clear()
                self._kept = len(text)
            self._texts[key] = text
        return text

    def show(self, record: Record, expand: str = "") -> dict[str, Any]:
        """The whole resource, as GET and PUT answer it."""
        referrers = self._store.referrers(record.key)
        return self._shown(record, expand, referrers, self.spelled(referrers))

    def _shown(self, record: Record, expand: str, referrers: Sequence[Reference], spelled: Mapping[str, str]) -> dict[str, Any]:
        declared = self._registry.type_of(record.id)
        properties = _copied(record.properties)
        for child in declared.embedded:
            for item in properties.get(child.list, []):
                self._complete_child(record, child, item)
        rendering = Rendering(record, properties, referrers, expand, spelled)
        shown = declared.render(rendering)
        shown["provisioningState"] = record.state
        out: dict[str, Any] = {"id": str(record.id), "name": record.id.name, "type": declared.type}
        out |= {k: record.body[k] for k in ENVELOPE if k in record.body}
        out |= shown_identity(record) if declared.has_identity else {}
        out |= declared.outer(rendering)
        out["etag"] = f'W/"{record.etag}"'
        out["properties"] = shown
        return out

    def alike(self, one: Record, other: Record) -> bool:
        """Whether nobody could tell two forms of one document apart."""
        referrers = self._store.referrers(one.key)
        spelled = self.spelled(referrers)
        return self._shown(one, "", referrers, spelled) == self._shown(other, "", referrers, spelled)

    def child(self, record: Record, child: Embedded, name: str) -> dict[str, Any] | None:
        """One embedded child of `record`, or None."""
        for item in self.show(record)["properties"].get(child.list, []):
            if item["name"].lower() == name.lower():
                found: dict[str, Any] = item
                return found
        return None

    def children(self, record: Record, child: Embedded) -> list[dict[str, Any]]:
        """All embedded children of one kind."""
        found: list[dict[str, Any]] = self.show(record)["properties"].get(child.list, [])
        return found

    def spelled(self, references: Iterable[Reference]) -> dict[str, str]:
        """Source key -> id as stored."""
        found = {key: self._store.get(key) for key in {r.source for r in references}}
        return {key: str(record.id) for key, record in found.items() if record is not None}

    def _complete_child(self, record: Record, child: Embedded, item: dict[str, Any]) -> None:
        id = record.id.child(child.type, item["name"])
        item["id"] = str(id)
        item["type"] = id.type
        item["etag"] = f'W/"{record.etag}"'
        item.setdefault("properties", {})["provisioningState"] = record.state


def _brief(record: Record, shown: Mapping[str, Any]) -> dict[str, Any]:
    out = {k: v for k, v in shown.items() if k not in ("properties", "etag")}
    times = {"createdTime": rfc3339(record.created), "changedTime": rfc3339(record.changed)}
    return {**out, **times, "provisioningState": record.state}


def _copied(value: Any) -> Any:
    """A private copy of a JSON value: a tenth of what `copy.deepcopy` costs, which must expect anything."""
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value
