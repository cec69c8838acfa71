"""The difference of two documents, property by property, as `whatIf` tells it.

Objects are compared by property, lists of objects by the `name` or `id` of their items, other lists by position. Must know
nothing of what a property means, but that ids and locations compare without case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, TypeAlias

from lazur.providers.resources.template.values import to_json

Change: TypeAlias = dict[str, Any]

_LONG = 1000
_CASELESS = frozenset({"location", "type", "id"})


def delta(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What becomes of every property that differs; nothing when the documents are the same."""
    return list(_objects(before, after, ""))


def no_effect(path: str, value: Any) -> Change:
    """A property that the template sets and the service ignores."""
    return _change(path, "NoEffect", after=value)


def _change(path: str, kind: str, before: Any = None, after: Any = None, children: list[Change] | None = None) -> Change:
    return {"path": path, "propertyChangeType": kind, "before": before, "after": after, "children": children}


def _objects(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Change]:
    spelled = {name.lower(): name for name in before}
    for name in after:
        spelled.setdefault(name.lower(), name)
    others = {name.lower(): name for name in after}
    for key in sorted(spelled):
        name = spelled[key]
        where = f"{path}.{name}" if path else name
        old, new = before.get(name), after.get(others.get(key, name))
        yield from _values(old, new, where)


def _values(old: Any, new: Any, path: str) -> Iterator[Change]:
    if _same(old, new, path):
        return
    if old is None:
        yield _change(path, "Create", after=new)
    elif new is None:
        yield _change(path, "Delete", before=old)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _objects(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        children = list(_lists(old, new))
        if children:
            yield _change(path, "Array", children=children)
    else:
        yield _change(path, "Modify", before=old, after=new)


def _same(old: Any, new: Any, path: str) -> bool:
    if isinstance(old, str) and isinstance(new, str):
        last = path.rsplit(".", 1)[-1].lower()
        if last == "location":
            return old.replace(" ", "").lower() == new.replace(" ", "").lower()
        if last in _CASELESS or path == "name" or (old.startswith("/") and new.startswith("/")):
            return old.lower() == new.lower()
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    if isinstance(old, Mapping | list) or isinstance(new, Mapping | list):
        return not old and not new and type(old) is type(new)
    return bool(old == new)


def _lists(old: Sequence[Any], new: Sequence[Any]) -> Iterator[Change]:
    """Changes of a list's items; those deleted are counted by the old list, all others by the new."""
    names_before, names_after = _names(old), _names(new)
    if names_before is not None and names_after is not None:
        for name, index in names_before.items():
            if name not in names_after:
                yield _change(str(index), "Delete", before=old[index])
        for name, index in names_after.items():
            if name in names_before:
                yield from _items(old[names_before[name]], new[index], str(index))
            else:
                yield _change(str(index), "Create", after=new[index])
        return
    for tag, low, high, start, end in _spans(old, new):
        if tag == "equal":
            continue
        pairs = min(high - low, end - start)
        for i in range(pairs):
            yield from _items(old[low + i], new[start + i], str(start + i))
        for i in range(low + pairs, high):
            yield _change(str(i), "Delete", before=old[i])
        for i in range(start + pairs, end):
            yield _change(str(i), "Create", after=new[i])


def _spans(old: Sequence[Any], new: Sequence[Any]) -> Sequence[tuple[str, int, int, int, int]]:
    """Stretches of two lists that are equal or not; long lists are compared by position, which costs less."""
    if len(old) > _LONG or len(new) > _LONG:
        return [("replace", 0, len(old), 0, len(new))]
    matcher = SequenceMatcher(None, [_text(item) for item in old], [_text(item) for item in new], autojunk=False)
    return matcher.get_opcodes()


def _items(old: Any, new: Any, index: str) -> Iterator[Change]:
    """Changes of one item: of an object its own properties, of a value its end and its successor."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        children = list(_objects(old, new, ""))
        if children:
            yield _change(index, "Modify", children=children)
    elif isinstance(old, list) and isinstance(new, list):
        children = list(_lists(old, new))
        if children:
            yield _change(index, "Array", children=children)
    elif not _same(old, new, ""):
        yield _change(index, "Delete", before=old)
        yield _change(index, "Create", after=new)


def _names(items: Sequence[Any]) -> dict[str, int] | None:
    """Place of every item by its name or id; None when one has neither or two have the same."""
    found: dict[str, int] = {}
    for index, item in enumerate(items):
        name = item.get("name") or item.get("id") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or name.lower() in found:
            return None
        found[name.lower()] = index
    return found


def _text(item: Any) -> str:
    text = to_json(item)
    return text.lower() if text.startswith('"/') else text
