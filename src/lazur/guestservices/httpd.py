"""A small HTTP/1.1 server for small messages from guests, who are not trusted.

Every size, count and time has a limit, and one guest cannot take another's connections. Must never know what is served.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from lazur.kernel.clock import Clock
from lazur.kernel.log import logger

_log = logger("guestservices.httpd")

MAX_HEADERS = 32 * 1024
"""Bytes of request line and headers a request may have."""
MAX_BODY = 1024 * 1024
"""Bytes of a body that are kept; what is beyond is read and thrown away, and `Request.truncated` says so."""
MAX_DISCARDED = 256 * 1024 * 1024
"""Bytes of a body after which the connection is closed."""
MAX_PER_SOURCE = 32
"""Connections one address may hold at one listener."""
IDLE_SECONDS = 65.0
"""Seconds without a byte after which a connection is closed; longer than the guest agents' own period."""
REQUEST_SECONDS = 300.0
"""Seconds a request may take from its first byte to its last."""

XML = "text/xml; charset=utf-8"
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """One request. `source` is the peer's address, header names are lower case, of a repeated query name the first counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    source: str


@dataclass(frozen=True)
class Response:
    """One answer; its body is complete."""

    status: int = 200
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Listeners of all virtual networks of a host; each has a handler of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: set[_Connection] = set()
        self.requests = 0

    async def listen(self, sock: socket.socket, handler: Handler) -> asyncio.Server:
        """Serve `handler` on a bound socket until the returned server is closed; open connections end by `reap`."""
        sources: Counter[str] = Counter()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = str((writer.get_extra_info("peername") or ("",))[0])
            if sources[source] >= MAX_PER_SOURCE:
                writer.transport.abort()
                return
            sources[source] += 1
            connection = _Connection(self, handler, source, reader, writer, self._clock.monotonic())
            self._connections.add(connection)
            try:
                await connection.serve()
            finally:
                self._connections.discard(connection)
                sources[source] -= 1
                if not sources[source]:
                    del sources[source]
                writer.close()

        return await asyncio.start_server(accepted, sock=sock, limit=64 * 1024, backlog=128)

    def reap(self) -> None:
        """Close the connections whose time is up; to be called every few seconds."""
        now = self._clock.monotonic()
        for connection in [c for c in self._connections if c.expired(now)]:
            connection.abort()

    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def now(self) -> float:
        """Seconds on the clock this server measures idleness by."""
        return self._clock.monotonic()


class _Connection:
    """One connection: a parser's callbacks and the loop that feeds it."""

    def __init__(
        self,
        server: HttpServer,
        handler: Handler,
        source: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        now: float,
    ) -> None:
        self._server = server
        self._handler = handler
        self._source = source
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpRequestParser(self)
        self._active = now
        self._began: float | None = None
        self._complete: list[tuple[Request, bool]] = []
        self.on_message_begin()

    def expired(self, now: float) -> bool:
        return now - self._active > IDLE_SECONDS or (self._began is not None and now - self._began > REQUEST_SECONDS)

    def abort(self) -> None:
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Answer requests in their order until either side has enough."""
        try:
            while data := await self._reader.read(64 * 1024):
                self._active = self._server.now()
                self._began = self._began if self._began is not None else self._active
                self._parser.feed_data(data)
                if self._head > MAX_HEADERS:
                    await self._write(_plain(431), False)
                    return
                if self._length > MAX_DISCARDED:
                    await self._write(_plain(413), False)
                    return
                for request, keep_alive in self._take():
                    await self._write(await self._answer(request), keep_alive, head=request.method == "HEAD")
                    if not keep_alive:
                        return
        except httptools.HttpParserUpgrade:
            await self._write(_plain(400), False)
        except httptools.HttpParserError:
            await self._write(_plain(400), False)
        except (ConnectionError, TimeoutError):
            return

    def _take(self) -> list[tuple[Request, bool]]:
        complete, self._complete = self._complete, []
        if complete:
            self._began = None
        return complete

    async def _answer(self, request: Request) -> Response:
        self._server.requests += 1
        try:
            return await self._handler(request)
        except Exception:
            _log.exception("request failed", method=request.method, path=request.path, source=request.source)
            return _plain(500)

    async def _write(self, response: Response, keep_alive: bool, head: bool = False) -> None:
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
        lines += [f"Connection: {'keep-alive' if keep_alive else 'close'}", "", ""]
        self._writer.write("\r\n".join(lines).encode("latin-1") + (b"" if head else response.body))
        await self._writer.drain()

    # The parser's callbacks, in the order they come.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head = self._length = 0

    def on_url(self, url: bytes) -> None:
        self._head += len(url)
        if self._head <= MAX_HEADERS:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        if self._head <= MAX_HEADERS:
            self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1").strip())

    def on_headers_complete(self) -> None:
        # curl holds a large body back until it is asked for it.
        if self._headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._length += len(body)
        self._body += body[: max(0, MAX_BODY - len(self._body))]

    def on_message_complete(self) -> None:
        path, query = _target(self._url)
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=path,
            query=query,
            headers=self._headers,
            body=bytes(self._body),
            truncated=self._length > MAX_BODY,
            source=self._source,
        )
        self._complete.append((request, self._parser.should_keep_alive() and self._head <= MAX_HEADERS))


def _target(url: bytes) -> tuple[str, Mapping[str, str]]:
    """Path and query of a request target, whatever it is; an unreadable one has the path of nothing."""
    try:
        parts = urlsplit(url.decode("latin-1"))
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return "", {}
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name.lower(), value)
    return unquote(parts.path), query


def _plain(status: int) -> Response:
    return Response(status, HTTPStatus(status).phrase.encode(), TEXT)
