"""HTTP servers of the control plane: uvicorn over TLS, and who is at the other end of a mutual TLS connection.

Must never trust a name a client sends: an executor's domain is its certificate's common name.
"""

from __future__ import annotations

import contextlib
import gc
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lazur.kernel.errors import LazurError

_peers: dict[tuple[str, int], str] = {}


def settled() -> None:
    """To be called once all is loaded: it stays, and to look for garbage in it keeps whoever asks waiting for 40 ms."""
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PeerProtocol(HttpToolsProtocol):
    """Remembers the common name of each connection's client certificate."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        name = _common_name(transport.get_extra_info("peercert"))
        if name and self.client:
            _peers[self.client] = name

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client:
            _peers.pop(self.client, None)
        super().connection_lost(exc)


def _common_name(certificate: Any) -> str:
    for group in (certificate or {}).get("subject", ()):
        for key, value in group:
            if key == "commonName":
                return str(value)
    return ""


def peer(request: Request) -> str:
    """The domain a request speaks for."""
    client = request.client
    name = _peers.get((client.host, client.port), "") if client else ""
    if not name:
        raise LazurError("AuthenticationFailed", "A client certificate of this stamp is needed.", status=401)
    return name


def server(app: Any, address: str, port: int, pki: Path, name: str, *, mutual: bool = False) -> Server:
    """A TLS server with certificate `name`; `mutual` asks clients for a certificate of the stamp."""
    config = uvicorn.Config(
        app,
        host=address,
        port=port,
        http=PeerProtocol if mutual else "httptools",
        ws="none",
        loop="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=str(pki / f"{name}.pem"),
        ssl_keyfile=str(pki / f"{name}.key"),
        ssl_ca_certs=str(pki / "ca.pem") if mutual else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=2,
    )
    return Server(config)
