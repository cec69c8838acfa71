"""The simulated cloud, with a note of every request: who asked what in which version, and the status it was answered with.

`python -m tests.clients.recorded_cloud PORT FILE WEB`. One JSON list per line: user agent, method, path, api-version, status.
The file `guests` beside it says where machines' metadata is served. `WEB` holds what this cloud's outside world consists of:
documents by address.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, TextIO
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from lazur.drivers.web.interface import Answer
from lazur.drivers.web.simulated import SimulatedTransport
from lazur.lifecycle import control_plane, simulated
from lazur.lifecycle.control_plane import ControlPlane
from lazur.lifecycle.project import ROOT
from lazur.lifecycle.serving import server
from lazur.lifecycle.site import Site
from tests.clients.guests import beside


class Recorder:
    """The application around the cloud's own."""

    def __init__(self, app: Any, file: TextIO) -> None:
        self._app = app
        self._file = file

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                query = {k.lower(): v for k, v in parse_qs(scope["query_string"].decode("latin-1")).items()}
                agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
                version = query.get("api-version", [""])[0]
                row = [agent, scope["method"], scope["path"], version, message["status"]]
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()
            await send(message)

        await self._app(scope, receive, noted)


def _web(file: Path) -> SimulatedTransport:
    pages = {url: Answer(200, body=json.dumps(page).encode()) for url, page in json.loads(file.read_text()).items()}
    return SimulatedTransport({str(urlsplit(url).hostname): ["93.184.215.14"] for url in pages}, pages)


def main() -> None:
    """Serve until interrupted."""
    port, path, web = int(sys.argv[1]), Path(sys.argv[2]), _web(Path(sys.argv[3]))
    with path.open("a") as file:

        def recorded(app: Any, *arguments: Any, **more: Any) -> Any:
            return server(Recorder(app, file), *arguments, **more)

        executors = simulated._executors

        def with_guests(plane: ControlPlane, site: Site) -> list[asyncio.Task[None]]:
            return [*executors(plane, site), beside(plane, path.with_name("guests"))]

        with (
            mock.patch.object(simulated, "server", recorded),
            mock.patch.object(control_plane, "HttpTransport", lambda: web),
            mock.patch.object(simulated, "_executors", with_guests),
        ):
            simulated.run_simulated(Site.load(ROOT / "sites" / "laptop.yaml"), port)


if __name__ == "__main__":
    main()
