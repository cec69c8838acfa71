"""What the tests of the guest services share: ledger documents, a running service on loopback, and a plain HTTP client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazur.guestservices.access import LoopbackAccess
from lazur.guestservices.service import GuestServices
from lazur.guestservices.settings import METADATA_SERVER, WIRE_SERVER, GuestServicesSettings
from lazur.guestservices.tokens import TokenSource
from lazur.kernel.clock import Clock, SystemClock
from lazur.kernel.errors import Unavailable

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKWfBc3RcCSqEzzPLT5oKeqPWmgBvUWrLXbkhyhUmDyA ops"


def vm(uid: str, vnet: str, address: str, **changes: Any) -> dict[str, Any]:
    """A `vm` desire's payload with one interface."""
    document: dict[str, Any] = {
        "id": f"/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/{uid}",
        "uid": uid,
        "vmId": f"00000000-0000-4000-8000-{uid:0>12}"[:36],
        "name": f"vm-{uid}",
        "computerName": f"host-{uid}",
        "power": "running",
        "nics": [
            {
                "uid": f"nic-{uid}", "port": f"nic-{uid}", "mac": "00:0d:3a:00:00:4f", "mtu": 1500, "vnet": vnet, "subnet": "s",
                "primary": True, "addresses": [address], "prefixLength": 24, "gateway": "10.0.0.1",
                "domainName": "0123456789ab.internal.lazur.internal",
            }
        ],
        "provisioning": {
            "hostName": f"host-{uid}", "userName": "azureuser", "disablePasswordAuthentication": True,
            "sshKeys": [{"path": "/home/azureuser/.ssh/authorized_keys", "value": KEY}], "hasCustomData": True,
        },
        "secrets": {"adminPassword": "never to be served", "customData": "bmV2ZXI="},
        "image": {"agent": True},
        "imds": {"location": "local", "resourceGroupName": "g", "vmSize": "Standard_B1s", "subscriptionId": "s",
                 "tagsList": [{"name": "a", "value": "b"}]},
    }  # fmt: skip
    return document | changes


def probes(lb: str, vnet: str, address: str, port: int, path: str | None, **changes: Any) -> dict[str, Any]:
    """A `probes` desire's payload with one probe of one target."""
    probe: dict[str, Any] = {
        "uid": "p1",
        "protocol": "Tcp" if path is None else "Http",
        "port": port,
        "path": path,
        "intervalSeconds": 5,
        "threshold": 2,
        "targets": [{"nic": "n1", "vm": "v1", "vnet": vnet, "address": address}],
    }
    return {"lb": lb, "probes": [probe | changes]}


def ledger_write(root: Path, kind: str, key: str, payload: dict[str, Any], generation: int = 1) -> None:
    """Write as the host agent does: a file beside it, renamed."""
    folder = root / kind
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{key}.json.new"
    scratch.write_text(json.dumps({"kind": kind, "key": key, "generation": generation, "payload": payload}))
    scratch.chmod(0o600)
    scratch.replace(folder / f"{key}.json")


def settings(root: Path) -> GuestServicesSettings:
    """Settings whose every path lies below `root`."""
    return GuestServicesSettings(
        ledger=root / "ledger", runtime=root / "run", certificates=root / "certificates", poll_seconds=0.01
    )


class NoControl:
    """A control plane that is dead."""

    async def token(self, machine: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        raise Unavailable("The control plane cannot be reached.")


@dataclass
class Answer:
    """An HTTP answer as the client got it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Guest:
    """A guest's view: requests leave from its own address."""

    access: LoopbackAccess
    vnet: str
    address: str

    async def raw(self, address: str, port: int, data: bytes) -> bytes:
        """Send bytes to a service and read until it closes."""
        host, real = self.access.endpoint(self.vnet, address, port, socket.SOCK_STREAM)
        reader, writer = await asyncio.open_connection(host, real, local_addr=(self.address, 0))
        try:
            writer.write(data)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    async def http(self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request to an absolute http URL of a service."""
        authority, _, path = url.removeprefix("http://").partition("/")
        host, _, port = authority.partition(":")
        lines = [f"{method} /{path} HTTP/1.1", f"Host: {authority}", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        data = await self.raw(host, int(port or 80), "\r\n".join([*lines, "", ""]).encode() + body)
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in fields]
        return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, rest)

    async def imds(self, path: str, **headers: str) -> Answer:
        """One request to the instance metadata service, with `Metadata: true` unless told otherwise."""
        return await self.http("GET", f"http://{METADATA_SERVER}/metadata/{path}", {"Metadata": "true"} | headers)

    async def wire(self, path: str, **headers: str) -> Answer:
        """One GET at the wire server."""
        return await self.http("GET", f"http://{WIRE_SERVER}/{path}", headers)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so; it must be, within a bound that only a broken test meets."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never came true: {what}")


@asynccontextmanager
async def serving(
    root: Path, *vnets: str, clock: Clock | None = None, tokens: TokenSource | None = None
) -> AsyncIterator[LoopbackAccess]:
    """A running service over `root`, once these virtual networks are attached."""
    access = LoopbackAccess()
    services = GuestServices(settings(root), clock or SystemClock(), access, tokens or NoControl())
    task = asyncio.ensure_future(services.run())

    def attached() -> bool:
        if task.done():
            task.result()
        try:
            return all(access.endpoint(vnet, WIRE_SERVER, 53, socket.SOCK_STREAM) for vnet in vnets)
        except KeyError:
            return False

    try:
        await until(attached, f"attachments of {vnets}")
        yield access
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
