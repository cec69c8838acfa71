"""The identity service of one stamp put together: directories, keys, the OpenID provider, and the check of tokens.

Must never hold behaviour: it connects parts over the documents they are kept in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lazur.drivers.web.interface import Fetch
from lazur.identity.directory import LiveDirectory, Secrets
from lazur.identity.endpoints import Endpoints
from lazur.identity.federation import Federation, Federations
from lazur.identity.grants import Grants
from lazur.identity.kept import KeptDocument, KeptObjects
from lazur.identity.keys import KeyRing
from lazur.identity.outside import GuardedWeb, HttpWeb, Issuers, Web
from lazur.identity.provider import OpenIdProvider
from lazur.identity.sealing import StampKey
from lazur.identity.tokens import Verifier
from lazur.kernel.clock import Clock
from lazur.kernel.ids import Ids


@dataclass(frozen=True)
class Outside:
    """The outside world of identity: the providers the operator configured, how to reach those, and the guarded way to
    the issuers that customers' federated credentials name."""

    federations: Sequence[Federation] = ()
    web: Web | None = None
    fetch: Fetch | None = None


@dataclass(frozen=True)
class Identity:
    """All of it. `secrets` are what the first start generated."""

    directory: LiveDirectory
    keys: KeyRing
    grants: Grants
    provider: OpenIdProvider
    verifier: Verifier
    secrets: Secrets

    @classmethod
    async def open(
        cls,
        objects: KeptObjects,
        kept: Callable[[str], KeptDocument],
        endpoints: Endpoints,
        domain: str,
        stamp_key: StampKey,
        clock: Clock,
        ids: Ids,
        outside: Outside | None = None,
    ) -> Identity:
        """The service over the directories' `objects` and the documents `kept` names; a new stamp's directory
        (`<region>.<domain>`) and key are made."""
        outside = outside or Outside()
        directory, secrets = await LiveDirectory.open(objects, ids, domain, stamp_key)
        keys = await KeyRing.open(kept("signing-keys"), stamp_key, clock)
        grants = await Grants.open(kept("ended-sign-ins"), clock)
        federations = Federations(outside.federations, outside.web or HttpWeb(), endpoints, directory, clock, ids)
        issuers = Issuers(GuardedWeb(outside.fetch), clock)
        verifier = Verifier(endpoints, keys, directory, grants, clock)
        provider = OpenIdProvider(
            endpoints, directory, keys, grants, verifier, federations, issuers, stamp_key, clock, ids
        )
        return cls(directory, keys, grants, provider, verifier, secrets)
