"""The control plane put together: store, identity, front door and control loop of one stamp.

The same composition serves a rack and a simulation; only settings and what stands behind the executors differ. Must never
hold behaviour: it connects parts.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

import lazur.providers
from lazur.api.app import JSON, ArmApp, content
from lazur.api.artifacts import Artifacts
from lazur.api.authority import Authority, root_group
from lazur.api.desires import Desires
from lazur.api.guest_tokens import GuestTokens
from lazur.api.message import Response as ArmResponse
from lazur.api.openapi import document
from lazur.api.pipeline import Pipeline
from lazur.api.refusals import Refusals
from lazur.api.routes import Routes
from lazur.api.throttle import Throttle
from lazur.control.context import Context
from lazur.control.loop import Loop
from lazur.control.presence import Presence
from lazur.drivers.web.fetch import GuardedFetch
from lazur.drivers.web.guard import Guard
from lazur.drivers.web.http import HttpTransport
from lazur.drivers.web.interface import Transport
from lazur.identity import app as identity_app
from lazur.identity.directory import DIRECTORIES, LiveDirectory, Secrets
from lazur.identity.endpoints import Endpoints
from lazur.identity.federation import Federation
from lazur.identity.graph import app as graph_app
from lazur.identity.graph.request import Stage
from lazur.identity.kept import StoredDocument, StoredObjects
from lazur.identity.keys import KeyRing
from lazur.identity.managed import ManagedTokens
from lazur.identity.metadata import ALIASES_PATH, ImageAlias, alias_document, endpoints_body
from lazur.identity.objects import GLOBAL_ADMINISTRATOR, Group, ServicePrincipal, User
from lazur.identity.resources import with_identities
from lazur.identity.sealing import StampKey
from lazur.identity.service import Identity, Outside
from lazur.identity.tokens import Principal, bearer, challenge
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Conflict, LazurError
from lazur.kernel.ids import Ids, derived
from lazur.kernel.log import logger
from lazur.model.armid import ArmId
from lazur.model.documents import Change, Document
from lazur.model.registry import Registry
from lazur.model.rights import OWNER, ROOT, Assignment, Caller
from lazur.model.stamp import Stamp
from lazur.providers.authorization.role_assignments.resource import RoleAssignment
from lazur.providers.authorization.role_definitions.resource import RoleDefinition
from lazur.providers.management.management_groups.resource import ManagementGroup
from lazur.store.interface import Store

log = logger("control_plane")

_ARTIFACTS = "/artifacts/"
_OPENAPI = "/metadata/openapi/"
_LINK_LIFE = timedelta(hours=2)
_SECONDS = re.compile(r"[0-9]{1,12}")
SYSTEM = Caller("", "00000000-0000-0000-0000-00000000feed", "the stamp itself", "System", operator=True)
SYSTEM_GROUP = "system"


@dataclass(frozen=True)
class Machine:
    """A host of the site as the fabric resource it becomes."""

    name: str
    cores: int
    memory_mib: int
    fault_domain: int = 0
    rack: str = "r1"
    driver: str = "qemu"

    def body(self, region: str) -> dict[str, Any]:
        """The PUT that adds this host."""
        properties = {"cores": self.cores, "memoryMiB": self.memory_mib, "faultDomain": self.fault_domain,
                      "rack": self.rack, "driver": self.driver}  # fmt: skip
        return {"location": region, "properties": properties}


@dataclass(frozen=True)
class Accounts:
    """Subscriptions and who owns them, made once for the life of the stamp."""

    subscription: str
    operator_subscription: str


class DirectoryPrincipals:
    """`Principals` over the live directories."""

    def __init__(self, directory: LiveDirectory) -> None:
        self._live = directory

    def kind(self, tenant: str, object_id: str) -> str:
        directory = self._live.current.directory(tenant)
        found = directory.object(object_id) if directory else None
        return type(found).__name__ if isinstance(found, User | Group | ServicePrincipal) else ""

    def groups(self, tenant: str, object_id: str) -> tuple[str, ...]:
        directory = self._live.current.directory(tenant)
        return directory.groups_of(object_id) if directory else ()

    def named(self, tenant: str, name: str) -> str:
        directory = self._live.current.directory(tenant)
        user = directory.user(name) if directory else None
        return user.object_id if user else name if self.kind(tenant, name) else ""

    def directory(self, name: str) -> str:
        found = self._live.current.tenant(name)
        return found.id if found else ""

    def administers(self, tenant: str, object_id: str) -> bool:
        directory = self._live.current.directory(tenant)
        return directory is not None and directory.is_linked("role", GLOBAL_ADMINISTRATOR, object_id)

    def called(self, tenant: str) -> tuple[str, tuple[str, ...]]:
        found = self._live.current.by_id[tenant].tenant
        return found.display_name, found.names


class ControlPlane:
    """API, identity and controllers of one stamp. `run` serves the loop; `app` answers HTTP."""

    def __init__(self, store: Store, stamp: Stamp, endpoints: Endpoints, identity: Identity, stamp_key: StampKey,
                 clock: Clock, ids: Ids, artifacts: Path | None, web: Transport) -> None:  # fmt: skip
        self.store = store
        self.stamp = stamp
        self.endpoints = endpoints
        self.registry = Registry.discover(lazur.providers)
        self.clock = clock
        self.ids = ids
        self._key = stamp_key
        self._artifacts = Artifacts(artifacts, store) if artifacts else None
        self._link_key = stamp_key.derive("artifact links")
        self._described: dict[tuple[str, str], bytes] = {}
        self.authority = Authority(store, [Assignment(SYSTEM.object_id, OWNER, ROOT)])
        self._web = web
        self.refusals = Refusals(store, clock, ids)
        self.pipeline = self._pipeline(stamp, identity)
        self.presence = Presence(clock)
        context = Context(store, self.registry, stamp, clock, ids, self.pipeline, stamp_key.seal,
                          stamp_key.unseal, self.presence)  # fmt: skip
        self.loop = Loop(context)
        self.identity, self.secrets = identity, identity.secrets
        self.tokens = GuestTokens(store, ManagedTokens(identity.provider, identity.directory, clock).token)
        self.app = self._front(identity)
        self.operator_app = self._operators(identity)

    @classmethod
    async def open(
        cls, store: Store, stamp: Stamp, endpoints: Endpoints, stamp_key: StampKey, clock: Clock, ids: Ids,
        *, machines: Sequence[Machine] = (), artifacts: Path | None = None, web: Transport | None = None,
        federations: Sequence[Federation] = (),
    ) -> ControlPlane:  # fmt: skip
        """A control plane over `store`, with everything made that a new stamp needs and the site's hosts added."""
        zone = f"{stamp.region}.{stamp.domain}"
        objects, web = StoredObjects(store, DIRECTORIES), web or HttpTransport()
        outside = Outside(federations, fetch=_guarded(stamp, web, clock))
        identity = await Identity.open(
            objects, lambda name: StoredDocument(store, name), endpoints, zone, stamp_key, clock, ids, outside
        )  # fmt: skip
        secrets = identity.secrets
        accounts = await _accounts(store, ids, secrets)
        stamp = replace(stamp, tenant=secrets.tenant_id, subscription=accounts.subscription)
        store = with_identities(store, identity.directory)
        plane = cls(store, stamp, endpoints, identity, stamp_key, clock, ids, artifacts, web)
        await plane._grant_first_rights()
        await plane._add_machines(accounts, machines)
        return plane

    async def run(self) -> None:
        """Serve the control loop and key rotation until cancelled."""
        tidies = [self._artifacts.keep_tidy(self.clock)] if self._artifacts else []
        await asyncio.gather(self.loop.run(), self.app.keys.keep_fresh(), self.refusals.run(), *tidies)

    def desires(self, domain: str) -> Desires:
        """The desires of one domain, for its executor."""
        return Desires(domain, self.store, self.clock, self._key.unseal, self._artifacts, self.presence.note)

    # -- the front ----------------------------------------------------------------------------------------------------

    def _pipeline(self, stamp: Stamp, identity: Identity) -> Pipeline:
        fetch = _guarded(stamp, self._web, self.clock)
        return Pipeline(self.registry, self.store, stamp, self.clock, self.ids, self._key.seal, self._key.unseal,
                        self.authority, DirectoryPrincipals(identity.directory), self.sign, fetch, self.refusals)  # fmt: skip

    def _operators(self, identity: Identity) -> ArmApp:
        """ARM at the operator's endpoint: all of it, links to itself included, for the operator's directory alone."""
        accepted, home = self.endpoints.accepted_by_admin, self.stamp.tenant

        def authenticate(header: str | None) -> Caller:
            return replace(_caller(identity.verifier.verify(bearer(header), accepted, tenant=home)), operator=True)

        async def anonymous(http: Request) -> Response | None:
            return self._metadata(http, self.endpoints.operators)

        pipeline = self._pipeline(replace(self.stamp, management=self.endpoints.admin_management), identity)
        return ArmApp(Routes(pipeline), authenticate, anonymous, self.ids, self._challenge)

    def _front(self, identity: Identity) -> Front:
        accepted, verifier = self.endpoints.accepted_by_arm, identity.verifier

        def authenticate(header: str | None) -> Caller:
            return _caller(verifier.verify(bearer(header), accepted))

        arm = ArmApp(
            Routes(self.pipeline), authenticate, self._anonymous, self.ids,
            self._challenge, Throttle(self.clock, self.authority.directory_of) if self.stamp.throttled else None,
        )  # fmt: skip
        stage = Stage(identity.directory, self.endpoints, self.clock, self.ids, identity.provider.signin)
        graph = Router(routes=graph_app.routes(stage, verifier))
        return Front(arm, Router(routes=identity_app.routes(identity.provider)), graph, self.endpoints, identity.keys)

    def _challenge(self, path: str, error: LazurError) -> str:
        """Where to sign in for what lies at `path`, and what to ask for there after `error`: clients find a subscription's
        directory by it."""
        parts = [p for p in path.split("/") if p][:2]
        of_subscription = len(parts) == 2 and parts[0].lower() == "subscriptions"
        tenant = self.authority.tenant_of(ArmId(parts[1])) if of_subscription else ""
        return challenge(self.endpoints, tenant or self.stamp.tenant, error)

    def _metadata(self, http: Request, endpoints: Endpoints) -> Response | None:
        path = "/" + "/".join(p for p in http.scope["path"].lower().split("/") if p)
        if http.scope["method"] == "GET" and path == "/metadata/endpoints":
            return JSONResponse(endpoints_body(endpoints, http.query_params.get("api-version", "2015-01-01")))
        provider = self.registry.providers.get(path.removeprefix(_OPENAPI))
        if http.scope["method"] != "GET" or not path.startswith(_OPENAPI) or provider is None:
            return None
        if (key := (provider.namespace, endpoints.management)) not in self._described:
            # Made once: whoever asks need not be known.
            whole = {**document(self.registry, provider), "servers": [{"url": endpoints.management}]}
            self._described[key] = json.dumps(whole).encode()
        return Response(self._described[key], media_type="application/json")

    async def _anonymous(self, http: Request) -> Response | None:
        """What needs no token: where the cloud's endpoints are, what its API is, image aliases, artifacts by signed link."""
        if http.scope["method"] != "GET":
            return None
        path = "/" + "/".join(p for p in http.scope["path"].split("/") if p)
        if (found := self._metadata(http, self.endpoints)) is not None:
            return found
        if path.lower() == ALIASES_PATH:
            rows = [
                ImageAlias(i.alias, i.os_type, i.publisher, i.offer, i.sku, "latest", i.architecture)
                for i in self.stamp.images
                if i.alias
            ]
            return JSONResponse(alias_document(rows))
        if path.startswith(_ARTIFACTS):
            try:
                return await self._artifact(path.removeprefix(_ARTIFACTS), http)
            except LazurError as error:
                return Response(content(ArmResponse(error.status, {"error": error.body()})), error.status, media_type=JSON)
        return None

    # -- artifacts ----------------------------------------------------------------------------------------------------

    def sign(self, name: str) -> str:
        """A URL for artifact `name` that works for two hours without a token."""
        now = self.clock.now()
        begin, end = int(now.timestamp()), int((now + _LINK_LIFE).timestamp())
        query = f"st={begin}&se={end}&sig={self._signature(name, begin, end)}"
        return self.stamp.url(f"{_ARTIFACTS}{quote(name)}?{query}")

    def _signature(self, name: str, begin: int, end: int) -> str:
        return hmac.new(self._link_key, f"{name}\n{begin}\n{end}".encode(), hashlib.sha256).hexdigest()

    async def _artifact(self, name: str, http: Request) -> Response:
        """The file behind a signed link; waits a little for the host to deliver one as new as the link."""
        given = {k: http.query_params.get(k, "") for k in ("st", "se", "sig")}
        if not (_SECONDS.fullmatch(given["st"]) and _SECONDS.fullmatch(given["se"]) and given["sig"].isascii()):
            raise LazurError("AuthenticationFailed", "The link lacks its signature.", status=403)
        begin, end = int(given["st"]), int(given["se"])
        good = hmac.compare_digest(given["sig"], self._signature(name, begin, end))
        if not good or end < self.clock.now().timestamp():
            raise LazurError("AuthenticationFailed", "The link's signature is wrong or has expired.", status=403)
        path = self._artifacts.path(name) if self._artifacts else None
        for _ in range(40):
            if path is None or (path.exists() and path.stat().st_mtime >= begin):
                break
            await self.clock.sleep(0.25)
        if path is None or not path.exists():
            raise LazurError("BlobNotFound", "The host has not delivered this yet; try again.", status=404)
        kind = "image/png" if path.suffix == ".png" else "text/plain; charset=utf-8"
        return Response(await asyncio.to_thread(path.read_bytes), media_type=kind)

    # -- what a new stamp needs -----------------------------------------------------------------------------------------

    async def _grant_first_rights(self) -> None:
        """Make the role assignments a new stamp begins with, once: what an owner takes away later stays away."""
        for tenant in self.identity.directory.current.tenants:
            root = root_group(tenant.id)
            if self.store.get(root.key) is None:
                body = {"properties": {"displayName": "Tenant Root Group"}}
                await self.pipeline.put(SYSTEM, root, body, ManagementGroup.api_versions[0])
        pending = self.store.document("role-assignments")
        for row in pending.content or ():
            scope = ArmId.from_path(row["scope"])
            id = scope.resource(RoleAssignment.type, derived(row["scope"], row["principal"], row["role"]))
            role = scope.resource(RoleDefinition.type, row["role"])
            properties = {"roleDefinitionId": str(role), "principalId": row["principal"], "principalType": row.get("kind")}
            await self.pipeline.put(SYSTEM, id, {"properties": properties}, RoleAssignment.api_versions[0])
        if pending.content:
            await self.store.commit(Change(documents=[Document(pending.name, pending.version + 1, [])]))

    async def _add_machines(self, accounts: Accounts, machines: Sequence[Machine]) -> None:
        """Hosts of the site file that are new or say something new since it was last read; what an operator changed or
        took away since then stands. A host that cannot be added is told and does not keep the cloud from starting."""
        group = ArmId(accounts.operator_subscription, f"{SYSTEM_GROUP}.{self.stamp.region}")
        version, applied = "2026-11-01", self.store.document("site-hosts")
        known: dict[str, Any] = dict(applied.content or {})
        for machine in machines:
            body = machine.body(self.stamp.region)
            if known.get(machine.name) == body:
                continue
            id = group.resource("Microsoft.Fabric.Admin/hosts", machine.name)
            record = self.store.get(id.key)
            properties = {**(record.properties if record else {}), **body["properties"]}
            try:
                await self.pipeline.put(SYSTEM, group, {"location": self.stamp.region}, version)
                await self.pipeline.put(SYSTEM, id, {**body, "properties": properties}, version)
                known[machine.name] = body
            except LazurError as error:
                log.error("host of the site not added", host=machine.name, code=error.code, reason=error.message)
        if known != (applied.content or {}):
            await self.store.commit(Change(documents=[Document("site-hosts", applied.version + 1, known)]))


class Front:
    """All names of the stamp on one port: sign-in and Graph by host name or path, everything else ARM."""

    def __init__(self, arm: ArmApp, identity: Router, graph: Router, endpoints: Endpoints, keys: KeyRing) -> None:
        self.arm = arm
        self._identity = identity
        self._graph = graph
        self._graph_host, self._graph_path = _host(endpoints.graph), f"{urlsplit(endpoints.graph).path}/"
        self._hosts = {_host(endpoints.login), _host(endpoints.adfs)} - {_host(endpoints.management)}
        self._single = not self._hosts
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        host = next((v for k, v in scope["headers"] if k == b"host"), b"").decode("latin-1").partition(":")[0].lower()
        path: str = scope["path"]
        app: ArmApp | Router = self.arm
        if host in self._hosts or (self._single and _is_sign_in(path)):
            app = self._identity
        elif (self._single or host == self._graph_host) and path.startswith(self._graph_path):
            app = self._graph
        await app(scope, receive, send)


def _guarded(stamp: Stamp, web: Transport, clock: Clock) -> GuardedFetch:
    """The one way to what customers name: linked templates, issuers of outside tokens."""
    return GuardedFetch(Guard(stamp.public_prefixes, stamp.internal_prefixes, stamp.template_servers), web, clock)


@lru_cache(maxsize=4096)
def _caller(found: Principal) -> Caller:
    kind = "User" if found.kind == "user" else "ServicePrincipal"
    return Caller(found.tenant_id, found.object_id, found.upn or found.app_id, kind, found.app_id, found.groups)


def _is_sign_in(path: str) -> bool:
    first, _, rest = path.lstrip("/").partition("/")
    return first == "adfs" or rest.startswith(("oauth2/", "v2.0/.well-known/", ".well-known/", "discovery/", "userrealm/"))


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition(":")[0].lower()


async def _accounts(store: Store, ids: Ids, secrets: Secrets) -> Accounts:
    """The two subscriptions every stamp begins with; the operator's is seen by the administrator only."""
    known = store.document("subscriptions")
    if known.version == 0:
        tenant, operator = ids.uuid(), ids.uuid()
        rows = [
            {"id": tenant, "name": "Default Subscription", "tenant": secrets.tenant_id},
            {"id": operator, "name": "Default Provider Subscription", "tenant": secrets.tenant_id},
        ]
        owners = [
            {"principal": p, "kind": kind, "role": OWNER.id, "scope": f"/subscriptions/{s}"}
            for p, kind, s in (
                (secrets.client_object_id, "ServicePrincipal", tenant),
                (secrets.admin_object_id, "User", tenant),
                (secrets.admin_object_id, "User", operator),
            )
        ]  # fmt: skip
        owners.append(_root_owner(secrets))
        documents = [Document("subscriptions", 1, rows), Document("role-assignments", 1, owners)]
        try:
            await store.commit(Change(documents=documents))
        except Conflict:
            return await _accounts(store, ids, secrets)
        known = store.document("subscriptions")
    elif any("tenant" not in row for row in known.content):
        await store.commit(Change(documents=_of_one_directory(store, secrets)))
    return Accounts(known.content[0]["id"], known.content[1]["id"])


def _root_owner(secrets: Secrets) -> dict[str, Any]:
    """Over everything of the directory: whoever administers it can make management groups and deploy to them."""
    scope = ArmId(tenant=secrets.tenant_id).path
    return {"principal": secrets.admin_object_id, "kind": "User", "role": OWNER.id, "scope": scope}


def _of_one_directory(store: Store, secrets: Secrets) -> list[Document]:
    """The documents of a stamp from before there were several directories, when all was the first one's, as they are now."""
    known, owners = store.document("subscriptions"), store.document("role-assignments")
    rows = [{"tenant": secrets.tenant_id, **row} for row in known.content]
    held = [*(owners.content or ()), _root_owner(secrets)]
    return [Document(known.name, known.version + 1, rows), Document(owners.name, owners.version + 1, held)]


def credentials(plane: ControlPlane) -> str:
    """What the operator needs to sign in, as JSON; to be kept in a file only root can read."""
    accounts = {"subscription_id": plane.stamp.subscription, "region": plane.stamp.region}
    return json.dumps({**asdict(plane.secrets), **accounts, "endpoints": asdict(plane.endpoints)}, indent=1)
