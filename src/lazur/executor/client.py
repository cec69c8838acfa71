"""The desire endpoints of the control plane as a `DesireSource`, over mutual TLS.

The server takes the domain from the client certificate's common name, so nothing here can ask for another's desires.
Must never change what it carries.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from lazur.kernel.errors import LazurError, Unavailable
from lazur.model.desire import Batch, Desire, Report

# Beyond the wait the server was asked for; a server that does not answer by then is dead or cut off.
_PATIENCE_SECONDS = 20.0


def report_body(report: Report) -> dict[str, Any]:
    """A report as the endpoints carry it."""
    return {
        "kind": report.kind,
        "key": report.key,
        "generation": report.generation,
        "state": report.state.value,
        "error": report.error,
        "observed": dict(report.observed),
    }


def desire_from_body(domain: str, body: Mapping[str, Any]) -> Desire:
    """A desire as the endpoints carry it."""
    return Desire(
        domain, body["kind"], body["key"], int(body["generation"]), body["payload"], bool(body.get("removed", False))
    )


def client_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS that trusts the stamp's CA only and shows this executor's certificate."""
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(str(certificate), str(key))
    return context


class HttpSource:
    """`DesireSource` over HTTP. `base` has no trailing slash. Close it when done."""

    def __init__(self, base: str, domain: str, context: ssl.SSLContext) -> None:
        self._base = base
        self._domain = domain
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def changes(self, since: int, wait: float) -> Batch:
        body = await self._call("GET", f"/desires?since={since}&wait={wait:g}", wait)
        desires = [desire_from_body(self._domain, item) for item in body["desires"]]
        return Batch(int(body["cursor"]), desires, bool(body["full"]))

    async def report(self, reports: Sequence[Report]) -> None:
        await self._call("POST", "/reports", 0.0, json=[report_body(r) for r in reports])

    async def artifact(self, name: str, content: bytes) -> None:
        await self._call("PUT", f"/artifacts/{quote(name)}", 0.0, data=content)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, method: str, path: str, wait: float, **body: Any) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._context))
        limit = aiohttp.ClientTimeout(total=wait + _PATIENCE_SECONDS, sock_connect=5.0)
        try:
            async with self._session.request(method, self._base + path, timeout=limit, **body) as response:
                text = await response.text()
                if response.status >= 500:
                    raise Unavailable("The control plane cannot answer now.", internal=f"{response.status} {text[:500]}")
                if response.status >= 400:
                    raise LazurError(
                        "DesireEndpointRefused",
                        f"The control plane refused {method} {path.partition('?')[0]} with status {response.status}.",
                        status=response.status,
                        internal=text[:2000],
                    )
                return await response.json(content_type=None) if text else {}
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable("The control plane cannot be reached.", internal=repr(error)) from error
