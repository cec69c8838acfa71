"""One resource to deploy, and the table by which a template's resources find one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lazur.providers.resources.template.names import absolute, relative

DEPLOYMENTS = "microsoft.resources/deployments"


@dataclass(frozen=True)
class Copy:
    """The turn of a copy loop a resource comes from."""

    name: str
    index: int
    count: int
    serial: bool = False
    batch: int = 0
    """Number of the batch, of a serial loop; a batch waits for the one before it."""


@dataclass(frozen=True)
class Node:
    """One resource: everything known before deployment, and its body with expressions still to be evaluated."""

    symbol: str
    """Symbolic name, with `[index]` for a copy; empty in templates without symbolic names."""
    id: str
    type: str
    name: str
    """Full name; of a child `parent/child`."""
    api_version: str
    """Empty when the template leaves it to an API profile."""
    body: Mapping[str, Any]
    scope_id: str
    """Id of the scope or resource it is deployed to; empty for the tenant."""
    path: str
    """Where it stands in the template."""
    depends_on: tuple[str, ...] = ()
    """Ids of the nodes that must be Succeeded first: explicit, by `reference` and list functions, parents, batches."""
    copy: Copy | None = None
    existing: bool = False
    """Only read, never deployed."""
    only_new: bool = False
    """Deployed only where it does not exist yet (`@onlyIfNotExists`)."""
    loops: Mapping[str, int] = field(default_factory=dict)
    loop: str | None = None

    @property
    def relative_id(self) -> str:
        """`Microsoft.Network/virtualNetworks/v`, as messages name it."""
        return relative(self.type, self.name.split("/"))

    @property
    def is_deployment(self) -> bool:
        """Whether it is a nested deployment."""
        return self.type.lower() == DEPLOYMENTS


class Ambiguous(LookupError):
    """A bare name that several resources have."""


class Index:
    """The resources of one template by id, symbol, name and loop; everything compares without case."""

    def __init__(self, nodes: Iterable[Node], scope_id: str, skipped: Iterable[Node] = ()) -> None:
        self._scope_id = scope_id
        self._ids: dict[str, Node] = {}
        self._symbols: dict[str, Node] = {}
        self._groups: dict[str, list[Node]] = {}
        self._names: dict[str, list[Node]] = {}
        self._relative: dict[str, list[Node]] = {}
        self._skipped: dict[str, Node] = {}
        for node in nodes:
            self._add(node)
        for node in skipped:
            self._skip(node)

    def group(self, name: str, members: Iterable[Node]) -> None:
        """Declare a copy loop or a copied symbol."""
        self._groups.setdefault(name.lower(), []).extend(members)

    def _add(self, node: Node) -> None:
        key = node.id.lower()
        if not node.existing or key not in self._ids:
            self._ids[key] = node
        if node.symbol:
            self._symbols[node.symbol.lower()] = node
        self._names.setdefault(node.name.lower(), []).append(node)
        self._relative.setdefault(node.relative_id.lower(), []).append(node)
        self._relative.setdefault(f"{node.type}/{node.name}".lower(), []).append(node)

    def _skip(self, node: Node) -> None:
        for key in (node.id, node.symbol, node.name, node.relative_id, f"{node.type}/{node.name}"):
            self._skipped.setdefault(key.lower(), node)

    def is_skipped(self, reference: str) -> bool:
        """Whether a reference means a resource whose condition is false."""
        key = reference.rstrip("/").lower()
        return key in self._skipped or absolute(self._scope_id, reference).lower() in self._skipped

    def find(self, reference: str) -> list[Node] | None:
        """The nodes a reference means: one, all of a loop, or None; raises `Ambiguous` for a name several have."""
        key = reference.strip().rstrip("/").lower()
        if not key:
            return None
        for table in (self._symbols, self._ids):
            if key in table:
                return [table[key]]
        if key in self._groups:
            return self._groups[key]
        full = absolute(self._scope_id, key).lower()
        if full in self._ids:
            return [self._ids[full]]
        for names in (self._relative, self._names):
            found = {node.id.lower(): node for node in names.get(key.lstrip("/"), ())}
            if len(found) > 1:
                raise Ambiguous(reference)
            if found:
                return list(found.values())
        return None

    def by_id(self, id: str) -> Node | None:
        """The node with an id."""
        return self._ids.get(id.rstrip("/").lower())

    def locate(self, name: str) -> tuple[str, str] | None:
        """Id and api-version of the one resource a symbol, name or id means, skipped ones (they may exist) included."""
        try:
            found = self.find(name)
        except Ambiguous:
            return None
        if found is None and (skipped := self._skipped.get(name.rstrip("/").lower())) is not None:
            found = [skipped]
        return (found[0].id, found[0].api_version) if found and len(found) == 1 else None

    def members(self, symbol: str) -> list[tuple[str, str]] | None:
        """Ids and api-versions of all copies, in order."""
        found = self._groups.get(symbol.lower())
        return None if found is None else [(node.id, node.api_version) for node in found]

    def about(self, symbol: str) -> dict[str, Any] | None:
        """Id, name, type and api-version of a symbolic resource."""
        node = self._symbols.get(symbol.lower()) or self._skipped.get(symbol.lower())
        if node is None or not node.symbol:
            return None
        return {"id": node.id, "name": node.name, "type": node.type, "apiVersion": node.api_version}
