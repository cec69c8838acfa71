"""The servers under load, each a process of its own: `python -m bench.servers KIND FOLDER`.

`bare` answers every request with `FOLDER/body`, `fsync` keeps each PUT with a commit and a sync of its own, `lazur` is the
control plane on simulated hosts, `shared` the same with throttles and two tenants, whose tokens it tells. All stand on the
same uvicorn, httptools and uvloop without TLS. A server tells its port on standard output and ends with its standard input.
Must never be taken for a way to run the cloud.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from bench.tenants import tenants
from lazur.drivers.network.simulated import SimulatedNetwork
from lazur.executor.core import Executor
from lazur.executor.ledger import MemoryLedger
from lazur.identity.endpoints import Endpoints
from lazur.identity.sealing import StampKey
from lazur.kernel.clock import SystemClock
from lazur.kernel.ids import SystemIds
from lazur.kernel.log import configure
from lazur.lifecycle.control_plane import ControlPlane, Machine, credentials
from lazur.lifecycle.serving import Server, settled
from lazur.model.stamp import Stamp
from lazur.providers.compute.host import SimulatedHost, SimulatedStorage, host_handlers, storage_handlers
from lazur.providers.network.host import NetworkHandler
from lazur.store.sqlite import SqliteStore


class Bare:
    """The floor of reading: a fixed answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", str(len(self._body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


class Synced:
    """The floor of durable writing without group commit: one transaction and one sync per PUT, as SQLite does it."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000;")
        self._db.execute("CREATE TABLE documents (key TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        key, status = scope["path"], 200
        if scope["method"] == "PUT":
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            json.loads(body)
            self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (key, body.decode()))
        else:
            row = self._db.execute("SELECT doc FROM documents WHERE key = ?", (key,)).fetchone()
            body, status = (row[0].encode(), 200) if row else (b"", 404)
        headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def serve(kind: str, folder: Path) -> None:
    """Serve until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    background: list[asyncio.Task[None]] = []
    told: dict[str, Any] = {"port": port}
    app: Any
    if kind == "bare":
        app = Bare((folder / "body").read_bytes())
    elif kind == "fsync":
        app = Synced(folder / "synced.db")
    else:
        plane, background = await _cloud(folder, port, throttled=kind == "shared")
        app, told["credentials"] = plane.app, json.loads(credentials(plane))
        if kind == "shared":
            told["tenants"] = await tenants(plane)
    settled()
    config = uvicorn.Config(
        app, http="httptools", ws="none", loop="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, timeout_keep_alive=65,
    )  # fmt: skip
    server = Server(config)
    print(json.dumps(told), flush=True)
    background.append(asyncio.create_task(server.serve(sockets=[listener])))
    await asyncio.to_thread(sys.stdin.read)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


async def _cloud(folder: Path, port: int, *, throttled: bool) -> tuple[ControlPlane, list[asyncio.Task[None]]]:
    """A control plane with its executors in this process, as `lazur up --simulated` has it."""
    clock, ids = SystemClock(), SystemIds()
    endpoints = Endpoints.for_localhost(port, "local", "lazur.internal")
    stamp = Stamp(
        "local", "lazur.internal", "", "", endpoints.management, endpoints.login, ("203.0.113.0/24",), "10.239.4.0/22",
        "10.239.4.1", simulated=True, throttled=throttled,
    )  # fmt: skip
    machines = [Machine(name, 8, 32768, n, driver="simulated") for n, name in enumerate(("h01", "h02"))]
    store = SqliteStore(folder / "control.db")
    key = StampKey.open(folder / "stamp.key", ids)
    plane = await ControlPlane.open(store, stamp, endpoints, key, clock, ids, machines=machines)
    handlers: dict[str, Any] = {
        "network/main": [NetworkHandler(SimulatedNetwork(m.name for m in machines))],
        "storage/main": storage_handlers(SimulatedStorage().pool()),
    }
    for machine in machines:
        source = plane.desires(f"host/{machine.name}")
        handlers[f"host/{machine.name}"] = host_handlers(SimulatedHost().parts(clock), clock, source.artifact)
    runs = [Executor(d, plane.desires(d), MemoryLedger(), h, clock).run() for d, h in handlers.items()]
    return plane, [asyncio.create_task(run) for run in (plane.run(), *runs)]


if __name__ == "__main__":
    configure("error")
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2])))
