"""The directories of a stamp: one per tenant, and the only way to change them.

A `Directory` is an immutable snapshot of one tenant: whoever holds one sees nothing of another. `Directories` are all of
them; `LiveDirectory` swaps these after they were stored. Must never decide what a principal may do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from lazur.identity.firstparty import FIRST_PARTY, principals
from lazur.identity.kept import KeptObjects
from lazur.identity.objects import (
    GLOBAL_ADMINISTRATOR,
    Application,
    AppRoleAssignment,
    DirectoryObject,
    Group,
    Link,
    LinkKind,
    PermissionGrant,
    Secret,
    ServicePrincipal,
    Stored,
    Tenant,
    User,
)
from lazur.identity.passwords import hash_password
from lazur.identity.sealing import StampKey
from lazur.kernel.errors import LazurError
from lazur.kernel.ids import Ids
from lazur.model.documents import Change

DIRECTORIES = "directory"
# What is known of all directories together: the form they are stored in, and the sealed secrets of the first start.
_ABOUT = DIRECTORIES
_INITIAL = "directory#initial"
_KINDS: dict[str, TypeAdapter[Any]] = {
    "tenant": TypeAdapter(Tenant),
    "user": TypeAdapter(User),
    "group": TypeAdapter(Group),
    "application": TypeAdapter(Application),
    "servicePrincipal": TypeAdapter(ServicePrincipal),
    "appRoleAssignment": TypeAdapter(AppRoleAssignment),
    "permissionGrant": TypeAdapter(PermissionGrant),
    "link": TypeAdapter(Link),
}
_KIND_OF: dict[type, str] = {
    Tenant: "tenant", User: "user", Group: "group", Application: "application", ServicePrincipal: "servicePrincipal",
    AppRoleAssignment: "appRoleAssignment", PermissionGrant: "permissionGrant", Link: "link",
}  # fmt: skip
_LINKS: tuple[LinkKind, ...] = ("member", "owner", "manager", "role")


@dataclass(frozen=True)
class Write:
    """Keep `thing` as it is now, new or instead of what has its id."""

    thing: Stored


@dataclass(frozen=True)
class Remove:
    """Forget `thing`; the links and assignments of an object go with it."""

    thing: Stored


Edit = Write | Remove


class AlreadyThere(LazurError):
    """Two objects would have one name."""

    def __init__(self, name: str) -> None:
        message = f"Another object with the same value for property {name} already exists."
        super().__init__("Request_BadRequest", message, target=name, status=400)


def document_name(thing: Stored) -> str:
    """The platform document `thing` is kept in."""
    match thing:
        case Tenant():
            return f"{DIRECTORIES}/{thing.id}"
        case Link():
            return f"{DIRECTORIES}/{thing.tenant_id}/link/{thing.kind}/{thing.source}/{thing.target}"
        case AppRoleAssignment():
            return f"{DIRECTORIES}/{thing.tenant_id}/appRoleAssignment/{thing.id}"
        case PermissionGrant():
            return f"{DIRECTORIES}/{thing.tenant_id}/permissionGrant/{thing.id}"
        case _:
            return f"{DIRECTORIES}/{thing.tenant_id}/{_KIND_OF[type(thing)]}/{thing.object_id}"


def content_of(thing: Stored) -> Any:
    """The stored form of `thing`; `thing_of` reads it."""
    kind = _KIND_OF[type(thing)]
    return {kind: _KINDS[kind].dump_python(thing, mode="json")}


def thing_of(content: Mapping[str, Any]) -> Stored:
    """What was stored as `content`."""
    ((kind, fields),) = content.items()
    thing: Stored = _KINDS[kind].validate_python(fields)
    return thing


_Ends = Mapping[tuple[LinkKind, str], Mapping[str, None]]


@dataclass(frozen=True)
class Directory:
    """One tenant at one moment."""

    tenant: Tenant
    objects: Mapping[str, DirectoryObject] = field(default_factory=dict)
    assignments: Mapping[str, AppRoleAssignment] = field(default_factory=dict)
    # "upn:alice@…", "outside:<issuer> <subject>", "app:<app id>", "sp:<app id>" -> object id
    names: Mapping[str, str] = field(default_factory=dict)
    # (kind, source) -> targets and (kind, target) -> sources
    targets: _Ends = field(default_factory=dict)
    sources: _Ends = field(default_factory=dict)
    grants: Mapping[str, PermissionGrant] = field(default_factory=dict)

    @classmethod
    def empty(cls, tenant: Tenant) -> Directory:
        """A new directory: nobody, and the first-party applications."""
        found = principals(tenant.id)
        return cls(tenant, {p.object_id: p for p in found}, {}, {f"sp:{p.app_id}": p.object_id for p in found})

    def object(self, object_id: str) -> DirectoryObject | None:
        """Whatever has that object id."""
        return self.objects.get(object_id.lower())

    def user(self, upn_or_id: str) -> User | None:
        """By user principal name, whatever the case, or by object id."""
        key = upn_or_id.lower()
        found = self.objects.get(self.names.get(f"upn:{key}", key))
        return found if isinstance(found, User) else None

    def group(self, object_id: str) -> Group | None:
        """By object id."""
        found = self.object(object_id)
        return found if isinstance(found, Group) else None

    def application(self, app_id: str) -> Application | None:
        """An application registered here, by application (client) id."""
        found = self.objects.get(self.names.get(f"app:{app_id.lower()}", ""))
        return found if isinstance(found, Application) else None

    def principal(self, app_id: str) -> ServicePrincipal | None:
        """The presence here of an application, by application (client) id."""
        found = self.objects.get(self.names.get(f"sp:{app_id.lower()}", ""))
        return found if isinstance(found, ServicePrincipal) else None

    def federated(self, issuer: str, subject: str) -> User | None:
        """Who goes by `subject` at the outside provider `issuer`."""
        found = self.objects.get(self.names.get(_outside(issuer, subject), ""))
        return found if isinstance(found, User) else None

    def linked(self, kind: LinkKind, source: str) -> tuple[str, ...]:
        """The ids of the members (owners, …) of `source`."""
        return tuple(self.targets.get((kind, source), ()))

    def linking(self, kind: LinkKind, target: str) -> tuple[str, ...]:
        """The ids of what `target` is a member (an owner, …) of."""
        return tuple(self.sources.get((kind, target), ()))

    def is_linked(self, kind: LinkKind, source: str, target: str) -> bool:
        """Whether `target` is a member (an owner, …) of `source` directly."""
        return target in self.targets.get((kind, source), ())

    def groups_of(self, object_id: str) -> tuple[str, ...]:
        """Every group the object is in, directly or through other groups."""
        return _reached(self.sources, object_id)

    def members_of(self, group_id: str) -> tuple[str, ...]:
        """Everything in the group, directly or through other groups."""
        return _reached(self.targets, group_id)

    def directory_roles(self, object_id: str) -> frozenset[str]:
        """The template ids of the directory roles a principal holds."""
        return frozenset(self.sources.get(("role", object_id), ()))

    def roles_for(self, principal_id: str, resource_app_id: str, application: Application | None) -> tuple[str, ...]:
        """Values of the app roles of `application` that the principal holds here, users through their groups too."""
        resource = self.principal(resource_app_id)
        if resource is None or application is None:
            return ()
        holders = {principal_id}
        if isinstance(self.object(principal_id), User):
            holders.update(self.groups_of(principal_id))
        values = {role["id"]: str(role.get("value") or "") for role in application.app_roles if role.get("isEnabled", True)}
        held = (a.app_role_id for a in self.assignments_on(resource.object_id) if a.principal_id in holders)
        return tuple(dict.fromkeys(values[id] for id in held if values.get(id)))

    def assignments_on(self, resource_id: str) -> Iterator[AppRoleAssignment]:
        """App role assignments on the service principal `resource_id`."""
        return (a for a in self.assignments.values() if a.resource_id == resource_id)

    def assignments_to(self, principal_id: str) -> Iterator[AppRoleAssignment]:
        """App role assignments to one principal."""
        return (a for a in self.assignments.values() if a.principal_id == principal_id)

    def consented(self, client_id: str, resource_id: str, user_id: str) -> frozenset[str]:
        """The scopes within which one service principal may act for a user towards another."""
        ends, whom = (client_id, resource_id), ("", user_id)
        held = (g.scope for g in self.grants.values() if (g.client_id, g.resource_id) == ends and g.principal_id in whom)
        return frozenset(" ".join(held).split())

    def edited(self, edits: Iterable[Edit]) -> tuple[Directory, dict[str, Any]]:
        """This directory after `edits`, and the documents to store for it (None: to remove)."""
        draft = _Draft(self)
        for edit in edits:
            (draft.write if isinstance(edit, Write) else draft.remove)(edit.thing)
        return draft.directory(), draft.documents


def _reached(ends: _Ends, start: str) -> tuple[str, ...]:
    """What is reached from `start` over membership; groups may contain each other in a circle."""
    found: dict[str, None] = {}
    waiting = [start]
    while waiting:
        for next_id in ends.get(("member", waiting.pop()), ()):
            if next_id not in found:
                found[next_id] = None
                waiting.append(next_id)
    found.pop(start, None)
    return tuple(found)


class _Draft:
    """A directory being changed: copies of its indexes, made once per change however many objects it touches."""

    def __init__(self, old: Directory) -> None:
        self.documents: dict[str, Any] = {}
        self._tenant = old.tenant
        self._objects = dict(old.objects)
        self._assignments = dict(old.assignments)
        self._names = dict(old.names)
        self._targets = dict(old.targets)
        self._sources = dict(old.sources)
        self._grants = dict(old.grants)
        self._own: set[int] = set()

    def directory(self) -> Directory:
        return Directory(
            self._tenant, self._objects, self._assignments, self._names, self._targets, self._sources, self._grants
        )

    def write(self, thing: Stored) -> None:
        self.documents[document_name(thing)] = content_of(thing)
        match thing:
            case Tenant():
                self._tenant = thing
            case Link():
                self._ends(self._targets, thing.kind, thing.source)[thing.target] = None
                self._ends(self._sources, thing.kind, thing.target)[thing.source] = None
            case AppRoleAssignment():
                self._assignments[thing.id] = thing
            case PermissionGrant():
                self._grants[thing.id] = thing
            case _:
                self._name(thing)
                self._objects[thing.object_id] = thing

    def remove(self, thing: Stored) -> None:
        self.documents[document_name(thing)] = None
        match thing:
            case Link():
                self._unlink(self._targets, thing.kind, thing.source, thing.target)
                self._unlink(self._sources, thing.kind, thing.target, thing.source)
            case AppRoleAssignment():
                self._assignments.pop(thing.id, None)
            case PermissionGrant():
                self._grants.pop(thing.id, None)
            case Tenant():
                raise ValueError("A directory is not removed while the stamp runs.")
            case _:
                self._forget(thing)

    def _forget(self, thing: DirectoryObject) -> None:
        id, tenant = thing.object_id, self._tenant.id
        for kind in _LINKS:
            for target in tuple(self._targets.get((kind, id), ())):
                self.remove(Link(kind, tenant, id, target))
            for source in tuple(self._sources.get((kind, id), ())):
                self.remove(Link(kind, tenant, source, id))
        for held in [a for a in self._assignments.values() if id in (a.principal_id, a.resource_id)]:
            self.remove(held)
        for grant in [g for g in self._grants.values() if id in (g.client_id, g.resource_id, g.principal_id)]:
            self.remove(grant)
        for name in _names_of(self._objects.pop(id)):
            del self._names[name]

    def _name(self, thing: DirectoryObject) -> None:
        """Let `thing` be found by its names; two objects with one name are refused."""
        if old := self._objects.get(thing.object_id):
            for name in _names_of(old):
                del self._names[name]
        for name in _names_of(thing):
            if self._names.setdefault(name, thing.object_id) != thing.object_id:
                raise AlreadyThere(_PROPERTIES[name.partition(":")[0]])

    def _unlink(self, index: dict[tuple[LinkKind, str], Mapping[str, None]], kind: LinkKind, end: str, other: str) -> None:
        left = self._ends(index, kind, end)
        left.pop(other, None)
        if not left:
            del index[kind, end]

    def _ends(self, index: dict[tuple[LinkKind, str], Mapping[str, None]], kind: LinkKind, end: str) -> dict[str, None]:
        """The entry of `index`, as one this change may write to."""
        found = index.get((kind, end))
        if found is None or id(found) not in self._own:
            found = index[kind, end] = dict(found or {})
            self._own.add(id(found))
        assert isinstance(found, dict)
        return found


_PROPERTIES = {"upn": "userPrincipalName", "outside": "identities", "app": "appId", "sp": "appId"}


def _names_of(thing: DirectoryObject) -> list[str]:
    match thing:
        case User():
            return [f"upn:{thing.upn.lower()}", *(_outside(*there) for there in thing.federated)]
        case Application():
            return [f"app:{thing.app_id.lower()}"]
        case ServicePrincipal():
            return [f"sp:{thing.app_id.lower()}"]
        case Group():
            return []


def _outside(issuer: str, subject: str) -> str:
    # Subjects differ by case alone at some providers.
    return f"outside:{issuer} {subject}"


_FIRST_PARTY = {a.app_id: a for a in FIRST_PARTY}


@dataclass(frozen=True)
class Directories:
    """All directories of the stamp, at one moment. The first is the stamp's own."""

    by_id: Mapping[str, Directory] = field(default_factory=dict)

    @property
    def home(self) -> Directory:
        """The stamp's own directory."""
        return next(iter(self.by_id.values()))

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        """Every tenant, the stamp's own first."""
        return tuple(d.tenant for d in self.by_id.values())

    @cached_property
    def _domains(self) -> dict[str, str]:
        return {name: d.tenant.id for d in self.by_id.values() for name in d.tenant.names}

    def directory(self, id_or_domain: str) -> Directory | None:
        """By tenant id or by a verified domain, whatever the case."""
        key = id_or_domain.lower()
        return self.by_id.get(self._domains.get(key, key))

    def tenant(self, id_or_domain: str) -> Tenant | None:
        """By id or by a verified domain, whatever the case."""
        found = self.directory(id_or_domain)
        return found.tenant if found else None

    def user(self, upn_or_id: str) -> User | None:
        """By user principal name, in the directory whose domain it bears, or by object id."""
        _, at, domain = upn_or_id.rpartition("@")
        if at:
            directory = self.directory(domain)
            return directory.user(upn_or_id) if directory else None
        return next((user for d in self.by_id.values() if (user := d.user(upn_or_id))), None)

    def application(self, app_id: str) -> Application | None:
        """By application (client) id, wherever it is registered. For sign-ins that name no tenant; else `usable`."""
        key = app_id.lower()
        if key in _FIRST_PARTY:
            return _FIRST_PARTY[key]
        return next((app for d in self.by_id.values() if (app := d.application(key))), None)

    def usable(self, app_id: str, tenant_id: str) -> Application | None:
        """The application, if that tenant may know of it: its own, first-party, multi-tenant, or present there already."""
        app = self.application(app_id)
        if app is None or app.tenant_id in ("", tenant_id) or app.multi_tenant:
            return app
        return app if self.principal(app_id, tenant_id) else None

    def principal(self, app_id: str, tenant_id: str) -> ServicePrincipal | None:
        """The presence of an application in a tenant."""
        directory = self.by_id.get(tenant_id)
        return directory.principal(app_id) if directory else None

    def home_of(self, app_id: str) -> Tenant | None:
        """Where a program signs in that names no tenant: the directory it is registered in, a managed identity's own."""
        key = app_id.lower()
        for directory in self.by_id.values():
            principal = directory.principal(key)
            if directory.application(key) or (principal and principal.type == "ManagedIdentity"):
                return directory.tenant
        return None

    @cached_property
    def app_ids(self) -> frozenset[str]:
        """Every application id, lower case."""
        own = (name.removeprefix("app:") for d in self.by_id.values() for name in d.names if name.startswith("app:"))
        return frozenset((*_FIRST_PARTY, *own))

    def edited(self, edits: Iterable[Edit]) -> tuple[Directories, dict[str, Any]]:
        """All directories after `edits`, and the documents to store for it (None: to remove)."""
        by_tenant: dict[str, list[Edit]] = {}
        for edit in edits:
            thing = edit.thing
            by_tenant.setdefault(thing.id if isinstance(thing, Tenant) else thing.tenant_id, []).append(edit)
        changed, documents = dict(self.by_id), dict[str, Any]()
        for tenant_id, its in by_tenant.items():
            directory = changed.get(tenant_id)
            if directory is None:
                # A directory begins with its tenant; whatever else names an unknown one is a fault of the caller.
                (tenant,) = (e.thing for e in its if isinstance(e.thing, Tenant))
                directory = Directory.empty(tenant)
            changed[tenant_id], written = directory.edited(its)
            documents |= written
        result = Directories(changed)
        if len(result._domains) != sum(len(d.tenant.names) for d in changed.values()):
            raise AlreadyThere("verifiedDomains")
        return result, documents


@dataclass(frozen=True)
class Secrets:
    """What `bootstrap` generated, shown once: the directory keeps only hashes."""

    tenant_id: str
    admin_upn: str
    admin_object_id: str
    admin_password: str
    client_id: str
    client_object_id: str
    client_secret: str


def bootstrap(ids: Ids, domain: str, *, display_name: str = "Lazur") -> tuple[list[Stored], Secrets]:
    """What is in the first directory of a stamp whose names end in `domain` (`<region>.<domain>`), and its generated secrets.

    One tenant, `admin@<domain>` and the service principal `lazur-cli`, both Global Administrators. Deterministic under
    `SeededIds`. Costs one scrypt hash.
    """
    tenant = Tenant(ids.uuid(), display_name, domain)
    secrets = Secrets(
        tenant_id=tenant.id,
        admin_upn=f"admin@{domain}",
        admin_object_id=ids.uuid(),
        admin_password=ids.token(18),
        client_id=ids.uuid(),
        client_object_id=ids.uuid(),
        client_secret=ids.token(32),
    )
    hashed = hash_password(secrets.admin_password, ids)
    admin = User(secrets.admin_object_id, tenant.id, secrets.admin_upn, "Administrator", hashed)
    kept = (Secret.of(ids.uuid(), secrets.client_secret),)
    cli = Application(secrets.client_id, ids.uuid(), tenant.id, "lazur-cli", secrets=kept)
    principal = ServicePrincipal(secrets.client_object_id, cli.app_id, tenant.id, cli.display_name)
    things: list[Stored] = [tenant, admin, cli, principal, *_administrators(secrets)]
    return things, secrets


def _administrators(secrets: Secrets) -> tuple[Link, ...]:
    holders = (secrets.admin_object_id, secrets.client_object_id)
    return tuple(Link("role", secrets.tenant_id, GLOBAL_ADMINISTRATOR, holder) for holder in holders)


class LiveDirectory:
    """The directories now, and the only way to change them."""

    def __init__(self, objects: KeptObjects, current: Directories) -> None:
        self._objects = objects
        self._current = current
        self._changing = asyncio.Lock()

    @classmethod
    async def open(cls, objects: KeptObjects, ids: Ids, domain: str, stamp_key: StampKey) -> tuple[LiveDirectory, Secrets]:
        """The stored directories, bootstrapped when there are none, and the secrets they were bootstrapped with.

        These are kept sealed beside them: a crash between the first save and the operator reading them loses nothing.
        """
        documents = await objects.load()
        about: dict[str, Any] = documents.pop(_ABOUT, {})
        if not about:
            things, secrets = await asyncio.to_thread(bootstrap, ids, domain)
            initial = stamp_key.seal(json.dumps(asdict(secrets)).encode(), _INITIAL)
            return cls(objects, await _kept(objects, things, initial)), secrets
        secrets = Secrets(**json.loads(stamp_key.unseal(about["initial"], _INITIAL)))
        if about["version"] == 1:
            return cls(objects, await _kept(objects, _first_form(about, secrets), about["initial"])), secrets
        found = [thing_of(content) for content in documents.values()]
        # The stamp's own directory is the first, the others follow as they were made.
        tenants = [thing for thing in found if isinstance(thing, Tenant)]
        tenants.sort(key=lambda tenant: (tenant.id != secrets.tenant_id, tenant.created, tenant.id))
        others = (thing for thing in found if not isinstance(thing, Tenant))
        return cls(objects, Directories().edited(map(Write, (*tenants, *others)))[0]), secrets

    @property
    def current(self) -> Directories:
        """The directories now. Take them once per decision: they do not change under you."""
        return self._current

    async def change(self, edit: Callable[[Directories], Sequence[Edit]], *, beside: Change | None = None) -> Directories:
        """Store what `edit(current)` says, then make it current; an error of either leaves things as they were. `beside` is
        committed in the same transaction."""
        async with self._changing:
            edits = edit(self._current)
            changed, documents = self._current.edited(edits) if edits else (self._current, {})
            await self._objects.save(documents, beside)
            self._current = changed
            return changed

    async def set_password(self, object_id: str, password: str, ids: Ids, now: int) -> None:
        """Give a user a new password and void the tokens issued until `now` (seconds since the epoch)."""
        hashed = await asyncio.to_thread(hash_password, password, ids)

        def edit(directories: Directories) -> Sequence[Edit]:
            user = directories.user(object_id)
            if user is None:
                return []
            # Twice in one second, with a sign-in in between, voids that one too.
            since = max(now, user.sessions_from) + 1
            return [Write(replace(user, password_hash=hashed, sessions_from=since, change_password=False))]

        await self.change(edit)

    async def revoke(self, tenant_id: str, object_id: str, now: int) -> None:
        """Void the tokens of a user or service principal issued until `now` (seconds since the epoch)."""

        def edit(directories: Directories) -> Sequence[Edit]:
            found = directories.by_id[tenant_id].object(object_id)
            if not isinstance(found, User | ServicePrincipal):
                return []
            return [Write(replace(found, sessions_from=max(now, found.sessions_from) + 1))]

        await self.change(edit)


async def _kept(objects: KeptObjects, things: Iterable[Stored], initial: str) -> Directories:
    """Store the first contents of the directories, with what is known of the whole, and show them."""
    directories, documents = Directories().edited(map(Write, things))
    await objects.save({**documents, _ABOUT: {"version": 2, "initial": initial}})
    return directories


def _first_form(document: Mapping[str, Any], secrets: Secrets) -> list[Stored]:
    """What a stamp kept before there were several directories: one document with everything."""
    things: list[Stored] = [_KINDS["tenant"].validate_python(row) for row in document["tenants"]]
    things += [_KINDS["user"].validate_python(row) for row in document["users"]]
    for row in document["applications"]:
        if row["tenant_id"]:
            fields = {name: value for name, value in row.items() if name not in ("redirect_uris", "certificates")}
            things.append(_KINDS["application"].validate_python(fields))
    things += [_KINDS["servicePrincipal"].validate_python(row) for row in document["principals"]]
    return [*things, *_administrators(secrets)]
