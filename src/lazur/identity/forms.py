"""What a sign-in request says, read strictly: one value per name, one way of authentication, a bounded body.

Must never guess: a request that says something twice is refused, since two readers could take it for two requests.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request

from lazur.identity.oauth import malformed

_LARGEST = 64 * 1024
_MOST_FIELDS = 100


def query(request: Request) -> dict[str, str]:
    """The parameters of the query string."""
    return _single(request.url.query)


async def form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body of at most 64 KiB, each given once."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise malformed("The body must be 'application/x-www-form-urlencoded'.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise malformed("The body is too large.")
    try:
        return _single(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise malformed("The body is not UTF-8.") from None


async def credentials(request: Request) -> dict[str, str]:
    """The fields of a token request, with the client's credentials wherever they were put (RFC 6749, 2.3.1)."""
    fields = await form(request)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return fields
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise malformed("The 'Authorization' header is malformed.") from None
    if "client_secret" in fields or "client_assertion" in fields or fields.get("client_id", unquote(name)) != unquote(name):
        raise malformed("The client authenticates in the header and in the body: use one of the two.")
    return {**fields, "client_id": unquote(name), "client_secret": unquote(secret)}


def source(request: Request) -> str:
    """The address a request came from."""
    return request.client.host if request.client else ""


def _single(encoded: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise malformed("The parameters cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise malformed("A parameter was given more than once.")
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise malformed("A parameter holds a NUL character.")
    return fields
