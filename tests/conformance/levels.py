"""The objects of a type's documents, level by level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from lazur.model.fields import Model, SubResource


def levels(model: type[Model], path: str = "properties") -> Iterator[tuple[str, type[Model]]]:
    """Every object of a type's documents with its path, `[]` after lists."""
    yield path, model
    for name, info in model.model_fields.items():
        inner, many = _model_in(info.annotation)
        if inner is not None and inner is not SubResource:
            yield from levels(inner, f"{path}.{info.alias or name}" + ("[]" if many else ""))


def _model_in(annotation: Any) -> tuple[type[Model] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation, False
    many = getattr(annotation, "__origin__", None) is list
    found = next((m for a in get_args(annotation) if (m := _model_in(a)[0])), None)
    return found, many
