"""Azure resource ids: parse, compare without case, climb to parents.

An id keeps the spelling it was given; `key` is the form everything is compared and stored by. Must never look anything up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from lazur.kernel.errors import LazurError

_SEGMENT = re.compile(r"[^/?#%\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,260}\Z")
_MANAGEMENT_GROUPS = "microsoft.management/managementgroups"
_LONGEST = 4096
"""Longer than any id there is; what is longer must not be kept in memory."""
_TENANTS = "/tenants/"
_ABOVE = len(_TENANTS)


@dataclass(frozen=True)
class ArmId:
    """One point of the resource tree: a subscription, a resource group, a resource, or a resource below a resource.

    `types` and `names` run in parallel: `("virtualNetworks", "subnets")`, `("vnet1", "default")`. `base` is the resource
    that an extension resource (a lock, a role assignment) is put on; None when it lies in a group, a subscription, a directory.
    `tenant` is the directory of an id that has no subscription: never written in the id, yet part of its key, so that two
    directories may each have a management group of the same name.
    """

    subscription: str | None = None
    group: str | None = None
    namespace: str | None = None
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    base: ArmId | None = None
    tenant: str = ""

    @classmethod
    def parse(cls, text: str, tenant: str = "") -> ArmId:
        """Read `/subscriptions/…`, `/providers/…` or `/`; raises `LinkedInvalidPropertyId` for anything else.

        `tenant` is the directory of whoever says it, for ids that lie in no subscription.
        """
        return _parsed(text, tenant)

    @classmethod
    def from_path(cls, path: str) -> ArmId:
        """The id of a stored `path` or `key`. Never for what a client sends: it would choose its directory."""
        head, tenant = path[:_ABOVE], ""
        if head == _TENANTS:
            tenant, _, rest = path[_ABOVE:].partition("/")
            path = f"/{rest}"
        return _parsed(path, tenant)

    @classmethod
    def _read(cls, text: str, tenant: str) -> ArmId:
        if len(text) > _LONGEST:
            raise _invalid(text)
        parts = [p for p in text.strip().split("/") if p]
        if not all(_SEGMENT.match(p) and p not in (".", "..") for p in parts) or not text.startswith("/"):
            raise _invalid(text)
        subscription = group = None
        if parts and parts[0].lower() == "subscriptions" and len(parts) >= 2:
            subscription, parts = parts[1], parts[2:]
            if parts and parts[0].lower() == "resourcegroups":
                if len(parts) < 2:
                    raise _invalid(text)
                group, parts = parts[1], parts[2:]
        found = cls(subscription, group, tenant="" if subscription else tenant)
        while parts:
            pairs = next((i for i in range(2, len(parts), 2) if parts[i].lower() == "providers"), len(parts))
            if parts[0].lower() != "providers" or pairs < 4 or pairs % 2:
                raise _invalid(text)
            found = found.resource("/".join((parts[1], *parts[2:pairs:2])), *parts[3:pairs:2])
            parts = parts[pairs:]
        return found

    @property
    def key(self) -> str:
        """The lower-case path: the one spelling everything is compared by."""
        known: str | None = self.__dict__.get("_key")
        return known if known is not None else self._keep("_key", self.path.lower())

    @property
    def path(self) -> str:
        """The text with the directory it is in, in the spelling it was given: the form to store."""
        if not self.tenant:
            return str(self)
        return f"{_TENANTS}{self.tenant}{str(self).rstrip('/')}"

    @property
    def type(self) -> str:
        """`Microsoft.Network/virtualNetworks/subnets`; the built-in scopes have ARM's own type names."""
        if self.namespace is not None:
            known: str | None = self.__dict__.get("_type")
            return known if known is not None else self._keep("_type", "/".join((self.namespace, *self.types)))
        if self.group is not None:
            return "Microsoft.Resources/resourceGroups"
        return "Microsoft.Resources/subscriptions" if self.subscription else "Microsoft.Resources/tenants"

    @property
    def name(self) -> str:
        """The last name in the id; empty for the tenant root."""
        if self.names:
            return self.names[-1]
        return self.group or self.subscription or ""

    @property
    def level(self) -> str:
        """What it lies in or on: `tenant`, `managementGroup`, `subscription`, `group` or `resource`."""
        return self.base.reach if self.base is not None else self._within

    @property
    def reach(self) -> str:
        """What it is as a scope, in the words of `level`."""
        if self.namespace is not None:
            return "managementGroup" if self.type.lower() == _MANAGEMENT_GROUPS else "resource"
        return self._within

    @property
    def _within(self) -> str:
        if self.group is not None:
            return "group"
        return "subscription" if self.subscription else "tenant"

    @property
    def parent(self) -> ArmId:
        """One level up: parent resource, else what it extends, else resource group, else subscription, else the root."""
        if len(self.names) > 1:
            return replace(self, types=self.types[:-1], names=self.names[:-1])
        if self.namespace is not None:
            return self.scope
        return ArmId(self.subscription) if self.group is not None else ArmId(tenant=self.tenant)

    @property
    def scope(self) -> ArmId:
        """What this resource lies in or on: a resource it extends, else its group, subscription or directory."""
        return self.base or self.container

    @property
    def container(self) -> ArmId:
        """The resource group, subscription or directory this id lies in."""
        return ArmId(self.subscription, self.group, tenant=self.tenant)

    def child(self, type: str, name: str) -> ArmId:
        """The id of a resource directly below this one."""
        return replace(self, types=(*self.types, type), names=(*self.names, name))

    def resource(self, type: str, *names: str) -> ArmId:
        """A resource of full type `Microsoft.X/a/b` in this scope, or on this resource."""
        namespace, *types = type.split("/")
        base = self if self.namespace is not None else None
        return ArmId(self.subscription, self.group, namespace, tuple(types), names, base, self.tenant)

    def of(self, tenant: str) -> ArmId:
        """This id as somebody of directory `tenant` means it: what lies in no subscription lies in that directory."""
        if self.subscription or self.tenant:
            return self
        return replace(self, tenant=tenant, base=self.base and self.base.of(tenant))

    def contains(self, other: ArmId) -> bool:
        """Whether `other` is this id or lies below it."""
        return other.key == self.key or other.key.startswith(self.key.rstrip("/") + "/")

    def __str__(self) -> str:
        known: str | None = self.__dict__.get("_text")
        if known is not None:
            return known
        text = str(self.base) if self.base is not None else self._above()
        if self.namespace is not None:
            pairs = [f"/{t}/{n}" for t, n in zip(self.types, self.names, strict=True)]
            text += f"/providers/{self.namespace}{''.join(pairs)}"
        return self._keep("_text", text or "/")

    def _above(self) -> str:
        text = f"/subscriptions/{self.subscription}" if self.subscription else ""
        return text if self.group is None else f"{text}/resourceGroups/{self.group}"

    def _keep(self, name: str, value: str) -> str:
        # What `cached_property` does, without the lock it takes: most ids live for one request.
        self.__dict__[name] = value
        return value


@lru_cache(maxsize=16384)
def _parsed(text: str, tenant: str) -> ArmId:
    # Ids are immutable and the same few are read over and over: every assignment's scope for every right, for one.
    return ArmId._read(text, tenant)


def _invalid(text: str) -> LazurError:
    return LazurError("LinkedInvalidPropertyId", f"'{text[:300]}' is not a valid resource id.")
