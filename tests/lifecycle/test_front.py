"""Which of the stamp's services a request reaches: by host name on a rack, by path where there is one port for all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazur.identity.endpoints import Endpoints
from lazur.lifecycle.control_plane import Front

RACK = Endpoints.for_region("local", "lazur.internal")
ONE_PORT = Endpoints.for_localhost(5000, "local", "lazur.internal")
TENANT = "12345678-0000-4000-8000-123456789012"


def reached(endpoints: Endpoints, host: str, path: str) -> str:
    """The name of the service that was handed the request."""
    found: list[str] = []

    def service(name: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            found.append(name)

        return app

    nothing: Any = None
    front = Front(service("arm"), service("identity"), service("graph"), endpoints, nothing)
    asyncio.run(front({"type": "http", "path": path, "headers": [(b"host", host.encode())]}, nothing, nothing))
    return found[0]


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("management.local.lazur.internal", "/subscriptions", "arm"),
        ("management.local.lazur.internal", "/graph/v1.0/users", "arm"),
        ("GRAPH.local.lazur.internal:443", "/v1.0/users", "graph"),
        ("graph.local.lazur.internal", f"/{TENANT}/oauth2/token", "graph"),
        ("login.local.lazur.internal", "/v1.0/users", "identity"),
    ],
)
def test_a_rack_tells_by_name(host: str, path: str, service: str) -> None:
    assert reached(RACK, host, path) == service


@pytest.mark.parametrize(
    ("path", "service"),
    [("/subscriptions", "arm"), ("/v1.0/users", "arm"), ("/graph/v1.0/users", "graph"), ("/graphs/v1.0/users", "arm"),
     (f"/{TENANT}/oauth2/token", "identity"), ("/adfs/oauth2/token", "identity")],
)  # fmt: skip
def test_one_port_tells_by_path(path: str, service: str) -> None:
    for host in ("localhost:5000", "127.0.0.1:5000"):
        assert reached(ONE_PORT, host, path) == service
