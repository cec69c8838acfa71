"""Every field of a type's documents that holds a resource id, and bodies in which exactly that field says something else."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from lazur.model.fields import IdText, Model, Ref, SubResource, marked
from lazur.model.registry import AnyResource
from tests.conformance.examples import Maker

_FORM = get_args(IdText)[1]
SEEDS: dict[str, Any] = {
    "Microsoft.Compute/virtualMachines properties.storageProfile.dataDisks[]": {"lun": 3, "createOption": "Attach"},
}
"""Smallest items for lists that no example fills and whose items need something besides the id."""


@dataclass(frozen=True)
class IdField:
    """One field: `properties.subnets[].properties.networkSecurityGroup`."""

    type: str
    path: str
    many: bool
    wrapped: bool
    """`{"id": …}` rather than the id itself."""
    ref: Ref | None

    @property
    def name(self) -> str:
        return f"{self.type} {self.path}"

    def body(self, maker: Maker, declared: AnyResource, value: str) -> tuple[Any, str] | None:
        """The example saying `value` here, and the path a fault must have; None when no example leads here."""
        body = copy.deepcopy(maker.body(declared))
        holder, spot, steps = body, "", self.path.split(".")
        for number, step in enumerate(steps[:-1]):
            name, listed = step.removesuffix("[]"), step.endswith("[]")
            found = holder.setdefault(name, [] if listed else {})
            if listed and not found:
                item = self._item(maker, declared, ".".join(steps[: number + 1]))
                if item is None:
                    return None
                found.append(item)
            holder, spot = (found[0], f"{spot}.{name}[0]") if listed else (found, f"{spot}.{name}")
        said: Any = {"id": value} if self.wrapped else value
        holder[steps[-1]] = [said] if self.many else said
        return body, f"{spot}.{steps[-1]}".lstrip(".") + ("[0]" if self.many else "")

    def _item(self, maker: Maker, declared: AnyResource, path: str) -> Any:
        for child in declared.embedded:
            if path == f"properties.{child.list}[]":
                return {"name": "further", "properties": maker.filled(dict(child.example))}
        return copy.deepcopy(SEEDS.get(f"{self.type} {path}"))


def id_fields(declared: AnyResource) -> list[IdField]:
    """All of a type's."""
    return list(_of(declared.type, declared.Spec, "properties"))


def _of(type: str, model: type[Model], path: str) -> Iterator[IdField]:
    for name, info in model.model_fields.items():
        annotation = repr(info.annotation)
        alias, many = info.alias or name, bool(re.search(r"\b(list|tuple)\[", annotation))
        ref = marked(model, Ref).get(name)
        if SubResource in (found := list(_models(info.annotation))):
            yield IdField(type, f"{path}.{alias}", many, True, ref)
        elif _FORM in info.metadata or _says(info.annotation):
            yield IdField(type, f"{path}.{alias}", many, False, ref)
        for inner in found:
            if inner is not SubResource:
                yield from _of(type, inner, f"{path}.{alias}" + ("[]" if many else ""))


def _models(annotation: Any) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _says(annotation: Any) -> bool:
    return annotation == _FORM or any(_says(inner) for inner in (*get_args(annotation), *_extras(annotation)))


def _extras(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())
