"""What fetching from the web is: by a URL a customer wrote, to the bytes behind it, or a refusal he may read.

A refusal never quotes a query (it may hold a token) and never tells what an address it refused is or answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lazur.kernel.errors import LazurError

MAX_BYTES = 4 * 1024 * 1024
"""Azure's limit for templates and parameter files."""
MAX_REDIRECTS = 5
MAX_SECONDS = 30.0


class Fetch(Protocol):
    """Gets what a URL names."""

    async def __call__(self, url: str) -> bytes:
        """The bytes; raises `InvalidContentLink`."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    location: str = ""
    """Where it sends us, of a redirect."""
    body: bytes = b""


class Transport(Protocol):
    """The bare means: names to addresses, and one request to exactly one address."""

    async def resolve(self, host: str) -> Sequence[str]:
        """Every address a name has now; `OSError` when it has none."""
        ...

    async def get(self, url: str, address: str) -> Answer:
        """One GET, sent to `address` whatever the name in the URL means by then; `OSError` when nothing comes of it."""
        ...


def refused(url: str, why: str) -> LazurError:
    """Azure's error for content that can't be had; `url` is shown without its query."""
    shown = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = shown.partition("://")
    shown = f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else shown
    return LazurError(
        "InvalidContentLink",
        f"Unable to download deployment content from '{shown[:500]}'. {why} "
        "Please see https://aka.ms/arm-deploy for usage details.",
    )
