"""The one way every change takes: decode, authorise, prefetch, admit, commit.

Resource, operation, references, claims and secrets of a request are one transaction; only then is it answered. Must never
act on the outside world or decide from anything but committed documents.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from pydantic import ValidationError

from lazur.api.authority import Authority
from lazur.api.decode import Decoded, decode, decode_child, pointers_of
from lazur.api.links import Links, exclusive, gone_children, in_use
from lazur.api.present import Presenter
from lazur.api.refusals import Refusals
from lazur.api.underway import Underway
from lazur.kernel.clock import Clock
from lazur.kernel.errors import Conflict, LazurError, all_at_once
from lazur.kernel.ids import Ids, derived
from lazur.model.armid import ArmId
from lazur.model.conditions import Attributes
from lazur.model.documents import FAILED, SUCCEEDED, TERMINAL, Change, Event, Operation, Record, Reference
from lazur.model.events import event
from lazur.model.fields import carried, frozen_fields
from lazur.model.identity import keeping_identity, merging_identity
from lazur.model.registry import AnyResource, Registry
from lazur.model.resource import Act, Action, Decision, Embedded, Facts, Tools
from lazur.model.rights import Caller, Principals, denial, is_operators, right
from lazur.model.stamp import Stamp
from lazur.store.interface import Store

_ATTEMPTS = 8
T = TypeVar("T")
Seal = Callable[[bytes, str], str]
Needs = Sequence[tuple[str, ArmId]]
"""Actions, each with the scope it must be held at."""
Unseal = Callable[[str, str], bytes]


class Fetch(Protocol):
    """Gets what a URL that a customer wrote names, as far as that may be asked."""

    async def __call__(self, url: str) -> bytes:
        """The bytes; raises `InvalidContentLink`."""
        ...


@dataclass(frozen=True)
class Accepted:
    """What a change came to: the document as committed, whether it was created, and the operation to poll, if any."""

    record: Record | None
    created: bool = False
    operation: Operation | None = None
    body: Any = None


class Pipeline:
    """Changes to the documents of one stamp."""

    def __init__(
        self, registry: Registry, store: Store, stamp: Stamp, clock: Clock, ids: Ids, seal: Seal, unseal: Unseal,
        authority: Authority, principals: Principals, sign: Callable[[str], str], fetch: Fetch, refusals: Refusals,
    ) -> None:  # fmt: skip
        self.registry = registry
        self.store = store
        self.stamp = stamp
        self.clock = clock
        self.ids = ids
        self.presenter = Presenter(registry, store)
        self.seal = seal
        self.unseal = unseal
        self.fetch = fetch
        self.refusals = refusals
        self.authority = authority
        self.principals = principals
        self._links = Links(registry, store, authority, self.presenter)
        self._pools = Underway(store)
        self.tools = Tools(ids, sign, unseal)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # -- PUT and PATCH ------------------------------------------------------------------------------------------------

    async def put(
        self, caller: Caller, id: ArmId, body: Any, api_version: str, *, if_match: str = "", if_none_match: str = "",
        needs: Needs | None = None,
    ) -> Accepted:  # fmt: skip
        """Create or replace the resource or embedded child `id`. `needs`: the rights it takes, if not to write `id`; none when
        whoever asks for it was permitted to by other means."""
        id = self.registry.canonical(id)
        self.registry.holder_of(id)
        with self.refusals.noting(caller, id, right(id.type, "write"), "PUT"):
            needs = [(right(id.type, "write"), id)] if needs is None else needs
            self._permit(caller, needs, lambda: self._asked("request", id, body))
            self.authority.unlocked(id)
            body = await self._prepared(id, body)
            return await self.in_turn(
                self._turn(id), lambda: self._write(caller, id, self._keeping(id, body), api_version, if_match, if_none_match)
            )

    def _keeping(self, id: ArmId, body: Any) -> Any:
        """`body` with the lists of children it does not mention, of types whose children stay then."""
        declared, old = self.registry.find(id.type), self.store.get(id.key)
        if declared is None or old is None or not isinstance(body, dict):
            return body
        name = next((k for k in body if k.lower() == "properties"), "properties")
        given = body.get(name) or {}
        if not isinstance(given, dict):
            return body
        said = {k.lower() for k in given}
        lists = [c.list for c in declared.embedded if c.stays and c.list.lower() not in said and c.list in old.properties]
        kept = {list: json.loads(json.dumps(old.properties[list])) for list in lists}
        return {**body, name: {**given, **kept}} if kept else body

    async def _prepared(self, id: ArmId, body: Any) -> Any:
        """The request with everything in it that has to be fetched first, where a type says how (`prepare` in `admit.py`)."""
        declared = self.registry.find(id.type)
        prepare = getattr(self.registry.behaviour(declared, "admit"), "prepare", None) if declared else None
        return body if prepare is None else await prepare(id, body, self)

    async def _write(
        self, caller: Caller, id: ArmId, body: Any, api_version: str, if_match: str, if_none_match: str = ""
    ) -> Accepted:
        embedded = self.registry.embedded(id)
        if embedded is not None:
            return await self._put_child(caller, id, embedded[1], body, api_version, if_match, if_none_match)
        return await self._put(caller, id, body, api_version, if_match, if_none_match)

    async def in_turn(self, name: str, step: Callable[[], Awaitable[T]]) -> T:
        """Run `step`, again from its first read whenever somebody else was faster.

        Those who write the document of that key or name take turns: they could only defeat one another.
        """
        lock = self._turns.setdefault(name, asyncio.Lock())
        async with lock:
            for attempt in range(_ATTEMPTS):
                try:
                    return await step()
                except Conflict:
                    if attempt == _ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def _turn(self, id: ArmId) -> str:
        return self.registry.document_of(id).key

    def _permit(self, caller: Caller, needs: Needs, attributes: Attributes | None = None) -> None:
        for action, scope in needs:
            self.authority.authorise(caller, action, scope, attributes=attributes)

    def _asked(self, source: str, id: ArmId, body: Any) -> Mapping[str, str]:
        """What conditions may ask of a request's body, or of a resource's; nothing of one that cannot be read."""
        declared = self.registry.find(id.type)
        # Read as it is decoded later: of a property that stands twice in different spellings the last one counts.
        lowered = {k.lower(): v for k, v in body.items() if v is not None} if isinstance(body, Mapping) else {}
        try:
            said = declared.attributes(declared.Spec.model_validate(lowered.get("properties", {}))) if declared else {}
        except (ValidationError, LazurError):
            return {}
        return {f"@{source}[{id.type}:{name}]".lower(): value for name, value in said.items()}

    def _there(self, id: ArmId) -> Mapping[str, str]:
        record = self.store.get(id.key)
        return self._asked("resource", id, record.body) if record is not None else {}

    async def patch(
        self, caller: Caller, id: ArmId, body: Any, api_version: str, *, if_match: str = "", needs: Needs | None = None
    ) -> Accepted:
        """Merge `body` into the stored document (RFC 7396; tags are replaced as a whole) and go the way of a PUT.

        `body` may be a function: it is given the document as it is then.
        """
        id = self.registry.canonical(id)
        self.registry.holder_of(id)
        with self.refusals.noting(caller, id, right(id.type, "write"), "PATCH"):
            self._permit(caller, [(right(id.type, "write"), id)] if needs is None else needs)
            self.authority.unlocked(id)
            return await self.in_turn(
                self._turn(id), lambda: self._write(caller, id, self._merged(id, body), api_version, if_match)
            )

    def _merged(self, id: ArmId, body: Any) -> Any:
        """What `body` makes of the document as it is now."""
        record = self.stored(id)
        body = body(record) if callable(body) else body
        current = json.loads(json.dumps(dict(record.body)))
        if isinstance(body, dict) and any(k.lower() == "tags" for k in body):
            current.pop("tags", None)
        merged: dict[str, Any] = _merge(current, body)
        return merging_identity(body, merged) if self.registry.type_of(id).has_identity else merged

    async def _put_child(
        self, caller: Caller, id: ArmId, child: Embedded, body: Any, api_version: str, if_match: str, if_none_match: str
    ) -> Accepted:
        parent = self.store.get(id.parent.key)
        if parent is None:
            self.has_container(id)
            name = "/".join((id.namespace or "", *id.types[:-1]))
            message = (
                f"Can not perform requested operation on nested resource. Parent resource '{name}/{id.parent.name}' not found."
            )
            raise LazurError("ParentResourceNotFound", message, status=404)
        if not isinstance(body, dict):
            raise LazurError("InvalidRequestContent", "The request body must be a JSON object.")
        document = json.loads(json.dumps(dict(parent.body)))
        items = document["properties"].setdefault(child.list, [])
        spots = [i for i, item in enumerate(items) if item["name"].lower() == id.name.lower()]
        _preconditions(parent if spots else None, if_match, if_none_match)
        given = {k: v for k, v in body.items() if k.lower() == "properties" or k.lower() == "zones"}
        if spots:
            items[spots[0]] = {"name": items[spots[0]]["name"], **given}
        else:
            items.append({"name": id.name, **given})
        accepted = await self._put(caller, parent.id, document, api_version, if_match, "")
        shown = self.presenter.child(accepted.record, child, id.name) if accepted.record else None
        return Accepted(accepted.record, not spots, accepted.operation, shown)

    async def _put(self, caller: Caller, id: ArmId, body: Any, api_version: str, if_match: str, if_none_match: str) -> Accepted:
        declared = self.registry.type_of(id)
        old = self.store.get(id.key)
        id = old.id if old is not None else self._spelled(id)
        _preconditions(old, if_match, if_none_match)
        if old is not None and old.deleting:
            raise _going(old)
        body = keeping_identity(body, old) if declared.has_identity else body
        decoded, faults = decode(declared, id, body, self.stamp)
        if decoded is None:
            raise all_at_once(faults)
        if not decoded.body.get("location") and old is not None and "location" in old.body:
            decoded.body["location"] = old.body["location"]
        if old is not None and declared.runs and self._repeats(caller, old, decoded):
            return Accepted(old, False, self._running(old))
        related, missing = self._links.related(caller, id, decoded)
        faults += missing
        if old is not None and decoded.body["properties"] != old.properties:
            before = declared.Spec.model_validate(old.properties)
            if api_version < old.api_version:
                carried(decoded.spec, before, decoded.body["properties"])
            faults += list(frozen_fields(decoded.spec, before))
            faults += list(self._links.dropped(declared, old, decoded))
        decision = Decision()
        if not faults:
            decision = self._admit(declared, id, old, decoded, related, api_version)
            faults += decision.faults
            faults += [_taken(c.id, id) for c in decision.children if self.store.get(c.id.key) is not None]
        if faults:
            raise all_at_once(faults)
        return await self._commit_put(caller, declared, id, old, decoded, decision, related, api_version)

    def _repeats(self, caller: Caller, old: Record, decoded: Decoded) -> bool:
        """Whether this is the request again that `old` is still busy with: its answer was lost."""
        if old.state in TERMINAL or old.changed_by.get("object_id") != caller.object_id or decoded.body != old.body:
            return False
        kept = {p: json.loads(self.unseal(v, f"{old.key}#{p}")) for p, v in old.secrets.items()}
        return kept == decoded.secrets

    def _running(self, old: Record) -> Operation | None:
        """The operation of the request that `old` is busy with."""
        found = self.store.open_operations(old.key)
        return next((o for o in found if o.verb == "PUT" and o.generation == old.generation), None)

    def _spelled(self, id: ArmId) -> ArmId:
        """`id` as a new resource's will be stored: what it lies in or on keeps its own spelling."""
        held = self.has_container(id)
        if held is None:
            return id
        return replace(id, subscription=held.id.subscription, group=held.id.group, base=id.base and self._base(id.base))

    def has_container(self, id: ArmId) -> Record | None:
        """Refuse when the group `id` lies in, or the resource it is put on, is not there or goes; authorise before.

        Answers the group, None for what lies in none.
        """
        if id.namespace is None:
            return None
        if id.base is not None:
            self._base(id.base)
        if id.group is None:
            return None
        group = self.store.get(id.container.key)
        if group is None:
            raise self.registry.missing(id.container)
        if group.deleting:
            message = f"The resource group '{id.group}' is in deprovisioning state and cannot perform this operation."
            raise LazurError("ResourceGroupBeingDeleted", message, status=409)
        return group

    def _base(self, base: ArmId) -> ArmId:
        """The resource that is extended, as it is spelled."""
        record = self.stored(self.registry.document_of(base))
        if record.deleting:
            raise _going(record)
        embedded = self.registry.embedded(base)
        if embedded is None:
            return record.id
        return record.id.child(embedded[1].type, str(self._raw_child(record, embedded[1], base)["name"]))

    def _admit(
        self, declared: AnyResource, id: ArmId, old: Record | None, decoded: Decoded, related: Mapping[str, Record],
        api_version: str,
    ) -> Decision:  # fmt: skip
        module = self.registry.behaviour(declared, "admit")
        if module is None:
            return Decision()
        uid = old.uid if old else self.ids.uuid()
        tenant = self.authority.tenant_of(id)
        facts = Facts(
            id, uid, old, related, self._pools, self.stamp, self.ids.uuid, lambda scope: self.authority.rights.over(scope),
            tenant, lambda object_id: self.principals.kind(tenant, object_id),
        )  # fmt: skip
        decision: Decision = module.admit(decoded.spec, decoded.body, facts)
        if old is None:
            allocated = {**(decision.allocated or {}), "@uid": uid}
            return replace(decision, allocated=allocated)
        return decision

    async def _commit_put(
        self, caller: Caller, declared: AnyResource, id: ArmId, old: Record | None, decoded: Decoded,
        decision: Decision, related: Mapping[str, Record], api_version: str,
    ) -> Accepted:  # fmt: skip
        body = dict(decision.body or decoded.body)
        secrets = {p: self.seal(json.dumps(v).encode(), f"{id.key}#{p}") for p, v in decoded.secrets.items()}
        record = self._record(caller, declared, id, old, body, secrets, decision, api_version)
        if old is not None and record.generation == old.generation and record.body == old.body:
            return Accepted(old, False, self._running(old))
        found = decoded.pointers
        if decision.body is not None:
            found = pointers_of(declared, body)
        targets = [(p, self.registry.canonical(p.target.of(caller.tenant)).key) for p in found if not id.contains(p.target)]
        released = self._links.released(id) if targets and old is not None else ()
        references = [Reference(id.key, p.named, t, not p.ref.soft and (p.named, t) not in released) for p, t in targets]
        references += decision.references
        claims = [*decision.claims, *exclusive(id, found)]
        # A child is there as long as its parent's document says so, and nothing else can be asked for in the transaction.
        parents = {self.registry.document_of(t).key for t in (p.target for p in found) if self.registry.embedded(t)}
        operation = self._operation(caller, record, "PUT") if declared.answers.asynchronous else None
        change = Change(
            records=[record, *(self._implicit(caller, c.id, c.body, c.allocated, api_version) for c in decision.children)],
            operations=[operation] if operation else (),
            rewire={id.key: (references, claims)},
            requires=list(related),
            unchanged=[(r.key, r.version) for r in related.values() if r.key in parents],
            unreferenced=[gone.key for gone, _ in gone_children(declared, old, body)],
            settled=decision.settled,
            events=[self._event(caller, record, "write", "PUT", operation, 201 if old is None else 200)],
        )
        try:
            with self._pools.committing(decision.claims):
                await self.store.commit(change)
        except Conflict as conflict:
            self._links.explain(conflict, id, decoded.pointers)
            raise
        return Accepted(record, old is None, operation)

    def _record(
        self, caller: Caller, declared: AnyResource, id: ArmId, old: Record | None, body: dict[str, Any],
        secrets: dict[str, str], decision: Decision, api_version: str,
    ) -> Record:  # fmt: skip
        now = self.clock.now()
        done = not declared.answers.asynchronous
        if old is None:
            allocated = dict(decision.allocated or {})
            uid = str(allocated.pop("@uid", "") or self.ids.uuid())
            # What is done when it is committed needs no reconciliation that says so.
            state, observed = (SUCCEEDED, 1) if done else (declared.creating, 0)
            return Record.made(
                id, uid, body, state, api_version, now, caller.document(), secrets=secrets,
                intent=dict(decision.intent or {}), allocated=allocated, observed=observed,
            )  # fmt: skip
        allocated = dict(decision.allocated) if decision.allocated is not None else dict(old.allocated)
        intent = dict(decision.intent) if decision.intent is not None else dict(old.intent)
        same = (allocated, intent) == (old.allocated, old.intent) and set(secrets) <= set(old.secrets)
        if same and old.state != FAILED and self._looks_the_same(old, body):
            return old
        kept = old.secrets if declared.keeps_secrets else {}
        return old.next(
            body=body, secrets={**kept, **secrets}, allocated=allocated, intent=intent,
            state=SUCCEEDED if done else "Updating", changed=now,
            # The newest version that wrote: an older one that came between took nothing away.
            api_version=max(api_version, old.api_version),
            changed_by=caller.document(), observed=old.generation + 1 if done else old.observed,
            error=None if done else old.error,
        )  # fmt: skip

    def _looks_the_same(self, old: Record, body: Mapping[str, Any]) -> bool:
        """Whether nobody could tell `body` from the old one: a document that was read and sent back spells out defaults."""
        if body == old.body:
            return True
        # Shown as they are: no need to draw the rest when they differ.
        if body.get("tags") != old.body.get("tags"):
            return False
        return self.presenter.alike(old, old.with_(body=body))

    def _implicit(
        self, caller: Caller, id: ArmId, body: Mapping[str, Any], allocated: Mapping[str, Any], api_version: str
    ) -> Record:
        now = self.clock.now()
        chosen = dict(allocated)
        uid = str(chosen.pop("@uid", "") or self.ids.uuid())
        state = self.registry.type_of(id).creating
        return Record.made(id, uid, dict(body), state, api_version, now, caller.document(), allocated=chosen)

    def _operation(self, caller: Caller, record: Record, verb: str) -> Operation:
        return Operation(
            derived(record.uid, str(record.generation), verb), record.key, verb, record.generation,
            record.id.subscription or "", caller.tenant, self.clock.now(),
        )  # fmt: skip

    def _event(
        self, caller: Caller, record: Record, verb: str, method: str, operation: Operation | None, code: int = 202
    ) -> Event:
        status = "Accepted" if operation else SUCCEEDED
        return event(record, caller, right(record.id.type, verb), method, status, self.clock.now(), code)

    # -- DELETE -------------------------------------------------------------------------------------------------------

    async def delete(self, caller: Caller, id: ArmId, api_version: str, *, if_match: str = "") -> Accepted:
        """Wish for `id` to go; refused while somebody uses it. `record` is None when nothing was there."""
        id = self.registry.canonical(id)
        self.registry.holder_of(id)
        with self.refusals.noting(caller, id, right(id.type, "delete"), "DELETE"):
            self.authority.authorise(caller, right(id.type, "delete"), id, attributes=lambda: self._there(id))
            self.authority.unlocked(id, removing=True)
            embedded = self.registry.embedded(id)
            if embedded is not None:
                child = embedded[1]
                return await self.in_turn(
                    self._turn(id), lambda: self._delete_child(caller, id, child, api_version, if_match)
                )
            return await self.in_turn(self._turn(id), lambda: self._delete(caller, id, if_match))

    async def _delete_child(self, caller: Caller, id: ArmId, child: Embedded, version: str, if_match: str) -> Accepted:
        parent = self.store.get(id.parent.key)
        document = json.loads(json.dumps(dict(parent.body))) if parent is not None else {"properties": {}}
        items = document["properties"].get(child.list, [])
        kept = [i for i in items if i["name"].lower() != id.name.lower()]
        if parent is None or len(kept) == len(items):
            return Accepted(None)
        document["properties"][child.list] = kept
        return await self._put(caller, parent.id, document, version, if_match, "")

    async def _delete(self, caller: Caller, id: ArmId, if_match: str) -> Accepted:
        old, declared = self.store.get(id.key), self.registry.type_of(id)
        if old is None:
            if id.namespace is None:
                raise self.registry.missing(id)
            # What was to go is gone, whichever state of it was meant: so the contract of resource providers has it.
            return Accepted(None)
        _preconditions(old, if_match, "")
        if old.deleting:
            running = [o for o in self.store.open_operations(old.key) if o.verb == "DELETE"]
            return Accepted(old, False, running[0] if running else None)
        if id.namespace is None and not caller.operator:
            # Whoever may delete the group may delete what is in it, but for what is the operator's.
            for below in self.store.list(prefix=f"{old.key}/"):
                if is_operators(below.type):
                    raise denial(caller, right(below.id.type, "delete"), below.id)
        users = [r for r in self.store.referrers(old.key) if r.blocking and not _within(r.source, old.key)]
        if users:
            raise in_use(old.id, self._links.names(users))
        if not declared.answers.asynchronous and self.registry.behaviour(declared, "controller") is None:
            return await self._remove(caller, old, declared)
        record = old.going(changed=self.clock.now(), changed_by=caller.document())
        operation = self._operation(caller, record, "DELETE")
        told = self._event(caller, record, "delete", "DELETE", operation)
        await self.store.commit(Change(records=[record], operations=[operation], unreferenced=[old.key], events=[told]))
        return Accepted(record, False, operation)

    async def _remove(self, caller: Caller, old: Record, declared: AnyResource) -> Accepted:
        """Nothing outside has to be undone: it is gone, with what was put on it, when the request is committed."""
        gone = [old, *self.store.list(prefix=f"{old.key}/")]
        told = self._event(caller, old, "delete", "DELETE", None, 200)
        removed = [(r.key, r.version) for r in gone]
        await self.store.commit(Change(removed=removed, unreferenced=[old.key], events=[told]))
        return Accepted(old, body=self.presenter.show(old) if declared.answers.removed else None)

    # -- POST ---------------------------------------------------------------------------------------------------------

    async def act(self, caller: Caller, id: ArmId, name: str, body: Any, query: Mapping[str, str] | None = None) -> Accepted:
        """Run action `name`: change the resource's intent, or read."""
        id = self.registry.canonical(id)
        declared = self.registry.holder_of(id)
        action = next((a for a in declared.actions if a.name.lower() == name.lower()), None)
        if action is None:
            message = f"The resource type '{declared.type}' has no action '{name}'."
            raise LazurError("InvalidResourceType", message, status=404)
        needed = right(declared.type, f"{action.name}/action")
        with self.refusals.noting(caller, id, needed, "POST"):
            self.authority.authorise(caller, needed, id)
            self.authority.unlocked(id)
            module = self.registry.behaviour(declared, "admit")
            assert module is not None, f"{declared.type} declares actions and has no admit.py"

            async def step() -> Accepted:
                record = self.stored(id)
                did: Act = module.act(action.name, record, body, dict(query or {}), self.tools)
                if did.intent is None:
                    return Accepted(record, body=did.body)
                if record.deleting:
                    raise _going(record)
                changed, operation = self._intended(caller, record, action, did)
                told = self._event(caller, changed, f"{action.name}/action", "POST", operation)
                await self.store.commit(Change(records=[changed], operations=[operation] if operation else (), events=[told]))
                return Accepted(changed, False, operation, did.body)

            return await self.in_turn(self._turn(id), step)

    def _intended(self, caller: Caller, record: Record, action: Action, did: Act) -> tuple[Record, Operation | None]:
        changed = record.with_(intent=dict(did.intent or {}), version=record.version + 1, changed=self.clock.now())
        if action.reads:
            return changed, None
        changed = changed.with_(generation=record.generation + 1, state="Updating")
        return changed, self._operation(caller, changed, action.name)

    # -- for controllers that submit requests as a recorded caller ---------------------------------------------------

    def present(self, caller: Caller) -> Caller:
        """`FrontDoor.present`."""
        if not self.principals.kind(caller.tenant, caller.object_id):
            message = f"The client '{caller.name}' with object id '{caller.object_id}' is not in the directory any more."
            raise LazurError("AuthorizationFailed", message, status=403)
        return replace(caller, groups=self.principals.groups(caller.tenant, caller.object_id))

    async def submit(self, caller: Caller, id: ArmId, body: Any, api_version: str) -> Record:
        """`FrontDoor.submit`."""
        accepted = await self.put(caller, id, body, api_version)
        assert accepted.record is not None
        return accepted.record

    async def remove(self, caller: Caller, id: ArmId) -> Record | None:
        """`FrontDoor.remove`."""
        return (await self.delete(caller, id, "")).record

    def show(self, caller: Caller, id: ArmId) -> dict[str, Any]:
        """`FrontDoor.show`."""
        record = self.existing(caller, id)
        embedded = self.registry.embedded(id)
        if embedded is None:
            return self.presenter.show(record)
        child = self.presenter.child(record, embedded[1], id.name)
        if child is None:
            raise self.registry.missing(id)
        return child

    async def ask(self, caller: Caller, id: ArmId, action: str, body: Any) -> Any:
        """`FrontDoor.ask`."""
        return (await self.act(caller, id, action, body)).body

    def check(self, caller: Caller, id: ArmId, body: Any) -> list[LazurError]:
        """Faults of a body that need no other resource to be seen: right to write, form, the type's own rules, and what
        this cloud does not have (`lacking` in `admit.py`)."""
        id = self.registry.canonical(id)
        action = right(id.type, "write")
        if not self.authority.may(caller, action, id, attributes=lambda: self._asked("request", id, body)):
            return [denial(caller, action, id)]
        embedded = self.registry.embedded(id)
        if embedded is not None:
            return decode_child(embedded[1], body)
        declared = self.registry.type_of(id)
        decoded, faults = decode(declared, id, body, self.stamp)
        lacking = getattr(self.registry.behaviour(declared, "admit"), "lacking", None)
        if decoded is not None and lacking is not None and self.store.get(id.key) is None:
            faults += lacking(decoded.body, self.stamp)
        return faults

    def foresee(self, caller: Caller, id: ArmId, body: Any) -> Any:
        """What a PUT of `body` would make of an existing document, names that admission chooses included; nothing is kept.

        Answers `body` itself for what is new, and where the request would be refused.
        """
        old = self.store.get(id.key)
        if old is None or old.deleting:
            return body
        declared = self.registry.type_of(id)
        body = keeping_identity(body, old) if declared.has_identity else body
        decoded, faults = decode(declared, old.id, self._keeping(id, body), self.stamp)
        if decoded is None or faults:
            return body
        if not decoded.body.get("location") and "location" in old.body:
            decoded.body["location"] = old.body["location"]
        related, missing = self._links.related(caller, old.id, decoded)
        decision = Decision() if missing else self._admit(declared, old.id, old, decoded, related, old.api_version)
        return body if missing or decision.faults else decision.body or decoded.body

    def existing(self, caller: Caller, id: ArmId, part: str = "") -> Record:
        """The stored document of `id` for reading it, or the `part` of it that has a right of its own; 403 before 404."""
        self.registry.holder_of(id)
        self.authority.authorise(caller, right(self.registry.canonical(id).type, f"{part}/read" if part else "read"), id)
        return self.stored(self.registry.document_of(id))

    def stored(self, id: ArmId) -> Record:
        """The stored document of `id`, 404 without one. Authorise before."""
        record = self.store.get(id.key)
        if record is None:
            self.has_container(id)
            raise self.registry.missing(id)
        return record

    def _raw_child(self, record: Record, child: Embedded, id: ArmId) -> dict[str, Any]:
        for item in record.properties.get(child.list, []):
            if item["name"].lower() == id.name.lower():
                found: dict[str, Any] = json.loads(json.dumps(item))
                return found
        raise self.registry.missing(id)


def _taken(child: ArmId, parent: ArmId) -> LazurError:
    message = f"'{child}', which '{parent.name}' needs to make, exists already; delete it or choose another name."
    return LazurError("ConflictingUserInput", message, target=str(child), status=409)


def _going(record: Record) -> LazurError:
    message = f"The resource '{record.id.name}' is being deleted; wait for that to end."
    return LazurError("AnotherOperationInProgress", message, status=409, retryable=True)


def _within(key: str, root: str) -> bool:
    return key == root or key.startswith(root + "/")


def _preconditions(old: Record | None, if_match: str, if_none_match: str) -> None:
    message = "The condition '{}' set in the request header is not satisfied: the resource has changed or {}."
    if if_match and (old is None or (if_match != "*" and old.etag not in if_match)):
        raise LazurError("PreconditionFailed", message.format("If-Match", "does not exist"), status=412)
    if if_none_match and old is not None and (if_none_match == "*" or old.etag in if_none_match):
        raise LazurError("PreconditionFailed", message.format("If-None-Match", "exists already"), status=412)


def _merge(current: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(current, dict):
        return patch
    out = dict(current)
    names = {k.lower(): k for k in out}
    for key, value in patch.items():
        known = names.get(key.lower(), key)
        if value is None:
            out.pop(known, None)
        else:
            out[known] = _merge(out.get(known), value)
    return out
