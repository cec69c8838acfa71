"""The metadata service as guests of the simulated cloud would see it, on loopback: `http://127.0.0.1:PORT/<machine>/metadata/…`.

Simulated machines have no guests. What stands for one is a path instead of an address; everything behind it is the host's own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lazur.guestservices import imds
from lazur.guestservices.httpd import HttpServer, Request, Response
from lazur.guestservices.ledger import Machine, _machine
from lazur.guestservices.tokens import Tokens
from lazur.lifecycle.control_plane import ControlPlane


class Guests:
    """All machines of one cloud, by name."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._tokens = Tokens(self, plane.clock)

    async def serve(self, file: Path) -> None:
        """Until cancelled; `file` says where."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            server = await HttpServer(self._plane.clock).listen(listener, self.answer)
            file.write_text("http://127.0.0.1:{1}".format(*listener.getsockname()))
            await server.serve_forever()

    async def answer(self, request: Request) -> Response:
        """One request of a guest."""
        name, _, path = request.path.lstrip("/").partition("/")
        machine = self._machine(name)
        if machine is None:
            return Response(403)
        return await imds.answer(self._tokens, machine, replace(request, path=f"/{path}"))

    def _machine(self, name: str) -> Machine | None:
        for record in self._plane.store.list(type="microsoft.compute/virtualmachines"):
            for desire in self._plane.store.desires(record.key):
                if record.id.name == name and desire.wanted.kind == "vm":
                    return _machine(desire.wanted.key, desire.wanted.payload)
        return None

    async def token(self, machine: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """The host's question: the one that has the machine."""
        (record,) = (r for r in self._plane.store.list() if r.uid == machine)
        return self._plane.tokens.token(f"host/{record.allocated['host']}", machine, query)


def beside(plane: ControlPlane, file: Path) -> asyncio.Task[None]:
    """The service, as one more task of the cloud."""
    return asyncio.create_task(Guests(plane).serve(file))
