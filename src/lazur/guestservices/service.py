"""The guest-service process of one host."""

from __future__ import annotations

from lazur.guestservices.settings import GuestServicesSettings
from lazur.kernel.clock import Clock


async def run(settings: GuestServicesSettings, clock: Clock) -> None:
    """Serve this host's guests until cancelled."""
    while True:
        await clock.sleep(settings.poll_seconds)
