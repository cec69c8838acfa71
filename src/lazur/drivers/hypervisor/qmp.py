"""QEMU's machine protocol over a Unix socket: one JSON document per line each way.

Must never reconnect or retry by itself; a closed connection is an answer the caller needs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lazur.kernel.errors import LazurError, Unavailable

# Longest line QEMU may send; block graphs of many disks exceed asyncio's 64 KiB.
_LINE_LIMIT = 8 * 1024 * 1024
PATIENCE_SECONDS = 10.0
"""A command that takes longer means a hung process."""


class QmpError(LazurError):
    """QEMU understood and refused; `kind` is its error class, such as `DeviceNotFound`."""

    def __init__(self, command: str, error: dict[str, Any]) -> None:
        super().__init__("HypervisorRefused", f"QEMU refused {command}: {error.get('desc', 'no reason given')}")
        self.kind = str(error.get("class", ""))


class Qmp:
    """One connection, for use as `async with Qmp(path) as qmp:`. A socket serves one client at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        """Connect and greet; raises `Unavailable` when nobody listens or answers."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_LINE_LIMIT)
                try:
                    await self._receive()
                    await self.call("qmp_capabilities")
                except BaseException:
                    self._writer.close()
                    raise
        except (OSError, TimeoutError) as error:
            raise Unavailable("The machine's process does not answer.", internal=f"{self._path}: {error!r}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def call(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command and return its answer.

        Raises `QmpError` when QEMU refuses and `Unavailable` when the connection ends.
        """
        self._number += 1
        request: dict[str, Any] = {"execute": command, "id": self._number}
        if arguments:
            request["arguments"] = arguments
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._writer.write(json.dumps(request).encode() + b"\n")
                await self._writer.drain()
                while True:
                    message = await self._receive()
                    if message.get("id") != self._number:
                        continue
                    if "error" in message:
                        raise QmpError(command, message["error"])
                    return message["return"]
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"The machine's process did not answer {command}.", internal=repr(error)) from error

    async def events(self) -> AsyncIterator[str]:
        """Names of events as they come; ends when QEMU closes the connection."""
        while True:
            try:
                message = await self._receive()
            except (OSError, Unavailable):
                return
            if "event" in message:
                yield str(message["event"])

    async def _receive(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise Unavailable("The machine's process closed the connection.", internal=str(self._path))
        message: dict[str, Any] = json.loads(line)
        return message
