"""Who may do what, and what is locked, as the stored role definitions, role assignments, management groups and locks say.

What is compiled from them is thrown away with the edition of the types it was made from, so no decision is ever older than
the last commit. Must never look at the resource that is asked for: not yours and not there are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.conditions import Attributes, condition
from lazur.model.documents import Record
from lazur.model.rights import BUILT_IN, LOCKS, Assignment, Caller, Rights, Role, denial
from lazur.store.interface import Store

ASSIGNMENTS = "microsoft.authorization/roleassignments"
DEFINITIONS = "microsoft.authorization/roledefinitions"
GROUPS = "microsoft.management/managementgroups"
SUBSCRIPTIONS = "subscriptions"
"""The platform document of all subscriptions: `id`, `name`, `tenant`, and the management `group` each is in."""

_SHAPING = (ASSIGNMENTS, DEFINITIONS, GROUPS, SUBSCRIPTIONS)


class Authority:
    """Rights and locks of one stamp. `standing` is what holds without being stored: the stamp's own right."""

    def __init__(self, store: Store, standing: Sequence[Assignment] = ()) -> None:
        self._store = store
        self._standing = tuple(standing)
        self._edition: tuple[int, ...] = ()
        self._rights = Rights(standing)
        self._tenants: tuple[int, dict[str, str]] = (-1, {})
        self._locks: tuple[int, dict[str, list[Record]]] = (-1, {})

    # -- rights -------------------------------------------------------------------------------------------------------

    def may(
        self, caller: Caller, action: str, scope: ArmId, *, data: bool = False, attributes: Attributes | None = None
    ) -> bool:
        """Whether `caller` holds `action` at `scope`; conditions of assignments are asked of `attributes`."""
        return self.rights.allows(caller, action, scope, data, attributes)

    def authorise(
        self, caller: Caller, action: str, scope: ArmId, *, data: bool = False, attributes: Attributes | None = None
    ) -> None:
        """Raise ARM's 403 unless `caller` holds `action` at `scope`. Always before any look-up."""
        if not self.may(caller, action, scope, data=data, attributes=attributes):
            raise denial(caller, action, scope)

    @property
    def rights(self) -> Rights:
        """Everything that is assigned now."""
        edition = tuple(map(self._store.edition, _SHAPING))
        if edition != self._edition:
            self._rights = Rights([*self._standing, *self._assigned()], self._hierarchy())
            self._edition = edition
        return self._rights

    def tenant_of(self, scope: ArmId) -> str:
        """The directory that `scope` belongs to; empty for a subscription nobody has."""
        return self.directory_of(scope.subscription.lower()) if scope.subscription else scope.tenant

    def directory_of(self, subscription: str) -> str:
        """The directory that a subscription, by its id in small letters, belongs to; empty when nobody has it."""
        edition = self._store.edition(SUBSCRIPTIONS)
        if edition != self._tenants[0]:
            rows = self._store.document(SUBSCRIPTIONS).content or ()
            self._tenants = (edition, {row["id"]: row["tenant"] for row in rows})
        return self._tenants[1].get(subscription, "")

    def assign(self, *standing: Assignment) -> None:
        """Replace what holds without being stored."""
        self._standing, self._edition = standing, ()

    def _assigned(self) -> Iterator[Assignment]:
        custom = {r.id.name.lower(): list(roles_of(r)) for r in self._store.list(type=DEFINITIONS)}
        for record in self._store.list(type=ASSIGNMENTS):
            said = record.properties
            name = ArmId.parse(said["roleDefinitionId"]).name.lower()
            text = said.get("condition")
            when = condition(text) if text else None
            for role in [BUILT_IN[name]] if name in BUILT_IN else custom.get(name, ()):
                held = role if when is None else replace(role, condition=when)
                yield Assignment(str(said["principalId"]), held, record.id.scope.key)

    def _hierarchy(self) -> dict[str, Sequence[str]]:
        """What lies over each management group and subscription."""
        parents: dict[str, str] = {}
        for record in self._store.list(type=GROUPS):
            parent = record.properties.get("details", {}).get("parent", {}).get("id")
            above = ArmId.parse(parent, record.id.tenant) if parent else root_group(record.id.tenant)
            parents[record.key] = above.key if above.key != record.key else above.parent.key
        for row in self._store.document(SUBSCRIPTIONS).content or ():
            tenant, name = row["tenant"], row.get("group")
            group = root_group(tenant) if name is None else ArmId(tenant=tenant).resource(root_group(tenant).type, name)
            parents[ArmId(row["id"]).key] = group.key
        for key in set(parents.values()) - parents.keys():
            parents[key] = ArmId(tenant=ArmId.from_path(key).tenant).key
        return {key: list(_climb(parents, key)) for key in parents}

    # -- locks --------------------------------------------------------------------------------------------------------

    def unlocked(self, id: ArmId, removing: bool = False) -> None:
        """Raise ARM's 409 when a lock keeps `id` from being changed, or from being removed with all that lies below."""
        if id.type.lower() == LOCKS:
            return
        locks = self._locked()
        if not locks:
            return
        over = [record for key in self.rights.over(id) for record in locks.get(key, ())]
        held = [r for r in over if removing or r.properties["level"] == "ReadOnly"]
        if removing:
            held += [r for key, found in locks.items() if key.startswith(f"{id.key}/") for r in found]
        if held:
            verb = "delete" if removing else "write"
            names = ", ".join(sorted({f"'{r.id.scope}'" for r in held}))
            message = (
                f"The scope '{id}' cannot perform {verb} operation because following scope(s) are locked: {names}. Please "
                "remove the lock and try again."
            )
            raise LazurError("ScopeLocked", message, status=409)

    def _locked(self) -> Mapping[str, list[Record]]:
        edition = self._store.edition(LOCKS)
        if edition != self._locks[0]:
            found: dict[str, list[Record]] = {}
            for record in self._store.list(type=LOCKS):
                found.setdefault(record.id.scope.key, []).append(record)
            self._locks = (edition, found)
        return self._locks[1]


def root_group(tenant: str) -> ArmId:
    """The management group over everything of a directory; it bears the directory's id and is always there."""
    return ArmId(tenant=tenant).resource("Microsoft.Management/managementGroups", tenant)


def roles_of(record: Record) -> Iterable[Role]:
    """The roles that a stored definition comes to, one for each of its permissions."""
    said = record.properties
    for permission in said.get("permissions", ()):
        given, taken, data, not_data = (
            tuple(permission.get(n) or ()) for n in ("actions", "notActions", "dataActions", "notDataActions")
        )
        yield Role(record.id.name, str(said.get("roleName", "")), given, taken, data, not_data)


def _climb(parents: Mapping[str, str], key: str) -> Iterator[str]:
    seen = {key}
    while (key := parents.get(key, "")) and key not in seen:
        seen.add(key)
        yield key


__all__ = ["Authority", "roles_of", "root_group"]
