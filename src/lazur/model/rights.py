"""Who may do what where: callers, role definitions, role assignments, and the one pure decision over them.

Authorisation comes before look-up, so this must never need to know whether a resource exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lazur.kernel.errors import LazurError
from lazur.model.armid import ArmId
from lazur.model.conditions import Attributes, Condition


@dataclass(frozen=True)
class Caller:
    """An authenticated principal: who it is, in which tenant, and the groups it belongs to. `operator` says that it came
    in by the operator's endpoint."""

    tenant: str
    object_id: str
    name: str
    kind: str = "User"
    app_id: str = ""
    groups: tuple[str, ...] = ()
    correlation: str = ""
    """Joins all that one request led to; what acts later as a recorded caller goes on under it."""
    operator: bool = False

    def asking(self, correlation: str) -> Caller:
        """This caller with one request."""
        # What `dataclasses.replace` does, at a fifth of its price: every request does it.
        copy = object.__new__(Caller)
        vars(copy).update(vars(self), correlation=correlation)
        return copy

    def document(self) -> dict[str, object]:
        """The form recorded on what this caller created."""
        return {**vars(self), "groups": list(self.groups)}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Caller:
        """The caller recorded by `document`; nobody, where none was."""
        fields = {"tenant": "", "object_id": "", "name": "", **found, "groups": tuple(found.get("groups", ()))}
        return cls(**fields)


class Principals(Protocol):
    """Who there is in the directories, as far as rights need to know."""

    def kind(self, tenant: str, object_id: str) -> str:
        """`User`, `Group` or `ServicePrincipal`; empty for nobody of that directory."""
        ...

    def groups(self, tenant: str, object_id: str) -> tuple[str, ...]:
        """The groups it is in, directly or through others."""
        ...

    def named(self, tenant: str, name: str) -> str:
        """The object id of a user by its user principal name, or of whoever has that object id; empty for nobody."""
        ...

    def directory(self, name: str) -> str:
        """The id of the directory that has this id or domain; empty for none."""
        ...

    def administers(self, tenant: str, object_id: str) -> bool:
        """Whether it is a Global Administrator of the directory."""
        ...

    def called(self, tenant: str) -> tuple[str, tuple[str, ...]]:
        """What a directory is called, and its domains, the default one first."""
        ...


@dataclass(frozen=True)
class Role:
    """A role definition: what it allows and what it takes back, as ARM action patterns with `*`.

    Data actions are those on what a resource holds (a blob's content), and are granted apart.
    """

    id: str
    name: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    description: str = ""
    condition: Condition | None = None
    """When this holding of the role counts; None: always."""

    def grants(self, action: str, data: bool = False) -> bool:
        """Whether the role allows `action` (lower-case)."""
        given, taken = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        return _matches(given, action) and not _matches(taken, action)


def _built_in() -> dict[str, Role]:
    rows = json.loads((Path(__file__).parent / "built_in_roles.json").read_text())
    return {row["id"]: _role(row) for row in rows}


def _role(row: Mapping[str, Any]) -> Role:
    given, taken, data, not_data = (tuple(row.get(p, ())) for p in ("actions", "notActions", "dataActions", "notDataActions"))
    return Role(row["id"], row["name"], given, taken, data, not_data, row["description"])


BUILT_IN = _built_in()
"""Azure's built-in roles for what this cloud has, under their real ids and with Azure's actions.

Source: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles; without the actions of providers that no
cloud of this kind has, such as Azure Arc's.
"""
OWNER = BUILT_IN["8e3af657-a8ff-443c-a75c-2fe8c4bcb635"]
CONTRIBUTOR = BUILT_IN["b24988ac-6180-42a0-ab88-20f7382dd24c"]
READER = BUILT_IN["acdd72a7-3385-48ef-bd42-f606fba81ae7"]
USER_ACCESS_ADMINISTRATOR = BUILT_IN["18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"]


@dataclass(frozen=True)
class Assignment:
    """`principal` (a user, group or service principal) holds `role` at `scope`, an id's key, and below."""

    principal: str
    role: Role
    scope: str


K = TypeVar("K")
V = TypeVar("V")

LOCKS = "microsoft.authorization/locks"
"""The type of what keeps a scope, and all below it, from going or changing, whatever rights somebody holds."""
ROOT = "/"
"""Over every directory: only what the stamp itself holds."""
_DIRECTORIES = "/tenants/"
_REMEMBERED = 20_000


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(p) for p in text.lower().split("*")) + r"\Z")


def _matches(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(p).match(action) for p in patterns)


class _Holding:
    """Roles that somebody holds together at some scope, and what those without a condition were found to grant."""

    __slots__ = ("_decided", "conditional", "roles")

    def __init__(self, roles: tuple[Role, ...]) -> None:
        self.roles = tuple(role for role in roles if role.condition is None)
        self.conditional = tuple(role for role in roles if role.condition is not None)
        self._decided: dict[tuple[str, bool], bool] = {}

    def grants(self, action: str, data: bool) -> bool:
        known = self._decided.get((action, data))
        if known is None:
            lowered = action.lower()
            known = _keep(self._decided, (action, data), any(role.grants(lowered, data) for role in self.roles))
        return known

    def grants_if(self, action: str, data: bool, attributes: Attributes | None) -> bool:
        """Whether a role grants it whose condition holds."""
        lowered = action.lower()
        given = (role.condition for role in self.conditional if role.grants(lowered, data))
        return any(c is not None and c.holds(lowered, attributes) for c in given)


class Rights:
    """All assignments of a stamp, compiled. Never changes: whoever assigns makes a new one.

    `above` says for the key of a subscription or management group which scopes lie over it: management groups, leaf first,
    and the directory's root.
    """

    def __init__(self, assignments: Iterable[Assignment], above: Mapping[str, Sequence[str]] | None = None) -> None:
        self._above = above or {}
        self._held: dict[str, dict[str, list[Role]]] = {}
        for held in assignments:
            self._held.setdefault(held.principal, {}).setdefault(held.scope.lower(), []).append(held.role)
        self._holdings: dict[tuple[str, tuple[str, ...], str], _Holding] = {}
        self._alike: dict[tuple[Role, ...], _Holding] = {}

    def allows(
        self, caller: Caller, action: str, scope: ArmId, data: bool = False, attributes: Attributes | None = None
    ) -> bool:
        """Whether any assignment of the caller or its groups, at `scope` or above, grants `action`; `attributes` are what the
        conditions of assignments may ask for.

        What is the operator's nobody may do who did not come in by the operator's endpoint, whatever role they hold.
        """
        if not caller.operator and is_operators(action):
            return False
        held = self._holding(caller, scope)
        return held.grants(action, data) or (bool(held.conditional) and held.grants_if(action, data, attributes))

    def roles(self, caller: Caller, scope: ArmId) -> tuple[Role, ...]:
        """The roles that the caller holds at `scope`, by itself or a group, there or above; those on a condition last."""
        held = self._holding(caller, scope)
        return (*held.roles, *held.conditional)

    def has_below(self, caller: Caller, scope: ArmId) -> bool:
        """Whether the caller holds any role at something that lies in `scope`."""
        mine, within = (self._held.get(p, {}) for p in (caller.object_id, *caller.groups)), f"{scope.key}/"
        return any(place.startswith(within) for held in mine for place in held)

    def _holding(self, caller: Caller, scope: ArmId) -> _Holding:
        question = (caller.object_id, caller.groups, scope.key)
        known = self._holdings.get(question)
        if known is None:
            mine = [self._held[p] for p in (caller.object_id, *caller.groups) if p in self._held]
            places = self._counting(caller, scope) if mine else ()
            roles = tuple(dict.fromkeys(role for held in mine for place in places for role in held.get(place, ())))
            # The same few roles are held together at very many places: each action is decided once for all of them.
            known = self._alike.get(roles) or _keep(self._alike, roles, _Holding(roles))
            _keep(self._holdings, question, known)
        return known

    def _counting(self, caller: Caller, scope: ArmId) -> list[str]:
        """Where a role of `caller` may be held to count at `scope`; in another directory than the caller's only the stamp
        itself holds any, over all of them."""
        over = self.over(scope)
        directory = ArmId(tenant=caller.tenant).key
        return [ROOT] if over[-2].startswith(_DIRECTORIES) and over[-2] != directory else over

    def over(self, scope: ArmId) -> list[str]:
        """The keys of `scope` and of everything above it, nearest first: the last but one is the directory's."""
        keys, at = [scope.key], scope
        while at.key not in self._above and at.parent.key != at.key:
            at = at.parent
            keys.append(at.key)
        return [*keys, *self._above.get(at.key, ()), ROOT]


@lru_cache(4096)
def is_operators(name: str) -> bool:
    """Whether an action, type or namespace is one of the operator's (`Microsoft.Fabric.Admin/…`)."""
    return name.partition("/")[0].lower().endswith(".admin")


def _keep(known: dict[K, V], question: K, answer: V) -> V:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[question] = answer
    return answer


def right(type: str, verb: str) -> str:
    """The action of `verb` (`read`, `write`, `delete`, `start/action`) on `type`, as role definitions spell it."""
    # Azure names a resource group's actions below the subscription, though the type itself has no such segment.
    if type.lower() == "microsoft.resources/resourcegroups":
        type = "Microsoft.Resources/subscriptions/resourceGroups"
    return f"{type}/{verb}"


def denial(caller: Caller, action: str, scope: ArmId) -> LazurError:
    """ARM's 403 naming the missing action and scope; the same bytes whether or not anything is there."""
    message = (
        f"The client '{caller.name}' with object id '{caller.object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
    return LazurError("AuthorizationFailed", message, status=403)
