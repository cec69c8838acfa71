"""The examples that declarations hold: `@Type[/child/name][#n]` in them stands for the id of another example.

Documentation fills them with ids of paper, the suites that walk the registry with ids of what they made. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lazur.model.armid import ArmId
from lazur.model.registry import AnyResource, Registry

_MARK = "@Microsoft."


@dataclass(frozen=True)
class Placeholder:
    """What a placeholder names: an example (the n-th; 0: none said) of a type, and the child of it that may follow."""

    declared: AnyResource
    child: tuple[str, ...]
    number: int

    def id(self, of: ArmId) -> ArmId:
        """The id it stands for, `of` being that of the example."""
        return of.child(*self.child) if self.child else of


def placeholder(registry: Registry, text: str) -> Placeholder:
    """What `text` names; raises for a type that nobody declares."""
    path, _, number = text[1:].partition("#")
    parts = path.split("/")
    for end in range(len(parts), 1, -1):
        found = registry.find("/".join(parts[:end]))
        if found is not None:
            return Placeholder(found, tuple(parts[end : end + 2]), int(number or 0))
    raise ValueError(f"'{text}' names no declared type")


def placeholders(value: Any) -> list[str]:
    """All of them in an example, in the order they stand there."""
    if isinstance(value, str):
        return [value] if value.startswith(_MARK) else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in placeholders(item)]


def filled(registry: Registry, value: Any, id_of: Callable[[Placeholder], ArmId]) -> Any:
    """A copy of `value` with ids in place of its placeholders; `id_of` gives those of the examples."""
    if isinstance(value, dict):
        return {k: filled(registry, v, id_of) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(registry, v, id_of) for v in value]
    if not (isinstance(value, str) and value.startswith(_MARK)):
        return value
    found = placeholder(registry, value)
    return str(found.id(id_of(found)))
