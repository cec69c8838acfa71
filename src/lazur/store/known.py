"""What was found by key, kept so that what a request looks at five times is read and understood once.

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
    """What was found last under which key, as far as it makes no more than a certain size together."""

    def __init__(self) -> None:
        self._looks: OrderedDict[str, tuple[Record | None, int]] = OrderedDict()
        self._size = 0
        self._written: Collection[str] = ()

    def get(self, key: str) -> tuple[Record | None, int] | None:
        """The record with that key, or that there is none, and its size; None when that is not known."""
        return self._looks.get(key)

    def keep(self, key: str, found: Record | None, size: int) -> None:
        """`found`, of `size` characters, was read just now because it was not known."""
        if key in self._written:
            return
        self._looks[key] = found, size
        self._size += size
        while self._size > _KEPT:
            _, (_, oldest) = self._looks.popitem(last=False)
            self._size -= oldest

    def writing(self, keys: Iterable[str]) -> None:
        """A transaction that is about to be committed writes `keys`."""
        self._written = frozenset(keys)
        for key in self._written & self._looks.keys():
            self._size -= self._looks.pop(key)[1]

    def written(self) -> None:
        """That transaction is through, one way or the other."""
        self._written = ()
