"""Fetching under guard: every name is resolved once, checked, and asked at exactly the address that was checked.

A redirect is a new URL and is checked as one. Nothing of the caller goes along: no token, no cookie, no referrer.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from yarl import URL

from lazur.drivers.web.guard import Guard
from lazur.drivers.web.interface import MAX_BYTES, MAX_REDIRECTS, MAX_SECONDS, Answer, Transport, refused
from lazur.kernel.clock import Clock

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = frozenset({80, 443})


class GuardedFetch:
    """A `Fetch` over any transport."""

    def __init__(self, guard: Guard, transport: Transport, clock: Clock) -> None:
        self._guard = guard
        self._transport = transport
        self._clock = clock

    async def __call__(self, url: str) -> bytes:
        """What the URL names, after redirects."""
        work = asyncio.ensure_future(self._follow(url))
        limit = asyncio.ensure_future(self._clock.sleep(MAX_SECONDS))
        try:
            await asyncio.wait({work, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise refused(url, f"The server did not answer within {MAX_SECONDS:.0f} seconds.")
            return work.result()
        finally:
            work.cancel()
            limit.cancel()

    async def _follow(self, first: str) -> bytes:
        here = _parsed(first, first)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask(first, here)
            if answer.status not in _REDIRECTS:
                return _content(first, answer)
            following = _joined(here, answer.location, first)
            if here.scheme == "https" and following.scheme != "https":
                raise refused(first, "The server redirects to a connection without encryption.")
            here = following
        raise refused(first, f"The server redirects more than {MAX_REDIRECTS} times.")

    async def _ask(self, first: str, url: URL) -> Answer:
        host = url.raw_host or ""
        try:
            addresses = await self._transport.resolve(host)
        except (OSError, UnicodeError):
            addresses = ()
        address = self._guard.check(first, addresses)
        try:
            return await self._transport.get(str(url), address)
        except OSError:
            raise refused(first, "The server could not be reached or broke off.") from None


def _parsed(text: str, first: str) -> URL:
    try:
        url = URL(text)
        port = url.port
    except (ValueError, TypeError):
        raise refused(first, "It is no URL.") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise refused(first, "It must be a URL of http or https with a host.")
    if url.user is not None or url.password is not None:
        raise refused(first, "It must not hold a user name or password.")
    if not _is_clear(url.raw_host):
        raise refused(first, "Its host is neither a name nor an address in full.")
    if port is None or (port < 1024 and port not in _PORTS):
        raise refused(first, "Its port must be 80, 443 or one from 1024 on.")
    return url


def _is_clear(host: str) -> bool:
    """Whether a host is a name or a whole address, not one of the short forms that resolvers and clients read differently."""
    if ":" not in host and not host.replace(".", "").isdigit():
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _joined(here: URL, location: str, first: str) -> URL:
    try:
        following = here.join(URL(location))
    except (ValueError, TypeError):
        raise refused(first, "The server redirects to something that is no URL.") from None
    if not location:
        raise refused(first, "The server redirects without saying where to.")
    return _parsed(str(following), first)


def _content(url: str, answer: Answer) -> bytes:
    if answer.status != 200:
        raise refused(url, f"The server answered with status {answer.status}.")
    if len(answer.body) > MAX_BYTES:
        raise refused(url, f"It is larger than {MAX_BYTES} bytes.")
    return answer.body
