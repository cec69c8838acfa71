"""One request to an ASGI application, without a socket: how tests of the front door, of identity and of Graph ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp

_CHUNK = 70_000


async def asked(
    app: ASGIApp, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes, source: str = "127.0.0.1"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in small letters) and body of the answer; the path and the query as they are on the wire."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
        "path": unquote(path), "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": (source, 1), "server": ("server", 443),
    }  # fmt: skip
    chunks = [content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK)] or [b""]
    outbox: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        outbox.append(dict(message))

    await app(scope, receive, send)
    found = {name.decode().lower(): value.decode("latin-1") for name, value in outbox[0]["headers"]}
    return outbox[0]["status"], found, b"".join(message.get("body", b"") for message in outbox[1:])
