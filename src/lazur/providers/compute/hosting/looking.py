"""The handlers that only look: `capture` (serial log and screenshot) and `probes` (what the guest services found).

Must never change anything on the host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from lazur.drivers.hypervisor.interface import Hypervisor, Phase
from lazur.executor.handlers import Wake
from lazur.kernel.clock import Clock
from lazur.kernel.errors import LazurError
from lazur.model.desire import Desire, Report, State
from lazur.providers.compute.hosting.guests import Guests

SERIAL_BYTES = 1024 * 1024
"""How much of the serial log is kept for the customer."""

_POLL_SECONDS = 0.5

Upload = Callable[[str, bytes], Awaitable[None]]


class CaptureHandler:
    """`KeyedHandler` of kind `capture`; the key is the machine's uid. A new nonce asks for a new capture."""

    kind = "capture"
    precious = False

    def __init__(self, hypervisor: Hypervisor, upload: Upload) -> None:
        self._hypervisor = hypervisor
        self._upload = upload
        self._done: dict[str, str] = {}

    async def adopt(self, desires: Sequence[Desire]) -> None:
        """Captures leave nothing behind."""

    async def apply(self, desire: Desire) -> Report:
        uid, nonce = desire.key, str(desire.payload["nonce"])
        if self._done.get(uid) != nonce:
            await self._upload(f"{uid}/serial.log", await self._hypervisor.serial_tail(uid, SERIAL_BYTES))
            if (await self._hypervisor.status(uid)).phase is Phase.RUNNING:
                await self._upload(f"{uid}/screenshot.png", await self._hypervisor.screenshot(uid))
            self._done[uid] = nonce
        return Report(self.kind, uid, desire.generation, State.READY, None, {"nonce": nonce})

    async def remove(self, desire: Desire) -> Report:
        self._done.pop(desire.key, None)
        return Report(self.kind, desire.key, desire.generation, State.GONE)

    async def watch(self, wake: Wake) -> None:
        """A capture is made once, when asked for."""


class ProbesHandler:
    """`KeyedHandler` of kind `probes`; the key is the load balancer's uid. The ledger entry itself is what the guest
    services act on; here only their findings are reported."""

    kind = "probes"
    precious = False

    def __init__(self, guests: Guests, clock: Clock) -> None:
        self._guests = guests
        self._clock = clock
        self._known: set[str] = set()

    async def adopt(self, desires: Sequence[Desire]) -> None:
        """Probes leave nothing behind."""

    async def apply(self, desire: Desire) -> Report:
        self._known.add(desire.key)
        try:
            targets = [
                (f"{probe['uid']}/{target['nic']}", str(target["vm"]))
                for probe in desire.payload["probes"]
                for target in probe["targets"]
            ]
        except (KeyError, TypeError) as error:
            raise LazurError("InvalidDesire", f"The probes of '{desire.key}' cannot be read: {error!r}") from error
        found = self._guests.rotation(desire.key, targets)
        state = State.PENDING if found is None and targets else State.READY
        observed = {"up": list(found.up), "down": list(found.down)} if found else {"up": [], "down": []}
        return Report(self.kind, desire.key, desire.generation, state, None, observed)

    async def remove(self, desire: Desire) -> Report:
        self._known.discard(desire.key)
        return Report(self.kind, desire.key, desire.generation, State.GONE)

    async def watch(self, wake: Wake) -> None:
        seen: Mapping[tuple[str, str], object] = {}
        while True:
            marks = {slot: mark for slot, mark in self._guests.marks().items() if slot[0] == "probes"}
            changed = [slot[1] for slot in marks.keys() | seen.keys() if marks.get(slot) != seen.get(slot)]
            # The empty key stands for all: findings that are not kept per balancer.
            for key in sorted(self._known) if "" in changed else sorted(changed):
                wake(key)
            seen = marks
            await self._clock.sleep(_POLL_SECONDS)
