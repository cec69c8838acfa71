"""Records as they are committed, kept so that what a request looks at five times is read and understood once.

Must never answer with anything but what is committed now: what a transaction writes is forgotten before it is committed
and not kept again until that is through.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from lazur.model.documents import Record

# Characters of stored text; a small resource has a thousand.
_KEPT = 8 * 1024 * 1024


class Known:
    """The records that were read last, as far as their texts make no more than a certain size together."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, tuple[Record, int]] = OrderedDict()
        self._size = 0
        self._written: Collection[str] = ()

    def get(self, key: str) -> Record | None:
        """The record with that key, if it is known."""
        found = self._records.get(key)
        return found[0] if found else None

    def keep(self, record: Record, size: int) -> None:
        """`record`, of `size` characters, was read just now because it was not known."""
        if record.key in self._written:
            return
        self._records[record.key] = record, size
        self._size += size
        while self._size > _KEPT:
            _, (_, oldest) = self._records.popitem(last=False)
            self._size -= oldest

    def writing(self, keys: Iterable[str]) -> None:
        """A transaction that is about to be committed writes `keys`."""
        self._written = frozenset(keys)
        for key in self._written & self._records.keys():
            self._size -= self._records.pop(key)[1]

    def written(self) -> None:
        """That transaction is through, one way or the other."""
        self._written = ()
