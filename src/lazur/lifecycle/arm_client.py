"""A small ARM client for the platform's own tools: quickstart, fsck, tests of the rack.

Goes the way every client goes: a token from the sign-in endpoint, requests to the ARM endpoint. Must never reach past them.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError, Unavailable

VERSION = "2024-11-01"
_RENEW_BEFORE = 300.0


class ArmClient:
    """Requests as the service principal of `credentials` (the file the control plane writes), or as the administrator, who
    goes in by the operators' own door."""

    def __init__(self, credentials: Mapping[str, Any], ca: Path, clock: Clock, *, administrator: bool = False) -> None:
        self._known = credentials
        self._administrator = administrator
        endpoints: Mapping[str, str] = credentials["endpoints"]
        self._endpoints = {**endpoints, "management": endpoints["admin_management"]} if administrator else endpoints
        self._clock = clock
        self._context = ssl.create_default_context(cafile=str(ca))
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._expires = 0.0
        self.subscription = f"/subscriptions/{credentials['subscription_id']}"
        self.management: str = self._endpoints["management"]

    @classmethod
    def of_file(cls, path: Path, ca: Path, clock: Clock, *, administrator: bool = False) -> ArmClient:
        """A client with the credentials in `path`."""
        return cls(json.loads(path.read_text()), ca, clock, administrator=administrator)

    async def __aenter__(self) -> ArmClient:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._context))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, *, version: str = VERSION) -> Any:
        """The JSON answer; raises the ARM error, or `Unavailable` when nobody answers."""
        return (await self.exchange(method, path, body, version=version))[1]

    async def exchange(
        self, method: str, path: str, body: Any = None, *, version: str = VERSION
    ) -> tuple[Mapping[str, str], Any]:
        """Headers and JSON answer."""
        url = path if path.startswith("https://") else f"{self._endpoints['management']}{path}"
        query = {} if "api-version=" in url else {"api-version": version}
        headers = {"Authorization": f"Bearer {await self._bearer()}"}
        try:
            async with self._http().request(method, url, params=query, json=body, headers=headers) as response:
                text = await response.text()
                found = json.loads(text) if text else None
                if response.status >= 400:
                    raise _error(found, response.status)
                return response.headers.copy(), found
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"{url} does not answer.", internal=repr(error)) from error

    async def settled(self, path: str, *, version: str = VERSION, seconds: float = 900.0) -> Any:
        """The resource at `path` once its provisioningState is final; raises its operation's error if it failed."""
        deadline = self._clock.monotonic() + seconds
        while True:
            found = await self.call("GET", path, version=version)
            if found["properties"].get("provisioningState") in ("Succeeded", "Failed", "Canceled"):
                return found
            if self._clock.monotonic() > deadline:
                raise LazurError("Timeout", f"{path} was not done after {seconds:.0f} s.", status=504)
            await self._clock.sleep(0.3)

    async def wait_for(self, headers: Mapping[str, str], *, seconds: float = 900.0) -> Any:
        """Follow a long-running operation to its end; returns its last body, raises its error."""
        url = headers.get("Azure-AsyncOperation")
        deadline = self._clock.monotonic() + seconds
        while url:
            found = await self.call("GET", url)
            if found["status"] == "Succeeded":
                return found
            if found["status"] in ("Failed", "Canceled"):
                raise LazurError.from_body(found["error"])
            if self._clock.monotonic() > deadline:
                raise LazurError("Timeout", f"The operation was not done after {seconds:.0f} s.", status=504)
            await self._clock.sleep(0.3)
        return None

    async def _bearer(self) -> str:
        if self._clock.monotonic() < self._expires - _RENEW_BEFORE:
            return self._token
        authority = (
            self._endpoints["adfs"]
            if self._endpoints.get("use_adfs")
            else (f"{self._endpoints['login']}/{self._known['tenant_id']}")
        )
        path = "/oauth2/token" if self._endpoints.get("use_adfs") else "/oauth2/v2.0/token"
        form = {
            "grant_type": "client_credentials",
            "client_id": self._known["client_id"],
            "client_secret": self._known["client_secret"],
            "scope": f"{self._endpoints['management']}/.default",
        }
        if self._administrator:
            name, word = self._known["admin_upn"], self._known["admin_password"]
            form |= {"grant_type": "password", "username": name, "password": word}
        try:
            async with self._http().post(authority + path, data=form) as response:
                found = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable("The sign-in endpoint does not answer.", internal=repr(error)) from error
        if "access_token" not in found:
            raise LazurError("SignInFailed", found.get("error_description", "The sign-in was refused."), status=401)
        self._token, self._expires = found["access_token"], self._clock.monotonic() + float(found["expires_in"])
        return self._token

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client in an 'async with' block")
        return self._session


def _error(found: Any, status: int) -> LazurError:
    body = found.get("error") if isinstance(found, dict) else None
    if not isinstance(body, dict):
        return LazurError("UnexpectedAnswer", f"Status {status} without an ARM error.", status=status)
    error = LazurError.from_body(body)
    error.status = status
    return error
