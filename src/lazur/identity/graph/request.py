"""One request to Graph without HTTP: what was asked, how lists and objects are answered, how a change is made.

Must never decide on a snapshot and write on another: a change is decided anew on the directory it is made to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from lazur.identity.directory import Edit, LiveDirectory
from lazur.identity.endpoints import Endpoints
from lazur.identity.graph.query import Query, Shown, page
from lazur.identity.graph.scene import Scene
from lazur.identity.graph.shapes import ODATA_TYPES, USER_DEFAULT, shown, typed
from lazur.identity.objects import DirectoryObject, User
from lazur.identity.passwords import hash_password
from lazur.identity.signin import SignIn
from lazur.identity.tokens import Principal
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids

T = TypeVar("T")
SETS = {"user": "users", "group": "groups", "application": "applications", "servicePrincipal": "servicePrincipals"}


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, a JSON object or a text, headers."""

    status: int = 200
    body: Mapping[str, Any] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


NO_CONTENT = Answer(204)


@dataclass(frozen=True)
class Stage:
    """What requests are served with."""

    live: LiveDirectory
    endpoints: Endpoints
    clock: Clock
    ids: Ids
    signin: SignIn
    # Each hash takes 16 MiB and a fifth of a second: two at a time keep a flood of them from starving the process.
    _hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def hashed(self, password: str) -> str:
        """The stored form of a password."""
        async with self._hashing:
            return await asyncio.to_thread(hash_password, password, self.ids)

    def scene(self, asker: Principal, version: str) -> Scene:
        """The directory of `asker` now."""
        current = self.live.current
        now = int(self.clock.now().timestamp())
        return Scene(current, current.by_id[asker.tenant_id], asker, f"{self.endpoints.graph}/{version}", now)


@dataclass(frozen=True)
class Asked:
    """A request: `path` is what follows the version, `body` the JSON object sent or an empty one."""

    stage: Stage
    scene: Scene
    method: str
    path: str
    query: Query
    body: Mapping[str, Any]
    beta: bool = False
    representation: bool = False
    # The address it came from.
    source: str = ""

    async def change(self, edit: Callable[[Scene], Sequence[Edit]]) -> Scene:
        """Make the edits `edit` decides on, seeing the directory as it is when they are made; the scene afterwards."""
        before = self.scene

        def decide(directories: Any) -> Sequence[Edit]:
            directory = directories.by_id[before.tenant_id]
            return edit(replace(before, directories=directories, directory=directory))

        changed = await self.stage.live.change(decide)
        return replace(before, directories=changed, directory=changed.by_id[before.tenant_id])

    # -- answers ------------------------------------------------------------------------------------------------------

    def context(self, what: str) -> str:
        """The `@odata.context` of an answer."""
        select = f"({','.join(self.query.select)})" if self.query.select else ""
        name, slash, rest = what.partition("/")
        return f"{self.scene.root}/$metadata#{name}{select}{slash}{rest}"

    def one(self, thing: DirectoryObject, scene: Scene | None = None, status: int = 200) -> Answer:
        """The answer that shows one object."""
        seen = scene or self.scene
        kind = SETS[ODATA_TYPES[type(thing)]]
        body = {"@odata.context": self.context(f"{kind}/$entity"), **self._selected(shown(seen, thing), thing)}
        if status == 201:
            url = f"{self.scene.root}/directoryObjects/{thing.object_id}/Microsoft.DirectoryServices.{_type_name(thing)}"
            return Answer(201, body, {"Location": url})
        return Answer(status, body)

    def objects(self, things: Iterable[DirectoryObject], set_name: str) -> Answer:
        """The answer that lists objects; of several kinds when `set_name` is `directoryObjects`."""
        show = typed if set_name == "directoryObjects" else shown

        def key(thing: DirectoryObject) -> tuple[str, str]:
            return self._order(thing), thing.object_id

        found = page(self.query, things, lambda thing: show(self.scene, thing), key)
        items = [self.query.selected(item, self._default(set_name)) for item in found.items]
        return self._page(set_name, items, found.total, found.next)

    def rows(self, rows: Sequence[Shown], context: str) -> Answer:
        """The answer that lists what is shown already; each row has an `id`."""
        found = page(self.query, rows, lambda row: row, lambda row: (str(row.get(self.query.order) or ""), str(row["id"])))
        return self._page(context, [self.query.selected(row) for row in found.items], found.total, found.next)

    def row(self, row: Shown, context: str, status: int = 200) -> Answer:
        """The answer that shows one thing."""
        return Answer(status, {"@odata.context": self.context(f"{context}/$entity"), **self.query.selected(row)})

    def references(self, ids: Iterable[str]) -> Answer:
        """The answer that lists URLs of objects."""
        rows = [{"@odata.id": self.url(id)} for id in ids]
        return Answer(body={"@odata.context": f"{self.scene.root}/$metadata#Collection($ref)", "value": rows})

    def counted(self, things: Iterable[DirectoryObject]) -> Answer:
        """The number of objects a filter lets through, as text."""
        return Answer(body=str(sum(self.query.keeps(shown(self.scene, thing)) for thing in things)))

    def values(self, ids: Sequence[str]) -> Answer:
        """The answer of the functions that return ids."""
        return Answer(body={"@odata.context": f"{self.scene.root}/$metadata#Collection(Edm.String)", "value": list(ids)})

    def url(self, id: str) -> str:
        """The URL of an object of this directory."""
        return f"{self.stage.endpoints.graph}/v1.0/{self.scene.tenant_id}/directoryObjects/{id}"

    def _page(self, context: str, items: Sequence[Shown], total: int, after: str | None) -> Answer:
        body: dict[str, Any] = {"@odata.context": self.context(context)}
        if self.query.count:
            body["@odata.count"] = total
        if after is not None:
            given = {k: v for k, v in self.query.given.items() if k.lower() not in ("$skiptoken", "skiptoken")}
            body["@odata.nextLink"] = f"{self.scene.root}/{self.path}?{urlencode({**given, '$skiptoken': after})}"
        return Answer(body={**body, "value": list(items)})

    def _selected(self, item: Shown, thing: DirectoryObject) -> Shown:
        return self.query.selected(item, self._default("users") if isinstance(thing, User) else ())

    def _default(self, set_name: str) -> Sequence[str]:
        return USER_DEFAULT if set_name == "users" and not self.beta else ()

    def _order(self, thing: DirectoryObject) -> str:
        match self.query.order:
            case "id":
                return ""
            case "displayName":
                return thing.display_name.lower()
            case name:
                return str(shown(self.scene, thing).get(name) or "").lower()


def _type_name(thing: DirectoryObject) -> str:
    name = ODATA_TYPES[type(thing)]
    return name[:1].upper() + name[1:]
