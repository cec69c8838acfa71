"""Azure resource ids: parse, compare without case, climb to parents.

An id keeps the spelling it was given; `key` is the form everything is compared and stored by. Must never look anything up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from lazur.kernel.errors import LazurError

_SEGMENT = re.compile(r"[^/?#%\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,260}\Z")


@dataclass(frozen=True)
class ArmId:
    """One point of the resource tree: a subscription, a resource group, a resource, or a resource below a resource.

    `types` and `names` run in parallel: `("virtualNetworks", "subnets")`, `("vnet1", "default")`.
    """

    subscription: str | None = None
    group: str | None = None
    namespace: str | None = None
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ArmId:
        """Read `/subscriptions/…`, `/providers/…` or `/`; raises `LinkedInvalidPropertyId` for anything else."""
        return _parsed(text)

    @classmethod
    def _read(cls, text: str) -> ArmId:
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
        if not parts:
            return cls(subscription, group)
        if parts[0].lower() != "providers" or len(parts) < 4 or len(parts) % 2:
            raise _invalid(text)
        return cls(subscription, group, parts[1], tuple(parts[2::2]), tuple(parts[3::2]))

    @property
    def key(self) -> str:
        """The lower-case text: the one spelling everything is compared by."""
        known: str | None = self.__dict__.get("_key")
        return known if known is not None else self._keep("_key", str(self).lower())

    @property
    def type(self) -> str:
        """`Microsoft.Network/virtualNetworks/subnets`; the built-in scopes have ARM's own type names."""
        if self.namespace is not None:
            return "/".join((self.namespace, *self.types))
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
    def parent(self) -> ArmId:
        """One level up: parent resource, else resource group, else subscription, else the root."""
        if len(self.names) > 1:
            return ArmId(self.subscription, self.group, self.namespace, self.types[:-1], self.names[:-1])
        if self.namespace is not None:
            return ArmId(self.subscription, self.group)
        return ArmId(self.subscription) if self.group is not None else ArmId()

    @property
    def scope(self) -> ArmId:
        """The resource group or subscription this id lies in."""
        return ArmId(self.subscription, self.group)

    def child(self, type: str, name: str) -> ArmId:
        """The id of a resource directly below this one."""
        return ArmId(self.subscription, self.group, self.namespace, (*self.types, type), (*self.names, name))

    def resource(self, type: str, *names: str) -> ArmId:
        """A resource of full type `Microsoft.X/a/b` in this scope."""
        namespace, *types = type.split("/")
        return ArmId(self.subscription, self.group, namespace, tuple(types), names)

    def contains(self, other: ArmId) -> bool:
        """Whether `other` is this id or lies below it."""
        return other.key == self.key or other.key.startswith(self.key.rstrip("/") + "/")

    def __str__(self) -> str:
        known: str | None = self.__dict__.get("_text")
        if known is not None:
            return known
        text = f"/subscriptions/{self.subscription}" if self.subscription else ""
        if self.group is not None:
            text += f"/resourceGroups/{self.group}"
        if self.namespace is not None:
            pairs = [f"/{t}/{n}" for t, n in zip(self.types, self.names, strict=True)]
            text += f"/providers/{self.namespace}{''.join(pairs)}"
        return self._keep("_text", text or "/")

    def _keep(self, name: str, value: str) -> str:
        # What `cached_property` does, without the lock it takes: most ids live for one request.
        self.__dict__[name] = value
        return value


@lru_cache(maxsize=16384)
def _parsed(text: str) -> ArmId:
    # Ids are immutable and the same few are read over and over: every assignment's scope for every right, for one.
    return ArmId._read(text)


def _invalid(text: str) -> LazurError:
    return LazurError("LinkedInvalidPropertyId", f"'{text[:300]}' is not a valid resource id.")
