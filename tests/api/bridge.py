"""A cloud under virtual time as an application that other programs' own event loops may ask.

The cloud lives in a thread of its own; its time stands still between requests, and everything a request began has ended before
the next one is taken.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from lazur.kernel.clock import VirtualClock
from lazur.kernel.simulation import run_virtual
from tests.api.front import Door
from tests.cloud.cloud import Cloud, World

Message = dict[str, Any]
OWNER = "Bearer owner"
"""Stands for a fresh token of the owner: real ones would expire while the cloud works."""


class Bridge:
    """The application. Made by `bridged`."""

    def __init__(self) -> None:
        self._asked: queue.Queue[tuple[Message, bytes, Future[list[Message]]] | None] = queue.Queue()
        self.ready: Future[str] = Future()
        """The customer's subscription, once the cloud runs."""

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        content, more = b"", True
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
        answered: Future[list[Message]] = Future()
        self._asked.put((scope, content, answered))
        # Whoever asks has nothing else to do meanwhile.
        for message in answered.result():
            await send(message)

    def end(self) -> None:
        """Let the cloud stop."""
        self._asked.put(None)

    def serve(self, made: Callable[[], World]) -> None:
        """Run a cloud over the world that `made` makes, until `end`."""
        try:
            world = made()
            run_virtual(lambda clock: self._main(clock, world), world.clock())
        except BaseException as error:
            if self.ready.done():
                raise
            self.ready.set_exception(error)

    async def _main(self, clock: VirtualClock, world: World) -> None:
        cloud = await Cloud(clock, world=world).start()
        door = Door(cloud)
        self.ready.set_result(cloud.plane.stamp.subscription)
        while (asked := self._asked.get()) is not None:
            scope, content, answered = asked
            try:
                answered.set_result(await _answered(door, scope, content))
            except BaseException as error:
                answered.set_exception(error)
        await cloud.stop()


async def _answered(door: Door, scope: Message, content: bytes) -> list[Message]:
    # What is the operator's is served at another endpoint, for tokens of its own.
    operators = ".admin/" in scope["path"].lower()
    audience = door.endpoints.admin_management if operators else ""
    fresh = f"Bearer {door.token(door.cloud.owner.object_id, audience=audience)}".encode()
    headers = [(n.lower(), fresh if (n.lower(), v) == (b"authorization", OWNER.encode()) else v) for n, v in scope["headers"]]
    inbox, outbox = [{"type": "http.request", "body": content, "more_body": False}], []

    async def receive() -> Message:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        outbox.append(dict(message))

    app = door.plane.operator_app if operators else door.plane.app
    await app({**scope, "headers": headers}, receive, send)
    if scope["method"] not in ("GET", "HEAD"):
        await door.is_idle()
    return outbox


@contextmanager
def bridged(made: Callable[[], World]) -> Iterator[Bridge]:
    """An application whose cloud ends with the block."""
    bridge = Bridge()
    thread = threading.Thread(target=bridge.serve, args=(made,), daemon=True)
    thread.start()
    try:
        bridge.ready.result()
        yield bridge
    finally:
        bridge.end()
        thread.join(60)
