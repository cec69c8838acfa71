"""The directory: tenants, users, applications, service principals.

Must never hold a password or a secret in the clear, and never decide what a principal may do.

A `Directory` is an immutable snapshot; `LiveDirectory` swaps snapshots after they were stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from lazur.identity.sealing import StampKey
from lazur.kernel.ids import Ids

AZ_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
AZ_POWERSHELL = "1950a258-227b-4e31-a9cf-717495945fc2"

_INITIAL = "directory#initial"
# About 0.2 s of one core and 16 MiB: dear for a guesser, bearable at a sign-in.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 5


class DirectoryStore(Protocol):
    """Where one document is kept. Bound to the stamp's store above this layer."""

    async def load(self) -> dict[str, Any]:
        """The document, or an empty one when nothing was saved yet."""
        ...

    async def save(self, document: dict[str, Any]) -> None:
        """Keep `document` durably in place of the old one."""
        ...


def hash_password(password: str, ids: Ids) -> str:
    """A salted scrypt hash with its parameters, `scrypt$n$r$p$salt$hash`. Costs about 0.2 s: call it in a thread."""
    salt = hashlib.sha256(ids.token(16).encode()).hexdigest()[:32]
    digest = _scrypt(password, salt, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)
    return f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${salt}${digest}"


def check_password(password: str, hashed: str) -> bool:
    """Whether `hashed` came from `password`; constant time in the hash, as dear as `hash_password`."""
    _, n, r, p, salt, digest = hashed.split("$")
    return hmac.compare_digest(_scrypt(password, salt, int(n), int(r), int(p)), digest)


# What an unknown user's attempt is checked against, so that its answer takes as long as a known user's.
NOBODY = f"scrypt${_SCRYPT_N}${_SCRYPT_R}${_SCRYPT_P}${'0' * 32}${'0' * 64}"


def _scrypt(password: str, salt: str, n: int, r: int, p: int) -> str:
    return hashlib.scrypt(
        password.encode(), salt=bytes.fromhex(salt), n=n, r=r, p=p, maxmem=256 * 1024 * 1024, dklen=32
    ).hex()


@dataclass(frozen=True)
class Tenant:
    """An organisation: the border no token crosses."""

    id: str
    display_name: str
    default_domain: str


@dataclass(frozen=True)
class User:
    """A person. Refresh tokens issued before `sessions_from` (seconds since the epoch) are void."""

    object_id: str
    tenant_id: str
    upn: str
    display_name: str
    password_hash: str
    enabled: bool = True
    sessions_from: int = 0


@dataclass(frozen=True)
class Secret:
    """A generated application secret (256 bits, hence a plain hash); `expires` in seconds since the epoch, 0 = never."""

    key_id: str
    digest: str
    hint: str
    expires: int = 0

    @classmethod
    def of(cls, key_id: str, secret: str, expires: int = 0) -> Secret:
        """The stored form of `secret`."""
        return cls(key_id, hashlib.sha256(secret.encode()).hexdigest(), secret[:3], expires)

    def matches(self, secret: str) -> bool:
        """Whether this was made of `secret`."""
        return hmac.compare_digest(self.digest, hashlib.sha256(secret.encode()).hexdigest())


@dataclass(frozen=True)
class Application:
    """A program that asks for tokens. A public one keeps no secret. `tenant_id` empty: first-party, in every tenant.

    `certificates` are PEM public certificates whose keys may sign client assertions.
    """

    app_id: str
    object_id: str
    tenant_id: str
    display_name: str
    public: bool = False
    redirect_uris: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServicePrincipal:
    """An application's presence in one tenant: what roles are assigned to."""

    object_id: str
    app_id: str
    tenant_id: str
    display_name: str
    enabled: bool = True


@dataclass(frozen=True)
class Directory:
    """Everything, at one moment. The first tenant is the stamp's own and the one the ADFS-like authority speaks for."""

    tenants: tuple[Tenant, ...] = ()
    users: tuple[User, ...] = ()
    applications: tuple[Application, ...] = ()
    principals: tuple[ServicePrincipal, ...] = ()

    @cached_property
    def _tenants(self) -> dict[str, Tenant]:
        return {key: t for t in self.tenants for key in (t.id.lower(), t.default_domain.lower())}

    @cached_property
    def _users(self) -> dict[str, User]:
        return {key: u for u in self.users for key in (u.upn.lower(), u.object_id)}

    @cached_property
    def _applications(self) -> dict[str, Application]:
        return {a.app_id.lower(): a for a in self.applications}

    @cached_property
    def _principals(self) -> dict[tuple[str, str], ServicePrincipal]:
        return {(p.app_id.lower(), p.tenant_id): p for p in self.principals}

    def tenant(self, id_or_domain: str) -> Tenant | None:
        """By id or by domain, whatever the case."""
        return self._tenants.get(id_or_domain.lower())

    def user(self, upn_or_id: str) -> User | None:
        """By user principal name, whatever the case, or by object id."""
        return self._users.get(upn_or_id.lower())

    def application(self, app_id: str) -> Application | None:
        """By application (client) id."""
        return self._applications.get(app_id.lower())

    def principal(self, app_id: str, tenant_id: str) -> ServicePrincipal | None:
        """The presence of an application in a tenant."""
        return self._principals.get((app_id.lower(), tenant_id))

    @cached_property
    def app_ids(self) -> frozenset[str]:
        """Every application id, lower case."""
        return frozenset(self._applications)

    def document(self) -> dict[str, Any]:
        """The stored form; `from_document` reads it."""
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Directory:
        """The snapshot `document` was made of."""
        return cls(
            tuple(Tenant(**row) for row in document["tenants"]),
            tuple(User(**row) for row in document["users"]),
            tuple(_application(row) for row in document["applications"]),
            tuple(ServicePrincipal(**row) for row in document["principals"]),
        )


def _application(row: dict[str, Any]) -> Application:
    return Application(
        **{
            **row,
            "redirect_uris": tuple(row["redirect_uris"]),
            "secrets": tuple(Secret(**secret) for secret in row["secrets"]),
            "certificates": tuple(row["certificates"]),
        }
    )


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


def bootstrap(ids: Ids, domain: str, *, display_name: str = "Lazur") -> tuple[Directory, Secrets]:
    """The first directory of a stamp whose names end in `domain` (`<region>.<domain>`), and its generated secrets.

    One tenant, `admin@<domain>`, the service principal `lazur-cli`, and the public clients az and Az PowerShell.
    Deterministic under `SeededIds`. Costs one scrypt hash.
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
    admin = User(
        secrets.admin_object_id,
        tenant.id,
        secrets.admin_upn,
        "Administrator",
        hash_password(secrets.admin_password, ids),
    )
    cli = Application(
        secrets.client_id, ids.uuid(), tenant.id, "lazur-cli", secrets=(Secret.of(ids.uuid(), secrets.client_secret),)
    )
    loopback = ("http://localhost",)
    first_party = (
        Application(AZ_CLI, ids.uuid(), "", "Azure CLI", public=True, redirect_uris=loopback),
        Application(AZ_POWERSHELL, ids.uuid(), "", "Azure PowerShell", public=True, redirect_uris=loopback),
    )
    principal = ServicePrincipal(secrets.client_object_id, cli.app_id, tenant.id, cli.display_name)
    return Directory((tenant,), (admin,), (cli, *first_party), (principal,)), secrets


class LiveDirectory:
    """The current snapshot, and the only way to change it."""

    def __init__(self, store: DirectoryStore, current: Directory, initial: str) -> None:
        self._store = store
        self._current = current
        self._initial = initial
        self._changing = asyncio.Lock()

    @classmethod
    async def open(
        cls, store: DirectoryStore, ids: Ids, domain: str, stamp_key: StampKey
    ) -> tuple[LiveDirectory, Secrets]:
        """The stored directory, bootstrapped when there is none, and the secrets it was bootstrapped with.

        These are kept sealed beside it: a crash between the first save and the operator reading them loses nothing.
        """
        document = await store.load()
        if not document:
            directory, secrets = await asyncio.to_thread(bootstrap, ids, domain)
            initial = stamp_key.seal(json.dumps(asdict(secrets)).encode(), _INITIAL)
            live = cls(store, directory, initial)
            await store.save(live._document(directory))
            return live, secrets
        secrets = Secrets(**json.loads(stamp_key.unseal(document["initial"], _INITIAL)))
        return cls(store, Directory.from_document(document), document["initial"]), secrets

    def _document(self, directory: Directory) -> dict[str, Any]:
        return {**directory.document(), "initial": self._initial}

    @property
    def current(self) -> Directory:
        """The directory now. Take it once per decision: it does not change under you."""
        return self._current

    async def change(self, edit: Callable[[Directory], Directory]) -> Directory:
        """Store `edit(current)`, then make it current; an error of either leaves things as they were."""
        async with self._changing:
            changed = edit(self._current)
            await self._store.save(self._document(changed))
            self._current = changed
            return changed

    async def set_password(self, object_id: str, password: str, ids: Ids, now: int) -> None:
        """Give a user a new password and void the refresh tokens issued before `now` (seconds since the epoch)."""
        hashed = await asyncio.to_thread(hash_password, password, ids)

        def edit(directory: Directory) -> Directory:
            users = tuple(
                replace(user, password_hash=hashed, sessions_from=now) if user.object_id == object_id else user
                for user in directory.users
            )
            return replace(directory, users=users)

        await self.change(edit)
