"""The executors' endpoint: each reads and reports the desires of its own domain, and no other; hosts get their guests' tokens.

The domain comes from the client certificate's common name (see `roles`), never from the request. Sealed values of a desire
are opened here, on the way to the one executor they are for. Must never offer anything but one's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lazur.api.artifacts import Artifacts
from lazur.api.guest_tokens import GuestTokens
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.model.desire import Batch, Desire, Report, State
from lazur.model.documents import DesireRecord
from lazur.store.interface import Store

Unseal = Callable[[str, str], bytes]
DomainOf = Callable[[Request], str]

_MAX_WAIT = 30.0
_MAX_ARTIFACT = 8 * 1024 * 1024


class Desires:
    """`DesireSource` of one domain over the store."""

    def __init__(
        self, domain: str, store: Store, clock: Clock, unseal: Unseal, artifacts: Artifacts | None,
        alive: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`alive` is told the domain with every call of its executor."""
        self._domain = domain
        self._alive = alive
        self._store = store
        self._clock = clock
        self._unseal = unseal
        self._artifacts = artifacts

    async def changes(self, since: int, wait: float) -> Batch:
        """See `DesireSource.changes`."""
        self._alive(self._domain)
        position, found = self._store.domain(self._domain, since)
        if not found and since > 0:
            await self._wait(position, min(wait, _MAX_WAIT))
            position, found = self._store.domain(self._domain, since)
        return Batch(max(position, 1), [self._desire(d) for d in found], full=since == 0)

    async def _wait(self, position: int, seconds: float) -> None:
        """Until more is wanted of the domain than at `position`, or the time is up."""
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        moved = asyncio.ensure_future(self._store.changed(position, self._domain))
        try:
            await asyncio.wait({moved, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
            timer.cancel()

    async def report(self, reports: Sequence[Report]) -> None:
        """See `DesireSource.report`."""
        self._alive(self._domain)
        await self._store.report(self._domain, reports)

    async def artifact(self, name: str, content: bytes) -> None:
        """See `DesireSource.artifact`; names are `<key of a desire of this domain>/<file>`."""
        if self._artifacts is not None:
            self._artifacts.write(self._domain, name, content)

    def _desire(self, stored: DesireRecord) -> Desire:
        payload = json.loads(json.dumps(stored.wanted.payload))
        opened: dict[str, Any] = payload.get("secrets", {})
        for name, sealed in stored.wanted.secrets.items():
            text, _, context = sealed.partition("\x1f")
            opened[name] = json.loads(self._unseal(text, context))
        if opened:
            payload["secrets"] = opened
        want = stored.wanted
        return Desire(want.domain, want.kind, want.key, stored.generation, payload, stored.removed)


def desire_app(open_domain: Callable[[str], Desires], domain_of: DomainOf, tokens: GuestTokens) -> Starlette:
    """The HTTP form of `Desires`, for executors on other machines, and of `tokens`, for the guests of hosts."""

    async def changes(request: Request) -> Response:
        since, wait = request.query_params.get("since", "0"), request.query_params.get("wait", "0")
        if not (since.isdecimal() and wait.replace(".", "", 1).isdecimal()):
            return Response("'since' and 'wait' are numbers.", status_code=400)
        batch = await open_domain(domain_of(request)).changes(int(since), float(wait))
        rows = [
            {"kind": d.kind, "key": d.key, "generation": d.generation, "payload": d.payload, "removed": d.removed}
            for d in batch.desires
        ]
        return JSONResponse({"cursor": batch.cursor, "full": batch.full, "desires": rows})

    async def report(request: Request) -> Response:
        rows = await request.json()
        await open_domain(domain_of(request)).report([Report(**{**row, "state": State(row["state"])}) for row in rows])
        return Response(status_code=204)

    async def artifact(request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > _MAX_ARTIFACT:
                return Response(status_code=413)
        await open_domain(domain_of(request)).artifact(request.path_params["name"], bytes(content))
        return Response(status_code=204)

    async def token(request: Request) -> Response:
        asked = await request.json()
        status, body = tokens.token(domain_of(request), asked["machine"], asked["query"])
        return JSONResponse(body, status, {"Cache-Control": "no-store"})

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, LazurError)
        return JSONResponse({"error": error.body()}, error.status)

    return Starlette(
        routes=[
            Route("/desires", changes),
            Route("/reports", report, methods=["POST"]),
            Route("/artifacts/{name:path}", artifact, methods=["PUT"]),
            Route("/tokens", token, methods=["POST"]),
        ],
        exception_handlers={LazurError: refused},
    )
