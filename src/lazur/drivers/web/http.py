"""The real transport: the system's resolver, and one HTTP connection to one address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from lazur.drivers.web.interface import MAX_BYTES, Answer


class HttpTransport:
    """Connections of their own for every request: nothing is kept, reused or sent along.

    `ports` puts another port in place of one, for a server that stands in for others in a test.
    """

    def __init__(self, ports: dict[int, int] | None = None) -> None:
        self._ports = ports or {}

    async def resolve(self, host: str) -> Sequence[str]:
        """Every address of a name, or the address itself when the host is one."""
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def get(self, url: str, address: str) -> Answer:
        """One GET with neither cookies nor proxies; a body is read only as far as it may be long."""
        target = URL(url)
        # A literal address never reaches a resolver, so the request is made to the address itself; the name goes along in
        # the header and in the handshake, where servers and certificates want it.
        connector = aiohttp.TCPConnector(resolver=_Pinned(address, self._ports), use_dns_cache=False, force_close=True)
        headers = {"Accept": "application/json, */*", "Accept-Encoding": "identity"}
        try:
            async with aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            ) as session, session.get(target, headers=headers, allow_redirects=False) as answer:  # fmt: skip
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise OSError("an encoding that was not asked for")
                return Answer(answer.status, answer.headers.get("Location", ""), await _body(answer))
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """At most one byte more than is allowed."""
    if (answer.content_length or 0) > MAX_BYTES:
        return bytes(MAX_BYTES + 1)
    held = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        held += chunk
        if len(held) > MAX_BYTES:
            break
    return bytes(held[: MAX_BYTES + 1])


class _Pinned(AbstractResolver):
    """Gives every name the one address that was checked."""

    def __init__(self, address: str, ports: dict[int, int]) -> None:
        self._address = address
        self._ports = ports

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The checked address."""
        found = socket.AF_INET6 if ip_address(self._address).version == 6 else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=self._address, port=self._ports.get(port, port), family=found, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is held."""
