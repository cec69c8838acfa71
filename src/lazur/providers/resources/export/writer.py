"""Writes the template: names and outside ids become parameters, ids become `resourceId`, and references `dependsOn`.

Secrets are not in the documents; each becomes a parameter of a secure type that whoever deploys the template must give.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.documents import Record
from lazur.model.registry import AnyResource
from lazur.providers.resources.export.request import COMMENTS, DEFAULTS, PLAIN, PLAIN_NAMES
from lazur.providers.resources.template.parser import escaped

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_OWN = frozenset({"id", "name", "type", "apiversion", "etag"})
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


@dataclass(frozen=True)
class Document:
    """One resource to export: the customer's document, and where in its properties secrets stand (`a.b[0].c`)."""

    id: str
    api_version: str
    body: Mapping[str, Any]
    secrets: Sequence[str] = ()
    along: Sequence[str] = ()
    """Ids of resources that a PUT of this one makes, so that they stand in no template beside it."""

    @classmethod
    def of(cls, record: Record, declared: AnyResource) -> Document:
        """The document of a stored resource."""
        body, along = declared.portable(record.body)
        return cls(str(record.id), record.api_version, body, tuple(record.secrets), along)

    @property
    def type(self) -> str:
        """The full type."""
        segments = _after_providers(self.id)
        return "/".join([segments[0], *segments[1::2]])

    @property
    def base(self) -> str:
        """What stands before the type: a group, or the resource this one extends."""
        return self.id.rsplit("/providers/", 1)[0]

    @property
    def names(self) -> list[str]:
        """The names in the id, outermost first."""
        return _after_providers(self.id)[2::2]


def exported(
    group_id: str, documents: Iterable[Document], options: frozenset[str], left_out: Sequence[LazurError] = ()
) -> dict[str, Any]:
    """The answer: the template, and what could not be exported."""
    given = sorted(documents, key=lambda document: document.id.lower())
    along = {id.lower() for document in given for id in document.along}
    listed = [document for document in given if document.id.lower() not in along]
    answer: dict[str, Any] = {"template": _Writer(group_id, listed, options).template()}
    if left_out:
        message = "Export template operation completed with errors. Some resources were not exported. See details."
        answer["error"] = LazurError("ExportTemplateCompletedWithErrors", message, details=left_out).body()
    return answer


def _after_providers(id: str) -> list[str]:
    return id.rsplit("/providers/", 1)[-1].split("/")


class _Writer:
    def __init__(self, group_id: str, documents: Sequence[Document], options: frozenset[str]) -> None:
        self.group = group_id.rstrip("/")
        self.documents = documents
        self.options = options
        self.by_key = {document.id.lower(): document for document in documents}
        self.parameters: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, str] = {}
        """What each parameter stands for, so that one thing has one parameter and two have two."""

    def template(self) -> dict[str, Any]:
        needs = {document.id.lower(): self.needs(document) for document in self.documents}
        without_rings(needs)
        resources = [self.resource(document, needs[document.id.lower()]) for document in self.documents]
        return {
            "$schema": _SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": self.parameters,
            "variables": {},
            "resources": resources,
        }

    def resource(self, document: Document, needs: Iterable[str]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if COMMENTS in self.options:
            out["comments"] = f"Generalized from resource: '{document.id}'."
        out |= {
            "type": document.type,
            "apiVersion": document.api_version,
            "name": self.name(document),
            "dependsOn": [f"[{self.id_call(key)}]" for key in sorted(needs)],
        }
        if not out["dependsOn"]:
            del out["dependsOn"]
        if "/providers/" in document.base:
            out["scope"] = f"[{self.id_call(document.base)}]"
        for name, value in document.body.items():
            if name.lower() not in _OWN and value is not None:
                out[name] = self.value(value)
        for path in document.secrets if PLAIN not in self.options else ():
            self.secret(document, path, out.setdefault("properties", {}))
        return out

    # -- names --------------------------------------------------------------------------------------------------------

    def name(self, document: Document) -> str:
        parts = [self.name_part(document, depth) for depth in range(1, len(document.names) + 1)]
        if not any(part.startswith("parameters(") for part in parts):
            return escaped("/".join(document.names))
        if len(parts) == 1:
            return f"[{parts[0]}]"
        return f"[format('{'/'.join(f'{{{i}}}' for i in range(len(parts)))}', {', '.join(parts)})]"

    def name_part(self, document: Document, depth: int) -> str:
        """The expression for the name at a depth of a resource: a parameter for whole resources, else the text."""
        segments = _after_providers(document.id)
        id = f"{document.base}/providers/{'/'.join(segments[: 1 + 2 * depth])}"
        name = document.names[depth - 1]
        if self.options & {PLAIN, PLAIN_NAMES} or (depth < len(document.names) and id.lower() not in self.by_key):
            return _quoted(name)
        holder = self.by_key.get(id.lower(), document)
        shown = f"{holder.type.rsplit('/', 1)[-1]}_{holder.names[-1]}_name"
        return f"parameters({_quoted(self.parameter(shown, id, 'String', holder.names[-1]))})"

    def parameter(self, shown: str, source: str, kind: str, default: str | None) -> str:
        """The name of the parameter for a source, declared when it is new."""
        known = next((name for name, of in self.sources.items() if of == source.lower()), None)
        if known is not None:
            return known
        base = name = re.sub(r"[^A-Za-z0-9_]", "_", shown)[:250]
        count = 1
        while name.lower() in (taken.lower() for taken in self.parameters):
            count += 1
            name = f"{base}_{count}"
        self.sources[name] = source.lower()
        self.parameters[name] = {"type": kind}
        if DEFAULTS in self.options and default is not None:
            self.parameters[name]["defaultValue"] = escaped(default)
        return name

    # -- ids ----------------------------------------------------------------------------------------------------------

    def holder(self, id: str) -> Document | None:
        """The exported resource that an id means, itself or something inside its document."""
        key = id.lower()
        while "/providers/" in key:
            if key in self.by_key:
                return self.by_key[key]
            key = key.rsplit("/", 2)[0]
        return None

    def needs(self, document: Document) -> set[str]:
        """Keys of the exported resources that a document names, and of its parent."""
        found = [self.holder(text) for text in _ids(document.body, self.group)]
        found += [self.holder(document.id.rpartition("/")[0].rpartition("/")[0]), self.holder(document.base)]
        return {other.id.lower() for other in found if other is not None and other is not document}

    def id_call(self, id: str) -> str:
        """`resourceId(…)` of a resource of the group, or of something inside one."""
        holder = self.holder(id)
        whole = holder.id if holder is not None else id
        given = _after_providers(id)
        kind, names = "/".join([given[0], *given[1::2]]), given[2::2]
        parts = [_quoted(name) for name in names]
        if holder is not None:
            segments = _after_providers(whole)
            kind = "/".join([segments[0], *segments[1::2], *given[1::2][len(segments[1::2]) :]])
            for depth in range(1, len(holder.names) + 1):
                parts[depth - 1] = self.name_part(holder, depth)
        base = id.rsplit("/providers/", 1)[0]
        if "/providers/" in base:
            return f"extensionResourceId({', '.join([self.id_call(base), _quoted(kind), *parts])})"
        return f"resourceId({', '.join([_quoted(kind), *parts])})"

    # -- values -------------------------------------------------------------------------------------------------------

    def value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {escaped(str(key)): self.value(item) for key, item in value.items() if item is not None}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, str):
            return value
        if not _is_id(value) or PLAIN in self.options:
            return escaped(value)
        if self.holder(value) is not None:
            return f"[{self.id_call(value)}]"
        segments = _after_providers(value)
        shown = f"{segments[-2]}_{segments[-1]}_externalid"
        return f"[parameters({_quoted(self.parameter(shown, value, 'String', value))})]"

    def secret(self, document: Document, path: str, holder: Any) -> None:
        """Put a parameter of a secure type where a secret stands."""
        steps = [int(index) if index else name for index, name in _STEP.findall(path)]
        last = steps[-1]
        for step in steps[:-1]:
            if isinstance(holder, list):
                if not isinstance(step, int) or step >= len(holder):
                    return
                holder = holder[step]
            else:
                holder = holder.setdefault(str(step), {})
        shown = f"{document.type.rsplit('/', 1)[-1]}_{document.names[-1]}_{last}"
        name = self.parameter(shown, f"{document.id}#{path}", "SecureString", None)
        if isinstance(holder, dict):
            holder[str(last)] = f"[parameters({_quoted(name)})]"


def without_rings(needs: dict[str, set[str]]) -> None:
    """Take away what closes a ring: such resources were not made in one go, and templates can't wait in circles."""
    done: set[str] = set()
    for start in sorted(needs):
        path: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(needs[start])))]
        on_path = {start}
        while path:
            key, others = path[-1]
            other = next(others, None)
            if other is None:
                path.pop()
                on_path.discard(key)
                done.add(key)
            elif other in on_path:
                needs[key].discard(other)
            elif other not in done:
                path.append((other, iter(sorted(needs.get(other, ())))))
                on_path.add(other)


def _is_id(text: str) -> bool:
    return text.lower().startswith("/subscriptions/") and "/providers/" in text.lower() and len(_after_providers(text)) >= 3


def _ids(value: Any, group: str) -> Iterator[str]:
    """Every id in a document that lies in the group."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if _is_id(item) and item.lower().startswith(f"{group.lower()}/"):
                yield item
        elif isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
