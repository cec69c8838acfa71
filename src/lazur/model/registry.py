"""The declared types and what stands beside them, handed to whoever needs it.

Discovers `providers/*/provider.py`; a new provider is one new folder. Loads behaviour lazily, so that a role only ever
imports its own half of a provider. Must never be a module-level global.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.resource import Embedded, Resource
from lazur.model.rights import is_operators

API_VERSION = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(-[A-Za-z0-9.]{1,40})?")

AnyResource = type[Resource[Any]]

_GROUPS = "Microsoft.Resources/resourceGroups"
"""The one stored type whose ids have no provider segment."""


@dataclass(frozen=True)
class Route:
    """A route of a provider that is no stored resource: `pattern` is matched without case against what follows the scope.

    A pattern of a provider stands below `providers/<namespace>/`; one that begins with `/` stands directly below the scope.
    A group `location` must be this stamp's region. `action` is what the caller needs at the scope; None: whoever is signed in,
    or the handler decides. `handler(pipeline, request, **groups)` answers a `lazur.api.message.Response`, or just its body.
    """

    method: str
    scopes: tuple[str, ...]
    pattern: str
    action: str | None
    handler: Callable[..., Any]


@dataclass(frozen=True)
class Provider:
    """One resource provider namespace with its types and the routes that are no resources."""

    namespace: str
    types: Sequence[AnyResource]
    routes: Sequence[Route] = field(default_factory=tuple)


class Registry:
    """All providers of this stamp."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.providers = {p.namespace.lower(): p for p in providers}
        self._types = {t.type.lower(): t for p in providers for t in p.types}
        self._behaviours: dict[str, ModuleType | None] = {}

    @classmethod
    def discover(cls, package: ModuleType) -> Registry:
        """Collect `PROVIDER` of every `provider.py` below `package`."""
        found = []
        for info in pkgutil.iter_modules(package.__path__):
            if importlib.util.find_spec(f"{package.__name__}.{info.name}.provider"):
                module = importlib.import_module(f"{package.__name__}.{info.name}.provider")
                found.append(module.PROVIDER)
        return cls(found)

    def types(self) -> Iterator[AnyResource]:
        """Every stored type, in a fixed order."""
        return iter(sorted(self._types.values(), key=lambda t: t.type))

    def find(self, type: str) -> AnyResource | None:
        """The type of that name, or None."""
        return self._types.get(type.lower())

    def type_of(self, id: ArmId) -> AnyResource:
        """The stored type of `id`; raises ARM's own errors for unknown namespaces and types."""
        found = self.find(id.type)
        if found is None:
            raise self.unknown(id)
        return found

    def holder_of(self, id: ArmId) -> AnyResource:
        """The type of the document that holds `id`; raises ARM's errors for unknown types and for a scope it has not."""
        document = self.document_of(id)
        found = self.type_of(document)
        if document.base is not None:
            self.holder_of(document.base)
        if found.type == _GROUPS and document.namespace is None:
            return found
        if found.type == _GROUPS or document.level not in found.scopes:
            raise self.unknown(id)
        return found

    def listed(self, id: ArmId) -> AnyResource:
        """The type of which `id` would be one in a list; resource groups have a list of their own."""
        found = self.type_of(id)
        if found.type == _GROUPS:
            raise self.unknown(id)
        return found

    def namespace(self, name: str) -> str:
        """A namespace in Azure's spelling; raises ARM's error for one that nobody provides."""
        if name.lower() not in self.providers:
            raise self._no_namespace(name)
        return self.providers[name.lower()].namespace

    def offered(self, namespace: str, kind: str | None, region: str) -> dict[str, Any]:
        """What is told of a namespace or of one of its types: where there is one, in which api-versions. Empty for none."""
        found = self.providers.get(namespace.lower())
        if found is None:
            return {}
        rows = [
            {
                "resourceType": name,
                "locations": [region.capitalize()],
                "apiVersions": list(declared.api_versions),
                "zoneMappings": [],
                "capabilities": "SupportsTags, SupportsLocation" if declared.tracked else "None",
            }
            for declared in found.types
            for own in [declared.type.split("/", 1)[1]]
            for name in [own, *(f"{own}/{child.type}" for child in declared.embedded)]
        ]
        if kind is None:
            return {"namespace": found.namespace, "resourceTypes": rows}
        return next((row for row in rows if str(row["resourceType"]).lower() == kind.lower()), {})

    def _no_namespace(self, name: str | None) -> LazurError:
        known = ", ".join(sorted(p.namespace for p in self.providers.values() if not is_operators(p.namespace)))
        message = f"The resource namespace '{name}' is invalid. This cloud provides {known}."
        return LazurError("InvalidResourceNamespace", message, status=404)

    def unknown(self, id: ArmId) -> LazurError:
        """ARM's answer for a type nobody provides."""
        if (id.namespace or "").lower() not in self.providers:
            return self._no_namespace(id.namespace)
        message = f"The resource type '{'/'.join(id.types)}' could not be found in the namespace '{id.namespace}'."
        return LazurError("InvalidResourceType", message, status=404)

    def missing(self, id: ArmId) -> LazurError:
        """The 404 for an `id` of which there is no document, in the words of its type."""
        code, message = (self.find(id.type) or Resource).missing
        label = "/".join([id.namespace or "", *(f"{t}/{n}" for t, n in zip(id.types, id.names, strict=True))])
        return LazurError(code, message.format(name=id.name, group=id.group or "<null>", label=label), status=404)

    def embedded(self, id: ArmId) -> tuple[AnyResource, Embedded] | None:
        """The owning type and the declaration when `id` names a child that lives in its parent's document."""
        if len(id.types) < 2:
            return None
        parent = self.find(id.parent.type)
        if parent is None:
            return None
        for child in parent.embedded:
            if child.type.lower() == id.types[-1].lower():
                return parent, child
        return None

    def document_of(self, id: ArmId) -> ArmId:
        """The id of the stored document that holds `id`: itself, or the parent of an embedded child."""
        return id.parent if self.embedded(id) else id

    def behaviour(self, type: AnyResource, module: str) -> ModuleType | None:
        """`admit` or `controller` beside the type's declaration; None when it needs none."""
        name = f"{type.__module__.rsplit('.', 1)[0]}.{module}"
        if name not in self._behaviours:
            # Looking for a module asks the file system for every folder on the path.
            self._behaviours[name] = importlib.import_module(name) if importlib.util.find_spec(name) else None
        return self._behaviours[name]

    def canonical(self, id: ArmId) -> ArmId:
        """`id` with namespace and type names in Azure's spelling."""
        if id.namespace is None:
            return id
        base = id.base and self.canonical(id.base)
        found = self.find(id.type)
        child = None if found else self.embedded(id)
        if found is not None:
            namespace, *types = found.type.split("/")
        elif child is not None:
            namespace, *types = f"{child[0].type}/{child[1].type}".split("/")
        else:
            namespace, types = id.namespace, list(id.types)
        if (namespace, tuple(types)) == (id.namespace, id.types) and base is id.base:
            return id
        return replace(id, namespace=namespace, types=tuple(types), base=base)


def check_api_version(version: str | None) -> str:
    """The api-version of a request; raises ARM's errors when it is missing or malformed."""
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise LazurError("MissingApiVersionParameter", message)
    if not API_VERSION.fullmatch(version):
        message = f"The api-version '{version[:60]}' is invalid. It must have the form YYYY-MM-DD or YYYY-MM-DD-preview."
        raise LazurError("InvalidApiVersionParameter", message)
    return version
