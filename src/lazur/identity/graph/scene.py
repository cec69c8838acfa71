"""What one request sees: one directory at one moment, who asks, and what they may do there.

Permissions are Microsoft Graph's own words. A user may read the directory and what they own is theirs, as Entra's default
is; an application may do what it was given. Must never take a right from a token: roles are read from the directory at
every request, so that what is taken away is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lazur.identity.directory import Directories, Directory, Edit, Remove
from lazur.identity.firstparty import FIRST_PARTY, GRAPH_ROLES, MICROSOFT_GRAPH
from lazur.identity.graph.errors import bad, denied, not_found
from lazur.identity.objects import (
    APPLICATION_ADMINISTRATOR,
    DIRECTORY_READERS,
    GLOBAL_ADMINISTRATOR,
    USER_ADMINISTRATOR,
    Application,
    DirectoryObject,
    Group,
    ServicePrincipal,
    User,
)
from lazur.identity.tokens import Principal
from lazur.kernel.errors import LazurError

# What Entra lets somebody own who holds no permission to make objects.
_OWNED_AT_MOST = 250
ROLES = "RoleManagement.ReadWrite.Directory"
ASSIGNMENTS = "AppRoleAssignment.ReadWrite.All"
_OWNED = "Application.ReadWrite.OwnedBy"
_FIRST_PARTY = {app.app_id: app for app in FIRST_PARTY}
_OF_ROLE: Mapping[str, frozenset[str]] = {
    GLOBAL_ADMINISTRATOR: frozenset(GRAPH_ROLES),
    USER_ADMINISTRATOR: frozenset({"Directory.Read.All", "User.ReadWrite.All", "Group.ReadWrite.All"}),
    APPLICATION_ADMINISTRATOR: frozenset({"Directory.Read.All", "Application.ReadWrite.All"}),
    DIRECTORY_READERS: frozenset({"Directory.Read.All"}),
}
_DIRECTORY = frozenset({"Directory.Read.All", "Directory.ReadWrite.All"})
_READ: Mapping[type, frozenset[str]] = {
    User: _DIRECTORY | {"User.Read.All", "User.ReadWrite.All"},
    Group: _DIRECTORY | {"Group.Read.All", "Group.ReadWrite.All", "GroupMember.ReadWrite.All"},
    Application: _DIRECTORY | {"Application.Read.All", "Application.ReadWrite.All", _OWNED},
    ServicePrincipal: _DIRECTORY | {"Application.Read.All", "Application.ReadWrite.All", _OWNED},
}
_WRITE: Mapping[type, frozenset[str]] = {
    User: frozenset({"Directory.ReadWrite.All", "User.ReadWrite.All"}),
    Group: frozenset({"Directory.ReadWrite.All", "Group.ReadWrite.All"}),
    Application: frozenset({"Directory.ReadWrite.All", "Application.ReadWrite.All"}),
    ServicePrincipal: frozenset({"Directory.ReadWrite.All", "Application.ReadWrite.All"}),
}
# What makes its holder as mighty as an administrator, by a detour or without.
_MIGHTY = frozenset({ROLES, ASSIGNMENTS, "Application.ReadWrite.All", "Directory.ReadWrite.All"})


T = TypeVar("T", bound=DirectoryObject)


@dataclass(frozen=True)
class Scene:
    """The directory of `asker`'s token in a snapshot of all; `root` is what URLs in answers begin with."""

    directories: Directories
    directory: Directory
    asker: Principal
    root: str
    now: int

    @property
    def tenant_id(self) -> str:
        """The directory's id."""
        return self.directory.tenant.id

    @cached_property
    def me(self) -> User | ServicePrincipal:
        """Who asks, as they are in the directory now."""
        found = self.directory.object(self.asker.object_id)
        if not isinstance(found, User | ServicePrincipal) or not found.enabled:
            raise denied()
        return found

    @cached_property
    def permissions(self) -> frozenset[str]:
        """Every permission the asker has for the directory as a whole."""
        if self.is_limited:
            return frozenset()
        held = self._held(self.me)
        is_member = isinstance(self.me, User) and self.me.properties.get("userType", "Member") == "Member"
        return held | {"Directory.Read.All"} if is_member else held

    @property
    def is_limited(self) -> bool:
        """A person through an application of the directory: nobody consented to more than seeing who they are."""
        return isinstance(self.me, User) and self.asker.app_id not in _FIRST_PARTY

    def _held(self, principal: User | ServicePrincipal) -> frozenset[str]:
        roles = self.directory.directory_roles(principal.object_id)
        held = frozenset[str]().union(*(_OF_ROLE.get(role, frozenset()) for role in roles))
        if isinstance(principal, ServicePrincipal):
            graph = _FIRST_PARTY[MICROSOFT_GRAPH]
            held |= frozenset(self.directory.roles_for(principal.object_id, MICROSOFT_GRAPH, graph))
        return held

    def has(self, permission: str) -> bool:
        """Whether the asker holds that permission."""
        return permission in self.permissions

    def need(self, *permissions: str) -> None:
        """Refuse an asker who holds none of `permissions`."""
        if not self.permissions.intersection(permissions):
            raise denied()

    def need_to_read(self, *kinds: type) -> None:
        """Refuse an asker who may not read objects of all these kinds."""
        if not all(self.permissions & _READ[kind] for kind in kinds):
            raise denied()

    def need_to_create(self, kind: type) -> None:
        """Refuse an asker who may not make an object of that kind. Members may register applications and make groups."""
        if self.permissions & _WRITE[kind]:
            return
        is_member = isinstance(self.me, User) and self.has("Directory.Read.All")
        owning = kind in (Application, ServicePrincipal) and self.has(_OWNED)
        if kind is User or not (is_member or owning):
            raise denied()
        if len(self.directory.linking("owner", self.me.object_id)) >= _OWNED_AT_MOST:
            message = "The directory object quota limit for the Principal has been exceeded."
            raise LazurError("Directory_QuotaExceeded", message, status=403)

    def need_to_write(self, thing: DirectoryObject) -> None:
        """Refuse an asker who may not change or delete `thing`, and everybody what is not the directory's own."""
        if isinstance(thing, ServicePrincipal) and thing.type == "ManagedIdentity":
            raise bad("A managed identity is changed and deleted with the resource it belongs to.")
        if isinstance(thing, ServicePrincipal) and thing.app_id in _FIRST_PARTY:
            raise bad("This service principal belongs to the cloud itself and cannot be changed.")
        if self._is_mighty(thing):
            self.need(ROLES)
        elif not (self.permissions & _WRITE[type(thing)] or self.owns(thing)):
            raise denied()

    def deletion(self, thing: DirectoryObject) -> list[Edit]:
        """The edits that delete `thing`, which the asker must be allowed to: an application takes its service principal of
        the same directory along."""
        self.need_to_write(thing)
        if self.directory.linked("role", GLOBAL_ADMINISTRATOR) == (thing.object_id,):
            raise bad("The last Global Administrator of a directory cannot be deleted.")
        principal = self.directory.principal(thing.app_id) if isinstance(thing, Application) else None
        return [Remove(thing), *([Remove(principal)] if principal else [])]

    def owns(self, thing: DirectoryObject) -> bool:
        """Whether the asker is an owner of `thing` and may use that."""
        by_right = isinstance(self.me, User) and not self.is_limited
        by_grant = isinstance(thing, Application | ServicePrincipal) and self.has(_OWNED)
        return (by_right or by_grant) and self.directory.is_linked("owner", thing.object_id, self.me.object_id)

    def _is_mighty(self, thing: DirectoryObject) -> bool:
        """Whether who controls `thing` controls the directory: only administrators touch it."""
        if isinstance(thing, Application):
            principal = self.directory.principal(thing.app_id)
            return principal is not None and self._is_mighty(principal)
        if isinstance(thing, Group):
            return False
        return bool(self.directory.directory_roles(thing.object_id) or self._held(thing) & _MIGHTY)

    def default_owner(self, kind: type) -> tuple[str, ...]:
        """Who owns what the asker creates without saying who."""
        by_grant = kind in (Application, ServicePrincipal) and not self.permissions & _WRITE[kind]
        return (self.me.object_id,) if isinstance(self.me, User) or by_grant else ()

    def voided(self, thing: User | ServicePrincipal) -> int:
        """The `sessions_from` that voids every token of `thing` there is, also when it happens twice in a second."""
        return max(self.now, thing.sessions_from) + 1

    # -- looking up ---------------------------------------------------------------------------------------------------

    def all(self, kind: type[T]) -> list[T]:
        """Everything of a kind that the directory has."""
        return [thing for thing in self.directory.objects.values() if isinstance(thing, kind)]

    def object(self, id: str) -> DirectoryObject:
        """Anything of the directory by object id, 404 otherwise."""
        found = self.directory.object(id)
        if found is None:
            raise not_found(id)
        return found

    def user(self, id: str) -> User:
        """By object id or user principal name."""
        found = self.directory.user(id)
        if found is None:
            raise not_found(id)
        return found

    def visible_user(self, id: str) -> User:
        """`user`, for an asker who may read users or means themselves."""
        if id.lower() not in (self.me.object_id, getattr(self.me, "upn", "").lower()):
            self.need_to_read(User)
        return self.user(id)

    def group(self, id: str) -> Group:
        """By object id."""
        found = self.directory.group(id)
        if found is None:
            raise not_found(id)
        return found

    def application(self, id: str) -> Application:
        """By object id, or `appId=…`."""
        key, _, app_id = id.rpartition("=")
        found = self.directory.application(app_id) if key.lower() == "appid" else self.directory.object(id)
        if not isinstance(found, Application):
            raise not_found(app_id if key else id)
        return found

    def principal(self, id: str) -> ServicePrincipal:
        """By object id, or `appId=…`."""
        key, _, app_id = id.rpartition("=")
        found = self.directory.principal(app_id) if key.lower() == "appid" else self.directory.object(id)
        if not isinstance(found, ServicePrincipal):
            raise not_found(app_id if key else id)
        return found

    def registration(self, principal: ServicePrincipal) -> Application | None:
        """The application behind a service principal, registered here or elsewhere; a managed identity has none."""
        return self.directories.application(principal.app_id)
